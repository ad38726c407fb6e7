"""One secret of its own in each field that takes one; none of them is found anywhere but where it belongs.

Every provider and every source answers with all that it was sent, headers and path included, as a careless proxy would:
what is kept of such an answer for people must not give the secret away either.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import urllib3
import yaml
from pydantic import BaseModel

from alerting.destinations import channel_type
from tests.app.house import event
from tests.e2e.watchtower_server import WatchtowerServer
from tests.services.ports import free_port
from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.clock import SystemClock
from watchtower.registry import Registries
from watchtower.secrets import Secret
from watchtower.server import openapi
from watchtower.server.routes import ENDPOINTS

HTTP = urllib3.PoolManager(retries=False, timeout=20.0)
TWILIO = {"account_sid": "AC" + "0" * 32, "from": "+4915112345670", "to": "+4915112345678"}
JIRA = {"api_type": "cloud", "project": "OPS", "issue_type": "Task"}


class Echo(HttpSimulator):
    """Refuses everything, and says what it was sent."""

    def answer(self, request: Recorded) -> Reply:
        said = {"message": f"bad request {request.path} {dict(request.headers)} {request.body.decode('latin-1')}"}
        self.ledger.append(request)
        return Reply.of_json({**said, "error": said["message"], "errors": [said["message"]]}, 400)


class Canaries:
    """Each `new` one is a further secret, put into the environment and named by its reference."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.values: dict[str, str] = {}

    def new(self, before: str = "", after: str = "") -> str:
        """before, after: what of the secret is no secret, such as the address of a webhook."""
        name = f"WT_CANARY_{len(self.values)}"
        self.values[name] = hashlib.sha256(name.encode()).hexdigest()[:32]
        self._monkeypatch.setenv(name, before + self.values[name] + after)
        return f"env:{name}"

    def found_in(self, data: bytes) -> set[str]:
        """Names of those that stand in data, also as Basic authentication would show them."""
        return {name for name, value in self.values.items() if any(form in data for form in _forms(value.encode()))}


def _forms(value: bytes) -> list[bytes]:
    """Itself, and the middle of its base64 wherever it begins within three bytes."""
    return [value, *(base64.b64encode(b"x" * before + value)[4:-4] for before in range(3))]


def receivers(url: str, canary: Canaries, closed: int) -> list[dict[str, Any]]:
    new = canary.new
    basic = {"basic_auth": {"username": "bot", "password": new()}}
    bearer = {"authorization": {"credentials": new()}}
    header = {"http_headers": {"X-Key": {"secrets": [new()]}}}
    return [
        {
            "name": "everybody",
            "webhook_configs": [
                {"url": new(f"{url}/hook/"), "signing_secrets": [new()], "http_config": header},
                {"url": new(f"{url}/hook/"), "http_config": basic},
                {"url": new(f"{url}/hook/"), "http_config": bearer},
            ],
            "slack_configs": [
                {"app_token": new(), "base_url": url, "channel": "C0000000001", "signing_secret": new()},
                {"app_token": new(), "base_url": url, "channel": "C0000000001", "signing_secrets": [new()]},
                {"api_url": new(f"{url}/services/")},
            ],
            "email_configs": [
                {
                    **{"to": "a@example.com", "from": "w@example.com", "smarthost": f"localhost:{closed}"},
                    **{"auth_username": "w", "auth_password": new(), "auth_secret": new()},
                }
            ],
            "sms_configs": [
                {**TWILIO, "base_url": url, "auth_token": new(), "signing_secrets": [new()]},
                {**TWILIO, "base_url": url, "api_key": "SK" + "0" * 32, "api_secret": new()},
            ],
            "voice_configs": [
                {**TWILIO, "base_url": url, "auth_token": new(), "signing_secrets": [new()]},
                {**TWILIO, "base_url": url, "auth_token": new(), "api_key": "SK" + "0" * 32, "api_secret": new()},
            ],
            "pagerduty_configs": [
                {"routing_key": new(), "url": f"{url}/v2/enqueue"},
                {"service_key": new(), "url": f"{url}/v2/enqueue"},
            ],
            "request_tracker_configs": [
                {"base_url": url, "queue": "General", "username": "w", "password": new()},
                {"base_url": url, "queue": "General", "token": new()},
            ],
            "jira_configs": [{**JIRA, "api_url": url, "http_config": {"authorization": {"credentials": new()}}}],
            "servicenow_configs": [{"base_url": url, "username": "w", "password": new()}],
            "zendesk_configs": [
                {"base_url": url, "email": "w@example.com", "api_token": new()},
                {"base_url": url, "oauth_token": new()},
            ],
        }
    ]


