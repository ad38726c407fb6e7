"""uvicorn's server, which is ready and ends when it is told, and not at its next look.

uvicorn wakes every 100 ms to see whether it should end, and then waits 100 ms more, whether or not anybody is still
being answered. An idle Watchtower would wake ten times a second for that alone.
"""

import asyncio
import socket
import threading
from contextlib import suppress

import uvicorn

TICK_S = 1.0  # how old the header Date may be
GOODBYE_S = 0.1  # until idle connections are closed; uvicorn waits as long, and in any case
_STEP_S = 0.002


class PromptServer(uvicorn.Server):
    """ready: set once it answers, or never will (then `started` is False)."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        """From any thread: take no new connection, let requests under way end, then close."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # its loop is closed: it has ended
                self._loop.call_soon_threadsafe(self._told.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):  # at 0 it makes the Date anew
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """At once if nobody is being answered; else as uvicorn does it, which waits for them."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(round(GOODBYE_S / _STEP_S)):
            if not self.server_state.connections:
                break
            await asyncio.sleep(_STEP_S)
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for bound in sockets or ():
            bound.close()
        for server in self.servers:
            await server.wait_closed()
        await self.lifespan.shutdown()
