"""People: who may sign in, as what, and the one-time links by which they do."""

from datetime import datetime
from typing import Annotated

import msgspec

from watchtower.errors import BadInput
from watchtower.model.access import Person, Role
from watchtower.server.endpoints import Call, known, not_found, one_of
from watchtower.store import access
from watchtower.store.audit import Entry
from watchtower.store.database import Connection


class PersonItem(msgspec.Struct, frozen=True):
    """id: the name under which this person acts, `person:<id>` in the audit chain. team null: of all teams."""

    id: str
    name: str
    role: str
    team: str | None
    created_at: datetime


class PersonList(msgspec.Struct, frozen=True):
    """All of them; next_cursor is always null."""

    items: list[PersonItem]
    next_cursor: str | None = None


class PersonBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(extra_json_schema={"minLength": 1, "maxLength": 100})]
    role: Annotated[str, known(Role)]
    name: Annotated[str, msgspec.Meta(extra_json_schema={"maxLength": 200})] = ""
    team: str | None = None

    def __post_init__(self) -> None:
        if not self.id.strip() or len(self.id) > 100 or len(self.name) > 200:
            raise ValueError("a person needs an id of 1 to 100 characters and a name of at most 200")


class LinkItem(msgspec.Struct, frozen=True):
    """url: relative if the server does not know its own address. It opens one session, and only within its hour."""

    person: str
    url: str
    expires_at: datetime


class Removed(msgspec.Struct, frozen=True):
    removed: str


def list_people(call: Call) -> PersonList:
    return PersonList([_item(person) for person in call.read(access.list_people)])


def put_person(call: Call) -> PersonItem:
    """Add someone, or change name, role and team of someone who is there."""
    body = call.sent(PersonBody)
    role = Role(one_of("role", [body.role], Role)[0])

    def work(connection: Connection) -> tuple[Person | None, Entry]:
        before = access.get_person(connection, body.id)
        access.put_person(connection, Person(body.id, body.name or body.id, role, body.team, call.now))
        after = access.get_person(connection, body.id)
        return after, call.entry("person.put", f"person:{body.id}", before=_for_audit(before), after=_for_audit(after))

    person = call.write(work)
    assert person is not None
    return _item(person)


def remove_person(call: Call) -> Removed:
    """Remove someone: their sessions and links end at once, what they did stays in the audit chain."""
    ident = call.path["id"]
    if call.principal.actor == f"person:{ident}":
        raise BadInput("you cannot remove yourself; let another administrator do it")

    def work(connection: Connection) -> tuple[None, Entry]:
        before = access.get_person(connection, ident)
        if not access.remove_person(connection, ident, call.now):
            raise not_found("person", ident)
        return None, call.entry("person.remove", f"person:{ident}", before=_for_audit(before))

    call.write(work)
    return Removed(ident)


def create_link(call: Call) -> LinkItem:
    """A one-time link by which this person signs in."""
    ident = call.path["id"]

    def work(connection: Connection) -> tuple[str, Entry]:
        if access.get_person(connection, ident) is None:
            raise not_found("person", ident)
        code = access.create_link(connection, call.services.keys, ident, call.now)
        return code, call.entry("link.create", f"person:{ident}")

    url = f"{call.services.settings.external_url}/login?code={call.write(work)}"
    return LinkItem(ident, url, call.now + access.LINK_LIFE)


def _item(person: Person) -> PersonItem:
    return PersonItem(person.id, person.name, person.role.value, person.team, person.created_at)


def _for_audit(person: Person | None) -> dict[str, str | None] | None:
    return None if person is None else {"name": person.name, "role": person.role.value, "team": person.team}