def collectors(url: str, canary: Canaries, closed: int) -> dict[str, Any]:
    """All that is asked with a secret; the name of each source says its kind."""
    new, host = canary.new, url.removeprefix("http://")
    azure = {"tenant": "t", "client_id": "c", "login_url": url}
    snowflake = {"account": "ORG-PROD", "database": "OPS", "warehouse": "SMALL", "base_url": url}
    sasl = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "w"}
    sources: dict[str, list[dict[str, Any]]] = {
        "airflow": [
            {"base_url": url, "username": "w", "password": new()},
            {"base_url": url, "token": new()},
        ],
        "prefect": [
            {"base_url": f"{url}/api", "api_key": new()},
            {"base_url": f"{url}/api", "password": new("w:")},
        ],
        "dagster": [{"base_url": url, "api_token": new()}],
        "kafka": [{"brokers": [f"127.0.0.1:{closed}"], "options": {**sasl, "sasl.password": new()}}],
        "kubernetes": [{"base_url": url, "token": new()}],
        "dataset_probe": [
            {"url": new("postgresql://w:", f"@127.0.0.1:{closed}/shop"), "tables": [{"table": "orders"}]}
        ],
        "object_probe": [
            {
                **{"place": "s3://bucket/in", "region": "eu-west-1", "endpoint_url": url, "files": [{"name": "*.csv"}]},
                **{"access_key_id": "AKIA0000000000000000", "secret_access_key": new()},
            },
            {"place": f"https://{host}/partner", "sas": new("sv=1&sig="), "files": [{"name": "*.csv"}]},
            {"place": f"https://{host}/in", "azure": {**azure, "client_secret": new()}, "files": [{"name": "*.csv"}]},
        ],
        "dependency_probe": [{"http": url, "headers": {"X-Key": new()}, "failures": 1}],
        "data_factory": [{**azure, "client_secret": new(), "subscription": "s", "resource_group": "g", "factory": "f"}],
        "azure_ml": [
            {
                **azure,
                "client_secret": new(),
                "subscription": "s",
                "resource_group": "g",
                "workspace": "w",
                "region": "r",
            }
        ],
        "power_bi": [{**azure, "client_secret": new(), "workspaces": ["11111111-0000-4000-8000-000000000000"]}],
        "tableau": [{"base_url": url, "site": "s", "token_name": "w", "token": new()}],
        "databricks": [{"base_url": url, "token": new()}],
        "snowflake": [
            {**snowflake, "token": new()},
            {**snowflake, "user": "W", "private_key": new(), "passphrase": new()},
        ],
    }
    made: dict[str, Any] = {
        kind: {"sources": [{"name": f"{kind}-{number}", **each} for number, each in enumerate(some)]}
        for kind, some in sources.items()
    }
    hooks = {"github": {"system": "github", "secret": new(), "previous_secret": new()}}
    return {**made, "ci": {"hooks": hooks}}


