"""Whole texts, held against golden files, and what data can do to them.

To accept a wanted change: WATCHTOWER_GOLDEN=write pytest tests/alerting/test_rendering.py, and read the diff.
"""

import json
import os
import shlex
import subprocess
import unicodedata
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerting import escaping
from alerting.channels import blocks
from alerting.channels.email import EmailConfig, compose
from alerting.channels.webhook import payload
from alerting.rendering import MAX_TITLE, render
from alerting.wording import evidence, moment
from tests.alerting.notices import BEGAN, EXPLAINED, NOW, alert, all_resolved, late, notice, resolved
from watchtower.model.alert import AlertState, Notice, NoticeReason
from watchtower.model.labels import all_match, parse_matchers

GOLDEN = Path(__file__).parent / "golden"
MAIL = EmailConfig.model_validate({"to": "data-oncall@example.com", "from": "wt@example.com", "smarthost": "m:25"})

CASES: dict[str, Notice] = {
    "failed": notice(),
    "failed_resolved": all_resolved(),
    "group_grew": notice(
        alert(), late(), alert("billing_daily"), alert("stock"), resolved(late("stock")),
        reason=NoticeReason.NEW_ALERTS, seq=2,
    ),
    "still_firing": notice(late(), reason=NoticeReason.REPEAT, seq=3, now=BEGAN + timedelta(hours=4, minutes=1)),
    "found_late": notice(late(found_late=True)),
    "fired_and_resolved": all_resolved(late(), reason=NoticeReason.FIRED_AND_RESOLVED, seq=1),
    "cause_found": notice(alert(evidence=EXPLAINED), reason=NoticeReason.CAUSE_FOUND, seq=2),
    "test": notice(reason=NoticeReason.TEST, incident_id=None),
    "bare": notice(alert(annotations={}, evidence={}), external_url="", incident_id=None),
}  # fmt: skip


def golden(name: str, made: str) -> None:
    file = GOLDEN / name
    if os.environ.get("WATCHTOWER_GOLDEN") == "write":
        file.write_text(made)
    assert made == file.read_text(), f"{file.name} differs; see this module's docstring"


@pytest.mark.parametrize("name", CASES)
def test_the_text_of_a_notice(name: str) -> None:
    rendered = render(CASES[name])

    golden(f"{name}.txt", f"{rendered.title}\n\n{rendered.text}\n")


@pytest.mark.parametrize("name", ["failed", "failed_resolved", "group_grew", "cause_found"])
def test_the_slack_message_of_a_notice(name: str) -> None:
    made = {"message": blocks.message(render(CASES[name])), "reply": blocks.reply(render(CASES[name]))}

    golden(f"{name}.slack.json", json.dumps(made, indent=1, ensure_ascii=False) + "\n")


def test_the_mail_of_a_notice() -> None:
    golden("failed.eml", compose(CASES["failed"], MAIL).as_bytes().decode().replace("\r\n", "\n"))


def test_the_html_of_a_notice() -> None:
    body = compose(CASES["group_grew"], MAIL).get_body(("html",))
    assert isinstance(body, EmailMessage)

    golden("group_grew.html", str(body.get_content()))


def test_the_webhook_payload_of_a_notice() -> None:
    golden("failed.webhook.json", json.dumps(payload(CASES["failed"]), indent=1) + "\n")


def test_the_line_that_silences_is_safe_to_paste_whatever_the_labels_say() -> None:
    evil = alert("x'; rm -rf $HOME; `id` \"", labels={"alertname": "$(reboot)"})
    text = render(notice(evil)).text
    [line] = [line for line in text.splitlines() if line.startswith("To silence:")]
    words = shlex.split(line.removeprefix("To silence:"))

    assert words[:3] == ["watchtower", "silence", "add"]
    assert words[-4:] == ["--for", "2h", "-m", "WHY"]
    assert all_match(parse_matchers(words[3:-4]), evil.labels)
    done = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {line.removeprefix('To silence:')}"], capture_output=True, check=True
    )
    assert done.stdout.decode().splitlines() == words


def test_an_alert_whose_state_is_unknown_is_not_called_well() -> None:
    unknown = alert(state=AlertState.UNKNOWN)
    text = render(notice(unknown, late())).text

    assert "state unknown since" in text
    assert not notice(unknown).is_resolved


def test_more_alerts_than_people_read_are_counted() -> None:
    text = render(notice(*(alert(f"p{number:03}") for number in range(60)))).text

    assert "and 37 more" in text
    assert len(text) < 12_000


