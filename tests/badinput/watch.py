"""What a server counts when something goes wrong inside of it, which no answer may hide."""

from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry
from sqlalchemy import func, select

from tests.server.site import Site
from watchtower.store.schema.observed import quarantine
from watchtower.telemetry.instruments import REGISTRY


@contextmanager
def quiet(site: Site) -> Generator[None]:
    """Fails if a collector, a handler or the store met a fault meanwhile, also one that was answered 2xx or 503."""
    before = _counted(site)
    yield
    after = _counted(site)
    assert after == before, "something failed in here; its traceback is in the log"


def _counted(site: Site) -> dict[str, float]:
    with site.services.database.read() as connection:
        kept = select(func.count()).select_from(quarantine).where(quarantine.c.reason == "fault")
        counted = {"quarantined": float(connection.execute(kept).scalar_one())}
    registry: CollectorRegistry = REGISTRY
    for metric in registry.collect():
        for sample in metric.samples:
            if sample.name == "watchtower_http_faults_total" or sample.labels.get("reason") == "fault":
                counted[f"{sample.name} {sorted(sample.labels.items())}"] = sample.value
    return {name: value for name, value in counted.items() if value}
