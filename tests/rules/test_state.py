"""The life of an alert, against a reference that knows only Prometheus' words, and in tables."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rules import state
from rules.state import Said, Step
from tests.rules.timeline import at
from watchtower.model.alert import Alert, AlertState, TransitionKind
from watchtower.model.rule import Rule, Violation

SAID = Said("job:1", {"alertname": "Late", "pipeline": "orders"}, {"summary": "late"})
NOW = at(0)


def made(for_s: float = 0, keep_s: float = 0) -> Rule:
    return Rule("Late", "deadline", None, for_s=for_s, keep_firing_for_s=keep_s)


def broken(since: datetime = NOW, *, historical: bool = False, value: float = 1) -> Violation:
    return Violation(since, "late", value, historical=historical)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_without_for_it_fires_at_once() -> None:
    step = state.opened(broken(), made(), SAID, NOW)
    assert step.alert.state is AlertState.FIRING
    assert step.transition is not None
    assert step.transition.kind is TransitionKind.FIRING
    assert step.wake_at is None


def test_it_is_pending_until_for_has_elapsed() -> None:
    pending = state.opened(broken(), made(60), SAID, NOW)
    assert (pending.alert.state, pending.transition, pending.wake_at) == (AlertState.PENDING, None, later(60))
    still = state.seen_again(pending.alert, broken(), made(60), SAID, later(59))
    assert still.transition is None
    fired = state.seen_again(still.alert, broken(), made(60), SAID, later(60))
    assert fired.alert.starts_at == later(60)
    assert fired.transition is not None


def test_what_was_only_pending_ends_silently() -> None:
    pending = state.opened(broken(), made(60), SAID, NOW).alert
    step = state.gone(pending, 0, {}, later(10))
    assert (step.alert.state, step.transition) == (AlertState.RESOLVED, None)


def test_it_recovers_for_as_long_as_it_is_kept_firing_and_says_how_it_became_well() -> None:
    firing = state.opened(broken(), made(), SAID, NOW).alert
    recovering = state.gone(firing, 300, {"run_id": "b"}, later(10))
    assert recovering.alert.recovering
    assert recovering.wake_at == later(310)
    relapsed = state.seen_again(recovering.alert, broken(), made(), SAID, later(20))
    assert relapsed.transition is None
    assert not relapsed.alert.recovering
    again = state.gone(relapsed.alert, 300, {}, later(30))
    resolved = state.gone(again.alert, 300, {"run_id": "b"}, later(330))
    assert resolved.alert.ends_at == later(330)
    assert resolved.alert.evidence["resolution"] == {"run_id": "b"}
    assert resolved.transition is not None
    assert resolved.transition.kind is TransitionKind.RESOLVED


def test_unknown_keeps_what_fired_and_a_recovery_must_be_seen_anew() -> None:
    firing = state.opened(broken(), made(), SAID, NOW).alert
    recovering = state.gone(firing, 300, {}, later(10)).alert
    lost = state.unknown(recovering, "store away")
    assert lost.alert.state is AlertState.UNKNOWN
    assert lost.transition is None
    assert state.unknown(lost.alert, "store away").alert is lost.alert
    back = state.gone(lost.alert, 300, {}, later(1000))
    assert back.alert.recovering
    assert back.wake_at == later(1300)
    standing = state.seen_again(lost.alert, broken(), made(), SAID, later(1000))
    assert standing.transition is None
    assert standing.alert.state is AlertState.FIRING


def test_history_is_shown_and_told_to_nobody_until_something_live_joins() -> None:
    replayed = state.opened(broken(historical=True), made(), SAID, NOW)
    assert replayed.alert.state is AlertState.FIRING
    assert replayed.alert.historical
    assert replayed.transition is None
    assert state.gone(replayed.alert, 0, {}, later(5)).transition is None
    live = state.seen_again(replayed.alert, broken(), made(60), SAID, later(10))
    assert (live.alert.state, live.wake_at, live.transition) == (AlertState.PENDING, later(70), None)
    fired = state.seen_again(live.alert, broken(), made(60), SAID, later(70))
    assert fired.transition is not None
    # What people were told of does not become history by a replay.
    still = state.seen_again(fired.alert, broken(historical=True), made(60), SAID, later(80))
    assert not still.alert.historical
    assert state.gone(still.alert, 0, {}, later(90)).transition is not None


def test_what_was_true_long_before_it_was_seen_is_found_late() -> None:
    assert not state.opened(broken(later(-600)), made(), SAID, NOW).alert.found_late
    assert state.opened(broken(later(-601)), made(), SAID, NOW).alert.found_late


def test_a_new_episode_has_the_same_fingerprint_and_another_id() -> None:
    first = state.opened(broken(), made(), SAID, NOW).alert
    second = state.opened(broken(later(10)), made(), SAID, NOW).alert
    third = state.opened(broken(), made(), SAID, later(20)).alert
    assert first.fingerprint == second.fingerprint == third.fingerprint
    assert len({first.id, second.id, third.id}) == 3
    assert state.opened(broken(), made(), SAID, NOW).alert.id == first.id


def test_labels_follow_only_until_somebody_was_told() -> None:
    owned = replace(SAID, labels={**SAID.labels, "owner": "data-lead"})
    pending = state.opened(broken(), made(60), SAID, NOW).alert
    assert state.seen_again(pending, broken(), made(60), owned, later(1)).alert.labels == owned.labels
    firing = state.opened(broken(), made(), SAID, NOW).alert
    assert state.seen_again(firing, broken(), made(), owned, later(1)).alert.labels == SAID.labels


@dataclass
class Reference:
    """What must be true, told by the moments at which the violation came and went."""

    active: datetime | None = None
    fired: bool = False
    clear: datetime | None = None


class AlertLife(RuleBasedStateMachine):
    """Steps of any length; the rule has a `for` and a `keep_firing_for`."""

    @initialize(for_s=st.sampled_from([0, 30, 90]), keep_s=st.sampled_from([0, 45]))
    def begin(self, for_s: float, keep_s: float) -> None:
        self.now = NOW
        self.rule = made(for_s, keep_s)
        self.alert: Alert | None = None
        self.reference = Reference()
        self.told: list[TransitionKind] = []

    @rule(seconds=st.integers(0, 60))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def stands(self) -> None:
        self.now += timedelta(microseconds=1)
        violation = broken(self.now)
        if self.alert is None:
            self._take(state.opened(violation, self.rule, SAID, self.now))
        else:
            self._take(state.seen_again(self.alert, violation, self.rule, SAID, self.now))
        reference = self.reference
        reference.active = reference.active or self.now
        reference.clear = None
        if self.now - reference.active >= timedelta(seconds=self.rule.for_s):
            reference.fired = True

    @rule()
    def is_away(self) -> None:
        if self.alert is None:
            return
        self._take(state.gone(self.alert, self.rule.keep_firing_for_s, {}, self.now))
        reference = self.reference
        reference.clear = reference.clear or self.now
        held = self.now - reference.clear < timedelta(seconds=self.rule.keep_firing_for_s)
        if not (reference.fired and held):
            self.reference = Reference()

    @rule()
    def cannot_be_said(self) -> None:
        if self.alert is not None:
            self._take(state.unknown(self.alert, "why"))
            self.reference.clear = None

    def _take(self, step: Step) -> None:
        self.alert = None if step.alert.state is AlertState.RESOLVED else step.alert
        if step.transition:
            self.told.append(step.transition.kind)
        assert step.wake_at is None or step.wake_at > self.now

    @invariant()
    def the_reference_agrees(self) -> None:
        if not hasattr(self, "now"):
            return
        assert (self.alert is not None) == (self.reference.active is not None)
        assert (self.alert is not None and self.alert.starts_at is not None) == self.reference.fired
        if self.alert is not None and self.alert.state is not AlertState.UNKNOWN:
            assert self.alert.recovering == (self.reference.fired and self.reference.clear is not None)

    @invariant()
    def what_is_told_alternates_and_begins_with_firing(self) -> None:
        if hasattr(self, "now"):
            pairs = [TransitionKind.FIRING, TransitionKind.RESOLVED] * len(self.told)
            assert self.told == pairs[: len(self.told)]
            assert (len(self.told) % 2 == 1) == self.reference.fired


AlertLife.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAlertLife = AlertLife.TestCase
