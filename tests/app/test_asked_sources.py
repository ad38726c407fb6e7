"""From five lines of configuration to the API: each kind of orchestrator that is asked, in one Watchtower."""

from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.app.house import House, running, until
from tests.collectors.aws.asked import client, setting
from tests.collectors.azure.test_data_factory import FIRST, run
from tests.collectors.billing.aws import moto
from tests.collectors.dagster.rows import ROWS as DAGSTER
from tests.collectors.google.test_dataproc import JOBS, Region, job
from tests.collectors.prefect.rows import ROWS as PREFECT
from tests.collectors.test_databricks import Workspace
from tests.collectors.test_databricks import run as databricks_run
from tests.collectors.test_kubernetes import Cluster, succeeded
from tests.collectors.test_snowflake import NOW as SNOWFLAKE_NOW
from tests.collectors.test_snowflake import Account, ran
from tests.simulators.dagster import DagsterSimulator
from tests.simulators.data_factory import TENANT, DataFactorySimulator
from tests.simulators.prefect import PrefectSimulator

NOW = datetime(2026, 11, 30, 9, 48, tzinfo=UTC)
ROLE = "arn:aws:iam::123456789012:role/machine"
SINCE = "3650d"  # what was recorded stays within it

CONFIG = """
outbound: {{allow: [127.0.0.0/8]}}
collectors:
  prefect: {{sources: [{{name: flows, base_url: "{prefect}", lookback: {since}}}]}}
  dagster: {{sources: [{{name: assets, base_url: "{dagster}", lookback: {since}}}]}}
  step_functions: {{sources: [{{name: machines, region: eu-west-1, endpoint_url: "{aws}"}}]}}
  glue: {{sources: [{{name: jobs, region: eu-west-1, endpoint_url: "{aws}"}}]}}
  sagemaker: {{sources: [{{name: models, region: eu-west-1, endpoint_url: "{aws}"}}]}}
  emr: {{sources: [{{name: clusters, region: eu-west-1, endpoint_url: "{aws}"}}]}}
  lambda: {{sources: [{{name: functions, region: eu-west-1, endpoint_url: "{aws}"}}]}}
  kubernetes: {{sources: [{{name: cluster, base_url: "{kubernetes}", token: right, lookback: {since}}}]}}
  databricks: {{sources: [{{name: lakes, base_url: "{databricks}", token: right, lookback: {since}}}]}}
  dataproc:
    sources:
      - {{name: spark, project: shop-prod, region: europe-west3, base_url: "{google}", credentials: "{key}",
          lookback: {since}}}
  snowflake:
    sources:
      - {{name: tasks, account: myorg-prod, token: right, database: SHOP, warehouse: XS, base_url: "{snowflake}",
          lookback: {since}}}
  data_factory:
    sources:
      - {{name: copies, base_url: "{azure}", login_url: "{azure}", tenant: {tenant}, client_id: app,
          client_secret: right, subscription: sub, resource_group: rg-data, factory: adf-prod, lookback: {since}}}
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Generator[House]:
    """All of them were asked once."""
    with (
        pytest.MonkeyPatch.context() as patch,
        moto() as aws,
        PrefectSimulator(NOW, PREFECT) as prefect,
        DagsterSimulator(NOW, DAGSTER) as dagster,
        DataFactorySimulator(NOW, [run(FIRST)], {}, []) as azure,
        Workspace() as databricks,
        Cluster(NOW) as cluster,
        Account() as snowflake,
        Region() as google,
    ):
        databricks.runs = [databricks_run(1)]
        cluster.say("ADDED", "jobs", succeeded())
        ago = (
            datetime.now(UTC) - SNOWFLAKE_NOW
        ).total_seconds() // 60 - 60  # what is older than a week is not asked for
        snowflake.rows = [ran("ROOT", "SUCCEEDED", (ago, ago + 1, ago + 2))]
        google.lists[JOBS] = [job("load-3f2a9c11", "DONE")]
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        setting(aws, stepfunctions={"execute_state_machine": True})
        machines = client("stepfunctions", aws)
        definition = '{"StartAt": "Pause", "States": {"Pause": {"Type": "Wait", "Seconds": 0, "End": true}}}'
        machine = machines.create_state_machine(name="ship", definition=definition, roleArn=ROLE)
        machines.start_execution(stateMachineArn=machine["stateMachineArn"], name="one")
        urls = {
            "prefect": prefect.api_url,
            "dagster": dagster.url,
            "aws": aws,
            "azure": azure.url,
            "kubernetes": cluster.url,
            "databricks": databricks.url,
            "snowflake": snowflake.url,
        }
        folder: Path = tmp_path_factory.mktemp("house")
        urls |= {"google": google.url, "key": str(google.key_file(folder))}
        with running(folder, CONFIG.format(**urls, tenant=TENANT, since=SINCE)) as house:
            yield house


def asked(house: House, name: str) -> dict[str, Any]:
    """The source, once it was asked."""

    def read() -> dict[str, Any] | None:
        known = (each for each in house.items("/api/v1/sources") if each["name"] == name)
        return next((each for each in known if each["last_poll"]), None)

    return until(read, f"a poll of {name}", 180)


@pytest.mark.parametrize(
    ("source", "pipeline"),
    [
        ("flows", "orders"),
        ("assets", "priced"),
        ("machines", "ship"),
        ("copies", "orders_daily"),
        ("lakes", "orders"),
        ("cluster", "etl/nightly"),
        ("tasks", "SHOP.PUBLIC.ROOT"),
        ("spark", "load"),
    ],
)
def test_its_runs_are_there_after_one_poll(house: House, source: str, pipeline: str) -> None:
    known = asked(house, source)
    assert (known["failures"], known["error"]) == (0, None)
    found = house.items(f"/api/v1/runs?namespace={source}&pipeline={pipeline}&top_level=true")
    assert found
    assert {each["state"] for each in found} <= {"succeeded", "failed", "running"}


@pytest.mark.parametrize("source", ["jobs", "models", "clusters", "functions"])
def test_an_account_without_runs_is_no_failure(house: House, source: str) -> None:
    known = asked(house, source)
    assert (known["failures"], known["error"]) == (0, None)
