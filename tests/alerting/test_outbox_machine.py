"""The outbox against a reference model: whatever fails, stops or dies, nothing is lost and nothing is seen twice.

Hypothesis plays alerts, silences, faults of the provider, dying processes and rival replicas in any order. A process
dies by an exception that nothing may catch, before or after any call to the store or the provider; then a new outbox
goes on with what the store holds. At the end the provider is mended, time passes, and its ledger is compared with the
model: what a person must know by then.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule, run_state_machine_as_test
from sqlalchemy import Connection, delete, select

from alerting import silences
from alerting.outbox import Outbox
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.conftest import START
from tests.simulators.provider import Effect, Fault, Provider
from watchtower.clock import ManualClock
from watchtower.model.alert import Alert, Notice
from watchtower.model.labels import parse_matchers
from watchtower.store import alerts, ledger
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database
from watchtower.store.schema import metadata
from watchtower.store.schema.alerting import notices, obligations

DESTINATION = "team/webhook[0]"
# Of orders the first notice waits, of bills it goes at once: it is claimed with what makes it due.
POLICY = pipeline(
    node(
        "team",
        node("team", matchers="pipeline=billing", wait=0, interval=60, repeat=10**8, parent_key="{}"),
        wait=5,
        interval=60,
        repeat=10**8,
    )
)


class Died(BaseException):
    """The process is gone. Not an Exception: no handler of the product may survive it."""


class Mortal:
    """A store whose caller dies at its n-th call: before the transaction, or after its commit."""

    def __init__(self, store: SqlAlertingStore) -> None:
        self._store = store
        self.dies_in: int | None = None
        self.after = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            dies = self.dies_in is not None and self.dies_in <= 0
            if self.dies_in is not None:
                self.dies_in -= 1
            if dies and not self.after:
                raise Died
            result = method(*args, **kwargs)
            if dies:
                raise Died
            return result

        return call


class OutboxMachine(RuleBasedStateMachine):
    """traits: of the provider. `open_alerts` holds what fires now."""

    open_alerts: Bundle[Alert] = Bundle("open_alerts")

    def __init__(self, database: Database, traits: dict[str, bool | float]) -> None:
        super().__init__()
        self.database = database
        self.database.write(_empty)
        self.clock = ManualClock(START)
        self.provider = Provider.like(self.clock, **traits)
        self.firing: dict[str, Alert] = {}
        self.over: dict[str, Alert] = {}
        self.silenced: set[str] = set()  # ids of silences
        self.ever_silenced = False
        self.start_process()

    @initialize()
    def start_process(self) -> None:
        self.store = Mortal(SqlAlertingStore(self.database))
        self.outbox = self._outbox(self.store, "first")

    # -- what happens ---------------------------------------------------------------------------------------------

    @rule(target=open_alerts, where=st.sampled_from(["orders", "billing"]), task=st.sampled_from("ab"))
    def fire(self, where: str, task: str) -> Alert:
        self.clock.advance(0.001)  # an episode has its own moment
        alert = firing_alert(self.clock.now(), pipeline=where, task=task)
        if alert.fingerprint not in {other.fingerprint for other in self.firing.values()}:
            self.firing[alert.id] = alert
            self._commit(fires(POLICY, alert))
        return alert

    @rule(alert=consumes(open_alerts))
    def resolve(self, alert: Alert) -> None:
        if self.firing.pop(alert.id, None) is not None:
            self.over[alert.id] = resolved_alert(alert, self.clock.now())
            self._commit(resolves(POLICY, self.over[alert.id]))

    @rule(seconds=st.sampled_from([0.5, 2, 5, 11, 31, 60, 301]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self._run()

    @rule(faults=st.lists(st.sampled_from(list(Fault)[:-1]), min_size=1, max_size=3))
    def provider_fails(self, faults: list[Fault]) -> None:
        self.provider.faults.extend(fault for fault in faults if fault is not Fault.PERMANENT)

    @rule(calls=st.integers(0, 6), after=st.booleans(), seconds=st.sampled_from([1, 31, 61]))
    def process_dies_in_a_transaction(self, calls: int, after: bool, seconds: float) -> None:
        self.store.dies_in, self.store.after = calls, after
        self.clock.advance(seconds)
        self._run()
        self.store.dies_in = None

    @rule(before=st.booleans(), seconds=st.sampled_from([6, 61]))
    def process_dies_in_a_request(self, before: bool, seconds: float) -> None:
        def die(_: Notice) -> None:
            self.provider.before_request = self.provider.before_answer = None
            raise Died

        if before:
            self.provider.before_request = die
        else:
            self.provider.before_answer = die
        self.clock.advance(seconds)
        self._run()
        self.provider.before_request = self.provider.before_answer = None

    @rule(pause=st.sampled_from([0, 9, 35, 50]), seconds=st.sampled_from([6, 61]))
    def process_stands_still_after_a_request_while_a_rival_works(self, pause: float, seconds: float) -> None:
        """SIGSTOP between the request and its answer: the rival takes over when the lease is over."""
        rival = self._outbox(SqlAlertingStore(self.database), "rival")

        def stand_still(_: Notice) -> None:
            self.provider.before_answer = None
            self.clock.advance(pause)
            rival.step()

        self.provider.before_answer = stand_still
        self.clock.advance(seconds)
        self._run()
        self.provider.before_answer = None

    @rule(where=st.sampled_from(["orders", "billing"]), seconds=st.sampled_from([30, 200]))
    def silence(self, where: str, seconds: float) -> None:
        now, ident = self.clock.now(), f"silence-{len(self.silenced)}"
        wanted = silences.Wanted(
            parse_matchers(f"pipeline={where}"), now, now + timedelta(seconds=seconds), "data-lead", "known"
        )
        self.silenced.add(ident)
        SqlAlertingStore(self.database).revise_silence(None, lambda before: silences.put(before, wanted, now, ident))

    # -- what a person must know in the end -----------------------------------------------------------------------

    def teardown(self) -> None:
        self.provider.faults.clear()
        for _ in range(40):
            self.clock.advance(61)
            self._run()
        effects = self.provider.effects
        self._nothing_is_seen_twice(effects)
        self._nothing_is_lost(effects)
        self._the_ledger_is_true(effects)

    def _nothing_is_seen_twice(self, effects: list[Effect]) -> None:
        repeated = {key: count for key, count in Counter(effect.key for effect in effects).items() if count > 1}
        assert not repeated, f"seen more than once: {repeated}"
        began = Counter(
            alert for effect, before in _with_before(effects) for alert in set(effect.firing) - set(before.firing)
        )
        assert max(began.values(), default=1) == 1, f"told to begin more than once: {began}"
        over: set[str] = set()
        for effect in effects:
            assert not over & set(effect.firing), "told to fire after it was told to be over"
            over |= set(effect.resolved)

    def _nothing_is_lost(self, effects: list[Effect]) -> None:
        last = {effect.episode: effect for effect in effects}
        shown = {alert for effect in last.values() for alert in effect.firing}
        assert shown == set(self.firing), "what people believe to fire is not what fires"
        told = {alert for effect in effects for alert in effect.firing}
        ended = {alert for effect in effects for alert in effect.resolved}
        assert told - set(self.firing) <= ended, "told to fire, never told to be over"

    def _the_ledger_is_true(self, effects: list[Effect]) -> None:
        with self.database.read() as connection:
            entries = ledger.ledger(connection, limit=10_000)
            states = Counter(connection.execute(select(notices.c.state)).scalars())
        assert {entry.state.value for entry in entries} <= {"delivered", "superseded"}, "an obligation has not ended"
        assert set(states) <= {"delivered", "superseded"}, "a notice has not ended"
        proofs = {entry.provider_id for entry in entries if entry.state == "delivered"}
        assert proofs <= {f"id-{effect.key}" for effect in effects}, "delivered without a trace at the provider"
        owed = {entry.alert_id for entry in entries}
        assert owed == set(self.firing) | set(self.over), "a transition owes nothing"
        assert SqlAlertingStore(self.database).overdue(self.clock.now()) == []

    # -- parts ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self.outbox.step()
        except Died:
            self.start_process()

    def _outbox(self, store: Any, holder: str) -> Outbox:
        return Outbox(store, {DESTINATION: self.provider}, POLICY, self.clock, holder=holder)

    def _commit(self, outcome: Any) -> None:
        """As the rules do: what is due at once is claimed in the same transaction, and is in hand of a process that may
        die, or wait too long, before it sends it."""
        now = self.clock.now()

        def unit(connection: Connection) -> None:
            touched = alerts.write_outcome(connection, outcome, now)
            SqlAlertingStore(self.database).at_once(connection, touched, self.outbox.rush(), self.outbox.hand)

        self.database.write(unit)


def _with_before(effects: list[Effect]) -> list[tuple[Effect, Effect]]:
    """Each effect with the one before it in the same episode."""
    last: dict[str, Effect] = {}
    pairs: list[tuple[Effect, Effect]] = []
    for effect in effects:
        nothing = Effect("", effect.episode, effect.at, "", (), (), ())
        pairs.append((effect, last.get(effect.episode, nothing)))
        last[effect.episode] = effect
    return pairs


def _empty(connection: Any) -> None:
    for table in reversed(metadata.sorted_tables):
        if table.name != "migrations":
            connection.execute(delete(table))


@pytest.mark.parametrize(
    "traits",
    [
        {},
        {"can_look_up": True, "settle_s": 20.0, "lag_s": 15.0},
        {"can_look_up": False, "keyed": True},
    ],
    ids=["looked up", "looked up late", "keyed"],
)
def test_nothing_is_lost_and_nothing_is_seen_twice(
    database: Database, engine: str, traits: dict[str, bool | float]
) -> None:
    class Machine(OutboxMachine):
        def __init__(self) -> None:
            super().__init__(database, traits)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25 if engine == "sqlite" else 8,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            phases=[Phase.reuse, Phase.generate, Phase.shrink],  # explaining traces every line, for minutes
        ),
    )


def test_the_model_notices_a_loss(database: Database) -> None:
    """The oracle itself: a notice that is dropped, or sent again, does not pass."""
    machine = OutboxMachine(database, {})
    machine.fire("orders", "a")
    machine.clock.advance(6)
    machine._run()  # pyright: ignore[reportPrivateUsage]  # the oracle is under test here
    machine.provider.effects.append(machine.provider.effects[0])
    with pytest.raises(AssertionError, match="seen more than once"):
        machine.teardown()
    machine.provider.effects.clear()
    with pytest.raises(AssertionError, match="not what fires"):
        machine.teardown()
    machine.provider.effects.clear()
    machine.database.write(lambda connection: connection.execute(delete(obligations)).rowcount)
    with pytest.raises(AssertionError):
        machine.teardown()
