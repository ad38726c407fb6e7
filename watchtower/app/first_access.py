"""The first way in: the tokens that a start prints for senders, and a link that signs its first visitor in."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from watchtower.model.access import OPERATOR, Person, Role, Scope
from watchtower.ports import Clock
from watchtower.store import access
from watchtower.store.database import Database
from watchtower.store.keys import Keys


@dataclass(frozen=True, slots=True)
class FirstAccess:
    """For whoever starts this installation, and so may do everything anyway. external_url: as people reach it."""

    database: Database
    keys: Keys
    clock: Clock
    external_url: str

    def has_tokens(self) -> bool:
        with self.database.read() as connection:
            return bool(access.live_tokens(connection, self.clock.now()))

    def new_token(self, name: str, scopes: Sequence[Scope]) -> str:
        """The text of a new token, shown this once."""
        now = self.clock.now()
        return self.database.write(
            lambda connection: access.create_token(
                connection, self.keys, name=name, scopes=scopes, created_by="local", now=now
            )
        ).text

    def one_time_link(self) -> str:
        """A link that signs its first visitor in, as the operator of this installation."""
        now = self.clock.now()

        def unit(connection: Connection) -> str:
            if access.get_person(connection, OPERATOR) is None:
                access.put_person(connection, Person(OPERATOR, "Operator", Role.ADMIN, team=None, created_at=now))
            return access.create_link(connection, self.keys, OPERATOR, now)

        return f"{self.external_url}/login?code={self.database.write(unit)}"
