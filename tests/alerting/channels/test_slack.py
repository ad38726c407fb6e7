"""Slack: one message an episode, edited in place, news in the thread, found again by its key."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from pydantic import ValidationError
from slack_sdk.models.blocks import Block, HeaderBlock, RichTextBlock, SectionBlock

from alerting.channels import blocks
from alerting.channels.slack import SlackConfig
from alerting.rendering import render
from tests.alerting.desks import SHORT_S, Bench, channel, slack_bench, slack_webhook_bench
from tests.alerting.notices import EXPLAINED, NOW, alert, all_resolved, late, notice
from tests.simulators.faults import Fault
from tests.simulators.slack import TOKEN, Message, SlackSimulator
from watchtower.config import load_text
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.alert import NoticeReason, Receipt


def slack_of(bench: Bench) -> SlackSimulator:
    assert isinstance(bench.provider, SlackSimulator)
    return bench.provider


def told(message: Message) -> str:
    """All texts of a message, as a person reads them."""
    return "\n".join(_texts(message.content["blocks"]))


def test_the_news_of_an_episode_edit_its_message_and_stand_in_its_thread() -> None:
    with slack_bench() as bench:
        first = bench.channel.deliver(notice())
        bench.channel.deliver(all_resolved(ref=first.ref))
        root, reply = slack_of(bench).ledger

    assert (root.edits, root.thread_ts, reply.thread_ts) == (1, None, root.ts)
    assert "RESOLVED" in told(root)
    assert "Resolved after 12 min." in told(reply)
    assert (root.key, reply.key) == ("wt-e1-1", "wt-e1-2")


def test_a_cause_found_later_changes_the_message_and_is_told_in_its_thread() -> None:
    cause = str(EXPLAINED["cause"])
    explained = notice(alert(evidence=EXPLAINED), reason=NoticeReason.CAUSE_FOUND, seq=2)
    with slack_bench() as bench:
        first = bench.channel.deliver(notice())
        bench.channel.deliver(replace(explained, ref=first.ref))
        root, reply = slack_of(bench).ledger

    assert (root.edits, reply.thread_ts) == (1, root.ts)
    assert [f"The cause is known: {cause}" in told(message) for message in (root, reply)] == [True, True]


def test_each_notice_is_a_message_of_its_own_where_update_message_is_off() -> None:
    with SlackSimulator(NOW) as slack:
        made = channel(
            "slack", app_token=TOKEN, base_url=slack.api_url, channel="#alerts", update_message=False, timeout=1
        )
        ref = made.deliver(notice()).ref
        made.deliver(all_resolved(ref=ref))

        assert [(message.edits, message.thread_ts) for message in slack.ledger] == [(0, None), (0, None)]


def test_a_deleted_message_does_not_swallow_the_news() -> None:
    with slack_bench() as bench:
        first = bench.channel.deliver(notice())
        slack_of(bench).delete(str(first.ref["ts"]))
        slack_of(bench).refuse_with("chat.postMessage", "thread_not_found")
        second = bench.channel.deliver(all_resolved(ref=first.ref))
        [message] = slack_of(bench).ledger

    assert second.ref["ts"] == message.ts
    assert second.ref["key"] == "wt-e1-2"


def test_an_edit_that_is_refused_for_good_is_not_passed_over() -> None:
    with slack_bench() as bench:
        first = bench.channel.deliver(notice())
        slack_of(bench).refuse_with("chat.update", "msg_blocks_too_long")
        with pytest.raises(Permanent, match="msg_blocks_too_long"):
            bench.channel.deliver(all_resolved(ref=first.ref))

        assert len(slack_of(bench).ledger) == 1


@pytest.mark.parametrize("code", ["message_not_found", "cant_update_message", "edit_window_closed"])
def test_news_reach_the_thread_though_the_message_can_no_longer_be_edited(code: str) -> None:
    with slack_bench() as bench:
        first = bench.channel.deliver(notice())
        slack_of(bench).refuse_with("chat.update", code)
        bench.channel.deliver(all_resolved(ref=first.ref))

        assert [message.thread_ts for message in slack_of(bench).ledger] == [None, first.ref["ts"]]


def test_an_update_whose_answer_was_lost_is_found_in_the_thread_and_not_repeated() -> None:
    with slack_bench() as bench:
        first = bench.channel.deliver(notice())
        bench.channel.deliver(all_resolved(ref=first.ref))

        found = bench.channel.look_up(all_resolved(ref=first.ref))

    assert found is not None
    assert found.ref == first.ref
    assert found.provider_id != first.provider_id


def test_a_crash_between_the_edit_and_the_reply_is_made_good_without_a_second_message() -> None:
    with slack_bench() as bench:
        first = bench.channel.deliver(notice())
        slack_of(bench).refuse_with("chat.postMessage", "service_unavailable")
        with pytest.raises(Transient):
            bench.channel.deliver(all_resolved(ref=first.ref))
        assert bench.channel.look_up(all_resolved(ref=first.ref)) is None
        bench.channel.deliver(all_resolved(ref=first.ref))

        assert len(slack_of(bench).ledger) == 2


def test_a_channel_named_by_its_name_is_looked_up_by_its_id() -> None:
    with SlackSimulator(NOW) as slack:

        def made() -> Any:
            return channel("slack", app_token=TOKEN, base_url=slack.api_url, channel="#alerts", timeout=20)

        slack.fail_next(Fault.ACCEPT_THEN_500)
        with pytest.raises(Transient):
            made().deliver(notice())

        found = cast(Receipt | None, made().look_up(notice()))  # a new process has not seen the channel's id

    assert found is not None
    assert found.provider_id.startswith("slack:C0000000001/")


@pytest.mark.parametrize("scope", ["channels:history", "channels:read"])
def test_without_the_scope_to_look_up_the_page_goes_out_again_rather_than_not_at_all(scope: str) -> None:
    with SlackSimulator(NOW) as slack:
        slack.scopes.discard(scope)
        made = channel("slack", app_token=TOKEN, base_url=slack.api_url, channel="#alerts", timeout=20)

        assert made.look_up(notice()) is None


def test_two_messages_of_one_key_are_counted_and_the_older_one_counts() -> None:
    with slack_bench() as bench:
        older = bench.channel.deliver(notice())
        bench.channel.deliver(notice())

        found = bench.channel.look_up(notice())

    assert found is not None
    assert (found.provider_id, found.duplicates) == (older.provider_id, 1)


def test_look_up_reads_on_beyond_the_first_page() -> None:
    with slack_bench() as bench:
        wanted = bench.channel.deliver(notice())
        for number in range(250):
            slack_of(bench).ledger.append(
                Message("C0000000001", f"{NOW.timestamp() + number + 1:.6f}", {"text": "chat"})
            )

        found = bench.channel.look_up(notice())

    assert found is not None
    assert found.provider_id == wanted.provider_id


def test_messages_from_before_the_first_attempt_are_not_read() -> None:
    with slack_bench() as bench:
        bench.channel.deliver(notice())

        assert bench.channel.look_up(notice(first_attempt_at=NOW + timedelta(hours=1))) is None


@pytest.mark.parametrize(
    ("code", "kind", "reason", "unknown"),
    [
        ("ratelimited", Transient, Reason.RATE_LIMITED, False),
        ("internal_error", Transient, Reason.SERVER_ERROR, True),
        ("fatal_error", Transient, Reason.SERVER_ERROR, True),
        ("service_unavailable", Transient, Reason.SERVER_ERROR, False),
        ("invalid_auth", Permanent, Reason.AUTH, False),
        ("token_revoked", Permanent, Reason.AUTH, False),
        ("missing_scope", Permanent, Reason.AUTH, False),
        ("channel_not_found", Permanent, Reason.NOT_FOUND, False),
        ("not_in_channel", Permanent, Reason.NOT_FOUND, False),
        ("is_archived", Permanent, Reason.NOT_FOUND, False),
        ("msg_too_long", Permanent, Reason.TOO_LARGE, False),
        ("invalid_blocks", Permanent, Reason.REJECTED, False),
        ("an_error_of_next_year", Permanent, Reason.REJECTED, False),
    ],
)
def test_http_200_with_ok_false_is_understood(
    code: str, kind: type[Transient | Permanent], reason: Reason, unknown: bool
) -> None:
    with slack_bench() as bench:
        slack_of(bench).refuse_with("chat.postMessage", code)
        with pytest.raises(kind, match=code) as caught:
            bench.channel.deliver(notice())

    assert (caught.value.reason, caught.value.outcome_unknown) == (reason, unknown)


def test_a_message_a_second_is_obeyed_as_slack_asks() -> None:
    with slack_bench() as bench:
        slack_of(bench).rate_limit_s = 1.0
        bench.channel.deliver(notice())
        with pytest.raises(Transient) as caught:
            bench.channel.deliver(notice(episode="e2"))

    assert caught.value.reason is Reason.RATE_LIMITED
    assert caught.value.retry_after_s


def test_the_wrong_token_is_named_as_such_and_not_shown() -> None:
    with SlackSimulator(NOW) as slack, pytest.raises(Permanent, match="invalid_auth") as caught:
        channel("slack", app_token="xoxb-wrong", base_url=slack.api_url, channel="C0000000001").deliver(notice())

    assert caught.value.reason is Reason.AUTH
    assert "xoxb-wrong" not in f"{caught.value} {caught.value.__cause__!r}"


def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with slack_bench() as bench:
        bench.channel.deliver(notice())

        assert len(slack_of(bench).ledger) == 1


def test_a_repeat_through_an_incoming_webhook_says_that_it_may_be_one() -> None:
    with slack_webhook_bench(SHORT_S) as bench:
        bench.provider.fail_next(Fault.ACCEPT_THEN_TIMEOUT)
        with pytest.raises(Transient) as caught:
            bench.channel.deliver(notice())
        bench.channel.deliver(notice(attempt=2))
        first, second = slack_of(bench).ledger

    assert caught.value.outcome_unknown
    assert "may repeat" in told(second)
    assert "may repeat" not in told(first)


def test_alertmanagers_form_with_a_bot_token_posts_to_its_api_url() -> None:
    with SlackSimulator(NOW) as slack:
        made = channel(
            "slack",
            api_url=f"{slack.api_url}chat.postMessage",
            http_config={"authorization": {"credentials": TOKEN}},
            channel="alerts",
            timeout=1,
        )
        made.deliver(notice())

        assert made.can_look_up
        assert len(slack.ledger) == 1


# -- what people see ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [blocks.message, blocks.reply])
@pytest.mark.parametrize(
    "case",
    [
        notice(),
        all_resolved(),
        notice(*(alert(f"p{number}") for number in range(200)), reason=NoticeReason.NEW_ALERTS),
        notice(alert(annotations={"summary": "x" * 5000}, evidence={"error": "y" * 50_000, "stack": "z\n" * 5000})),
        notice(alert(evidence={f"fact_{number}": "v" * 1000 for number in range(100)})),
    ],
    ids=["failed", "resolved", "200 alerts", "huge texts", "100 facts"],
)
def test_blocks_keep_the_limits_of_slacks_own_models(layout: Any, case: Any) -> None:
    made = layout(render(case))
    parsed = Block.parse_all(made["blocks"])  # pyright: ignore[reportUnknownMemberType]  # untyped dicts

    assert len(parsed) <= blocks.MAX_BLOCKS
    assert {type(block) for block in parsed} <= {HeaderBlock, SectionBlock, RichTextBlock}
    for block in parsed:
        block.validate_json()
    assert sum(map(len, _texts(made["blocks"]))) < 12_000
    assert len(made["text"]) <= blocks.MAX_TEXT


@pytest.mark.parametrize("attack", ["<!channel>", "<!here|x>", "<@U123>", "<https://evil.example|log in>", "@channel"])
def test_data_can_neither_mention_nor_link(attack: str) -> None:
    evil = alert(annotations={"summary": attack}, evidence={"error": attack, "stack": attack, attack: attack})
    evil = late(labels={**evil.labels, "owner": attack}, annotations=evil.annotations, evidence=evil.evidence)
    made = blocks.message(render(notice(evil, reason=NoticeReason.REPEAT)))

    assert "<" not in made["text"]
    assert {kind for kind in _kinds(made["blocks"]) if kind not in {"text", "plain_text", "rich_text"}} <= {
        *("header", "section", "rich_text_section", "rich_text_preformatted", "link"),
    }
    links = [part["url"] for part in _parts(made["blocks"]) if part.get("type") == "link"]
    assert all(url.startswith("https://watchtower.example.com/") for url in links)


# -- configuration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"channel": "#a"}, "exactly one of app_token"),
        ({"app_token": "t", "api_url": "https://hooks.slack.com/services/x", "channel": "#a"}, "exactly one"),
        ({"app_token": "t"}, "channel"),
        ({"app_token": "t", "channel": "{{ .CommonLabels.team }}"}, "Go template"),
        ({"app_token": "t", "channel": "#a", "chanel": "#b"}, "chanel"),
    ],
)
def test_a_faulty_config_is_refused_with_the_remedy(config: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        SlackConfig.model_validate(config)


def test_text_keys_of_alertmanager_are_accepted_and_warned_about() -> None:
    config = SlackConfig.model_validate(
        {
            "api_url": "https://hooks.slack.com/services/x",
            "title": "{{ .Status }}",
            "color": "danger",
            "send_resolved": True,
        }
    )

    assert [fault.path for fault in config.warnings()] == ["color", "title"]


def test_a_global_default_gives_way_to_the_receivers_own_way_in() -> None:
    config = load_text(
        """
        global: {slack_api_url: env:GLOBAL_HOOK}
        route: {receiver: team}
        receivers:
          - name: team
            slack_configs: [{app_token: env:SLACK, channel: "#a"}, {channel: "#b", title: "{{ .Status }}"}]
        """
    )
    own, inherited = (destination.options for destination in config.receivers["team"].destinations)

    assert (own.has_token, own.api_url) == (True, None)
    assert (inherited.has_token, inherited.api_url.reference) == (False, "env:GLOBAL_HOOK")
    assert [fault.path for fault in config.warnings] == ["receivers[0].slack_configs[1].title"]


def test_secrets_are_read_at_each_call_so_that_they_can_be_rotated() -> None:
    environ = {"SLACK": "xoxb-old"}
    with SlackSimulator(NOW) as slack:
        made = channel("slack", None, environ, app_token="env:SLACK", base_url=slack.api_url, channel="C0000000001")
        with pytest.raises(Permanent):
            made.deliver(notice())
        environ["SLACK"] = TOKEN
        made.deliver(notice())

        assert len(slack.ledger) == 1


def _parts(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [part for item in cast("list[Any]", value) for part in _parts(item)]
    if not isinstance(value, dict):
        return []
    whole = cast("dict[str, Any]", value)
    return [whole, *(part for item in whole.values() for part in _parts(item))]


def _kinds(value: Any) -> set[str]:
    return {str(part["type"]) for part in _parts(value) if "type" in part}


def _texts(value: Any) -> list[str]:
    return [str(part["text"]) for part in _parts(value) if isinstance(part.get("text"), str)]
