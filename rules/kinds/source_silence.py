"""A source is silent: one that is asked does not answer, or one that sends has told nothing for longer than ever.

One alert a source. Of one that is asked, from the third interval without a whole poll on (five minutes at least), until
one ends well; what it is not asked is not known, so every other rule about its jobs is blind meanwhile. Of one that
sends, once it has been quiet for a quarter longer than its longest silence of four weeks (an hour longer at least),
until it tells something; where its namespace is asked as well, only once ten runs are known from the answers of which
no event came. Where the configuration says that it sends as well (`pushes`), these ten are enough, and one that never
sent is told, too. Either is silent without news of any run for `max_quiet`, where that is said.
"""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from rules.options import Options, Seconds
from rules.words import iso, length_words, subject_words
from watchtower.model.rule import Evaluation, Rule, SenderSnapshot, Snapshot, SourceSnapshot, Violation
from watchtower.model.sender import Sender, longest_silence_s
from watchtower.model.source import Source

INTERVALS = 3.0
SHORTEST_S = 300.0

LEARNED_IN = timedelta(days=10)  # any ten days have a whole weekend in them
LEARNED_ON_DAYS = 4
MARGIN = 0.25
SHORTEST_MARGIN_S = 3_600.0
_TRANSPORT = "is its OpenLineage transport set, with a token that is good and the namespace named here?"
UNTOLD_RUNS = 10  # of a namespace that is asked as well: with fewer, nothing may have run
LOOK_AGAIN = timedelta(hours=1)
PUSH_GRACE = timedelta(minutes=15)  # an event may be on its way, and when the last one came is known to a minute
FORGET_AFTER = timedelta(days=28)  # of silence that nobody forbade: it was taken out of service


class SourceSilenceConfig(Options):
    after: Seconds | None = Field(
        default=None, description="how long without a whole poll; default: 3 intervals of the source, at least 5m"
    )
    max_quiet: Seconds | None = Field(
        default=None,
        description="how long without news of any run; default: for ever where it is asked, as learned where it sends",
    )


class SourceSilence:
    kind: ClassVar[str] = "source_silence"
    subject: ClassVar[str] = "source"
    clears: ClassVar[str] = "the source answers, or tells something, again"
    Config: ClassVar[type[SourceSilenceConfig]] = SourceSilenceConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        options: SourceSilenceConfig = rule.options
        if isinstance(snapshot, SenderSnapshot):
            return _of_sender(options, snapshot, now)
        return _of_source(options, snapshot, now) if isinstance(snapshot, SourceSnapshot) else Evaluation()

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: SourceSilenceConfig = rule.options
        if isinstance(snapshot, SenderSnapshot):
            return f"{subject_words(snapshot)}: {_expected(options, snapshot)}."
        if isinstance(snapshot, SourceSnapshot):
            limit = length_words(_limit_s(options, snapshot.source))
        else:
            limit = length_words(options.after) if options.after else "3 of its intervals, at least 5m"
        quiet = f", with news of a run within {length_words(options.max_quiet)}" if options.max_quiet else ""
        return f"{subject_words(snapshot)}: the source must answer a whole poll within {limit}{quiet}."


# -- one that is asked --------------------------------------------------------------------------------------------


def _of_source(options: SourceSilenceConfig, snapshot: SourceSnapshot, now: datetime) -> Evaluation:
    source = snapshot.source
    heard = max(source.last_success or source.declared_at, source.declared_at)
    due = heard + timedelta(seconds=_limit_s(options, source))
    if now >= due:
        return Evaluation((_unheard(source, heard),))
    if (unpushed := _unpushed(snapshot, now)) is not None:
        return Evaluation((unpushed,), next_at=due)
    if options.max_quiet is None:
        return Evaluation(next_at=due)
    news = max(source.last_event or source.declared_at, source.declared_at)
    quiet = news + timedelta(seconds=options.max_quiet)
    if now >= quiet:
        return Evaluation((_quiet(source, news, options.max_quiet),), next_at=due)
    return Evaluation(next_at=min(due, quiet))


def _unpushed(snapshot: SourceSnapshot, now: datetime) -> Violation | None:
    """Of one that is said to push, and of which no event ever came. Each poll has it looked at again."""
    source = snapshot.source
    waited = source.pushes and now >= source.declared_at + PUSH_GRACE
    if not waited or snapshot.pushed_at is not None or snapshot.untold < UNTOLD_RUNS:
        return None
    known = f"{snapshot.untold} runs or more are known only by asking"
    return Violation(
        since=source.declared_at,
        summary=f"{source.name} ({source.kind}) is to send events, and none ever came; {known}: {_TRANSPORT}",
        evidence={"pushes": True, "runs_without_events": snapshot.untold, "namespace": source.namespace},
    )


