"""What a broken table does ends at what people look at: models and reports that are asked for read it."""

from datetime import timedelta

from tests.app.polls import ask, context, polling
from tests.builders import ORDERS, ORDERS_TABLE, fail, writes
from tests.collectors.azure.test_power_bi import APPLICATION, NOW, Tenant, refresh
from watchtower.clock import ManualClock
from watchtower.ports import PolledSource
from watchtower.registry import POLLERS
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append
from watchtower.store.reading import observed


def asked_once(database: Database, clock: ManualClock, kind: str, **given: object) -> None:
    """As the configuration has it."""
    made = POLLERS.get(kind)
    (source,) = made(made.Config.model_validate({"sources": [given]})).sources(context(clock))
    polled: PolledSource = source
    assert ask(polling(database, clock), polled)


def readers(database: Database) -> dict[str, list[str]]:
    """Of what the pipeline of orders writes: what an incident about it shows as its impact."""
    with database.read() as connection:
        found = observed.downstream(connection, [ORDERS.id])
        return {dataset.ref.name: [job.ref.name for job in jobs] for dataset, jobs in found}


def test_a_model_of_power_bi_reads_what_the_configuration_says(database: Database) -> None:
    clock = ManualClock(NOW)
    append(database, Intake((fail("r1", NOW - timedelta(minutes=5), datasets=(writes(),)),)))
    reads = [{"job": "Sales/*", "datasets": [{"namespace": ORDERS_TABLE.namespace, "name": ORDERS_TABLE.name}]}]
    with Tenant() as tenant:
        tenant.refreshes["m-1"] = [refresh("q-1", "Completed")]
        urls = {"base_url": tenant.url, "login_url": tenant.url}
        asked_once(database, clock, "power_bi", name="bi", reads=reads, **urls, **APPLICATION)
    assert readers(database) == {ORDERS_TABLE.name: ["Sales/Orders"]}
