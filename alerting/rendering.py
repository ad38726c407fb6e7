"""A notice put into words: what is wrong, since when, whose it is, the evidence, and where to look next.

Pure: Notice in, Rendered out. Channels lay a Rendered out in their own manner (blocks, HTML, plain text) and escape it
there; nothing in it is markup. All of it is cleaned of control characters.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from alerting.escaping import one_line, shorten, web_link
from alerting.wording import MAX_VALUE, Link, evidence, moment
from watchtower.model.alert import Alert, AlertState, Notice, NoticeReason
from watchtower.model.duration import spoken
from watchtower.model.incident import cause_of
from watchtower.model.labels import Labels, Matcher
from watchtower.model.links import incident_url

MAX_TITLE = 200  # also the limit of a ticket's subject
MAX_SUMMARY = 1000
DETAILED = 3  # alerts shown with their evidence; the others get a line each
LISTED = 20

_SHOWN_LABELS = ("pipeline", "task", "dataset", "series", "budget", "slo", "owner", "team", "source", "namespace")
_OWN_LABELS = frozenset((*_SHOWN_LABELS, "alertname", "kind", "severity"))


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a text: facts are (name, value) pairs, lines a list, body preformatted (an error, the end of a
    log), each may be empty."""

    heading: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()
    body: str = ""
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    """title: one line; summary: what is wrong, a sentence; news: what changed since the last notice; tone: `page`,
    `ticket`, `info` or `resolved`, for a colour or a priority."""

    title: str
    summary: str
    news: str
    tone: str
    sections: tuple[Section, ...]
    links: tuple[Link, ...]

    @property
    def text(self) -> str:
        """The whole as plain text, lines of any length, without the title."""
        return "\n\n".join(part for part in (self.summary, self.news, *map(_section_text, self.sections)) if part) + (
            "\n\n" + "\n".join(f"{link.text}: {link.url}" for link in self.links) if self.links else ""
        )


def render(notice: Notice) -> Rendered:
    leading = notice.alerts[0] if notice.alerts else None
    return Rendered(
        title=_title(notice),
        summary=_summary(leading) if leading else f"Notice to {notice.receiver}.",
        news=_news(notice),
        tone="resolved" if notice.is_resolved and notice.reason is not NoticeReason.TEST else notice.severity.value,
        sections=tuple(_sections(notice)),
        links=tuple(_links(notice)),
    )


def common_labels(alerts: Iterable[Alert]) -> dict[str, str]:
    """The labels that all alerts have with the same value."""
    pairs = [set(alert.labels.items()) for alert in alerts]
    return dict(sorted(set[tuple[str, str]].intersection(*pairs))) if pairs else {}


def subject_of(alert: Alert) -> str:
    """What the alert is about, as people name it: `orders_daily.load`, else the dataset, the series of no pipeline, the
    budget or the SLO, else the alert's name."""
    labels = alert.labels
    name = ".".join(labels[part] for part in ("pipeline", "task") if labels.get(part))
    others = (labels.get(kind) for kind in ("dataset", "series", "budget", "slo", "alertname"))
    return one_line(name or next((other for other in others if other), alert.rule), 120)


def _title(notice: Notice) -> str:
    tag = "TEST" if notice.reason is NoticeReason.TEST else notice.severity.value.upper()
    if notice.is_resolved and notice.reason is not NoticeReason.TEST:
        tag = "RESOLVED"
    shown = notice.firing or notice.alerts
    if len(shown) == 1:
        subject, summary = subject_of(shown[0]), _summary(shown[0])
        told = summary if subject in summary else f"{subject}: {summary}"
        return one_line(f"[{tag}] {told}", MAX_TITLE)
    names = sorted({alert.labels.get("alertname", alert.rule) for alert in shown})
    scope = ", ".join(value for name, value in sorted(notice.group_labels.items()) if name != "alertname" and value)
    about = f"{scope}: " if scope else ""
    return one_line(f"[{tag}] {about}{len(shown)} alerts ({', '.join(names[:5])})", MAX_TITLE)


def _summary(alert: Alert) -> str:
    told = alert.annotations.get("summary") or alert.annotations.get("description")
    return one_line(told or f"{alert.labels.get('alertname', alert.rule)}: {subject_of(alert)}", MAX_SUMMARY)


