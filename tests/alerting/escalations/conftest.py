"""A timeline on a real store whose destinations are the steps of an escalation."""

import pytest

from alerting.pipeline import Pipeline
from tests.alerting.escalations.steps import Make, policy
from tests.simulators.provider import Provider
from tests.timeline import Timeline
from watchtower.clock import ManualClock
from watchtower.store.database import Database


@pytest.fixture
def make(database: Database, clock: ManualClock) -> Make:
    def made(using: Pipeline | None = None) -> Timeline:
        using = using or policy()
        names = {item.name for items in using.router.destinations.values() for item in items}
        providers = {name: Provider.like(clock, rings="oncall" in name) for name in sorted(names)}
        return Timeline(database, clock, using, providers)

    return made
