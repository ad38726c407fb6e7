"""Pages: reads what a page shows and makes its view; `dashboards.web` turns views into HTML."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from alerting import escalation, wording
from alerting import incidents as incident_acts
from dashboards import web
from dashboards.web import words
from watchtower.model.access import Permission
from watchtower.model.alert import Alert, AlertState, Incident, IncidentStatus, Severity
from watchtower.model.cost import Budget, BudgetPeriod, Money
from watchtower.model.run import Job, Run
from watchtower.model.spending import (
    BudgetState,
    BudgetStatus,
    Spent,
    broken,
    money_words,
    rounded,
    share_of,
    share_words,
    when,
)
from watchtower.server.api import alerting as alerting_api
from watchtower.server.endpoints import Call, Problem, Raw, Redirect, html, not_found
from watchtower.server.signing_in import is_same_origin
from watchtower.store import alerts as alert_store
from watchtower.store import conversations
from watchtower.store import incidents as incident_store
from watchtower.store import jobs as job_store
from watchtower.store.database import Connection
from watchtower.store.reading import alerting, now_page, observed
from watchtower.store.reading.alerting import LedgerFilter, Message
from watchtower.store.reading.budgets import budget_status
from watchtower.store.reading.paging import MAX_LIMIT, Window

REFRESH_S = 15
_BARS = 24
_METHODS = {"sms": "text", "voice": "call", "slack": "message", "email": "mail"}
_FACTS_ON_A_CARD = 4
_SEVERITIES = (Severity.PAGE, Severity.TICKET, Severity.INFO)
_WORST = (BudgetState.OVER, BudgetState.UNKNOWN, BudgetState.WARNING, BudgetState.OK, BudgetState.WAITING)
_NOTES = 3  # of one budget


def static(call: Call) -> Raw:
    name = call.path["file"]
    body = web.static_file(name)
    if body is None:
        raise not_found("file", name)
    return Raw(body, web.STATIC_FILES[name])


# -- now ----------------------------------------------------------------------------------------------------------


def now(call: Call) -> Raw:
    """What is broken, since when, whose, and why; then what is well."""
    return html(web.render_now(call.read(lambda c: _now_view(call, c))))


def _now_view(call: Call, connection: Connection) -> web.NowView:
    team, enough = call.principal.team, call.services.settings.learned_after
    incidents = now_page.open_incidents(connection, team)
    resolved = now_page.resolved_since(connection, call.now - timedelta(days=1), team)
    firing = now_page.first_alerts(connection, [incident.id for incident in incidents])
    loose = now_page.firing_outside_incidents(connection, team)
    totals = now_page.totals(connection, team, enough=enough)
    jobs = _jobs_of(connection, (alert for some in firing.values() for alert in some))
    bars = now_page.bars_of(connection, sorted(jobs), _BARS)
    cards = [_card(incident, firing.get(incident.id, []), jobs, bars) for incident in incidents]
    quiet = alerting.suppressors(connection, [alert.id for alert in loose])
    spool = call.services.spool
    return web.NowView(
        shell=_shell(call, refresh_s=REFRESH_S),
        broken=tuple(sorted(cards, key=_rank)),
        loose=tuple(_alert_view(alert, suppressed=alert.id in quiet) for alert in loose),
        resolved=tuple(_card(incident, [], {}, {}) for incident in resolved),
        pipelines=tuple(
            _pipeline_row(pipeline, enough)
            for pipeline in now_page.pipelines(connection, team, bars=_BARS, enough=enough)
        ),
        total=totals.pipelines,
        total_broken=totals.broken,
        total_learning=totals.learning,
        ingest=web.IngestView(
            last_at=totals.last_seen,
            spool_bytes=spool.size_bytes,
            bypassed=call.is_bypassed(),
            quarantined=totals.quarantined,
            dead_letters=totals.dead_letters,
        ),
        base_url=call.services.settings.external_url,
        budgets=tuple(_budget_rows(call, connection)),
    )


def _rank(card: web.IncidentCard) -> tuple[bool, int, float]:
    """What nobody has yet, the worst, the oldest: on top."""
    return card.status is IncidentStatus.ACKNOWLEDGED, _SEVERITIES.index(card.severity), card.since.timestamp()


def _card(
    incident: Incident, firing: Sequence[Alert], jobs: Mapping[str, Job], bars: Mapping[str, Sequence[Run]]
) -> web.IncidentCard:
    first = firing[0] if firing else None
    job = jobs.get(first.subject.removeprefix("job:")) if first else None
    found = wording.evidence(first.evidence, first.labels.get("kind", "")) if first else None
    return web.IncidentCard(
        id=incident.id,
        severity=incident.severity,
        status=incident.status,
        title=incident.title,
        since=incident.started_at,
        ended=incident.resolved_at,
        owner=_label(first, "owner") or (job.owner or "" if job else ""),
        team=incident.labels.get("team", "") or _label(first, "team"),
        why=incident.summary,
        facts=tuple(web.Fact(name, value) for name, value in found.facts[:_FACTS_ON_A_CARD]) if found else (),
        more_alerts=max(0, len(firing) - 1),
        acknowledged_by=(incident.acknowledged_by or "").removeprefix("person:"),
        bars=_bars(bars.get(job.id, ())) if job else (),
    )


def _pipeline_row(pipeline: now_page.Pipeline, enough: int) -> web.PipelineRow:
    job, newest = pipeline.job, pipeline.runs[-1] if pipeline.runs else None
    zone = f" {job.timezone}" if job.schedule and job.timezone and job.timezone != "UTC" else ""
    return web.PipelineRow(
        name=job.ref.name,
        namespace=job.ref.namespace,
        owner=job.owner or "",
        schedule=f"{job.schedule}{zone}" if job.schedule else "",
        last_at=job.last_seen,
        state=newest.state if newest else None,
        broken=pipeline.broken,
        completed=pipeline.completed,
        enough=enough,
        bars=_bars(pipeline.runs),
    )


def _budget_rows(call: Call, connection: Connection) -> Iterable[web.BudgetRow]:
    """The worst first; none for those who may not see costs."""
    if not call.principal.may(Permission.COSTS_READ):
        return
    found = budget_status(connection, call.now, team=call.principal.team)
    for status in sorted(found, key=lambda each: (_WORST.index(each.state), each.budget.name)):
        yield _budget_row(status)


def _budget_row(status: BudgetStatus) -> web.BudgetRow:
    budget, shown, problem = status.budget, status.shown, status.bill.problem
    notes = [f"{_spent_words(each, budget)} {when(each)}" for each in status.over if each != shown]
    late = status.late_since is not None
    return web.BudgetRow(
        name=budget.name,
        owner=budget.owner or "",
        state=status.state,
        tone=web.budget_tone(status.state),
        fill="warn" if late and status.state is BudgetState.UNKNOWN else _spent_tone(shown, budget),
        when=when(shown),
        spent="" if problem else _spent_words(shown, budget),
        limit=f"{money_words(budget.limit)} per {budget.period.value}",
        share=share_words(status.share),
        percent=float(status.share * 100),
        ticks=tuple(float(share * 100) for share in budget.thresholds),
        late=late,
        covered_until=status.bill.covered_until,
        notes=(problem,) if problem else tuple(notes[:_NOTES]),
        bars=tuple(_period_bar(each, budget) for each in status.periods) if budget.period is BudgetPeriod.DAY else (),
    )


def _period_bar(spent: Spent, budget: Budget) -> web.PeriodBar:
    title = f"{spent.period}: {_spent_words(spent, budget)}"
    return web.PeriodBar(float(share_of(spent, budget) * 100), _spent_tone(spent, budget), title)


def _spent_tone(spent: Spent, budget: Budget) -> str:
    above = broken(budget, spent.amount, (*budget.thresholds, Decimal(1)))
    return "bad" if Decimal(1) in above else "warn" if above else "good"


def _spent_words(spent: Spent, budget: Budget) -> str:
    """To the digits of the currency, unless that would hide on which side of the limit it is."""
    exact, limit = Money(spent.amount, budget.limit.currency), budget.limit.amount
    short = rounded(exact)
    return money_words(short if (short.amount > limit) == (exact.amount > limit) else exact)


# -- one incident -------------------------------------------------------------------------------------------------


def incident(call: Call) -> Raw:
    """Evidence, timeline, and the proof of every message."""
    incident_id = call.path["id"]
    view = call.read(lambda c: _incident_view(call, c, incident_id))
    if view is None:
        raise not_found("incident", incident_id)
    return html(web.render_incident(view))


def _incident_view(call: Call, connection: Connection, incident_id: str) -> web.IncidentView | None:
    found = alerting.get_incident(connection, incident_id, call.principal.team)
    if found is None:
        return None
    alerts = incident_store.alerts_of(connection, incident_id, limit=100)
    jobs = _jobs_of(connection, alerts)
    bars = now_page.bars_of(connection, sorted(jobs), _BARS)
    quiet = alerting.suppressors(connection, [alert.id for alert in alerts])
    wanted = LedgerFilter(incident_id=incident_id)
    owed = alerting.list_obligations(connection, wanted, Window(limit=MAX_LIMIT)).items
    tickets = [
        web.LinkView(f"Ticket {ref['ticket']}", str(ref["url"]))
        for _, ref in alerting.conversations_of(connection, incident_id)
        if ref.get("ticket") and wording.web_link(ref.get("url"))
    ]
    may = call.principal.may(Permission.INCIDENTS_RESPOND) and found.status is not IncidentStatus.RESOLVED
    talks = conversations.of_incident(connection, incident_id)
    return web.IncidentView(
        shell=_shell(call, refresh_s=REFRESH_S if found.resolved_at is None else 0),
        card=_card(found, alerts, jobs, bars),
        alerts=tuple(_alert_view(alert, suppressed=alert.id in quiet) for alert in alerts),
        downstream=tuple(
            web.ReaderView(dataset.ref.name, dataset.owner or "", tuple(job.ref.name for job in readers))
            for dataset, readers in observed.downstream(connection, sorted(jobs))
        ),
        messages=tuple(_message_view(message) for message in alerting.messages_of(connection, incident_id)),
        obligations=tuple(Counter(entry.state for entry in owed).most_common()),
        tickets=tuple(tickets),
        calls=tuple(_call_view(call, rung) for rung in escalation.rungs(talks, call.now)),
        may_respond=may and (call.signed_in is not None or not call.services.settings.access),
        timeline=tuple(
            web.TimelineRow(event.at, event.kind, event.text, (event.actor or "").removeprefix("person:"))
            for event in incident_store.timeline(connection, incident_id)
        ),
    )


def _call_view(call: Call, rung: escalation.Rung) -> web.CallView:
    person = call.services.oncall.people.get(rung.person)
    return web.CallView(
        person=person.name if person else rung.person,
        method=_METHODS.get(rung.method, rung.method),
        after_s=rung.after_s,
        told_at=rung.told_at,
        next_at=rung.next_at,
        timezone=person.timezone if person else "UTC",
        redialed=rung.redialed,
    )


def acknowledge(call: Call) -> Redirect:
    """The button on the page of an incident."""
    _check_origin(call)
    alerting_api.take(call, incident_acts.ACK_FOR)
    return Redirect(f"/incidents/{call.path['id']}", 303)


def unacknowledge(call: Call) -> Redirect:
    _check_origin(call)
    alerting_api.unacknowledge(call)
    return Redirect(f"/incidents/{call.path['id']}", 303)


def _check_origin(call: Call) -> None:
    """Beside the form token of a session, for a server without access control, whose forms need none."""
    if not is_same_origin(call):
        raise Problem(403, "this form was sent from another site", slug="cross_site")


def _message_view(message: Message) -> web.MessageView:
    return web.MessageView(
        destination=message.destination,
        reason=message.reason,
        state=message.state,
        attempts=message.attempts,
        at=message.updated_at,
        proof=message.provider_id or "",
        error=message.error or "",
    )


def _alert_view(alert: Alert, *, suppressed: bool) -> web.AlertView:
    found = wording.evidence(alert.evidence, alert.labels.get("kind", ""))
    links = [web.LinkView(link.text, link.url) for link in found.links]
    run_id = alert.evidence.get("run_id")
    if isinstance(run_id, str) and run_id:
        links.insert(0, web.LinkView("Its run", f"/runs/{run_id}"))
    runbook = wording.web_link(alert.annotations.get("runbook_url"))
    if runbook:
        links.insert(0, web.LinkView("Runbook", runbook))
    named = ("pipeline", "task", "dataset", "series", "budget")
    parts = [alert.labels[name] for name in named if alert.labels.get(name)]
    return web.AlertView(
        name=alert.labels.get("alertname", alert.rule),
        where=" · ".join(parts),
        severity=alert.severity,
        state="recovering" if alert.recovering else alert.state.value,
        since=alert.starts_at or alert.active_since,
        ended=alert.ends_at if alert.state is AlertState.RESOLVED else None,
        why=alert.annotations.get("summary", ""),
        description=alert.annotations.get("description", ""),
        cause=found.cause,
        facts=tuple(web.Fact(name, value) for name, value in found.facts),
        lines=found.lines,
        error=found.error,
        links=tuple(links),
        suppressed=suppressed,
        found_late=alert.found_late,
    )


# -- one run ------------------------------------------------------------------------------------------------------


def run(call: Call) -> Raw | Redirect:
    run_id = call.path["id"]
    found = call.read(lambda c: observed.get_run(c, run_id, call.principal.team))
    if found is None:
        raise not_found("run", run_id)
    if found.id != run_id:
        return Redirect(f"/runs/{found.id}")
    return html(web.render_run(call.read(lambda c: _run_view(call, c, found))))


def _run_view(call: Call, connection: Connection, found: Run) -> web.RunView:
    attempts = observed.attempts_of_run(connection, found.id)
    links = [web.LinkView("Its pipeline's run", f"/runs/{found.parent_run_id}")] if found.parent_run_id else []
    if url := wording.web_link(found.external_url):
        links.append(web.LinkView("In the orchestrator", url))
    return web.RunView(
        shell=_shell(call, refresh_s=0 if found.state.is_terminal else REFRESH_S),
        id=found.id,
        name=found.job.name,
        namespace=found.job.namespace,
        state=found.state,
        facts=tuple(web.Fact(name, value) for name, value in _run_facts(found) if value),
        cause=alert_store.cause_of_run(connection, found),
        error=found.error.message if found.error else "",
        stack=found.error.stack if found.error else "",
        tasks=tuple(_task_row(attempt) for attempt in attempts),
        outputs=tuple(
            web.Fact(written.ref.name, _amount(written.row_count, written.size_bytes))
            for written in observed.written_by(connection, found.id)
        ),
        links=tuple(links),
        bars=_bars(now_page.bars_of(connection, [found.job.id], _BARS)[found.job.id]),
    )


def _run_facts(found: Run) -> Iterable[tuple[str, str]]:
    yield "Run", found.native_run_id or found.ol_run_id or ""
    yield (
        "Attempt",
        f"{found.attempt}{f' of {found.max_attempts}' if found.max_attempts else ''}" if found.job.task else "",
    )
    yield "Planned for", words.moment(found.nominal_start) if found.nominal_start else ""
    yield "Started", words.moment(found.started_at) if found.started_at else ""
    yield "Ended", words.moment(found.ended_at) if found.ended_at else ""
    yield "Took", words.span(found.duration_s) if found.duration_s is not None else ""
    yield "Trigger", found.trigger.value if found.trigger else ""
    yield "By", found.actor or ""
    yield "Environment", found.environment or ""
    yield "Code", found.code_version or ""
    yield "Counts as", "history: it alerts nobody" if found.historical else ""


def _task_row(attempt: Run) -> web.TaskRow:
    index = f"[{attempt.map_index}]" if attempt.map_index is not None else ""
    return web.TaskRow(
        run_id=attempt.id,
        task=f"{attempt.job.task or attempt.job.name}{index}",
        attempt=attempt.attempt,
        state=attempt.state,
        started_at=attempt.started_at,
        duration_s=attempt.duration_s,
        error=attempt.error.message.splitlines()[0][:200] if attempt.error and attempt.error.message.strip() else "",
    )


def _amount(rows: int | None, size: int | None) -> str:
    parts = [f"{rows:,} rows"] if rows is not None else []
    parts += [words.size(size)] if size is not None else []
    return ", ".join(parts) or "written"


# -- parts --------------------------------------------------------------------------------------------------------


def _shell(call: Call, *, refresh_s: int) -> web.Shell:
    if call.signed_in is None:
        return web.Shell(call.now, refresh_s=refresh_s)
    return web.Shell(call.now, call.signed_in.name, call.signed_in.form_token, refresh_s)


def _jobs_of(connection: Connection, alerts: Iterable[Alert]) -> dict[str, Job]:
    ids = sorted({alert.subject.removeprefix("job:") for alert in alerts if alert.subject.startswith("job:")})
    return job_store.by_id(connection, ids)


def _label(alert: Alert | None, name: str) -> str:
    return alert.labels.get(name, "") if alert else ""


def _bars(runs: Sequence[Run]) -> tuple[web.Bar, ...]:
    return tuple(
        web.Bar(one.id, one.state, one.nominal_start or one.started_at or one.first_seen, one.duration_s)
        for one in runs
    )