def secret_fields(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        for kind in _flat(field.annotation):
            if kind is Secret:
                yield name
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from secret_fields(kind)


def _flat(annotation: Any) -> Iterator[Any]:
    inner = get_args(annotation)
    for each in inner:
        yield from _flat(each)
    if not inner:
        yield annotation


def test_every_field_that_takes_a_secret_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    (everybody,) = receivers("http://127.0.0.1", Canaries(monkeypatch), 1)
    http_config = {"credentials", "password", "secrets"}
    for name in Registries().destinations:
        tried = json.dumps(everybody.get(f"{name}_configs", []))
        lacking = {
            field for field in set(secret_fields(channel_type(name).Config)) - http_config if f'"{field}"' not in tried
        }
        assert not lacking, f"{name}_configs: {lacking}"
    assert all(f'"{field}"' in json.dumps(everybody) for field in http_config)
    asked = collectors("http://127.0.0.1", Canaries(monkeypatch), 1)
    for name in Registries().collector_kinds:
        tried = json.dumps(asked.get(name, {}))
        fields = set(secret_fields(Registries().collector(name).Config))
        assert not (lacking := {field for field in fields if f'"{field}"' not in tried}), f"{name}: {lacking}"


def test_no_secret_is_found_where_it_does_not_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = Canaries(monkeypatch)
    with Echo(SystemClock().now()) as echo:
        config: dict[str, Any] = {
            "server": {"external_url": "https://watchtower.example.com"},
            "outbound": {"allow": ["127.0.0.0/8"]},
            "heartbeat": {"url": canary.new(f"{echo.url}/ping/")},
            "route": {"receiver": "everybody", "group_wait": "0s"},
            "receivers": receivers(echo.url, canary, free_port()),
            "collectors": collectors(echo.url, canary, free_port()),
        }
        sources = sum(len(each.get("sources", ())) for each in config["collectors"].values())
        with WatchtowerServer(tmp_path, free_port(), yaml.safe_dump(config)) as watchtower:
            destinations = sum(len(each) for key, each in config["receivers"][0].items() if key.endswith("_configs"))
            token = watchtower.command("token", "create", "canary", "--scope", "admin", "--scope", "ingest").strip()
            canary.values["the token"] = token.rpartition("_")[0].rpartition("_")[2]
            post(watchtower.url, token)
            watchtower.wait_for(
                "every provider was asked", lambda: asked(watchtower.url, token) >= destinations or None, timeout_s=120
            )
            watchtower.wait_for(
                "every source was asked", lambda: failed(watchtower.url, token) >= sources or None, timeout_s=240
            )
            command_line = Path(f"/proc/{watchtower.pid}/cmdline").read_bytes()
            shown = {path: get(watchtower.url, path, token) for path in readable()}
            shown |= {
                f"watchtower {' '.join(words)}": watchtower.command(*words).encode()
                for words in (
                    ("check",),
                    ("doctor",),
                    ("deliveries",),
                    ("incidents",),
                    ("sources",),
                    ("backup", str(tmp_path / "backup")),
                    ("route", "test", "severity=page"),
                )
            }
        assert len(canary.found_in(repr(echo.ledger).encode())) >= destinations - 3, "providers themselves are told"
        places = {"its arguments": command_line, "the log": watchtower.log_bytes, **shown}
        for folder in (watchtower.state, tmp_path / "backup"):
            found = {str(file.relative_to(tmp_path)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
            assert found, f"there is nothing in {folder}"
            places |= found
    told = {place: names for place, data in places.items() if (names := canary.found_in(data))}
    assert not told
    assert len(canary.values) > 45


def post(url: str, token: str) -> None:
    """A run that fails after a token was put where no token belongs."""
    now = SystemClock().now()
    events = [event(now, kind, "orders_daily", "5d4f3c2b-1a09-4876-8543-210fedcba987") for kind in ("START", "FAIL")]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    assert HTTP.request("POST", f"{url}/api/v1/lineage/batch", json=events, headers=headers).status == 200
    for path in (f"/api/v1/runs?pipeline={token}", f"/nothing/{token}", f"/login?code={token}"):
        HTTP.request("GET", url + path, headers={"Authorization": f"Bearer {token}x"})


def get(url: str, path: str, token: str) -> bytes:
    return HTTP.request("GET", url + path, headers={"Authorization": f"Bearer {token}"}).data


def asked(url: str, token: str) -> int:
    """Destinations that were tried, and have answered."""
    items = json.loads(get(url, "/api/v1/ledger?limit=1000", token))["items"]
    return len({item["destination"] for item in items if item["attempts"] and item["state"] != "sending"})


def failed(url: str, token: str) -> int:
    """Sources that were asked, and could not be read."""
    items = json.loads(get(url, "/api/v1/sources?limit=1000", token))["items"]
    return sum(bool(item["error"] or item["problems"]) for item in items)


def readable() -> list[str]:
    """Every list of the API, and the pages that need no id."""
    document: Any = openapi.document(ENDPOINTS)["paths"]
    return [path for path, found in document.items() if "get" in found and "{" not in path]
