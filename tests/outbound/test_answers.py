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


@pytest.mark.parametrize(("status", "good"), [(199, False), (200, True), (204, True), (299, True), (300, False)])
def test_only_what_is_2xx_is_good(status: int, good: bool) -> None:
    answer = HttpAnswer(status, {}, b"")
    if good:
        assert raise_for_status(answer, NOW, "desk") is answer
        return
    with pytest.raises(Permanent) as caught:
        raise_for_status(answer, NOW, "desk")
    assert str(caught.value) == f"desk: HTTP {status}"


def test_a_wish_that_is_a_date_is_counted_from_now() -> None:
    with pytest.raises(Transient) as caught:
        raise_for_status(HttpAnswer(503, {"retry-after": "Mon, 02 Mar 2026 08:01:00 GMT"}, b""), NOW, "desk")
    assert caught.value.retry_after_s == 60


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", ""),
        (b" \r\n ", ""),
        (b"no\x00such\x1b[2J  queue\r\n", " no such [2J queue"),
        (b"caf\xc3\xa9 \xff", " café \N{REPLACEMENT CHARACTER}"),
        (b"a " * 100, " " + "a " * 99 + "a"),
        (b"b" + b" a" * 100, " b" + " a" * 99),
        (b"c " + b" " * 399, ""),
        (b"d" * 201, ""),
        (b"e" * 200, " " + "e" * 200),
    ],
    ids=str,
)
def test_an_excerpt_is_one_line_of_whole_words(body: bytes, shown: str) -> None:
    with pytest.raises(Permanent) as caught:
        raise_for_status(HttpAnswer(400, {}, body), NOW, "desk")
    assert str(caught.value) == f"desk: HTTP 400{shown}"


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
    [(400, Reason.REJECTED), (401, Reason.AUTH), (403, Reason.AUTH), (404, Reason.NOT_FOUND), (407, Reason.AUTH),
     (410, Reason.NOT_FOUND), (413, Reason.TOO_LARGE), (422, Reason.REJECTED), (101, Reason.REJECTED)],
)  # fmt: skip
def test_what_a_person_must_change_is_permanent(status: int, reason: Reason) -> None:
    with pytest.raises(Permanent) as caught:
        raise_for_status(HttpAnswer(status, {}, b""), NOW, "desk: create")
    assert caught.value.reason is reason


def test_success_is_handed_back() -> None:
    answer = HttpAnswer(201, {}, b"made")
    assert raise_for_status(answer, NOW, "desk: create") is answer
