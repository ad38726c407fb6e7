"""The pages of datasets: a list that can be searched, and one dataset for those who wait for it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import urlencode

import msgspec

from dashboards import web
from dashboards.web import words
from rules.awaited import DataState
from watchtower.model.alert import Alert
from watchtower.model.lineage import Stage
from watchtower.model.run import Dataset, DatasetUpdate
from watchtower.server.api.datasets import Standing, standing, state_of
from watchtower.server.endpoints import Call, Raw, html
from watchtower.server.pages.parts import BARS, REFRESH_S, alert_view, bar_row, owner_of, shell
from watchtower.server.pages.pipeline import watch_row
from watchtower.store.database import Connection
from watchtower.store.reading import alerting, observed, pipelines
from watchtower.store.reading.observed import DatasetFilter
from watchtower.store.reading.paging import Window

_PAGE = 50
_UPDATES = 12
_TONES = {DataState.FRESH: "good", DataState.DUE: "warn", DataState.LATE: "bad", DataState.UNKNOWN: "calm"}
_STATES = {DataState.UNKNOWN: "learning"}


class DatasetsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """q: a part of the name, the namespace or the owner. cursor: of the page before."""

    q: str = ""
    cursor: str | None = None


def dataset_list(call: Call) -> Raw:
    """All datasets by name, or those that were searched for."""
    query = call.asked(DatasetsQuery)
    window = Window(_PAGE, query.cursor, team=call.principal.team)
    page = call.read(lambda c: observed.list_datasets(c, DatasetFilter(text=query.q.strip()), window))
    asked = {"q": query.q, "cursor": page.next or ""}
    next_url = "/datasets?" + urlencode({name: value for name, value in asked.items() if value}) if page.next else ""
    rows = call.read(lambda c: tuple(_listed(call, c, page.items)))
    return html(web.render_datasets(web.DatasetsView(shell(call, refresh_s=0), rows, query.q, next_url)))


def _listed(call: Call, connection: Connection, some: Sequence[Dataset]) -> Iterable[web.ListedDataset]:
    subjects = [f"dataset:{each.id}" for each in some]
    firing: dict[str, list[Alert]] = {}
    for alert in pipelines.open_alerts(connection, subjects, limit=1_000):
        firing.setdefault(alert.subject, []).append(alert)
    for each in some:
        alerts = firing.get(f"dataset:{each.id}", [])
        state = state_of(connection, each, alerts, call.now)
        yield web.ListedDataset(
            id=each.id,
            name=each.ref.name,
            namespace=each.ref.namespace,
            owner=owner_of(call, each),
            updated_at=each.updated_at,
            tone="bad" if alerts else _TONES[state],
            state=_STATES.get(state, state.value),
            wrong=", ".join(sorted({alert.rule for alert in alerts})),
        )


def dataset(call: Call) -> Raw:
    """How fresh it is, when new data is expected, what holds it up; then what is watched, and what was written."""
    found = standing(call, call.path["id"])
    subjects = [f"dataset:{found.dataset.id}"]
    alerts = call.read(lambda c: pipelines.open_alerts(c, subjects))
    quiet = call.read(lambda c: alerting.suppressors(c, [alert.id for alert in alerts]))
    causes = {each.job.id for each in found.awaited.causes}
    team, verdicts = call.principal.team, found.explained.judgement.verdicts if found.explained else ()
    view = web.DatasetView(
        shell=shell(call, refresh_s=REFRESH_S),
        name=found.dataset.ref.name,
        namespace=found.dataset.ref.namespace,
        description=found.dataset.description or "",
        tone=_TONES[found.awaited.state],
        state=_STATES.get(found.awaited.state, found.awaited.state.value),
        said=found.said,
        held_up=tuple(
            web.LinkView(each.job.ref.pipeline, f"/pipelines/{each.job.id}")
            for each in found.awaited.causes
            if team in (None, each.job.team)
        ),
        facts=tuple(web.Fact(name, value) for name, value in _facts(found) if value),
        alerts=tuple(_here(alert_view(alert, suppressed=alert.id in quiet)) for alert in alerts),
        watches=tuple(watch_row(found.explained, verdict) for verdict in verdicts if found.explained),
        stages=tuple(_stage(each, team, holds_up=each.job.id in causes) for each in found.stages),
        readers=tuple(web.LinkView(ref.pipeline, f"/pipelines/{ref.id}") for ref in found.readers),
        updates=tuple(_update(each) for each in found.updates[:_UPDATES]),
        fields=tuple(web.Fact(name, kind) for name, kind in found.dataset.fields or ()),
    )
    return html(web.render_dataset(view))


def _here(alert: web.AlertView) -> web.AlertView:
    """Without the link to the page that it stands on."""
    return replace(alert, links=tuple(link for link in alert.links if not link.url.startswith("/datasets/")))


def _facts(found: Standing) -> Iterable[tuple[str, str]]:
    how, dataset = found.awaited, found.dataset
    yield "Fresh as of", words.moment(how.since) if how.since else ""
    yield "Next expected", words.moment(how.next_at) if how.next_at else ""
    yield "Late by", words.span(how.late_s) if how.late_s is not None else ""
    yield "Probably there at", words.moment(how.expected_at) if how.expected_at else ""
    yield "Owner", dataset.owner or ""
    yield "Team", dataset.team or ""
    yield "Tags", ", ".join(f"{name}={value}" if value else name for name, value in sorted(dataset.tags.items()))
    yield "Known since", words.moment(dataset.first_seen) if dataset.first_seen else ""


def _stage(stage: Stage, team: str | None, *, holds_up: bool) -> web.StageRow:
    newest = stage.runs[-1] if stage.runs else None
    ref = stage.job.ref
    return web.StageRow(
        url=f"/pipelines/{stage.job.id}" if team in (None, stage.job.team) else "",
        name=ref.pipeline,
        namespace=ref.namespace,
        steps=stage.steps,
        state=newest.state if newest else None,
        at=newest.last_event_at if newest else None,
        holds_up=holds_up,
        bars=bar_row(stage.runs[-BARS:]),
    )


def _update(each: DatasetUpdate) -> web.UpdateRow:
    note = "backfill" if each.backfill else "as the data itself tells" if each.measured else ""
    return web.UpdateRow(each.at, each.run_id or "", each.row_count, each.size_bytes, each.partition or "", note)
