"""Results of data tests as a series: how bad each was, over time."""

from enum import IntEnum
from typing import Final

QUALITY: Final = "quality_check"  # name of the series; its labels say which check of which table


class Verdict(IntEnum):
    """The value of a sample. A test whose own severity is a warning never fails."""

    PASS = 0
    WARN = 1
    FAIL = 2


_WORDS: Final = {
    Verdict.PASS: "pass passed success ok true healthy",
    Verdict.WARN: "warn warning",
    Verdict.FAIL: "fail failed failure error false fatal unhealthy",
}
VERDICTS: Final = {word: verdict for verdict, words in _WORDS.items() for word in words.split()}


def verdict_of(word: str, severity: str = "error") -> Verdict | None:
    """word: the test's outcome; severity: of the test itself, `error` or `warn`. None: not known, or it was skipped."""
    found = VERDICTS.get(word.strip().lower())
    return Verdict.WARN if found is Verdict.FAIL and severity.lower().startswith("warn") else found
