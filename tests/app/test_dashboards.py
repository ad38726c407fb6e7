"""What a broken table does ends at what people look at: models and reports that are asked for read it."""

import json
from datetime import timedelta

from collectors.quality.dbt import events
from tests.app.polls import ask, context, polling
from tests.builders import ORDERS, ORDERS_TABLE, fail, writes
from tests.collectors.azure.test_power_bi import APPLICATION, NOW, Tenant, refresh
from tests.collectors.quality.test_dbt import EXPOSURES, RESULTS
from tests.collectors.test_tableau import Site, job
from watchtower.clock import ManualClock
from watchtower.model.fact import Fact
from watchtower.model.run import DatasetRef
from watchtower.ports import PolledSource, Received
from watchtower.registry import COLLECTORS, POLLERS
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append
from watchtower.store.reading import lineage


def store(database: Database, *facts: Fact) -> None:
    append(database, Intake(facts)).result(60)


def asked_once(database: Database, clock: ManualClock, kind: str, **given: object) -> None:
    """As the configuration has it."""
    made = POLLERS.get(kind)
    (source,) = made(made.Config.model_validate({"sources": [given]})).sources(context(clock))
    polled: PolledSource = source
    assert ask(polling(database, clock), polled)


def reads(job: str) -> list[dict[str, object]]:
    return [{"job": job, "datasets": [{"namespace": ORDERS_TABLE.namespace, "name": ORDERS_TABLE.name}]}]


def readers(database: Database) -> dict[str, list[str]]:
    """Of what the pipeline of orders writes: what an incident about it shows as its impact."""
    with database.read() as connection:
        found = lineage.downstream(connection, [ORDERS.id])
        return {fed.dataset.ref.name: [reader.name for reader in fed.readers] for fed in found if fed.readers}


def test_a_workbook_of_tableau_reads_what_the_configuration_says(database: Database) -> None:
    clock = ManualClock(NOW)
    store(database, fail("r1", NOW - timedelta(minutes=5), datasets=(writes(),)))
    with Site() as site:
        site.jobs = [job("j-1", "Orders", (-20, -19, -10))]
        who = {"site": "shop", "token_name": "watchtower", "token": "right"}
        asked_once(database, clock, "tableau", name="bi", base_url=site.url, reads=reads("workbook/*"), **who)
    assert readers(database) == {ORDERS_TABLE.name: ["workbook/Orders"]}


def test_an_exposure_of_dbt_reads_the_models_that_it_depends_on(database: Database) -> None:
    """As `watchtower ingest dbt` sends it."""
    decoded = COLLECTORS.get("events")().decode(json.dumps(events(RESULTS, EXPOSURES)).encode(), Received(NOW))
    assert decoded.rejects == ()
    store(database, *decoded.facts)
    table = DatasetRef("dbt://wh", "main.orders")
    store(database, fail("r1", NOW - timedelta(minutes=5), datasets=(writes(table),)))
    assert readers(database) == {"main.orders": ["dashboard/board", "dashboard/weekly"]}


def test_a_model_of_power_bi_reads_what_the_configuration_says(database: Database) -> None:
    clock = ManualClock(NOW)
    store(database, fail("r1", NOW - timedelta(minutes=5), datasets=(writes(),)))
    with Tenant() as tenant:
        tenant.refreshes["m-1"] = [refresh("q-1", "Completed")]
        urls = {"base_url": tenant.url, "login_url": tenant.url}
        asked_once(database, clock, "power_bi", name="bi", reads=reads("Sales/*"), **urls, **APPLICATION)
    assert readers(database) == {ORDERS_TABLE.name: ["Sales/Orders"]}
