"""What is remembered is bounded, and what a source has forgotten is nothing wrong."""

import pytest

from collectors.polled import unless_gone
from collectors.remembered import forget_oldest
from watchtower.errors import Permanent, Reason


def test_what_was_put_in_first_is_forgotten_first() -> None:
    known = {"a": 1, "b": 2, "c": 3}
    forget_oldest(known, 3)
    assert list(known) == ["a", "b", "c"]
    forget_oldest(known, 2)
    assert known == {"b": 2, "c": 3}


def refuses(error: Permanent) -> str:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        Permanent(Reason.NOT_FOUND, "HTTP 404"),
        Permanent(Reason.REJECTED, "glue GetJobRun: EntityNotFoundException: no"),
    ],
    ids=["404", "a refusal that says so"],
)
def test_what_a_source_does_not_have_any_more_is_none(error: Permanent) -> None:
    assert unless_gone(lambda: refuses(error), "EntityNotFound") is None
    assert unless_gone(lambda: "a run") == "a run"


def test_any_other_refusal_is_one() -> None:
    with pytest.raises(Permanent, match="AccessDenied"):
        unless_gone(lambda: refuses(Permanent(Reason.AUTH, "AccessDenied")), "EntityNotFound")
