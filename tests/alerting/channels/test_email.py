"""E-mail against a real SMTP server: TLS, login, one thread an episode, refusals per recipient."""

import socket
import threading
from collections.abc import Generator
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from alerting.channels.email import EmailConfig, compose
from tests.alerting.desks import channel
from tests.alerting.notices import alert, all_resolved, notice
from tests.simulators.smtp import PASSWORD, USER, SmtpSimulator
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.alert import NoticeReason
from watchtower.ports import Channel

TO, ALSO = "data-oncall@example.com", "data-lead@example.com"


@pytest.fixture
def smtp() -> Generator[SmtpSimulator]:
    with SmtpSimulator() as server:
        yield server


def mail_to(smtp: SmtpSimulator, **config: Any) -> Channel:
    base = {"to": TO, "from": "watchtower@example.com", "smarthost": smtp.smarthost, "timeout": 0.5}
    return channel("email", **{**base, "tls_config": {"ca_file": smtp.ca_file}, **config})


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def test_a_notice_arrives_as_text_and_html_over_tls(smtp: SmtpSimulator) -> None:
    receipt = mail_to(smtp).deliver(notice())
    [mail] = smtp.ledger

    assert mail.tls
    assert mail.message["Subject"] == "[PAGE] orders_daily: task load failed on its last attempt: division by zero"
    assert "Attempt:     3 of 3" in part(mail.message, "plain")
    assert "<td" in part(mail.message, "html")
    assert mail.message["Message-ID"] == "<wt-wt-e1-1@example.com>"
    assert receipt.provider_id == "email:<wt-wt-e1-1@example.com>"
    assert type(receipt.ref["message_id"]) is str, "the store keeps text, not the header object of the library"
    assert mail.message["Date"].datetime.isoformat() == "2026-03-02T08:05:00+00:00"


def test_mails_of_one_episode_form_one_thread_and_a_repeat_is_the_same_mail(smtp: SmtpSimulator) -> None:
    box = mail_to(smtp)
    ref = box.deliver(notice()).ref
    box.deliver(notice(attempt=2))
    box.deliver(all_resolved(ref=ref))
    first, again, last = (mail.message for mail in smtp.ledger)

    assert smtp.ledger[0].raw == smtp.ledger[1].raw
    assert first["Message-ID"] == again["Message-ID"] != last["Message-ID"]
    assert first["References"].split()[0] == last["References"].split()[0]
    assert last["In-Reply-To"] == first["Message-ID"]


def test_login_is_over_tls_only(smtp: SmtpSimulator) -> None:
    login = {"auth_username": USER, "auth_password": PASSWORD}
    with SmtpSimulator(auth=True) as secured:
        mail_to(secured, **login).deliver(notice())
        assert secured.ledger[0].user == USER
        with pytest.raises(Permanent) as wrong:
            mail_to(secured, **{**login, "auth_password": "wrong-password"}).deliver(notice())
        with pytest.raises(Permanent):
            mail_to(secured).deliver(notice())  # without login
        assert len(secured.ledger) == 1
    with SmtpSimulator(starttls=False) as plain, pytest.raises(Permanent, match="require_tls") as refused:
        mail_to(plain, require_tls=False, **login).deliver(notice())

    assert (wrong.value.reason, refused.value.reason) == (Reason.AUTH, Reason.AUTH)
    assert "wrong-password" not in str(wrong.value)


def test_implicit_tls_is_spoken_where_configured() -> None:
    with SmtpSimulator(implicit_tls=True) as server:
        mail_to(server, force_implicit_tls=True).deliver(notice())

        assert len(server.ledger) == 1


def test_a_server_without_starttls_is_refused_unless_the_operator_allows_it() -> None:
    with SmtpSimulator(starttls=False) as server:
        with pytest.raises(Permanent, match="STARTTLS"):
            mail_to(server).deliver(notice())
        mail_to(server, require_tls=False).deliver(notice())

        assert [mail.tls for mail in server.ledger] == [False]


def test_a_certificate_of_an_unknown_authority_is_refused_with_the_remedy(smtp: SmtpSimulator) -> None:
    with pytest.raises(Permanent, match="ca_file") as caught:
        mail_to(smtp, tls_config={}).deliver(notice())

    assert caught.value.reason is Reason.TLS
    assert smtp.ledger == []


def test_a_certificate_for_another_name_is_refused() -> None:
    with SmtpSimulator(host="mail.example.com") as other, pytest.raises(Permanent, match="localhost") as caught:
        mail_to(other).deliver(notice())

    assert caught.value.reason is Reason.TLS


def test_a_recipient_that_is_put_off_gets_the_mail_later_and_the_other_one_only_once(smtp: SmtpSimulator) -> None:
    smtp.replies = {ALSO: ["451 4.7.1 greylisted"]}
    box = mail_to(smtp, to=f"{TO}, {ALSO}")
    with pytest.raises(Transient, match="451") as caught:
        box.deliver(notice())
    box.deliver(notice(attempt=2))

    assert not caught.value.outcome_unknown
    assert [mail.recipient for mail in smtp.ledger] == [TO, ALSO]


def test_one_refused_recipient_does_not_keep_the_mail_from_the_others(smtp: SmtpSimulator) -> None:
    smtp.replies = {ALSO: ["550 5.1.1 no such user"]}
    receipt = mail_to(smtp, to=f"{TO}, {ALSO}").deliver(notice())

    assert [mail.recipient for mail in smtp.ledger] == [TO]
    assert receipt.ref["refused"] == [ALSO]


