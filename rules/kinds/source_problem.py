"""What a source says is wrong with itself: its scheduler stands still, a file of it cannot be read, a pool is full.

One alert for each thing, told apart by the label `problem`, until the source no longer says so. While the source cannot
be read nothing is known of them, and their alerts stay as they are.
"""

from datetime import datetime
from typing import ClassVar

from rules.options import Options
from rules.words import subject_words
from watchtower.model.rule import Evaluation, Rule, Snapshot, SourceSnapshot, Violation


class SourceProblemConfig(Options):
    pass


class SourceProblem:
    kind: ClassVar[str] = "source_problem"
    subject: ClassVar[str] = "source"
    clears: ClassVar[str] = "the source does not say so any more"
    Config: ClassVar[type[SourceProblemConfig]] = SourceProblemConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, SourceSnapshot):
            return Evaluation()
        source = snapshot.source
        if source.failures:
            told = any(alert.labels.get("kind") == self.kind for alert in snapshot.alerts)
            return Evaluation(unknown=f"{source.name} cannot be read" if told else None)
        return Evaluation(
            tuple(
                Violation(
                    since=problem.since or source.last_success or now,
                    summary=f"{source.name} ({source.kind}): {problem.summary}",
                    labels={"problem": problem.key},
                )
                for problem in source.problems
            )
        )

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        return f"{subject_words(snapshot)}: the source must find nothing wrong with itself."
