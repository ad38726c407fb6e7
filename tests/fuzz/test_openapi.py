"""The whole API against its own document, /openapi.json, by schemathesis: no 500, and every answer as it says (T21).

EXAMPLES=N: for each operation, caller and kind of input; SEED=N: others than usual.
"""

import os
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import schemathesis
import schemathesis.checks as general_checks
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import datetimes, just
from schemathesis import GenerationMode
from schemathesis.generation.stateful.state_machine import APIStateMachine
from schemathesis.specs.openapi import checks as openapi_checks

from tests.conftest import START
from tests.server.site import Site, running
from tests.server.story import tell
from watchtower.clock import ManualClock
from watchtower.model.access import Scope
from watchtower.server import openapi
from watchtower.server.endpoints import Open
from watchtower.server.routes import ENDPOINTS
from watchtower.store.database import Database
from watchtower.store.migrations import migrate

EXAMPLES = int(os.environ.get("EXAMPLES", "15"))
SEED = int(os.environ.get("SEED", "1"))
BOUNDS: dict[str, Any] = {
    "max_examples": EXAMPLES,
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
OPERATIONS = sorted(
    (method.upper(), path) for path, found in openapi.document(ENDPOINTS)["paths"].items() for method in found
)
OPEN = {(one.method, one.path) for one in ENDPOINTS if isinstance(one.permission, Open)}
PAGES = {(one.method, one.path) for one in ENDPOINTS if one.kind == "page"}
# Scrapers and browsers add parameters of their own, and an operation without any passes over them.
LENIENT = {("GET", "/metrics")} | {(one.method, one.path) for one in ENDPOINTS if not (one.query or one.body)}
# What the document cannot say of a parameter, and a refusal says in words.
IN_WORDS = {
    "/api/v1/costs": "its two days must be in order and not too far apart",
    "/api/v1/audit/verify": "a head is what an earlier verification gave",
    "/api/v1/traces/{id}": "an id is hexadecimal",
}
checks = cast("Any", openapi_checks)  # its functions are only half typed
TRUE_TO_THE_DOCUMENT: list[Any] = [
    cast("Any", general_checks).not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]

schemathesis.openapi.format("date-time", datetimes(timezones=just(UTC)).map(datetime.isoformat))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    """A server with a morning behind it."""
    folder, clock = tmp_path_factory.mktemp("openapi"), ManualClock(START)
    database = Database(f"sqlite:///{folder / 'watchtower.db'}")
    migrate(database, clock)
    with running(database, folder, clock) as site:
        tell(database, clock)
        yield site
    database.close()


def allowed(site: Site) -> dict[str, str]:
    """Headers with a token of their own, which a case may revoke. A manual clock never looks for new ones by itself."""
    token = site.new_token(set(Scope))
    site.app.authenticator.refresh()
    return {"Authorization": f"Bearer {token}"}


def schema_of(site: Site) -> Any:
    """Without its tokens: the tests say who asks."""
    document = site.get("/openapi.json").json()
    del document["security"], document["components"]["securitySchemes"]
    schema: Any = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=site.url)
    return schema


def for_each_case(site: Site, place: tuple[str, str], mode: GenerationMode, ask: Callable[[Any], None]) -> None:
    method, path = place
    cases = schema_of(site)[path][method].as_strategy(generation_mode=mode)
    bounded = settings(phases=[Phase.generate, Phase.shrink], **BOUNDS)
    try:
        seed(SEED)(bounded(given(case=cases)(ask)))()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "an operation without any parameter cannot be asked wrongly"


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize("place", OPERATIONS, ids=" ".join)
def test_every_answer_is_one_that_the_document_tells_of(
    told: Site, place: tuple[str, str], mode: GenerationMode
) -> None:
    method, path = place
    wanted = list(TRUE_TO_THE_DOCUMENT)
    if mode is GenerationMode.NEGATIVE and place not in PAGES | LENIENT:
        wanted.append(checks.negative_data_rejection)
    if mode is GenerationMode.POSITIVE and method == "GET" and path not in IN_WORDS:
        wanted.append(checks.positive_data_acceptance)
    headers = allowed(told)

    def ask(case: Any) -> None:
        query: dict[str, Any] = case.query or {}
        query.pop("cursor", None)  # of a list's own making
        case.call_and_validate(headers=headers, checks=wanted)

    for_each_case(told, place, mode, ask)


@pytest.mark.parametrize("place", OPERATIONS, ids=" ".join)
def test_whatever_is_asked_without_a_token_is_answered_the_same(told: Site, place: tuple[str, str]) -> None:
    refused = 303 if place in PAGES and place[0] == "GET" else 401

    def ask(case: Any) -> None:
        answer = case.call()
        assert place in OPEN or answer.status_code == refused
        case.validate_response(answer, checks=TRUE_TO_THE_DOCUMENT)

    for_each_case(told, place, GenerationMode.POSITIVE, ask)


def test_what_answers_name_can_be_followed_through_the_links(told: Site) -> None:
    """Lists lead to items, and what was made is read, changed and ended, in any order."""

    class Following(schema_of(told).as_state_machine()):
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": headers}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            case.validate_response(response, checks=TRUE_TO_THE_DOCUMENT)

    headers = allowed(told)
    machine: type[APIStateMachine] = Following
    machine.run(  # pyright: ignore[reportUnknownMemberType]
        settings=settings(stateful_step_count=15, derandomize=True, **BOUNDS)
    )
