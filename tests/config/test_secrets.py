"""Secrets: read by reference, never shown, rotated without a restart."""

import copy
import json
import logging
import pickle
from io import StringIO
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from watchtower.clock import ManualClock
from watchtower.errors import ConfigError
from watchtower.secrets import REDACTOR, Redactor, Secret, SecretStore

VALUE = "hunter2-hunter2"


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    token: Secret


def test_no_way_of_showing_a_secret_shows_it() -> None:
    secret = Secret(VALUE)
    settings = Settings(token=secret)
    shown = [
        repr(secret), str(secret), f"{secret}", f"{secret:>20}", f"{secret!r}", repr({"a": [secret]}), repr(settings),
        settings.model_dump_json(), str(settings.model_dump(mode="json")), json.dumps({"a": secret}, default=str),
        repr(pickle.dumps(secret)), secret.reference, repr(pickle.loads(pickle.dumps(secret))),
        str(Settings.model_json_schema()),
    ]  # fmt: skip
    for text in shown:
        assert VALUE not in text
    assert pickle.loads(pickle.dumps(secret)).reveal() == "***"
    assert secret.reveal() == copy.deepcopy(secret).reveal() == VALUE


@pytest.mark.parametrize(
    "given", [7, "", "  ", None, [VALUE], {"a": VALUE}, "vault:secret/x", "aws-sm:x", "env:", "file: "]
)
def test_what_is_no_secret_is_refused_without_being_repeated(given: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"token": given})
    assert VALUE not in json.dumps([error["msg"] for error in caught.value.errors()])


def test_references_of_later_schemes_are_named() -> None:
    with pytest.raises(ConfigError, match=r"vault: is not available yet; known: env:, file:"):
        SecretStore().resolve("vault:secret/data/slack")


def test_equality_is_of_the_values() -> None:
    store = SecretStore(environ={"A": VALUE, "B": VALUE, "C": "other"})
    first, second, third = (Secret(f"env:{name}", store) for name in "ABC")
    assert first == second
    assert hash(first) == hash(second)
    assert first != third
    assert first != VALUE


def test_the_environment_is_read_by_name() -> None:
    store = SecretStore(environ={"TOKEN": f" {VALUE}\n", "EMPTY": " "})
    assert store.resolve("env:TOKEN") == VALUE
    with pytest.raises(ConfigError, match="environment variable MISSING is not set"):
        store.resolve("env:MISSING")
    with pytest.raises(ConfigError, match="EMPTY is empty"):
        store.resolve("env:EMPTY")


def test_a_field_reads_through_the_store_of_its_configuration() -> None:
    store = SecretStore(environ={"TOKEN": VALUE})
    assert Settings.model_validate({"token": "env:TOKEN"}, context={"secrets": store}).token.reveal() == VALUE


def test_a_rotated_file_is_seen_within_a_minute(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "token").write_text("first-value\n")
    store = SecretStore(clock, tmp_path)
    assert store.resolve("file:token") == "first-value"
    (tmp_path / "token").write_text("second-value\n")
    clock.advance(60)
    assert store.resolve("file:token") == "second-value"


@pytest.mark.parametrize("lost", ["gone", "empty", "not text", "too large"])
def test_the_last_good_value_serves_for_an_hour(tmp_path: Path, clock: ManualClock, lost: str) -> None:
    file = tmp_path / "token"
    file.write_text(VALUE)
    store = SecretStore(clock, tmp_path)
    assert store.resolve("file:token") == VALUE
    file.unlink()
    if lost != "gone":
        file.write_bytes({"empty": b"\n", "not text": b"\xff\xfe", "too large": b"x" * 100_000}[lost])
    for _ in range(59):
        clock.advance(60)
        assert store.resolve("file:token") == VALUE
    clock.advance(120)
    with pytest.raises(ConfigError, match="token") as caught:
        store.resolve("file:token")
    assert VALUE not in str(caught.value)
    file.unlink(missing_ok=True)
    file.write_text("back-again")
    assert store.resolve("file:token") == "back-again"


def test_a_file_that_others_can_read_is_complained_about(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(VALUE)
    store = SecretStore(base_dir=tmp_path)
    file.chmod(0o644)
    assert "mode 644" in (store.complaint("file:token") or "")
    file.chmod(0o600)
    assert store.complaint("file:token") is None
    assert store.complaint("env:TOKEN") is None


def test_log_records_are_redacted_in_message_arguments_fields_and_traceback() -> None:
    value = Secret("a-secret-that-was-revealed").reveal()
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s %(extra)s"))
    handler.addFilter(REDACTOR)
    log = logging.Logger("test")
    log.addHandler(handler)
    try:
        raise ValueError(f"bad {value}")
    except ValueError:
        log.exception("sent %s to %d", value, 7, extra={"extra": f"token={value}"})
    assert value not in stream.getvalue()
    assert "sent *** to 7 token=***" in stream.getvalue()
    assert "ValueError: bad ***" in stream.getvalue()


@pytest.mark.parametrize(
    "said",
    [
        "bad request /services/T0/hunter2hunter2 {}",
        "no such page: https://hooks.example.com/services/T0/hunter2hunter2",
        "form url=https%3A%2F%2Fhooks.example.com%2Fservices%2FT0%2Fhunter2hunter2 refused",
        "headers were {'authorization': 'Basic dzpodW50ZXIyaHVudGVyMg=='}",
        "Authorization: bearer hunter2.hunter2-x~y+z/w=",
    ],
)
def test_what_a_provider_sends_back_is_shown_without_the_secret(said: str) -> None:
    redactor = Redactor()
    redactor.learn("https://hooks.example.com/services/T0/hunter2hunter2")
    shown = redactor.redact(said)
    assert "hunter2" not in shown
    assert "dzpodW50" not in shown
    assert "***" in shown


def test_short_values_do_not_black_out_words() -> None:
    redactor = Redactor()
    redactor.learn("a")
    assert redactor.redact("a banana") == "a banana"
