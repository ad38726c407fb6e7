"""Answers of the writing thread: as futures are, made cheaply."""

import asyncio
import threading

import pytest

from watchtower.store.answers import Answer


def test_whoever_waits_gets_the_result_and_whoever_comes_later_too() -> None:
    answer: Answer[int] = Answer()
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(answer.result(10)))
    waiting.start()
    answer.set_result(7)
    waiting.join(10)
    assert found == [7]
    assert answer.result() == 7
    assert answer.exception() is None


def test_an_error_is_raised_to_each_who_asks() -> None:
    answer: Answer[int] = Answer()
    answer.set_exception(KeyError("gone"))
    for _ in range(2):
        with pytest.raises(KeyError):
            answer.result(0)
    assert isinstance(answer.exception(), KeyError)


def test_nobody_waits_longer_than_they_said() -> None:
    answer: Answer[int] = Answer()
    with pytest.raises(TimeoutError):
        answer.result(0.01)
    assert answer.running()


def test_each_callback_is_called_once_though_one_of_them_fails(caplog: pytest.LogCaptureFixture) -> None:
    answer: Answer[int] = Answer()
    called: list[str] = []

    def failing(_answer: object) -> None:
        raise ValueError("spoilt")

    answer.add_done_callback(failing)
    answer.add_done_callback(lambda _: called.append("before"))
    answer.set_result(1)
    answer.add_done_callback(lambda _: called.append("after"))
    assert called == ["before", "after"]
    assert "failed on its answer" in caplog.text


def test_a_coroutine_can_wait_for_one() -> None:
    async def wait() -> str:
        answer: Answer[str] = Answer()
        threading.Timer(0.01, answer.set_result, ["there"]).start()
        return await asyncio.wrap_future(answer)

    assert asyncio.run(wait()) == "there"
