"""Deadlines share a timer, and each of them still comes: none early, none forgotten."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from watchtower.server.deadlines import Deadlines, deadlines, within


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        await story()

    asyncio.run(told())


def test_what_ends_in_time_is_not_late_and_what_began_after_it_still_is() -> None:
    async def story() -> None:
        late: list[str] = []
        limits = Deadlines(asyncio.get_running_loop(), 0.05)
        limits.begin("met", lambda: late.append("met"))
        limits.begin("missed", lambda: late.append("missed"))
        limits.end("met")
        await asyncio.sleep(0.06)
        gone = asyncio.Event()
        limits.begin("later", gone.set)
        async with asyncio.timeout(10):
            await gone.wait()
        assert late == ["missed"]

    run(story)


def test_of_several_that_wait_each_comes_at_its_own_moment() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        limits = Deadlines(loop, 0.05)
        began: dict[int, float] = {}
        came: dict[int, float] = {}
        done = asyncio.Event()

        def late(number: int) -> None:
            came[number] = loop.time()
            if number == 2:
                done.set()

        for number in range(3):
            began[number] = loop.time()
            limits.begin(number, lambda number=number: late(number))
            await asyncio.sleep(0.02)
        async with asyncio.timeout(10):
            await done.wait()
        assert list(came) == [0, 1, 2]
        assert all(came[number] - began[number] >= 0.049 for number in range(3))

    run(story)


def test_a_loop_and_a_length_have_one_timer() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        assert deadlines(loop, 1.0) is deadlines(loop, 1.0)
        assert deadlines(loop, 1.0) is not deadlines(loop, 2.0)

    run(story)


def test_a_block_that_takes_too_long_is_interrupted_and_the_task_goes_on() -> None:
    async def story() -> None:
        with pytest.raises(TimeoutError), within(0.01):
            await asyncio.Event().wait()
        with within(30):
            await asyncio.sleep(0)

    run(story)


def test_a_task_that_is_cancelled_by_others_stays_cancelled() -> None:
    async def story() -> None:
        async def wait() -> None:
            with within(30):
                await asyncio.Event().wait()

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story)
