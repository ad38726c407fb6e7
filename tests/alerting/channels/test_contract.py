"""What every registered channel keeps, whatever its provider does. A new one fails here until it has a simulator."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from alerting.destinations import channel_type
from tests.alerting.desks import HTTP_BENCHES, SAYS_ENOUGH, SHORT_S, channel, patience
from tests.alerting.notices import notice
from tests.simulators.faults import ACCEPTED, AT_THE_PROVIDER, EXPECTED, ON_THE_WAY, Fault
from tests.simulators.front import in_front
from watchtower.errors import DeliveryError, Permanent, Reason, Transient
from watchtower.model.alert import Receipt
from watchtower.registry import Registries

LOOKED_UP = ["jira", "request_tracker", "servicenow", "slack", "sms", "voice", "zendesk"]
OWN_BENCH = {"email", "local"}  # SMTP has its own faults (test_email.py); local has no provider


def test_every_registered_channel_has_a_simulator() -> None:
    assert {name.partition(" ")[0] for name in HTTP_BENCHES} | OWN_BENCH == set(Registries().destinations)


@pytest.mark.parametrize("name", sorted(Registries().destinations))
def test_every_channel_says_what_it_is(name: str) -> None:
    kind = channel_type(name)

    assert kind.name == name
    assert issubclass(kind.Config, BaseModel)
    assert kind.settle_s >= 0
    assert {type(kind.can_look_up), type(kind.keyed), type(kind.rings)} == {bool}
    assert isinstance(kind.Config.model_fields["send_resolved"].default, bool)


@pytest.mark.parametrize("name", sorted(Registries().destinations))
def test_an_unknown_key_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ValidationError, match="no_such_key"):
        channel_type(name).Config.model_validate({"no_such_key": 1})


@pytest.mark.parametrize("fault", AT_THE_PROVIDER, ids=str)
@pytest.mark.parametrize("name", HTTP_BENCHES)
def test_a_failing_provider_is_understood(name: str, fault: Fault) -> None:
    with HTTP_BENCHES[name](patience(fault)) as bench:
        bench.provider.fail_next(fault)
        caught: DeliveryError | None = None
        try:
            bench.channel.deliver(notice())
        except (Transient, Permanent) as error:
            caught = error

        assert bench.effects() == (1 if fault in ACCEPTED else 0)
        if caught is None:
            assert fault in SAYS_ENOUGH.get(name, ())
            return
        expected = EXPECTED[fault]
        if (name, fault) == ("webhook", Fault.NOT_FOUND):
            assert (type(caught), caught.reason) == (Transient, Reason.NOT_FOUND)
            return
        assert type(caught) is expected.error or isinstance(caught, expected.error)
        if expected.unknown is not None:
            assert caught.outcome_unknown is expected.unknown
        if isinstance(caught, Transient):
            assert caught.retry_after_s == expected.retry_after_s


@pytest.mark.parametrize("fault", sorted(ON_THE_WAY), ids=str)
@pytest.mark.parametrize("name", HTTP_BENCHES)
def test_a_provider_that_cannot_be_reached_has_taken_nothing(
    name: str, fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make crash` goes on from here: it is well again, and told."""
    with in_front(fault, tmp_path, monkeypatch), HTTP_BENCHES[name](patience(fault)) as bench:
        with pytest.raises(Transient) as caught:
            bench.channel.deliver(notice())
        assert (bench.effects(), caught.value.outcome_unknown) == (0, False)


@pytest.mark.parametrize("fault", sorted(ACCEPTED), ids=str)
@pytest.mark.parametrize("name", LOOKED_UP)
def test_look_up_finds_what_was_accepted_and_a_repeat_adds_nothing(name: str, fault: Fault) -> None:
    with HTTP_BENCHES[name](patience(fault)) as bench:
        bench.provider.fail_next(fault)
        with pytest.raises(DeliveryError) as caught:
            bench.channel.deliver(notice())
        assert caught.value.outcome_unknown

        found = bench.channel.look_up(notice())

        assert found is not None
        assert found.duplicates == 0
        assert found.ref
        assert bench.effects() == 1


@pytest.mark.parametrize("name", LOOKED_UP)
def test_look_up_does_not_find_what_never_arrived(name: str) -> None:
    with HTTP_BENCHES[name]() as bench:
        bench.provider.fail_next(Fault.RESET_AFTER_BODY)
        with pytest.raises(Transient):
            bench.channel.deliver(notice())

        assert bench.channel.look_up(notice()) is None
        assert bench.channel.deliver(notice()).duplicates == 0
        assert bench.effects() == 1


@pytest.mark.parametrize("name", ["pagerduty", "webhook"])
def test_a_keyed_receiver_folds_a_repeat_of_what_it_had(name: str) -> None:
    with HTTP_BENCHES[name](SHORT_S) as bench:
        bench.provider.fail_next(Fault.ACCEPT_THEN_TIMEOUT)
        with pytest.raises(Transient):
            bench.channel.deliver(notice())
        bench.channel.deliver(notice(attempt=2))

        assert bench.effects() == 1
        assert bench.channel.keyed


def test_an_incoming_webhook_of_slack_says_that_it_cannot_look_up() -> None:
    with HTTP_BENCHES["slack incoming webhook"]() as bench:
        assert not bench.channel.can_look_up
        assert bench.channel.look_up(notice()) is None


def test_local_keeps_the_notice_that_the_outbox_keeps() -> None:
    assert channel("local").deliver(notice(id="n7")) == Receipt("local:n7")
