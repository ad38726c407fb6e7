"""Secrets do not stay in what is kept, and scrubbing changes nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.scrub import REDACTED, scrub, scrub_text
from tests.collectors.openlineage import events

SECRET = "hunter2-canary"


def _with_conf(conf: Any) -> Any:
    return events.airflow_dag("START", conf=conf)


def _with_error(message: str) -> Any:
    event = events.airflow_task("FAIL")
    event["run"]["facets"]["errorMessage"] = events.error(message, f"Traceback\n  x\nValueError: {message}\n")
    return event


def _with_source_code() -> Any:
    event = events.airflow_task("START")
    event["job"]["facets"]["sourceCode"] = {"language": "bash", "sourceCode": f"curl -u me:{SECRET} x"}
    return event


def _with_facet(name: str, facet: Any) -> Any:
    event = events.plain("START")
    event["run"]["facets"][name] = facet
    return event


HOLDING: dict[str, Any] = {
    "conf": _with_conf({"db": {"password": SECRET}}),
    "conf in a list": _with_conf({"all": [{"apiKey": SECRET}]}),
    "conf token": _with_conf({"ACCESS_TOKEN": SECRET}),
    "conf text": _with_conf({"command": f"run --x token={SECRET} --y"}),
    "operator environment": events.airflow_task(task_changes={"env": {"DB_PASSWORD": SECRET}}),
    "executor configuration": events.airflow_task(
        task_changes={"executor_config": {"env": [{"name": "API_TOKEN", "value": SECRET}]}}
    ),
    "asset extra": events.airflow_task(
        "COMPLETE",
        task_changes={"outlets": f"[{{'uri': 's3://a', 'extra': {{'api_key': '{SECRET}'}}, 'type': 'asset'}}]"},
    ),
    "source code": _with_source_code(),
    "error": _with_error(f"login failed: password={SECRET}"),
    "error with a header": _with_error(f"401 for Authorization: Bearer {SECRET}"),
    "error with an address": _with_error(f"cannot reach postgres://etl:{SECRET}@db:5432/shop"),
    "environment facet": _with_facet(
        "environmentVariables", {"environmentVariables": [{"name": "AWS_SECRET_ACCESS_KEY", "value": SECRET}]}
    ),
    "parameters facet": _with_facet("executionParameters", {"parameters": [{"key": "db.password", "value": SECRET}]}),
    "spark properties": _with_facet(
        "spark_properties", {"properties": {"spark.hadoop.fs.s3a.secret.key": "x", "a.password": SECRET}}
    ),
    "dataset address": events.plain(outputs=[events.dataset(f"postgres://etl:{SECRET}@db:5432", "shop.t")]),
}


@pytest.mark.parametrize("place", HOLDING)
def test_a_secret_is_neither_kept_nor_told(place: str) -> None:
    assert SECRET in json.dumps(HOLDING[place])
    fact = events.fact_of(HOLDING[place])
    assert SECRET.encode() not in fact.body
    assert SECRET not in repr(fact)


@pytest.mark.parametrize("place", HOLDING)
def test_what_was_kept_is_the_same_fact_when_it_is_replayed(place: str) -> None:
    fact = events.fact_of(HOLDING[place])
    again = events.fact_of(fact.body)
    assert again == fact


def test_a_secret_is_not_kept_in_the_quarantine_either() -> None:
    event = _with_conf({"password": SECRET})
    del event["run"]["runId"]
    (reject,) = events.send(event).rejects
    assert SECRET.encode() not in reject.body
    assert json.loads(reject.body)["job"] == event["job"]


def test_what_holds_no_secret_is_kept_byte_for_byte() -> None:
    for event in (_with_conf({"region": "us"}), events.airflow_task("FAIL"), events.dbt_node("FAIL"), events.plain()):
        body = json.dumps(event, indent=1).encode()
        assert events.fact_of(body).body == body


def test_names_are_no_secrets() -> None:
    """A job called `token:refresh` is not every job whose name says token."""
    event = _with_conf({"password": SECRET})
    event["job"]["name"] = "token:refresh"
    event["run"]["facets"]["airflowDagRun"]["dag"]["dag_id"] = "token:refresh"
    run = events.run_of(event)
    assert run.job.pipeline == "token:refresh"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("password=abc next", "password=*** next"),
        ("DB_PASSWORD: 'a b'", "DB_PASSWORD: ***"),
        ('{"apiToken": "abc"}', '{"apiToken": ***}'),
        ("airflow.InvalidToken: it expired", "airflow.InvalidToken: it expired"),
        ("KeyError: 'token'", "KeyError: 'token'"),
        ("postgres://u:p@h/d and s3://b/k", "postgres://u:***@h/d and s3://b/k"),
        ("mail a@b.example", "mail a@b.example"),
        ("10 tokens were read", "10 tokens were read"),
    ],
)
def test_texts_lose_what_is_assigned_to_a_secret_name(text: str, clean: str) -> None:
    assert scrub_text(text) == clean
    assert scrub_text(clean) == clean


def test_empty_values_and_switches_are_kept() -> None:
    value: Any = {"password": "", "token": None, "use_token": True, "secrets": {}, "api_key": []}
    assert scrub(value) is value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["token=abc", "://a:b@c", "password"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text() | st.sampled_from(["password", "name", "value", "api_key", "sourceCode"]), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(JSON)
def test_scrubbing_twice_is_scrubbing_once(value: Any) -> None:
    once = scrub(value)
    assert scrub(once) == once
    assert scrub({"password": "x"}) == {"password": REDACTED}