def _limit_s(options: SourceSilenceConfig, source: Source) -> float:
    return options.after or max(SHORTEST_S, INTERVALS * source.every_s)


def _unheard(source: Source, heard: datetime) -> Violation:
    """What its last failure said, with the remedy, is the summary."""
    why = f": {source.error}" if source.error else ", and no poll has failed: is any process asking it?"
    return Violation(
        since=source.failing_since or heard,
        summary=f"{source.name} ({source.kind}) has not been read since {iso(heard)}{why}",
        evidence=_evidence(source),
    )


def _evidence(source: Source) -> dict[str, Any]:
    moments = {"last_success": source.last_success, "last_event": source.last_event, "read_up_to": source.mark}
    return {
        **{name: iso(moment) for name, moment in moments.items() if moment is not None},
        "failures": source.failures,
        "error": source.error,
    }


def _quiet(source: Source, news: datetime, limit_s: float) -> Violation:
    return Violation(
        since=news + timedelta(seconds=limit_s),
        summary=f"{source.name} ({source.kind}) answers, and has told of no run since {iso(news)}",
        evidence={"max_quiet_s": limit_s},
    )


# -- one that sends -----------------------------------------------------------------------------------------------


def _of_sender(options: SourceSilenceConfig, snapshot: SenderSnapshot, now: datetime) -> Evaluation:
    sender = snapshot.sender
    if snapshot.pushes and options.max_quiet is None:
        return _of_pushing(options, snapshot, now)
    learning = None if options.max_quiet else _learning(sender)
    if learning:
        return Evaluation(learning=learning)
    due = sender.quiet_since + timedelta(seconds=options.max_quiet or _learned_s(sender))
    if now < due:
        return Evaluation(next_at=due)
    forgotten = None if options.max_quiet else due + FORGET_AFTER
    if forgotten is not None and now >= forgotten:
        return Evaluation()
    if snapshot.asked and snapshot.untold < UNTOLD_RUNS:
        return Evaluation(next_at=now + LOOK_AGAIN)
    return Evaluation((_silent(options, snapshot, due),), next_at=forgotten)


def _of_pushing(options: SourceSilenceConfig, snapshot: SenderSnapshot, now: datetime) -> Evaluation:
    """Runs that are known from the answers say that it should have sent something: no rhythm has to be known."""
    due = snapshot.sender.quiet_since + PUSH_GRACE
    if now < due:
        return Evaluation(next_at=due)
    again = now + PUSH_GRACE
    silent = snapshot.untold >= UNTOLD_RUNS
    return Evaluation((_silent(options, snapshot, due),) if silent else (), next_at=again)


def _learning(sender: Sender) -> str | None:
    if sender.known_for < LEARNED_IN:
        return f"known for {sender.known_for.days} of {LEARNED_IN.days} days"
    days = len(sender.days)
    return f"heard on {days} of {LEARNED_ON_DAYS} days" if days < LEARNED_ON_DAYS else None


def _learned_s(sender: Sender) -> float:
    longest = longest_silence_s(sender.days)
    return longest + max(SHORTEST_MARGIN_S, MARGIN * longest)


def _silent(options: SourceSilenceConfig, snapshot: SenderSnapshot, due: datetime) -> Violation:
    sender = snapshot.sender
    longest = longest_silence_s(sender.days)
    usual = (
        ""
        if options.max_quiet or snapshot.pushes
        else f"; its longest silence in four weeks was {length_words(longest)}"
    )
    return Violation(
        since=due,
        summary=f"{sender.source} has sent nothing since {iso(sender.last_event)}{usual}{_untold(snapshot)}",
        evidence={
            "last_event": iso(sender.last_event),
            "longest_silence_s": longest,
            "limit_s": (due - sender.quiet_since).total_seconds(),
            "namespace": sender.namespace,
            **({"runs_without_events": snapshot.untold} if snapshot.asked else {}),
        },
    )


def _untold(snapshot: SenderSnapshot) -> str:
    """What is known from the answers meanwhile."""
    if not snapshot.asked:
        return ""
    return f"; {snapshot.untold} runs or more are known only by asking: is its OpenLineage transport still set?"


def _expected(options: SourceSilenceConfig, snapshot: SenderSnapshot) -> str:
    if snapshot.pushes and options.max_quiet is None:
        return f"the source must have told something before {UNTOLD_RUNS} runs are known from its answers alone"
    learning = None if options.max_quiet else _learning(snapshot.sender)
    if learning:
        return f"how long the source may be silent is still learned, {learning}"
    limit = length_words(options.max_quiet or _learned_s(snapshot.sender))
    runs = f", once {UNTOLD_RUNS} runs are known from its answers" if snapshot.asked else ""
    return f"the source must tell something within {limit} of what it told last{runs}"
