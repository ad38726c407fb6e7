"""A source that is asked does not answer: its polls fail, or none has ended well for too long. What it is not asked is
not known, so every other rule about its jobs is blind meanwhile.

One alert a source, from the third interval without a whole poll on (five minutes at least), until one ends well. A
source that answers and has had no run for longer than `max_quiet` is silent, too.
"""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from rules.options import Options, Seconds
from rules.words import iso, length_words, subject_words
from watchtower.model.rule import Evaluation, Rule, Snapshot, SourceSnapshot, Violation
from watchtower.model.source import Source

INTERVALS = 3.0
SHORTEST_S = 300.0


class SourceSilenceConfig(Options):
    after: Seconds | None = Field(
        default=None, description="how long without a whole poll; default: 3 intervals of the source, at least 5m"
    )
    max_quiet: Seconds | None = Field(
        default=None, description="how long it may answer without news of any run; default: for ever"
    )


class SourceSilence:
    kind: ClassVar[str] = "source_silence"
    subject: ClassVar[str] = "source"
    clears: ClassVar[str] = "the source answers again"
    Config: ClassVar[type[SourceSilenceConfig]] = SourceSilenceConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, SourceSnapshot):
            return Evaluation()
        options: SourceSilenceConfig = rule.options
        source = snapshot.source
        heard = max(source.last_success or source.declared_at, source.declared_at)
        due = heard + timedelta(seconds=_limit_s(options, source))
        if now >= due:
            return Evaluation((_unheard(source, heard),))
        if options.max_quiet is None:
            return Evaluation(next_at=due)
        news = max(source.last_event or source.declared_at, source.declared_at)
        quiet = news + timedelta(seconds=options.max_quiet)
        if now >= quiet:
            return Evaluation((_quiet(source, news, options.max_quiet),), next_at=due)
        return Evaluation(next_at=min(due, quiet))

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: SourceSilenceConfig = rule.options
        if isinstance(snapshot, SourceSnapshot):
            limit = length_words(_limit_s(options, snapshot.source))
        else:
            limit = length_words(options.after) if options.after else "3 of its intervals, at least 5m"
        quiet = f", with news of a run within {length_words(options.max_quiet)}" if options.max_quiet else ""
        return f"{subject_words(snapshot)}: the source must answer a whole poll within {limit}{quiet}."


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
