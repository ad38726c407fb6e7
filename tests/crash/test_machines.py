"""The state machines of the quick suite, for longer and by this run's seed (EXAMPLES=… of each; 50 steps in each)."""

import os
from functools import partial

import pytest

from tests.alerting.machines.frame import Machine, run
from tests.alerting.test_machines import MACHINES
from tests.alerting.test_outbox_machine import OutboxMachine
from tests.rules.test_state import AlertLife
from watchtower.store.database import Database

EXAMPLES = int(os.environ.get("EXAMPLES", "20"))

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_what_leaves_is_what_the_reference_says(database: Database, machine: type[Machine], seed: int) -> None:
    run(partial(machine, database), EXAMPLES, by=seed)


def test_nothing_is_lost_and_nothing_is_seen_twice(database: Database, seed: int) -> None:
    traits: dict[str, bool | float] = {"can_look_up": True, "settle_s": 20.0, "lag_s": 15.0}
    run(partial(OutboxMachine, database, traits), EXAMPLES, by=seed)


@pytest.mark.usefixtures("engine")
def test_the_life_of_an_alert_is_as_the_reference_has_it(seed: int) -> None:
    run(AlertLife, 20 * EXAMPLES, by=seed)
