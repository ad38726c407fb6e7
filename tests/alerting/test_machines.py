"""State machines over the real store and outbox, each against a reference that can be read in a minute."""

from functools import partial

import pytest

from tests.alerting.machines.escalation import EscalationMachine
from tests.alerting.machines.flapping import FlappingMachine
from tests.alerting.machines.frame import Machine, run
from tests.alerting.machines.grouping import GroupingMachine
from tests.alerting.machines.quiet import QuietMachine
from watchtower.store.database import Database

MACHINES: tuple[type[Machine], ...] = (GroupingMachine, QuietMachine, EscalationMachine, FlappingMachine)
EXAMPLES = {"sqlite": 10, "postgresql": 3}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_what_leaves_is_what_the_reference_says(database: Database, engine: str, machine: type[Machine]) -> None:
    run(partial(machine, database), EXAMPLES[engine])
