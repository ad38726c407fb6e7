"""Sources at AWS as the composition root makes them, and clients with which tests fill the account."""

import json
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Protocol

import boto3

from watchtower.clock import SystemClock
from watchtower.model.fact import Fact
from watchtower.model.run import RunPatch
from watchtower.model.source import Page, Window
from watchtower.outbound import Outbound
from watchtower.ports import Decoded, PollContext, Received

REGION = "eu-west-1"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Polled(Protocol):
    def decode(self, record: bytes, received: Received) -> Decoded: ...


def context() -> PollContext:
    clock = SystemClock()
    http = Outbound(clock, [ip_network("127.0.0.0/8")])

    def no_runs(source: str, namespace: str, native_run_ids: Any) -> dict[Any, Any]:
        return {}

    return PollContext(clock, http, http.check, lambda namespace: namespace, no_runs, Path())


@cache
def client(service: str, url: str) -> Any:
    """One for all tests: making it takes a good part of a second."""
    factory: Any = boto3.session.Session(region_name=REGION)
    return factory.client(service, endpoint_url=url)


def setting(url: str, **settings: Any) -> None:
    """Of moto itself."""
    request = urllib.request.Request(f"{url}/moto-api/config", json.dumps(settings).encode(), method="POST")
    with _DIRECT.open(request, timeout=20):
        pass


def window(cursor: str | None = None, *, deep: bool = True) -> Window:
    now = datetime.now(UTC)
    return Window(now - timedelta(hours=1), now + timedelta(seconds=1), cursor=cursor, deep=deep)


def decoded(source: Polled, pages: Sequence[Page]) -> list[Fact]:
    facts: list[Fact] = []
    for record in (record for page in pages for record in page.records):
        found = source.decode(record, Received(datetime.now(UTC), "shop"))
        assert (found.rejects, found.skipped) == ((), ()), record
        facts += found.facts
    return facts


def runs(facts: Sequence[Fact], name: str) -> list[RunPatch]:
    return [fact.run for fact in facts if fact.run and fact.run.job.name == name]
