"""The page of sources: what is wrong with one comes first, since what is not heard is not watched."""

from collections.abc import Iterable

from dashboards import web
from watchtower.model.duration import format_duration, spoken
from watchtower.server.api.sources import SourceItem, list_sources
from watchtower.server.endpoints import Call, Raw, html
from watchtower.server.pages.parts import REFRESH_S, shell

_STATES = {
    "failing": ("bad", "cannot be asked"),
    "silent": ("bad", "silent"),
    "troubled": ("warn", "in trouble"),
    "waiting": ("calm", "not asked yet"),
    "ok": ("good", "heard"),
}


def source_list(call: Call) -> Raw:
    worst = list(_STATES)
    found = sorted(list_sources(call).items, key=lambda each: (worst.index(each.state), each.name, each.namespace))
    return html(web.render_sources(web.SourcesView(shell(call, refresh_s=REFRESH_S), tuple(map(_row, found)))))


def _row(source: SourceItem) -> web.SourceRow:
    tone, state = _STATES[source.state]
    return web.SourceRow(
        name=source.name,
        namespace=source.namespace,
        how=_how(source),
        tone=tone,
        state=state,
        news=source.last_event,
        read=source.read_up_to,
        delay_s=source.lag_s,
        pipelines=source.pipelines,
        errors=f"{source.error_rate:.0%} of the last polls failed" if source.error_rate else "",
        tells=tuple(_tells(source)),
        wrong=tuple(_wrong(source)),
    )


def _how(source: SourceItem) -> str:
    if not source.polled:
        return "sends by itself"
    sends = ", and sends" if source.pushes or source.last_push else ""
    return f"{source.kind}, asked every {format_duration(source.every_s or 0)}{sends}"


def _tells(source: SourceItem) -> Iterable[str]:
    """What it says it has."""
    for what, count in sorted(source.coverage.items()):
        if source.polled:
            yield f"{count:,} {what.replace('_', ' ')}"
        elif count != source.pipelines:
            yield f"{count:,} heard of within 7 days"


def _wrong(source: SourceItem) -> Iterable[str]:
    if source.error:
        since = f" (since {source.failing_since:%Y-%m-%d %H:%M} UTC)" if source.failing_since else ""
        yield f"{source.error}{since}"
    if source.pushes and source.last_push is None:
        yield "it is to send events, too, and none ever came"
    elif source.state == "silent" and source.pushes and source.last_push:
        yield f"it has sent nothing since {source.last_push:%Y-%m-%d %H:%M} UTC"
    if source.state == "silent" and source.longest_silence_s:
        yield f"never silent for longer than {spoken(source.longest_silence_s)} in four weeks"
    for problem in source.problems:
        yield problem.summary
