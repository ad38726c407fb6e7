"""A process dies by `os._exit` at every point of the table (tests/crash/points.py), on both stores, with every kind of
provider; the next one goes on from the store.

0 lost. 0 seen twice where the provider folds by key or can be looked up, else at most one for each crash.
"""

from random import Random

import pytest

from tests.crash.conftest import Ground
from tests.crash.desks import KINDS, Kind
from tests.crash.points import AFTER, BEFORE, CONNECT, POINTS, Point, of, passed
from tests.crash.scene import Scene
from tests.simulators.faults import Fault

pytestmark = pytest.mark.usefixtures("warmed")

BEFORE_PROVIDERS = ("ingest", "rules", "router")
WHOLE = (*BEFORE_PROVIDERS, "sender", "failure")  # stages of which every story passes every point

# After these deaths the outcome of an attempt is unknown: the provider has it, or it does not.
UNKNOWN = {
    "taken": Point("sender", "whole answer understood", "alerting.outbox:Outbox._delivered", BEFORE),
    "absent": Point("sender", "connected", CONNECT, AFTER),
}

# Where nothing folds and nothing can be looked up, a second unknown outcome is a dead letter by design.
ONCE = [kind for kind in KINDS.values() if not kind.most_twice]


@pytest.mark.parametrize("stage", BEFORE_PROVIDERS)
def test_a_death_on_the_way_to_a_provider_costs_nothing(stage: str, ground: Ground) -> None:
    _die_everywhere(stage, KINDS["webhook"], ground)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_death_while_sending_costs_nothing(kind: Kind, ground: Ground) -> None:
    _die_everywhere("sender", kind, ground)


@pytest.mark.parametrize("name", ["webhook", "slack"])
def test_a_death_while_a_failure_is_recorded_costs_nothing(name: str, ground: Ground) -> None:
    _die_everywhere("failure", KINDS[name], ground, fault=Fault.UNAVAILABLE)


def test_a_second_death_at_the_next_start_costs_nothing(ground: Ground) -> None:
    _die_everywhere("restart", KINDS["webhook"], ground, UNKNOWN["taken"])


@pytest.mark.parametrize("first", UNKNOWN)
@pytest.mark.parametrize("kind", ONCE, ids=lambda kind: kind.name)
def test_a_second_death_while_finding_out_about_the_first_costs_nothing(kind: Kind, first: str, ground: Ground) -> None:
    _die_everywhere("look-up", kind, ground, UNKNOWN[first])


def _die_everywhere(stage: str, kind: Kind, ground: Ground, *first: Point, fault: Fault | None = None) -> None:
    with kind.open(ground.clock.now()) as desk:
        scene = Scene(ground.folder, ground.store, kind, desk, ground.clock, fault=fault)
        seen = scene.undisturbed()
        if first:
            seen = scene.undisturbed(*first)
        points = passed(of(stage), seen, Random(f"{ground.seed} {stage} {kind.name}"))
        try:
            for point in points:
                scene.killed_at(*first, point)
            scene.close()
        finally:
            ground.record(scene.figures)
    assert {point.name for point in scene.deaths} >= {point.name for point in points}
    assert not scene.unnamed, f"transactions that no point of the table names: {sorted(scene.unnamed)}"
    if stage in WHOLE:
        assert {point.name for point in points} == {point.name for point in of(stage)}, (
            "the table names what is not there"
        )


def test_every_stage_of_the_table_has_its_deaths() -> None:
    elsewhere = {"acknowledgement"}  # test_acknowledgement
    assert {point.stage for point in POINTS} == {
        *BEFORE_PROVIDERS,
        "sender",
        "failure",
        "restart",
        "look-up",
        *elsewhere,
    }
