"""A whole server on loopback for tests: real sockets, a real store, tokens of every kind."""

import json
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import urllib3

from watchtower.clock import ManualClock
from watchtower.model.access import Person, Role, Scope
from watchtower.ports import Clock
from watchtower.registry import COLLECTORS
from watchtower.server.application import Application, create_app
from watchtower.server.runner import Address, Server
from watchtower.server.services import Services, Settings
from watchtower.spool import Spool
from watchtower.store import access, facts
from watchtower.store.database import Database
from watchtower.store.facts import Intake
from watchtower.store.keys import Keys

CLIENT = urllib3.PoolManager(retries=False, timeout=20.0)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Site:
    server: Server
    app: Application
    services: Services
    tokens: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def url(self) -> str:
        return self.server.url

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json_body: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """token: a kind of `tokens`, or the text itself."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {self.tokens.get(token, token)}"
        if json_body is not None:
            body = json.dumps(json_body).encode()
            sent.setdefault("Content-Type", "application/json")
        answer = CLIENT.request(method, self.url + path, body=body, headers=sent, redirect=False)
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data)

    def get(self, path: str, token: str = "read", **options: Any) -> Answer:
        return self.request("GET", path, token=token, **options)

    def post_event(self, body: Any, path: str = "/api/v1/lineage", **options: Any) -> Answer:
        return self.request("POST", path, token=options.pop("token", "ingest"), json_body=body, **options)

    def new_token(self, scopes: Collection[Scope], **options: Any) -> str:
        make = partial(access.create_token, name="test", scopes=scopes, created_by="person:admin", **options)
        services = self.services
        return services.database.write(lambda c: make(c, services.keys, now=services.clock.now())).text

    def sign_in(self, role: Role = Role.ADMIN, team: str | None = None) -> str:
        """The Cookie header of a new session of a person with this role."""
        services = self.services
        person = Person(f"some-{role.value}", f"A {role.value}", role, team, services.clock.now())

        def unit(connection: access.Connection) -> str:
            access.put_person(connection, person)
            return access.create_link(connection, services.keys, person.id, services.clock.now())

        code = services.database.write(unit)
        answer = self.request(
            "POST",
            "/login",
            body=f"code={code}".encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status == 303, answer.body
        return answer.headers["set-cookie"].partition(";")[0]

    def form_token(self, cookie: str) -> str:
        return access.form_token(self.services.keys, cookie.partition("=")[2])


@contextmanager
def running(
    database: Database,
    folder: Path,
    clock: Clock,
    *,
    settings: Settings | None = None,
    change: Callable[[Services], None] = lambda services: None,
    spool_bytes: int = 1 << 20,
) -> Generator[Site]:
    spool = Spool(folder / "spool", max_bytes=spool_bytes)
    services = Services(
        database=database,
        clock=clock,
        keys=Keys.random(),
        spool=spool,
        collectors={kind: COLLECTORS.get(kind)() for kind in COLLECTORS},
        append=lambda some, quarantined=(), batches=(): facts.append(
            database, Intake(some, quarantined, batches=batches)
        ),
        settings=settings or Settings(),
    )
    change(services)
    app = create_app(services)
    server = Server(app, [Address(port=0)])
    server.start()
    site = Site(server, app, services)
    for scope in Scope:
        site.tokens[scope.value] = site.new_token({scope})
    try:
        yield site
    finally:
        server.stop()
        spool.close()


def event(
    clock: Clock, run_id: str = "11111111-1111-1111-1111-111111111111", event_type: str = "START", **changes: Any
) -> dict[str, Any]:
    """An OpenLineage run event of this moment."""
    return {
        "eventTime": iso(clock.now()),
        "eventType": event_type,
        "producer": "https://example.org/producer",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run_id},
        "job": {"namespace": "prod", "name": "orders_hourly"},
        "inputs": [],
        "outputs": [],
        **changes,
    }


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def later(clock: ManualClock, seconds: float) -> datetime:
    return clock.now() + timedelta(seconds=seconds)


def with_settings(**changes: Any) -> Settings:
    return replace(Settings(), **changes)