def test_when_all_are_refused_a_person_must_act(smtp: SmtpSimulator) -> None:
    smtp.replies = {TO: ["550 5.1.1 no such user"]}
    with pytest.raises(Permanent, match="no such user"):
        mail_to(smtp).deliver(notice())


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("452 4.3.1 full", Transient), ("554 5.7.1 spam", Permanent), ("552 5.3.4 too large", Permanent)],
)
def test_the_answer_to_the_message_decides(smtp: SmtpSimulator, answer: str, kind: type[Transient | Permanent]) -> None:
    smtp.data = [answer]
    with pytest.raises(kind, match=answer[:3]) as caught:
        mail_to(smtp).deliver(notice())

    assert not caught.value.outcome_unknown
    assert smtp.ledger == []


@pytest.mark.parametrize("fault", ["hang", "drop"])
@pytest.mark.parametrize("taken", [True, False])
def test_silence_after_the_message_leaves_the_outcome_unknown(smtp: SmtpSimulator, fault: str, taken: bool) -> None:
    setattr(smtp, fault, True)
    smtp.taken = taken
    with pytest.raises(Transient) as caught:
        mail_to(smtp).deliver(notice())

    assert caught.value.outcome_unknown
    assert len(smtp.ledger) == int(taken)


def test_a_server_that_is_away_has_not_got_the_mail(smtp: SmtpSimulator) -> None:
    box = mail_to(smtp)
    smtp.stop_listening()
    with pytest.raises(Transient) as caught:
        box.deliver(notice())

    assert (caught.value.reason, caught.value.outcome_unknown) == (Reason.CONNECT, False)


def test_a_server_that_never_greets_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        box = channel("email", to=TO, **{"from": TO}, smarthost=f"127.0.0.1:{port}", timeout=0.2)
        with pytest.raises(Transient) as caught:
            box.deliver(notice())

    assert (caught.value.reason, caught.value.outcome_unknown) == (Reason.TIMEOUT, False)


def test_a_server_that_answers_a_byte_at_a_time_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerting.channels.email.LIMIT_S", 0.3)
    stop = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"220 hello\r\n250-")
            while not stop.wait(0.05):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,), daemon=True)
        thread.start()
        port = server.getsockname()[1]
        box = channel("email", to=TO, **{"from": TO}, smarthost=f"127.0.0.1:{port}", timeout=5)
        with pytest.raises(Transient) as caught:
            box.deliver(notice())
        stop.set()
        thread.join()

    assert not caught.value.outcome_unknown


# -- what a mail is made of --------------------------------------------------------------------------------------------

CONFIG = EmailConfig.model_validate({"to": TO, "from": "Watchtower <watchtower@example.com>", "smarthost": "m:25"})
NASTY = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    [
        "a\r\nBcc: evil@example.com",
        "a\nX-Evil: 1\n\nbody",
        "\x1b[31mred",
        "=?utf-8?q?x=0D=0ABcc:_evil@example.com?=",
        "x" * 3000,
    ]
)


@settings(max_examples=60, deadline=None)
@given(summary=NASTY, pipeline=NASTY, error=NASTY, owner=NASTY)
def test_data_never_makes_a_header(summary: str, pipeline: str, error: str, owner: str) -> None:
    evil = alert(
        labels={"pipeline": pipeline, "owner": owner, "alertname": summary},
        annotations={"summary": summary},
        evidence={"error": error},
    )
    message = compose(notice(evil, incident_id=summary, key=owner, episode_key=pipeline), CONFIG)
    head = message.as_bytes().split(b"\r\n\r\n")[0]
    names = [line.split(b":")[0] for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]

    assert sorted(names) == sorted(
        [
            *(b"Subject", b"From", b"To", b"Message-ID", b"In-Reply-To", b"References", b"Auto-Submitted"),
            *(b"X-Watchtower-Incident", b"MIME-Version", b"Content-Type"),
        ]
    )


def test_html_shows_data_as_text() -> None:
    evil = alert(annotations={"summary": "<script>alert(1)</script>"}, evidence={"error": '"><img src=x onerror=y>'})
    shown = part(compose(notice(evil), CONFIG), "html")

    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;" in shown


def test_a_test_mail_says_that_nothing_is_wrong() -> None:
    message = compose(notice(reason=NoticeReason.TEST), CONFIG)

    assert message["Subject"].startswith("[TEST]")
    assert "nothing is wrong" in part(message, "plain")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"to": "nobody"}, "not a list of mail addresses"),
        ({"to": "a@example.com\nBcc: b@example.com"}, "not a list of mail addresses"),
        ({"to": "{{ .CommonLabels.owner }}"}, "Go template"),
        ({"smarthost": "mail.example.com"}, "host:port"),
        ({"headers": {"Subject": "x"}}, "is set by Watchtower"),
        ({"headers": {"X: y\nBcc": "x"}}, "not the name of a mail header"),
        ({"auth_password": "p"}, "auth_username"),
        ({"auth_identity": "x"}, "auth_identity: not supported"),
        ({"tls_config": {"insecure_skip_verify": True}}, "ca_file"),
    ],
)
def test_a_faulty_config_is_refused_with_the_remedy(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        EmailConfig.model_validate({"to": TO, "from": TO, "smarthost": "m:25", **change})


def test_headers_of_the_operator_are_added_as_single_lines() -> None:
    config = CONFIG.model_copy(update={"headers": {"X-Team": "a\r\nBcc: x@example.com"}})

    assert compose(notice(), config)["X-Team"] == "a Bcc: x@example.com"


def test_a_channel_made_twice_sends_the_same_bytes() -> None:
    assert compose(notice(), CONFIG).as_bytes() == compose(notice(), CONFIG).as_bytes()
