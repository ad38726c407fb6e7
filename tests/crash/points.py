"""The points at which a process is killed, in one table, and the trap that kills it there.

A point is a function of the product and a moment: before it, after it, or (for what runs inside a transaction) after
the commit and before anybody is answered; or the half of what is sent. The trap wraps these functions in a process
that is about to die; the product has no hooks for it.
"""

import functools
import inspect
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from random import Random
from typing import Any

from watchtower.server import ingest
from watchtower.store import database

KILLED = 137  # the exit status of what `kill -9` ends, as shells tell it
OTHERS_S = 0.03  # before it dies: whatever does not wait for this thread, and should, goes on meanwhile
BEFORE, AFTER, HALF, COMMITTED = "before", "after", "half", "committed"


@dataclass(frozen=True, slots=True)
class Point:
    """where: `module:attribute`. nth: at which passing; a table has the first, `passed` finds the others."""

    stage: str
    name: str
    where: str
    when: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.stage}: {self.name}, passing {self.nth}"


ANSWER = "answer"  # of an ingest request; not a function, see _watch_answers
CONNECT, SEND, RECEIVE = (f"socket:socket.{name}" for name in ("connect", "sendall", "recv_into"))


def _transaction(stage: str, name: str, where: str) -> tuple[Point, ...]:
    """The three points of what is written in one transaction."""
    return (
        Point(stage, f"{name}: transaction begun", where, BEFORE),
        Point(stage, f"{name}: written, not committed", where, AFTER),
        Point(stage, f"{name}: committed, nobody knows", where, COMMITTED),
    )


def _exchange(stage: str) -> tuple[Point, ...]:
    """What is said to a provider and heard from it, whichever protocol and client carries it."""
    return (
        Point(stage, "before connecting", CONNECT, BEFORE),
        Point(stage, "connected", CONNECT, AFTER),
        Point(stage, "half of a part sent", SEND, HALF),
        Point(stage, "a part sent", SEND, AFTER),
        Point(stage, "a part of the answer read", RECEIVE, AFTER),
    )


_OUTBOX = "watchtower.store.outbox"
_ATTEMPTS = "watchtower.store.attempts"

POINTS: tuple[Point, ...] = (
    Point("ingest", "body read", "watchtower.server.receiving:Receiver.decode", BEFORE),
    Point("ingest", "parsed", "watchtower.server.receiving:Receiver.decode", AFTER),
    *_transaction("ingest", "event", "watchtower.store.facts:append_all"),
    Point("ingest", "event inserted, not folded", "watchtower.store.facts:_insert", AFTER),
    Point("ingest", "folded, subjects not due", "watchtower.store.facts:_mark", BEFORE),
    Point("ingest", "before the answer", ANSWER, BEFORE),
    Point("ingest", "half of the answer", ANSWER, HALF),
    Point("ingest", "answered", ANSWER, AFTER),
    Point("rules", "before the claim", "watchtower.store.subjects:Subjects.claim_due_subjects", BEFORE),
    Point("rules", "claimed", "watchtower.store.subjects:Subjects.claim_due_subjects", AFTER),
    *_transaction("rules", "due rows claimed", "watchtower.store.due:claim"),
    Point("rules", "state read", "watchtower.store.subjects:Subjects.snapshots", AFTER),
    Point("rules", "evaluated", "rules.engine:Engine._outcome", AFTER),
    *_transaction("rules", "outcome", "watchtower.store.alerts:write_outcomes"),
    Point("rules", "alert written, nothing owed", "watchtower.store.groups:attach", BEFORE),
    Point("rules", "owed, no timer", "watchtower.store.groups:_set_timers", BEFORE),
    *_transaction("router", "flush", f"{_OUTBOX}:flush_claimed"),
    Point("router", "members read", "watchtower.store.conversations:load", AFTER),
    Point("router", "notice written", "watchtower.store.notices:add", AFTER),
    *_transaction("sender", "claim", f"{_OUTBOX}:claim"),
    Point("sender", "intent written", "watchtower.store.intents:write", AFTER),
    *_exchange("sender"),
    Point("sender", "whole answer understood", "alerting.outbox:Outbox._delivered", BEFORE),
    *_transaction("sender", "delivered", f"{_ATTEMPTS}:delivered"),
    *_transaction("failure", "failed", f"{_ATTEMPTS}:failed"),
    *_transaction("restart", "keys bound", "watchtower.app.instance:bind_keys"),
    *_transaction("restart", "subjects declared", "watchtower.store.jobs:declare"),
    *_transaction("restart", "senders awaited again", "watchtower.store.senders:await_all"),
    *_transaction("restart", "leases of the dead ended", f"{_OUTBOX}:free_leases"),
    Point("look-up", "abandoned attempt found", f"{_OUTBOX}:_find_abandoned", AFTER),
    *_transaction("look-up", "claim", f"{_OUTBOX}:claim"),
    Point("look-up", "before asking", "alerting.outbox:Outbox._look_up", BEFORE),
    *_exchange("look-up"),
    *_transaction("look-up", "found", f"{_ATTEMPTS}:delivered"),
    *_transaction("look-up", "absent", f"{_ATTEMPTS}:absent"),
    Point("acknowledgement", "received", "alerting.channels.twilio_hook:TwilioHook.read", BEFORE),
    Point("acknowledgement", "verified", "alerting.channels.twilio_hook:TwilioHook.read", AFTER),
    *_transaction("acknowledgement", "key", "watchtower.store.callbacks:acknowledge"),
    *_transaction("acknowledgement", "report", "watchtower.store.callbacks:report"),
    Point("acknowledgement", "audited", "watchtower.store.audit:append", AFTER),
    Point("acknowledgement", "before the answer", "watchtower.server.hooks:_done", AFTER),
)


