"""What the operator wants taken out, and tokens that are known by their shape."""

import json
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors import scrub_own
from collectors.openlineage import OpenLineage
from collectors.scrub import REDACTED, scrub, scrub_text
from tests.app.house import running
from tests.collectors.openlineage import events
from watchtower.config import examine
from watchtower.ports import Received

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"
SHAPES = {
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "github": "ghp_" + "a1B2" * 9,
    "gitlab": "glpat-" + "x" * 20,
    "slack": "xoxb-" + "123456789012-abcdef",
    "jwt": JWT,
    "stripe": "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "google": "AIza" + "S" * 35,
    "pem": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\n-----END RSA " + "PRIVATE KEY-----",
    "ours": "wt_ingest_abcdefghijkl_" + "A" * 32 + "_0123abcd",
}


@pytest.fixture
def own() -> Generator[None]:
    scrub_own.use(["ssn", "*_iban"], ["customer", "email"], [r"\b\d{3}-\d{2}-\d{4}\b"], b"key")
    yield
    scrub_own.use([], [], [], b"")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_token_is_known_by_its_shape_wherever_it_stands(shape: str) -> None:
    token = SHAPES[shape]
    assert scrub_text(f"said {token} and went on") == "said *** and went on"
    assert scrub({"note": [f"x {token}"]}) == {"note": ["x ***"]}
    event = events.airflow_task("FAIL")
    event["run"]["facets"]["errorMessage"] = events.error(f"refused {token}", "")
    (fact,) = OpenLineage().decode(json.dumps(event).encode(), Received(NOW)).facts
    assert token.encode() not in fact.body
    assert fact.run
    assert fact.run.error
    assert fact.run.error.message == "refused ***"


@pytest.mark.parametrize("text", ["eyJhbGci", "AKIA", "ghp_short", "wt_success finished", "the xoxb- prefix"])
def test_what_only_begins_like_one_is_kept(text: str) -> None:
    assert scrub_text(text) is text


def test_fields_are_removed_and_hashed_and_texts_are_searched(own: None) -> None:
    said = {
        "SSN": "1",
        "my_iban": {"a": 1},
        "customer": "ada",
        "other": "call 123-45-6789",
        "deep": [{"email": "a@b.c"}],
    }
    clean = scrub(said)
    assert (clean["SSN"], clean["my_iban"], clean["other"]) == (REDACTED, REDACTED, "call ***")
    assert clean["customer"].startswith("sha256:")
    assert clean["customer"] != clean["deep"][0]["email"]
    assert scrub({"customer": "ada"})["customer"] == clean["customer"], "the same value has the same digest"
    assert scrub(clean) is clean, "scrubbing twice gives what scrubbing once gave"


def test_a_digest_depends_on_the_key_of_the_installation(own: None) -> None:
    before = scrub({"customer": "ada"})
    scrub_own.use([], ["customer"], [], b"another key")
    assert scrub({"customer": "ada"}) != before


def test_every_event_is_looked_at_once_something_is_configured(own: None) -> None:
    event = events.plain("START")
    event["run"]["facets"]["custom"] = {"customer": "ada", "note": "123-45-6789"}
    (fact,) = OpenLineage().decode(json.dumps(event).encode(), Received(NOW)).facts
    assert b"ada" not in fact.body
    assert b"123-45-6789" not in fact.body


def test_a_pattern_that_is_none_is_a_fault_of_the_file() -> None:
    checked = examine("scrub: {patterns: ['(']}")
    assert [fault.path for fault in checked.faults] == ["scrub.patterns"]


def test_the_file_and_a_reload_say_what_is_taken_out(tmp_path: Path) -> None:
    with running(tmp_path, "scrub: {keys: [ssn]}", live=False) as house:
        assert scrub({"ssn": "1", "iban": "2"}) == {"ssn": REDACTED, "iban": "2"}
        house.rewrite("scrub: {keys: [iban]}")
        house.instance.reload()
        assert scrub({"ssn": "1", "iban": "2"}) == {"ssn": "1", "iban": REDACTED}
        house.rewrite("")
        house.instance.reload()
    assert scrub({"iban": "2"}) == {"iban": "2"}
