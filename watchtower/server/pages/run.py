"""The page of one run: what it did, how it ended, and why."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from alerting import wording
from dashboards import web
from dashboards.web import words
from watchtower.model.change_words import change_words
from watchtower.model.origin import origin_words
from watchtower.model.run import Run
from watchtower.server.endpoints import Call, Raw, Redirect, html, not_found
from watchtower.server.pages.parts import BARS, REFRESH_S, bar_row, shell
from watchtower.store import alerts as alert_store
from watchtower.store import changes, jobs
from watchtower.store.database import Connection
from watchtower.store.reading import now_page, observed

_CHANGED_WITHIN: Final = timedelta(hours=6)
_CHANGES: Final = 3


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
    links = [web.LinkView("Its pipeline", f"/pipelines/{found.job.pipeline_ref.id}")]
    if found.parent_run_id:
        links.append(web.LinkView("Its pipeline's run", f"/runs/{found.parent_run_id}"))
    links += [
        web.LinkView(f"Set off by {origin.job.pipeline}", f"/runs/{origin.id}")
        for origin in observed.origin_runs(connection, found)
    ]
    if url := wording.web_link(found.external_url):
        links.append(web.LinkView("In the orchestrator", url))
    return web.RunView(
        shell=shell(call, refresh_s=0 if found.state.is_terminal else REFRESH_S),
        id=found.id,
        name=found.job.name,
        namespace=found.job.namespace,
        state=found.state,
        facts=tuple(
            web.Fact(name, value) for name, value in (*_run_facts(found), *_changed(connection, found)) if value
        ),
        cause=alert_store.cause_of_run(connection, found),
        error=found.error.message if found.error else "",
        stack=found.error.stack if found.error else "",
        said="" if found.error and found.error.stack == found.output else found.output or "",
        tasks=tuple(_task_row(attempt) for attempt in attempts),
        inputs=tuple(web.Fact(each.ref.name, _state_of(each)) for each in observed.read_by(connection, found)),
        outputs=tuple(
            web.Fact(written.ref.name, _amount(written.row_count, written.size_bytes))
            for written in observed.written_by(connection, found.id)
        ),
        links=tuple(links),
        bars=bar_row(now_page.bars_of(connection, [found.job.id], BARS)[found.job.id]),
    )


def _changed(connection: Connection, found: Run) -> Iterable[tuple[str, str]]:
    """What was deployed in the hours before it, newest first."""
    job = jobs.by_id(connection, [found.job.pipeline_ref.id]).get(found.job.pipeline_ref.id)
    moment = found.ended_at or found.started_at or found.last_event_at
    for change in changes.before(connection, job, moment, _CHANGED_WITHIN)[:_CHANGES] if job else ():
        yield "Changed", change_words(change, moment)


def _run_facts(found: Run) -> Iterable[tuple[str, str]]:
    yield "Run", found.native_run_id or found.ol_run_id or ""
    yield (
        "Attempt",
        f"{found.attempt}{f' of {found.max_attempts}' if found.max_attempts else ''}" if found.job.task else "",
    )
    yield "Run again", f"{found.generation} times under the same id" if found.generation else ""
    yield "Planned for", words.moment(found.nominal_start) if found.nominal_start else ""
    yield "Started", words.moment(found.started_at) if found.started_at else ""
    yield "Ended", words.moment(found.ended_at) if found.ended_at else ""
    yield "Took", words.span(found.duration_s) if found.duration_s is not None else ""
    yield "Trigger", found.trigger.value if found.trigger else ""
    for origin in found.origins:
        when = f" at {words.moment(origin.at)}" if origin.at else ""
        yield "Set off by", origin_words(origin) + when
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
        queued_at=attempt.queued_at,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        duration_s=attempt.duration_s,
        error=attempt.error.message.splitlines()[0][:200] if attempt.error and attempt.error.message.strip() else "",
    )


def _state_of(read: observed.Read) -> str:
    """Of a dataset when the run began."""
    if read.written_at is None:
        return "no writing of it is known"
    rows = f", {read.row_count:,} rows" if read.row_count is not None else ""
    parts = "".join(
        f", {name} {value}" for name, value in (("partition", read.partition), ("version", read.version)) if value
    )
    return f"written {words.moment(read.written_at)}{rows}{parts}"


def _amount(rows: int | None, size: int | None) -> str:
    parts = [f"{rows:,} rows"] if rows is not None else []
    parts += [words.size(size)] if size is not None else []
    return ", ".join(parts) or "written"