@pytest.mark.parametrize(
    ("timezone", "words"),
    [
        (None, "2026-03-02 08:00:00 UTC"),
        ("UTC", "2026-03-02 08:00:00 UTC"),
        ("Europe/Berlin", "2026-03-02 08:00:00 UTC (09:00:00 Europe/Berlin)"),
        ("Pacific/Kiritimati", "2026-03-02 08:00:00 UTC (22:00:00 Pacific/Kiritimati)"),
        ("Pacific/Auckland", "2026-03-02 08:00:00 UTC (21:00:00 Pacific/Auckland)"),
        ("America/Los_Angeles", "2026-03-02 08:00:00 UTC (00:00:00 America/Los_Angeles)"),
        ("../../etc/passwd", "2026-03-02 08:00:00 UTC"),
        ("Nowhere/Land", "2026-03-02 08:00:00 UTC"),
    ],
)
def test_a_moment_is_told_in_utc_and_in_the_jobs_zone(timezone: str | None, words: str) -> None:
    assert moment(BEGAN, timezone) == words


def test_another_day_in_the_jobs_zone_is_told_with_its_date() -> None:
    late_evening = BEGAN.replace(hour=23)

    assert moment(late_evening, "Europe/Berlin") == "2026-03-02 23:00:00 UTC (2026-03-03 00:00:00 Europe/Berlin)"


ANY_TEXT = st.text(max_size=200)
JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)
NAMES = ANY_TEXT | st.sampled_from(
    ["run_id", "native_run_id", "attempt", "max_attempts", "error", "error_type", "stack", "log_tail", "tasks",
     "timezone", "limit", "duration_s", "log_url", "external_url", "expected", "since", "map_index"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(evidence=st.dictionaries(NAMES, JSON_VALUE, max_size=12), kind=st.sampled_from(["duration", "run_failure", ""]))
def test_no_evidence_stops_a_page(evidence: dict[str, object], kind: str) -> None:
    """Whatever JSON a rule kind leaves behind, there is a text, it is clean, and it is bounded."""
    told = render(notice(alert(evidence=evidence, labels={"kind": kind})))

    assert len(told.title) <= MAX_TITLE
    assert len(told.text) < 20_000
    assert {unicodedata.category(char) for char in told.text} & {"Cc", "Cs", "Co", "Zl", "Zp"} <= {"Cc"}
    assert {char for char in told.text if unicodedata.category(char) == "Cc"} <= {"\n", "\t"}
    assert all(link.url.startswith(("http://", "https://")) for link in told.links)
    json.dumps(payload(notice(alert(evidence=evidence))), allow_nan=False)


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=300), limit=st.integers(1, 50))
def test_a_cut_text_keeps_its_limit(text: str, limit: int) -> None:
    assert len(escaping.shorten(text, limit)) <= limit
    assert len(escaping.one_line(text, limit)) <= limit
    assert "\n" not in escaping.one_line(text)
    assert len(escaping.last_lines(text, 3, limit)) <= limit + 2


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "https://user:pw@evil.example/", "https://a b.example", "//evil.example", "http://",
        "https://evil.example/\u202e", "https://x.example/\r\nBcc: y", "ftp://x.example", "https://[::1", 7, None,
        "https://x.example/|text", "https://x.example/" + "a" * 3000,
    ],
)  # fmt: skip
def test_what_is_no_plain_web_address_is_not_made_a_link(url: object) -> None:
    assert escaping.web_link(url) == ""
    assert all(link.url != url for link in render(notice(alert(evidence={"log_url": url}))).links)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\u202eb\u2066c\u200bd\ufeff", "abcd"),
        ("a\x00b\x08c\x7f", "abc"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("\x1b]0;title\x07text", "text"),
        ("lone \ud83d surrogate", "lone  surrogate"),
    ],
)
def test_characters_that_hide_or_steer_are_taken_out(text: str, seen: str) -> None:
    assert escaping.clean(text) == seen


def test_a_key_becomes_an_id_that_needs_no_escaping() -> None:
    assert escaping.safe_id("wt-0a1b") == "wt-0a1b"
    assert escaping.safe_id("a.b").isalnum()
    assert escaping.safe_id("a.b") != escaping.safe_id("a,b")
    assert escaping.safe_id("x" * 101).isalnum()


def test_now_is_only_what_the_notice_says() -> None:
    assert render(notice(now=NOW)) == render(notice(now=NOW))
    assert "1 h 40 min ago" in render(notice(now=BEGAN + timedelta(minutes=100))).text


def test_what_people_cannot_use_is_left_out_of_the_facts() -> None:
    due = "2026-03-02T05:00:00Z"
    ended = {"expected": due, "late_by": "24m", "late_by_s": 1472.0, "native_run_id": None, "run_id": "ce5f"}
    missing = {"expected": due, "expected_last": due, "learned": True, "missed": 1}
    facts = dict(evidence({**missing, "resolution": ended}).facts)
    assert facts == {
        "Expected": "2026-03-02 05:00:00 UTC",
        "Missed": "1",
        "Resolution": "expected: 2026-03-02 05:00:00 UTC, late by: 24m",
    }
    assert "Expected last" in dict(evidence({**missing, "expected_last": "2026-03-02T07:00:00Z"}).facts)
