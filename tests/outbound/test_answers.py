"""What a status and Retry-After mean."""

from datetime import UTC, datetime

import pytest

from watchtower.errors import Permanent, Reason, Transient
from watchtower.outbound import raise_for_status, retry_after_s
from watchtower.ports import HttpAnswer

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0), ("0", 0.0), (" 1.5 ", 1.5), ("Mon, 02 Mar 2026 08:01:00 GMT", 60.0),
        ("Mon, 02 Mar 2026 07:00:00 GMT", 0.0), ("Mon, 02 Mar 2026 09:01:00 +0100", 60.0),
        ("Mon Mar  2 08:00:10 2026", 10.0),
        ("", None), ("-5", None), ("soon", None), ("NaN", None), ("inf", None), ("٣٠", None), ("1e9", None),
        ("9" * 40, None),
        ("Mon, 99 Mar 2026 08:01:00 GMT", None), ("Mon, 2 Mar 2026 08:" + "8" * 99 + ":00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_both_forms(text: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": text}, NOW) == seconds


@pytest.mark.parametrize("before", range(150, 230))
def test_an_excerpt_ends_between_words(before: int) -> None:
    """Half of a secret would not be known as one."""
    body = b"x" * (before - 150) + b" y" * 75 + b" hunter2hunter2hunter2hunter2 and more" * 20
    with pytest.raises(Permanent) as caught:
        raise_for_status(HttpAnswer(400, {}, body), NOW, "desk")
    said = str(caught.value).removeprefix("desk: HTTP 400 ").split()
    assert {word for word in said if word.startswith("h")} <= {"hunter2hunter2hunter2hunter2"}


def test_without_the_header_there_is_no_wish() -> None:
    assert retry_after_s({}, NOW) is None


@pytest.mark.parametrize(
    ("status", "reason", "unknown"),
    [(408, Reason.TIMEOUT, True), (425, Reason.SERVER_ERROR, False), (429, Reason.RATE_LIMITED, False),
     (500, Reason.SERVER_ERROR, True), (502, Reason.SERVER_ERROR, True), (503, Reason.SERVER_ERROR, True)],
)  # fmt: skip
def test_what_may_pass_by_itself_is_transient(status: int, reason: Reason, unknown: bool) -> None:
    with pytest.raises(Transient) as caught:
        raise_for_status(HttpAnswer(status, {"retry-after": "7"}, b"busy\r\nnow"), NOW, "desk: create")
    error = caught.value
    assert (error.reason, error.outcome_unknown, error.retry_after_s) == (reason, unknown, 7.0)
    assert str(error) == f"desk: create: HTTP {status} busy now"


@pytest.mark.parametrize(
    ("status", "reason"),
    [(400, Reason.REJECTED), (401, Reason.AUTH), (403, Reason.AUTH), (404, Reason.NOT_FOUND), (410, Reason.NOT_FOUND),
     (413, Reason.TOO_LARGE), (422, Reason.REJECTED), (101, Reason.REJECTED)],
)  # fmt: skip
def test_what_a_person_must_change_is_permanent(status: int, reason: Reason) -> None:
    with pytest.raises(Permanent) as caught:
        raise_for_status(HttpAnswer(status, {}, b""), NOW, "desk: create")
    assert caught.value.reason is reason


def test_success_is_handed_back() -> None:
    answer = HttpAnswer(201, {}, b"made")
    assert raise_for_status(answer, NOW, "desk: create") is answer