def _news(notice: Notice) -> str:
    return " ".join(part for part in (_change(notice), _flapping(notice), _others(notice)) if part)


def _others(notice: Notice) -> str:
    """What gets no message of its own, since there are too many."""
    alerts, groups = notice.others
    if not groups:
        return ""
    firing = f"{alerts} alert{'s' if alerts != 1 else ''} in " if alerts else ""
    return f"And {firing}{groups} more group{'s' if groups != 1 else ''}, which this message stands for."


def _flapping(notice: Notice) -> str:
    """That it comes and goes, and what follows from that."""
    flapping = [alert for alert in notice.alerts if alert.flapping_since is not None]
    if not flapping or notice.reason in (NoticeReason.TEST, NoticeReason.REPEAT, NoticeReason.REDIAL):
        return ""
    which = "It is flapping" if len(notice.alerts) == 1 else f"{len(flapping)} of them are flapping"
    return f"{which}: it comes and goes. Nothing more is told of that before it is stable."


def _change(notice: Notice) -> str:
    firing, resolved, began = len(notice.firing), len(notice.resolved), _began(notice.alerts)
    lasted = spoken((_ended(notice) - began).total_seconds()) if began else ""
    match notice.reason:
        case NoticeReason.TEST:
            return f"This is a test of receiver {one_line(notice.receiver, 100)}; nothing is wrong."
        case NoticeReason.FIRED_AND_RESOLVED:
            return f"Fired and resolved before a message could be sent; it lasted {lasted}."
        case _ if notice.is_resolved:
            return f"Resolved after {lasted}." if lasted else "Resolved."
        case NoticeReason.FIRST | NoticeReason.CAUSE_FOUND:
            return _found(notice)
        case NoticeReason.REPEAT | NoticeReason.REDIAL | NoticeReason.ACKNOWLEDGED:
            still = "Nobody has acknowledged it; still" if notice.reason is NoticeReason.REDIAL else "Still"
            return f"{still} firing after {lasted}."
        case _:
            also = f", {resolved} resolved" if resolved else ""
            joined = "New alerts in this group: " if notice.reason is NoticeReason.NEW_ALERTS else ""
            return f"{joined}{firing} firing{also}."


def _found(notice: Notice) -> str:
    """What is special about how it was found; a first notice shows its causes with the evidence."""
    causes = [one_line(cause, MAX_SUMMARY) for cause in map(cause_of, notice.firing) if cause]
    if notice.reason is NoticeReason.CAUSE_FOUND and causes:
        more = f" (and {len(causes) - 1} more)" if len(causes) > 1 else ""
        return f"The cause is known: {causes[0]}{more}"
    late = any(alert.found_late for alert in notice.firing)
    return "Found late: it began while Watchtower could not see it." if late else ""


def _sections(notice: Notice) -> Iterator[Section]:
    yield Section(facts=tuple(_overview(notice)))
    detailed = notice.alerts[:DETAILED]
    for alert in detailed:
        yield from _alert_sections(alert, notice, alone=len(notice.alerts) == 1)
    rest = notice.alerts[DETAILED:]
    if rest:
        more = (f"and {len(rest) - LISTED} more",) if len(rest) > LISTED else ()
        yield Section("Also in this group", lines=(*(_line(alert, notice.now) for alert in rest[:LISTED]), *more))
    silence = _how_to_silence(notice)
    if silence:
        yield Section(facts=(("To silence", silence),))


def _overview(notice: Notice) -> Iterator[tuple[str, str]]:
    began = _began(notice.firing or notice.alerts)
    if began:
        timezone = next(
            (str(alert.evidence["timezone"]) for alert in notice.alerts if alert.evidence.get("timezone")), ""
        )
        ago = spoken((_ended(notice) - began).total_seconds())
        yield "Since", moment(began, timezone) + ("" if notice.is_resolved else f", {ago} ago")
        if notice.is_resolved:
            yield "Resolved at", moment(_ended(notice), timezone)
    yield "Severity", notice.severity.value
    labels = common_labels(notice.alerts)
    for name in _SHOWN_LABELS:
        if labels.get(name):
            yield name.capitalize(), one_line(labels[name], MAX_VALUE)
    for name in sorted(labels):
        if name not in _OWN_LABELS and labels[name]:
            yield one_line(name, 60), one_line(labels[name], MAX_VALUE)


