"""What is told, to whom, and when: timelines in virtual time against a real store, on both engines."""

from collections.abc import Callable

import pytest

from alerting.pipeline import Pipeline
from tests.alerting.routes import pipeline
from tests.simulators.provider import Provider
from tests.timeline import Timeline
from watchtower.clock import ManualClock
from watchtower.store.database import Database

WEBHOOK = "team/webhook[0]"
Make = Callable[..., Timeline]


@pytest.fixture
def make(database: Database, clock: ManualClock) -> Make:
    """`make(pipeline, keyed=True, …)`: a timeline whose destinations all have a provider of these traits."""

    def made(policy: Pipeline | None = None, **traits: bool | float) -> Timeline:
        policy = policy or pipeline()
        names = {item.name for items in policy.router.destinations.values() for item in items}
        return Timeline(database, clock, policy, {name: Provider.like(clock, **traits) for name in sorted(names)})

    return made
