"""The pages of pipelines: a list that can be searched, and one pipeline with all that is known of it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import urlencode

import msgspec

from alerting import wording
from dashboards import web
from dashboards.web import words
from rules.baseline import Baseline
from rules.engine import Explained
from rules.judge import Verdict
from watchtower.model.alert import Incident
from watchtower.model.rule import SubjectKey
from watchtower.model.run import Job, Run, RunState, Trigger
from watchtower.server.endpoints import Call, Raw, html, not_found
from watchtower.server.pages.now import pipeline_row
from watchtower.server.pages.parts import BARS, REFRESH_S, alert_view, bar_row, card, owner_of, shell
from watchtower.store.database import Connection
from watchtower.store.reading import alerting, now_page, observed, pipelines
from watchtower.store.reading.now_page import Pipeline
from watchtower.store.reading.paging import Window
from watchtower.store.reading.pipelines import PipelineFilter, Touched

_PAGE = 100  # pipelines of a list
_RUNS = 60  # of one pipeline, in bars
_LISTED = 12  # of them in the table
_EXPLAINED = 20  # of the datasets that it writes, with what the rules say of each
_TASK_RUNS = 50  # of each task, for what is usual
_TONES = {"ok": "good", "violation": "bad", "error": "bad", "unknown": "warn", "learning": "calm"}


class PipelinesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """q: a part of the name, the namespace or the owner. cursor: of the page before."""

    q: str = ""
    broken: bool = False
    cursor: str | None = None


def pipeline_list(call: Call) -> Raw:
    """All pipelines by name, or those that were searched for."""
    query = call.asked(PipelinesQuery)
    enough = call.services.settings.learned_after
    wanted = PipelineFilter(query.q.strip(), query.broken)
    window = Window(_PAGE, query.cursor, team=call.principal.team)
    page = call.read(lambda c: pipelines.list_pipelines(c, wanted, window, bars=BARS, enough=enough))
    view = web.PipelinesView(
        shell=shell(call, refresh_s=0),
        rows=tuple(pipeline_row(call, each, enough) for each in page.items),
        text=query.q,
        broken=query.broken,
        next_url=_next_url(query, page.next),
    )
    return html(web.render_pipelines(view))


def _next_url(query: PipelinesQuery, cursor: str | None) -> str:
    if cursor is None:
        return ""
    asked = {"q": query.q, "broken": "true" if query.broken else "", "cursor": cursor}
    return "/pipelines?" + urlencode({name: value for name, value in asked.items() if value})


def pipeline(call: Call) -> Raw:
    """One pipeline: what is wrong, what is watched and what that means in seconds, its runs, tasks and datasets."""
    job_id = call.path["id"]
    found = call.read(lambda c: observed.get_job(c, job_id, call.principal.team))
    if found is None or found.ref.task is not None:
        raise not_found("pipeline", job_id)
    written = call.read(lambda c: pipelines.touched(c, [found.id, *(task.id for task in pipelines.tasks_of(c, found))]))
    looked_at = [SubjectKey("dataset", each.dataset.id) for each in written if each.direction == "out"][:_EXPLAINED]
    explained = call.services.explain([SubjectKey("job", found.id), *looked_at])
    return html(web.render_pipeline(call.read(lambda c: _view(call, c, found, explained))))


def _view(call: Call, connection: Connection, job: Job, explained: Sequence[Explained]) -> web.PipelineView:
    enough = call.services.settings.learned_after
    tasks = pipelines.tasks_of(connection, job)
    own = [job.id, *(task.id for task in tasks)]
    touched = pipelines.touched(connection, own)
    written = [each.dataset.id for each in touched if each.direction == "out"]
    subjects = [*(f"job:{one}" for one in own), *(f"dataset:{one}" for one in written)]
    alerts = pipelines.open_alerts(connection, subjects)
    quiet = alerting.suppressors(connection, [alert.id for alert in alerts])
    runs = now_page.bars_of(connection, [job.id], _RUNS)[job.id]
    of_tasks = now_page.bars_of(connection, [task.id for task in tasks], _TASK_RUNS)
    completed = sum(run.state is RunState.SUCCEEDED for run in runs)
    broken = any(alert.subject == f"job:{job.id}" for alert in alerts)
    return web.PipelineView(
        shell=shell(call, refresh_s=REFRESH_S),
        row=pipeline_row(call, Pipeline(job, runs[-BARS:], completed, broken), enough),
        facts=tuple(web.Fact(name, value) for name, value in _facts(job, runs, owner_of(call, job)) if value),
        description=job.description or "",
        links=_links(job),
        bars=bar_row(runs),
        alerts=tuple(_here(alert_view(alert, suppressed=alert.id in quiet), job) for alert in alerts),
        incidents=tuple(_card(incident, job) for incident in pipelines.incidents_of(connection, subjects)),
        watches=tuple(watch_row(each, verdict) for each in explained for verdict in each.judgement.verdicts),
        runs=tuple(_run_row(run) for run in reversed(runs[-_LISTED:])),
        tasks=tuple(_task(task, of_tasks.get(task.id, ())) for task in tasks),
        datasets=tuple(_dataset_row(each, owner_of(call, each.dataset)) for each in touched),
    )


def _here(alert: web.AlertView, job: Job) -> web.AlertView:
    """Without the link to the page that it stands on."""
    return replace(alert, links=tuple(link for link in alert.links if link.url != f"/pipelines/{job.id}"))


def _card(incident: Incident, job: Job) -> web.IncidentCard:
    made = card(incident, [], {}, {})
    return replace(made, owner=made.owner or job.owner or "", team=made.team or job.team or "")


def _facts(job: Job, runs: Sequence[Run], owner: str) -> Iterable[tuple[str, str]]:
    usual = _usual(runs)
    yield "Owner", owner
    yield "Team", job.team or ""
    yield "Schedule", f"{job.schedule} {job.timezone or ''}".strip() if job.schedule else ""
    yield "Environment", next((run.environment for run in reversed(runs) if run.environment), "")
    by_hand, again = sum(run.trigger is Trigger.MANUAL for run in runs), sum(run.generation > 0 for run in runs)
    yield "Started by hand", f"{by_hand} of the last {len(runs)} runs" if by_hand else ""
    yield "Run again", f"{again} of the last {len(runs)} runs" if again else ""
    yield "Usually takes", words.span(usual.median) if usual else ""
    yield "Slow, 95th percentile", words.span(usual.quantile(0.95)) if usual else ""
    yield "Kind", " ".join(part for part in (job.integration, job.job_type) if part)
    yield "Source", job.ref.source
    yield "Tags", ", ".join(f"{name}={value}" if value else name for name, value in sorted(job.tags.items()))
    yield "Known since", words.moment(job.first_seen) if job.first_seen else ""


def _links(job: Job) -> tuple[web.LinkView, ...]:
    url = wording.web_link(job.external_url)
    return (web.LinkView("In the orchestrator", url),) if url else ()


def _usual(runs: Sequence[Run]) -> Baseline | None:
    return Baseline.of(run.duration_s for run in runs if run.state is RunState.SUCCEEDED and run.duration_s is not None)


def watch_row(explained: Explained, verdict: Verdict) -> web.WatchRow:
    evaluation = verdict.evaluation
    said = [violation.summary for violation in evaluation.violations]
    note = verdict.failure or evaluation.unknown or evaluation.learning or "; ".join(said)
    dataset = explained.judgement.labels.get("dataset")
    return web.WatchRow(
        rule=f"{verdict.rule.name} · {dataset}" if dataset else verdict.rule.name,
        says=explained.expects.get(verdict.rule.name, ""),
        result=verdict.result,
        tone=_TONES[verdict.result],
        note=note,
        next_at=evaluation.next_at,
    )


def _run_row(run: Run) -> web.RunRow:
    message = run.error.message.strip() if run.error else ""
    return web.RunRow(
        run_id=run.id,
        name=run.native_run_id or run.ol_run_id or run.id,
        planned=run.nominal_start,
        started_at=run.started_at,
        duration_s=run.duration_s,
        state=run.state,
        trigger=run.trigger.value if run.trigger else "",
        error=message.splitlines()[0][:200] if message else "",
    )


def _task(job: Job, runs: Sequence[Run]) -> web.PipelineTask:
    usual = _usual(runs)
    return web.PipelineTask(
        name=job.ref.task or "",
        owner=job.owner or "",
        state=runs[-1].state if runs else None,
        last_at=job.last_seen,
        usual_s=usual.median if usual else None,
        slow_s=usual.quantile(0.95) if usual else None,
        bars=bar_row(runs[-BARS:]),
    )


def _dataset_row(each: Touched, owner: str) -> web.DatasetRow:
    dataset = each.dataset
    return web.DatasetRow(
        id=dataset.id,
        name=dataset.ref.name,
        namespace=dataset.ref.namespace,
        owner=owner,
        written=each.direction == "out",
        updated_at=dataset.updated_at,
        others=each.others,
    )