def _alert_sections(alert: Alert, notice: Notice, *, alone: bool) -> Iterator[Section]:
    found = evidence(alert.evidence, alert.labels.get("kind", ""))
    described = (
        one_line(alert.annotations.get("description", ""), MAX_SUMMARY) if alert.annotations.get("summary") else ""
    )
    is_news = alone and notice.reason is NoticeReason.CAUSE_FOUND
    cause = [("Cause", found.cause)] if found.cause and not is_news else []
    facts = (*cause, *found.facts, *([("Rule", described)] if described else []))
    lines = found.lines if alone else (_summary(alert), *found.lines)
    links = () if alone else (*found.links, *_runbook(alert))  # the links of the only alert stand at the end
    if facts or lines or found.error or links:
        yield Section("Evidence" if alone else _line(alert, notice.now), facts, lines, found.error, links)


def _line(alert: Alert, now: datetime) -> str:
    name = one_line(alert.labels.get("alertname", alert.rule), 120)
    subject = subject_of(alert)
    about = name if subject == name else f"{name} · {subject}"
    began = alert.starts_at or alert.active_since
    if alert.state is AlertState.RESOLVED:
        return f"{about}: resolved after {spoken(((alert.ends_at or now) - began).total_seconds())}"
    state = "state unknown" if alert.state is AlertState.UNKNOWN else "firing"
    state += " and flapping" if alert.flapping_since is not None else ""
    return f"{about}: {state} since {moment(began)}"


def _links(notice: Notice) -> Iterator[Link]:
    if len(notice.alerts) == 1:
        yield from evidence(notice.alerts[0].evidence).links
        yield from _runbook(notice.alerts[0])
    incident = web_link(incident_url(notice.external_url, notice.incident_id))
    if incident:
        yield Link("Incident", incident)


def _how_to_silence(notice: Notice) -> str:
    """A line to paste into a shell; what data holds is quoted for it. "" where there is nothing to silence."""
    matchers = [
        Matcher(name, "=", one_line(value))
        for name, value in sorted(to_silence(notice.alerts, notice.group_labels).items())
    ]
    if not matchers or notice.is_resolved or notice.reason is NoticeReason.TEST:
        return ""
    line = " ".join(("watchtower silence add", *(shlex.quote(str(matcher)) for matcher in matchers), "--for 2h -m WHY"))
    return line if len(line) <= MAX_VALUE else ""


def to_silence(alerts: Sequence[Alert], group_labels: Labels) -> dict[str, str]:
    """What a silence of this group would match: the labels of its only alert, else those of the group."""
    if len(alerts) == 1:
        keep = ("alertname", "pipeline", "task", "dataset", "series", "budget", "slo")
        labels = alerts[0].labels
        return {name: labels[name] for name in keep if labels.get(name)}
    return dict(group_labels) or common_labels(alerts)


def _runbook(alert: Alert) -> tuple[Link, ...]:
    url = web_link(alert.annotations.get("runbook_url", ""))
    return (Link("Runbook", url),) if url else ()


def _began(alerts: Iterable[Alert]) -> datetime | None:
    return min((alert.starts_at or alert.active_since for alert in alerts), default=None)


def _ended(notice: Notice) -> datetime:
    """When the group became clear; now, while it is not."""
    if not notice.is_resolved:
        return notice.now
    return max((alert.ends_at or notice.now for alert in notice.alerts), default=notice.now)


def _section_text(section: Section) -> str:
    width = max((len(name) for name, _ in section.facts), default=0) + 1
    rows = [f"{name + ':':<{width}} {value}" for name, value in section.facts]
    rows += [shorten(line, MAX_SUMMARY) for line in section.lines]
    rows += ["", *(f"    {line}" for line in section.body.split("\n"))] if section.body else []
    rows += [f"{link.text}: {link.url}" for link in section.links]
    text = "\n".join(rows).strip("\n")
    return f"{section.heading}\n{text}" if section.heading else text
