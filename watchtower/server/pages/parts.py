"""What more than one page shows: the frame, cards of incidents, alerts, rows of bars."""

from collections.abc import Iterable, Mapping, Sequence

from alerting import wording
from dashboards import web
from dashboards.web import words
from watchtower.model.access import Permission
from watchtower.model.alert import Alert, AlertState, Incident, IncidentStatus
from watchtower.model.incident import is_open
from watchtower.model.rule import dataset_labels, job_labels
from watchtower.model.run import Dataset, Job, JobRef, Run
from watchtower.server.endpoints import Call
from watchtower.store import jobs as job_store
from watchtower.store.database import Connection

REFRESH_S = 15
BARS = 24
_FACTS_ON_A_CARD = 4


def shell(call: Call, *, refresh_s: int) -> web.Shell:
    if call.signed_in is None:
        return web.Shell(call.now, refresh_s=refresh_s)
    return web.Shell(call.now, call.signed_in.name, call.signed_in.form_token, refresh_s)


def may(call: Call, permission: Permission) -> bool:
    """A button for it works: whoever looks has a session, or access control is off."""
    return call.principal.may(permission) and (call.signed_in is not None or not call.services.settings.access)


def owner_of(call: Call, subject: Job | Dataset) -> str:
    """As the configuration says, else as was told; "" where nobody is known."""
    labels = job_labels(subject) if isinstance(subject, Job) else dataset_labels(subject)
    return call.services.owner_of(labels) or subject.owner or ""


def jobs_of(connection: Connection, alerts: Iterable[Alert]) -> dict[str, Job]:
    ids = sorted({alert.subject.removeprefix("job:") for alert in alerts if alert.subject.startswith("job:")})
    return job_store.by_id(connection, ids)


def label(alert: Alert | None, name: str) -> str:
    return alert.labels.get(name, "") if alert else ""


def bar_row(runs: Sequence[Run]) -> tuple[web.Bar, ...]:
    return tuple(
        web.Bar(one.id, one.state, one.nominal_start or one.started_at or one.first_seen, one.duration_s)
        for one in runs
    )


def card(
    incident: Incident, firing: Sequence[Alert], jobs: Mapping[str, Job], bars: Mapping[str, Sequence[Run]]
) -> web.IncidentCard:
    first = firing[0] if firing else None
    job = jobs.get(first.subject.removeprefix("job:")) if first else None
    facts = wording.evidence(first.evidence, first.labels.get("kind", "")).facts if first else ()
    return web.IncidentCard(
        id=incident.id,
        severity=incident.severity,
        status=incident.status,
        title=incident.title,
        since=incident.started_at,
        ended=incident.resolved_at,
        owner=label(first, "owner") or (job.owner or "" if job else ""),
        team=incident.labels.get("team", "") or label(first, "team"),
        why=incident.summary,
        facts=(
            *_flapping(first),
            *_clear_for_now(incident, firing),
            *(web.Fact(name, value) for name, value in facts[:_FACTS_ON_A_CARD]),
        ),
        more_alerts=max(0, len(firing) - 1),
        acknowledged_by=(incident.acknowledged_by or "").removeprefix("person:"),
        bars=bar_row(bars.get(job.id, ())) if job else (),
    )


def _flapping(alert: Alert | None) -> tuple[web.Fact, ...]:
    since = alert.flapping_since if alert else None
    return (web.Fact("Flapping since", words.moment(since)),) if since else ()


def _clear_for_now(incident: Incident, alerts: Sequence[Alert]) -> tuple[web.Fact, ...]:
    """Nothing of it fires, and it is not over: an alert of it flaps."""
    if incident.status is IncidentStatus.RESOLVED or any(map(is_open, alerts)):
        return ()
    return (web.Fact("At the moment", "clear; it is over once it stays so"),)


def alert_view(alert: Alert, *, suppressed: bool, stands: Sequence[str] = ()) -> web.AlertView:
    """stands: what is said of it besides, in sentences."""
    found = wording.evidence(alert.evidence, alert.labels.get("kind", ""))
    links = [web.LinkView(link.text, link.url) for link in found.links]
    if pipeline_id := _pipeline_of(alert):
        links.insert(0, web.LinkView("Its pipeline", f"/pipelines/{pipeline_id}"))
    if alert.subject.startswith("dataset:"):
        links.insert(0, web.LinkView("Its dataset", f"/datasets/{alert.subject.removeprefix('dataset:')}"))
    run_id = alert.evidence.get("run_id")
    if isinstance(run_id, str) and run_id:
        links.insert(0, web.LinkView("Its run", f"/runs/{run_id}"))
    runbook = wording.web_link(alert.annotations.get("runbook_url"))
    if runbook:
        links.insert(0, web.LinkView("Runbook", runbook))
    named = ("pipeline", "task", "dataset", "series", "budget", "slo")
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
        flapping=alert.flapping_since is not None,
        stands=tuple(stands),
    )


def _pipeline_of(alert: Alert) -> str:
    """The id of its page; "" for an alert of something else."""
    kind, _, job_id = alert.subject.partition(":")
    if kind != "job":
        return ""
    if "task" not in alert.labels:
        return job_id
    named = [alert.labels.get(name, "") for name in ("source", "namespace", "pipeline")]
    return JobRef(*named).id if all(named) else ""
