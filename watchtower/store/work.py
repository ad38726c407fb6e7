"""Units of work of one transaction: run together while nothing fails, and each by itself where one did.

One that fails for a reason of its own costs the others nothing; what ends the whole transaction is raised as it is.
"""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from watchtower.store import driver
from watchtower.store.answers import Answer
from watchtower.store.failures import ends_transaction

log = logging.getLogger(__name__)

T = TypeVar("T")
# Works on many payloads at once and answers one result each, in order.
BatchHandler = Callable[[Connection, Sequence[Any]], Sequence[Any]]

AFTER_COMMIT = "after commit"  # in a writing connection's `info`: what to call once its transaction is committed


class Work:
    __slots__ = ("future", "handler", "payload")

    def __init__(self, handler: BatchHandler, payload: Any) -> None:
        self.handler = handler
        self.payload = payload
        self.future: Answer[Any] = Answer()


Result = tuple[Work, Any, BaseException | None]


def run_units(connection: Connection, units: Sequence[Any]) -> Sequence[Any]:
    return [unit(connection) for unit in units]


def _adjacent(group: Sequence[Work]) -> list[list[Work]]:
    batches: list[list[Work]] = []
    for work in group:
        if batches and batches[-1][0].handler is work.handler and work.handler is not run_units:
            batches[-1].append(work)
        else:
            batches.append([work])
    return batches


def answer(results: Sequence[Result]) -> None:
    for work, value, error in results:
        if error is not None:
            work.future.set_exception(error)
        else:
            work.future.set_result(value)


def run_together(connection: Connection, group: Sequence[Work]) -> list[Result]:
    """Without savepoints, since nearly always nothing fails: SQLite keeps a copy of each page that is touched behind
    one, and writes it to a file of its own from 64 KiB on. Raises OfOne if one failed, which must cost no other."""
    try:
        return [result for batch in _adjacent(group) for result in _handled(connection, batch)]
    except Exception as error:
        if len(group) == 1 or (isinstance(error, DBAPIError) and ends_transaction(error)):
            raise
        raise OfOne from error


class OfOne(Exception):
    """A piece of work failed among others, for a reason of its own."""


def _handled(connection: Connection, batch: Sequence[Work]) -> list[Result]:
    values = batch[0].handler(connection, [work.payload for work in batch])
    return [(work, value, None) for work, value in zip(batch, values, strict=True)]


def run_guarded(connection: Connection, group: Sequence[Work]) -> list[Result]:
    """After a failure: each batch by itself, so that it costs the others nothing."""
    return [result for batch in _adjacent(group) for result in _run_batch(connection, batch)]


def _run_batch(connection: Connection, batch: Sequence[Work]) -> list[Result]:
    """Run a batch inside a savepoint; if it fails, each of its payloads alone, so that one cannot cost the others."""
    try:
        with _savepoint(connection, "one_batch"):
            return _handled(connection, batch)
    except _Undone as undone:
        failure = undone.why
    if len(batch) == 1:
        return [(batch[0], None, failure)]
    return [result for work in batch for result in _run_batch(connection, [work])]


def ventured(connection: Connection, work: Callable[[], T]) -> T | None:
    """What work makes, or None if it fails: then nothing of it is written, and the transaction goes on."""
    try:
        with _savepoint(connection, "ventured"):
            return work()
    except _Undone as undone:
        log.error("left for later, since it failed", exc_info=undone.why)
        return None


class _Undone(Exception):
    """What was done since a savepoint is taken back."""

    def __init__(self, why: Exception) -> None:
        super().__init__(why)
        self.why = why


@contextmanager
def _savepoint(connection: Connection, name: str) -> Generator[None]:
    """Raises _Undone if the block fails; an error that ends the whole transaction is raised as it is."""
    calls: list[Callable[[], None]] = connection.info.setdefault(AFTER_COMMIT, [])
    before = len(calls)
    try:
        driver.control(connection, f"SAVEPOINT {name}")
        yield
        driver.control(connection, f"RELEASE SAVEPOINT {name}")
    except DBAPIError as error:
        if ends_transaction(error):
            raise
        failure: Exception = error
    except Exception as error:
        failure = error
    else:
        return
    driver.control(connection, f"ROLLBACK TO SAVEPOINT {name}")
    driver.control(connection, f"RELEASE SAVEPOINT {name}")
    del calls[before:]
    raise _Undone(failure)


def after_commit(connection: Connection, call: Callable[[], None]) -> None:
    """Call once the transaction of this unit of work is committed, and not at all if it is not. From the writer thread,
    before anybody is answered: it must return at once and never raise."""
    calls: list[Callable[[], None]] = connection.info.setdefault(AFTER_COMMIT, [])
    calls.append(call)