def of(stage: str) -> tuple[Point, ...]:
    return tuple(point for point in POINTS if point.stage == stage)


Passed = Counter[tuple[str, str]]  # how often each (where, when) was passed


def passed(points: Sequence[Point], seen: Passed, random: Random) -> list[Point]:
    """Each of points at its first and its last passing, and at one between."""
    found: list[Point] = []
    for point in points:
        last = seen[point.where, point.when]
        passings = {1, last, random.randint(1, last)} if last else set[int]()
        found += [replace(point, nth=nth) for nth in sorted(passings)]
    return found


class Trap:
    """Wraps every function of the table in this process, which dies at the point it is `set` to. unnamed: transactions
    that no point of the table names. ends: what happens at the point."""

    def __init__(self, ends: Callable[[], None] = lambda: os._exit(KILLED)) -> None:
        self._ends = ends
        self.seen: Passed = Counter()
        self.unnamed: set[str] = set()
        self._point: Point | None = None
        self._left = 0
        self._in_transaction: set[str] = set()
        for where in sorted({point.where for point in POINTS} - {ANSWER}):
            self._wrap(where)
        self._watch_commits()
        self._watch_answers()

    def set(self, point: Point | None) -> None:
        """From now on, count; and die at point."""
        self.seen.clear()
        self.unnamed.clear()
        self._point, self._left = point, point.nth if point else 0

    def _pass(self, where: str, when: str) -> None:
        self.seen[where, when] += 1
        if self._meets(where, when):
            self._left -= 1
            if not self._left:
                threading.Event().wait(OTHERS_S)
                self._ends()

    def _meets(self, where: str, when: str) -> bool:
        return self._point is not None and (self._point.where, self._point.when) == (where, when)

    def _wrap(self, where: str) -> None:
        owner, name = _resolve(where)
        inner: Callable[..., Any] = getattr(owner, name)
        in_transaction = any(point.where == where and point.when == COMMITTED for point in POINTS)

        @functools.wraps(inner)
        def around(*args: Any, **kwargs: Any) -> Any:
            if in_transaction:
                self._in_transaction.add(where)
            self._pass(where, BEFORE)
            if where == SEND:
                self._send_half(*args)
            done = inner(*args, **kwargs)
            self._pass(where, AFTER)
            return done

        setattr(owner, name, around)

    def _send_half(self, connection: socket.socket, data: Any, *_: Any) -> None:
        """Counted like the others; only whoever dies of it sends a half."""
        if self._meets(SEND, HALF) and self._left == 1:
            half = memoryview(data).cast("B")[: memoryview(data).nbytes // 2]
            while half:
                half = half[connection.send(half) :]
        self._pass(SEND, HALF)

    def _watch_commits(self) -> None:
        """A group of transactions was committed: whoever waits for it is about to be told."""
        inner = database.answer

        def answer(results: Sequence[tuple[Any, Any, Any]]) -> None:
            if not self._in_transaction:
                self.unnamed.update(_name_of(work) for work, _, _ in results)
            for where in sorted(self._in_transaction):
                self._pass(where, COMMITTED)
            self._in_transaction.clear()
            inner(results)

        setattr(database, "answer", answer)  # noqa: B010

    def _watch_answers(self) -> None:
        inner, pass_by = ingest.IngestRoute.__call__, self._pass

        async def called(self: ingest.IngestRoute, scope: Any, receive: Any, send: Any) -> None:
            async def sent(message: Any) -> None:
                is_head = message["type"] == "http.response.start"
                pass_by(ANSWER, BEFORE if is_head else HALF)
                await send(message)
                if not is_head:
                    pass_by(ANSWER, AFTER)

            await inner(self, scope, receive, sent)

        ingest.IngestRoute.__call__ = called


def _name_of(work: Any) -> str:
    unit: Any = work.payload if callable(work.payload) else work.handler
    unit = getattr(unit, "func", unit)  # of a partial
    return f"{unit.__module__}:{unit.__qualname__}"


def _resolve(where: str) -> tuple[Any, str]:
    module, _, path = where.partition(":")
    *outer, name = path.split(".")
    owner: Any = functools.reduce(getattr, outer, import_module(module))
    assert inspect.isroutine(getattr(owner, name)), f"{where} is not a function any more: correct the table"
    return owner, name
