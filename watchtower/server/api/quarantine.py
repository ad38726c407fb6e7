"""`/api/v1/quarantine`: what came in and could not be understood, and another try at it."""

import msgspec

from watchtower.server.endpoints import Call, ListQuery, Moment, Problem, cut_page
from watchtower.store import facts
from watchtower.store.audit import Entry
from watchtower.store.database import Connection
from watchtower.store.reading import quarantine as reading
from watchtower.store.reading.quarantine import Item

MOST = 100  # of one request: each is decoded and stored before the next


class QuarantineItem(msgspec.Struct, frozen=True):
    """size: bytes of the body, of which head is the beginning, as text."""

    id: int
    collector: str
    source: str | None
    reason: str
    message: str
    received_at: Moment
    attempts: int
    size: int
    head: str


class QuarantineList(msgspec.Struct, frozen=True):
    items: list[QuarantineItem]
    next_cursor: str | None


class QuarantineQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """from and to: of the time of receipt."""

    collector: str | None = None
    reason: str | None = None


def list_quarantine(call: Call) -> QuarantineList:
    _check_team(call)
    query = call.asked(QuarantineQuery)
    page = call.read(lambda c: reading.listed(c, call.window(query), collector=query.collector, reason=query.reason))
    return QuarantineList(*cut_page(page, _item))


class ReplayBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """after: `last` of the answer before; 0 begins with the oldest."""

    after: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.after < 1 << 63:
            raise ValueError("after is no id of the quarantine")


class Replayed(msgspec.Struct, frozen=True):
    """kept: how many were tried; understood: of them, which have left the quarantine; last: where to go on."""

    kept: int
    understood: int
    last: int


def replay(call: Call) -> Replayed:
    """Decode and store up to 100 of them as they were received; a repeat changes nothing. What is understood now leaves
    the quarantine."""
    _check_team(call)
    take_again = call.services.take_again
    if take_again is None:
        raise Problem(409, "this server takes nothing again", slug="no_replay")
    after = call.sent(ReplayBody).after
    found = call.read(lambda c: facts.in_quarantine(c, after=after, limit=MOST))
    if not found:
        return Replayed(0, 0, after)
    database = call.services.database
    database.write(lambda connection: facts.begin_again(connection, [ident for ident, _ in found]))
    done = [ident for ident, item in found if take_again(ident, item)]

    def work(connection: Connection) -> tuple[None, Entry]:
        facts.release(connection, done)
        told = {"tried": len(found), "understood": len(done)}
        return None, call.entry("quarantine.replay", "quarantine", after=told)

    call.write(work)
    return Replayed(len(found), len(done), found[-1][0])


def _check_team(call: Call) -> None:
    """Nobody knows whose it is, so it is for those who may see every team's."""
    if call.principal.team is not None:
        raise Problem(403, "what is in quarantine belongs to no team that is known", slug="forbidden")


def _item(item: Item) -> QuarantineItem:
    return QuarantineItem(
        id=item.id,
        collector=item.collector,
        source=item.source,
        reason=item.reason,
        message=item.message,
        received_at=item.received_at,
        attempts=item.attempts,
        size=item.size,
        head=item.head.decode("utf-8", "replace"),
    )
