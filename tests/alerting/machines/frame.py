"""What the state machines of alerting share: a real store and outbox on a clock that stands, and how long they are run.

A machine does things in any order, lets time pass, and compares what left with a reference that is some thirty lines
long and knows nothing of queues, transactions or notices. The quick suite runs the same few examples every time; `make
crash` runs many, by its seed.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Connection, delete

from alerting.pipeline import Pipeline
from tests.alerting.builders import fires, resolved_alert, resolves
from tests.conftest import START
from tests.simulators.provider import Effect, Provider
from tests.timeline import Timeline
from watchtower.clock import ManualClock
from watchtower.model.alert import Alert
from watchtower.store.database import Database
from watchtower.store.schema import metadata

STEPS, MORE_STEPS = 20, 50  # of one example
Traits = Mapping[str, Mapping[str, bool | float]]  # by destination
TOLERATED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


class Machine(RuleBasedStateMachine):
    """Made by `machine(database)`. policy: of the outbox; traits: of the provider of each destination. Seconds count
    from the beginning of the example."""

    policy: Pipeline
    traits: ClassVar[Traits]

    def __init__(self, database: Database) -> None:
        super().__init__()
        database.write(_empty)
        self.clock = ManualClock(START)
        providers = {name: Provider.like(self.clock, **traits) for name, traits in self.traits.items()}
        self.line = Timeline(database, self.clock, self.policy, providers)
        self.second = 0.0

    @rule()
    def the_process_is_replaced(self) -> None:
        self.line.restart()

    def pass_time(self, seconds: float) -> None:
        self.second += seconds
        self.line.play(self.second)

    def do(self, action: Callable[[], object]) -> None:
        """At this moment, and then all that is due by it."""
        self.line.do(self.second, action)
        self.line.play(self.second)

    def begin(self, *alerts: Alert) -> None:
        self.do(lambda: self.line.commit(fires(self.policy, *alerts)))

    def end(self, *alerts: Alert) -> None:
        over = [resolved_alert(alert, self.clock.now()) for alert in alerts]
        self.do(lambda: self.line.commit(resolves(self.policy, *over)))

    def told(self, destination: str) -> list[Effect]:
        return self.line.providers[destination].effects

    def second_of(self, effect: Effect) -> float:
        return round((effect.at - self.line.beginning).total_seconds(), 3)

    @precondition(lambda self: bool(self.line.providers))
    @invariant()
    def nothing_is_overdue(self) -> None:
        assert self.line.store.overdue(self.clock.now()) == []

    def all_has_ended(self) -> None:
        """To be asked once everything is over: the ledger knows how each obligation ended."""
        assert {state for _, _, state, _ in self.line.obligations()} <= {"delivered", "superseded"}


def run(machine: Callable[[], RuleBasedStateMachine], examples: int, *, by: int | None = None) -> None:
    """by: the seed; None: the same examples every time."""
    chosen = settings(
        max_examples=examples,
        stateful_step_count=STEPS if by is None else MORE_STEPS,
        deadline=None,
        derandomize=by is None,
        database=None,
        suppress_health_check=TOLERATED,
        phases=[Phase.generate, Phase.shrink],  # explaining traces every line, for minutes
    )
    made = machine if by is None else seed(by)(machine)
    run_state_machine_as_test(cast("type[RuleBasedStateMachine]", made), settings=chosen)


def _empty(connection: Connection) -> Any:
    for table in reversed(metadata.sorted_tables):
        if table.name != "migrations":
            connection.execute(delete(table))
