"""Lists in pages: each is read to its end, and one without an end is a fault of the server that is told."""

from collections.abc import Sequence

import pytest

from collectors.paging import numbered_pages, pages
from watchtower.errors import Transient


def leads(to: dict[str, str]) -> list[str]:
    """The tokens of the pages that were told, where each leads as `to` says."""
    return list(pages("shop: jobs", str, to.get))


def test_pages_are_followed_until_one_leads_nowhere() -> None:
    assert leads({}) == [""]
    assert leads({"": "b", "b": "c"}) == ["", "b", "c"]
    assert leads({"": "b", "b": ""}) == ["", "b"]


@pytest.mark.parametrize("to", [{"": "b", "b": "b"}, {"": "b", "b": "c", "c": "b"}, {"": "a", "a": "b", "b": "a"}])
def test_a_server_that_repeats_itself_is_told_and_not_asked_for_ever(to: dict[str, str]) -> None:
    with pytest.raises(Transient, match="shop: jobs: a page leads back to what was read before"):
        leads(to)


def test_a_list_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectors.paging.MOST_PAGES", 50)
    asked: list[str] = []
    with pytest.raises(Transient, match="more than 50 pages"):
        asked += pages("shop: jobs", str, lambda token: f"{token}x")


def numbered(rows: Sequence[str], *, deaf: bool = False) -> list[str]:
    def ask(start: int) -> Sequence[str]:
        return rows[:3] if deaf else rows[start : start + 3]

    return [row for page in numbered_pages("shop: jobs", ask, 3, str) for row in page]


@pytest.mark.parametrize("rows", ["", "ab", "abc", "abcd", "abcdef", "abcdefg"])
def test_numbered_pages_end_with_one_that_is_not_full(rows: str) -> None:
    assert "".join(numbered(rows)) == rows


def test_a_server_that_ignores_the_number_is_told() -> None:
    with pytest.raises(Transient, match="leads back"):
        numbered("abcdef", deaf=True)


def test_rows_that_are_pushed_back_meanwhile_are_told_twice() -> None:
    rows = list("cdef")

    def ask(start: int) -> Sequence[str]:
        found = rows[start : start + 3]
        rows.insert(0, str(len(rows)))
        return found

    told = [row for page in numbered_pages("shop: jobs", ask, 3, str) for row in page]
    assert set("cdef") <= set(told)
