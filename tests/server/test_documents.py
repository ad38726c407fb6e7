"""docs/api.md and docs/access.md say what the code does."""

import re
from enum import StrEnum
from pathlib import Path

from watchtower.model.access import ROLE_PERMISSIONS, SCOPE_PERMISSIONS, Permission, Role, Scope
from watchtower.server import pings
from watchtower.server.endpoints import Open
from watchtower.server.ingest import INGEST_ROUTES
from watchtower.server.routes import ENDPOINTS, PUBLIC_PATHS, SIGNED_PATHS
from watchtower.store.access import LINK_LIFE, SESSION_IDLE, SESSION_LIFE

OPEN: dict[object, str] = {Open.PUBLIC: "none", Open.SIGNED: "signature"}
DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_lists_every_route_with_its_permission() -> None:
    page = (DOCS / "api.md").read_text()
    rows = set(re.findall(r"^\| (\w+) \| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE))
    wanted = {
        (one.method, one.path, OPEN.get(one.permission) or f"`{one.permission.value}`", one.summary)
        for one in ENDPOINTS
    }
    assert rows == wanted
    assert all(f"`POST {path}`" in page for path in INGEST_ROUTES)


def test_the_page_lists_the_public_surface() -> None:
    page = (DOCS / "access.md").read_text()
    section = page.partition("## Public surface")[2].partition("\n## ")[0]
    public, _, rest = section.partition("| Signed path |")
    signed, _, pinged = rest.partition("| Ping path |")
    assert set(re.findall(r"^\| `([^`]+)` \|", public, re.MULTILINE)) == PUBLIC_PATHS
    assert set(re.findall(r"^\| `([^`]+)` \|", signed, re.MULTILINE)) == SIGNED_PATHS
    assert set(re.findall(r"^\| `([^`]+)` \|", pinged, re.MULTILINE)) == set(pings.PATHS)


def test_the_page_says_what_roles_and_scopes_allow() -> None:
    page = (DOCS / "access.md").read_text()
    kinds: list[tuple[type[StrEnum], dict[StrEnum, frozenset[Permission]]]] = [
        (Role, {**ROLE_PERMISSIONS}),
        (Scope, {**SCOPE_PERMISSIONS}),
    ]
    for kind, granted in kinds:
        head = "| Permission | " + " | ".join(f"`{one.value}`" for one in kind) + " |"
        table = page.partition(head)[2].partition("\n\n")[0].strip().splitlines()[1:]
        wanted = [
            f"| `{permission.value}` | "
            + " | ".join("yes" if permission in granted[one] else "–" for one in kind)
            + " |"
            for permission in Permission
        ]
        assert table == wanted


def test_the_lives_of_links_and_sessions_are_those_of_the_page() -> None:
    page = (DOCS / "access.md").read_text()
    assert (LINK_LIFE.total_seconds(), SESSION_LIFE.total_seconds(), SESSION_IDLE.total_seconds()) == (
        3600,
        43200,
        1800,
    )
    for said in ("works once, for an hour", "lasts 12 hours, or 30 minutes without use"):
        assert said in re.sub(r"\s+", " ", page)
