"""A budget cannot be judged: its bill is late, has not come at all, or cannot be used. Silence is not good news.

The kind `budget` answers `unknown` meanwhile; this one makes that visible. Only whole days count: a bill may be silent
about a day until `late_after` past its end.
"""

from datetime import datetime
from typing import ClassVar

from rules.options import Options
from rules.words import iso, length_words, subject_words
from watchtower.model.listing import listed
from watchtower.model.rule import BudgetSnapshot, Evaluation, Rule, Snapshot, Violation
from watchtower.model.spending import late_at


class BillConfig(Options):
    pass


class Bill:
    kind: ClassVar[str] = "bill"
    subject: ClassVar[str] = "budget"
    clears: ClassVar[str] = "its bill comes, as far as it should reach"
    Config: ClassVar[type[BillConfig]] = BillConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, BudgetSnapshot):
            return Evaluation()
        bill, late = snapshot.bill, late_at(snapshot)
        if bill.problem:
            since = bill.loaded_at or snapshot.declared_at
            return Evaluation((_violation(snapshot, since, bill.problem),))
        if now < late:
            until = {"bill_until": iso(bill.covered_until)} if bill.covered_until else {}
            return Evaluation(next_at=late, resolution=until)
        if bill.covered_until is None:
            return Evaluation((_violation(snapshot, late, "no bill has come"),))
        which = f"the bill of {listed(bill.sources)}" if bill.sources else "the bill"
        return Evaluation((_violation(snapshot, late, f"{which} reaches only until {bill.covered_until:%Y-%m-%d}"),))

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        if not isinstance(snapshot, BudgetSnapshot):
            return f"{subject_words(snapshot)}: its bill must come in time, and be in one currency."
        late_after = length_words(snapshot.budget.late_after_s)
        return f"{snapshot.budget.name}: a day must be on its bill {late_after} after it ended, in one currency."


def _violation(snapshot: BudgetSnapshot, since: datetime, why: str) -> Violation:
    bill, name = snapshot.bill, snapshot.budget.name
    return Violation(
        since=since,
        summary=f"{name} cannot be judged: {why}",
        evidence={
            **({"bill_until": iso(bill.covered_until)} if bill.covered_until else {}),
            **({"bill_loaded_at": iso(bill.loaded_at)} if bill.loaded_at else {}),
            **({"bills": listed(bill.sources)} if bill.sources else {}),
            "late_after_s": snapshot.budget.late_after_s,
        },
    )
