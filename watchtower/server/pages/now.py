"""The page "Now": what is broken, since when, whose, and why; then what is well."""

from collections.abc import Iterable
from datetime import timedelta

from dashboards import web
from watchtower.server.api.silences import is_of_team
from watchtower.server.endpoints import Call, Raw, html
from watchtower.server.pages.budgets import budget_rows
from watchtower.server.pages.parts import BARS, REFRESH_S, alert_view, bar_row, card, jobs_of, owner_of, shell
from watchtower.store.database import Connection
from watchtower.store.reading import alerting, now_page


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
    jobs = jobs_of(connection, (alert for some in firing.values() for alert in some))
    bars = now_page.bars_of(connection, sorted(jobs), BARS)
    cards = [card(incident, firing.get(incident.id, []), jobs, bars) for incident in incidents]
    quiet = alerting.suppressors(connection, [alert.id for alert in loose])
    spool = call.services.spool
    return web.NowView(
        shell=shell(call, refresh_s=REFRESH_S),
        broken=tuple(cards),
        open_incidents=now_page.count_open(connection, team),
        loose=tuple(alert_view(alert, suppressed=alert.id in quiet) for alert in loose),
        resolved=tuple(card(incident, [], {}, {}) for incident in resolved),
        pipelines=tuple(
            pipeline_row(call, pipeline, enough)
            for pipeline in now_page.pipelines(connection, team, bars=BARS, enough=enough)
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
        budgets=tuple(budget_rows(call, connection)),
        maintenance=tuple(_maintenance(call)),
    )


def _maintenance(call: Call) -> Iterable[web.MaintenanceView]:
    for window in call.services.maintenance:
        ends_at = window.ends_at(call.now)
        if ends_at is not None and is_of_team(window.matchers, call.principal.team):
            matchers = " ".join(map(str, window.matchers))
            yield web.MaintenanceView(window.name, matchers, window.reason, window.author, ends_at)


def pipeline_row(call: Call, pipeline: now_page.Pipeline, enough: int) -> web.PipelineRow:
    job, newest = pipeline.job, pipeline.runs[-1] if pipeline.runs else None
    zone = f" {job.timezone}" if job.schedule and job.timezone and job.timezone != "UTC" else ""
    return web.PipelineRow(
        id=job.id,
        name=job.ref.name,
        namespace=job.ref.namespace,
        owner=owner_of(call, job),
        schedule=f"{job.schedule}{zone}" if job.schedule else "",
        last_at=job.last_seen,
        state=newest.state if newest else None,
        broken=pipeline.broken,
        completed=pipeline.completed,
        enough=enough,
        bars=bar_row(pipeline.runs),
    )
