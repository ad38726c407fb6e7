"""Lists that come in pages. Each list has an end, or the poll fails and says so: what is left out would count as read.

A server that leads back to a page it gave before would be asked for ever, as would one that gives the same rows at
whatever number.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from watchtower.errors import Reason, Transient

T = TypeVar("T")

MOST_PAGES: Final = 20_000  # of one list


def pages(call: str, ask: Callable[[str], T], next_of: Callable[[T], Any]) -> Iterator[T]:
    """Each page of a list. call: in messages; ask: for the page that a token leads to, "" for the first; next_of: the
    token that a page leads on with, nothing at the end."""
    token, followed = "", {""}
    for _ in range(MOST_PAGES):
        page = ask(token)
        yield page
        token = str(next_of(page) or "")
        if not token:
            return
        if token in followed:
            raise _leads_back(call)
        followed.add(token)
    raise _endless(call)


def numbered_pages(
    call: str, ask: Callable[[int], Sequence[T]], size: int, ident: Callable[[T], str]
) -> Iterator[Sequence[T]]:
    """Pages of a list that is read by number, until one is not full; an empty one is not told. ask: for the rows from a
    number on, size of them at most. Rows that come in front meanwhile push others back, which are told twice then."""
    told: set[str] = set()
    for number in range(MOST_PAGES):
        rows = ask(number * size)
        named = {ident(row) for row in rows}
        if rows:
            yield rows
        if len(rows) < size:
            return
        if named <= told:
            raise _leads_back(call)
        told |= named
    raise _endless(call)


def _leads_back(call: str) -> Transient:
    return Transient(Reason.BAD_ANSWER, f"{call}: a page leads back to what was read before; the server repeats itself")


def _endless(call: str) -> Transient:
    return Transient(Reason.BAD_ANSWER, f"{call}: more than {MOST_PAGES:,} pages; a shorter `lookback` reads less")
