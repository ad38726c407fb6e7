"""`oncall`: people and escalations become destinations, and every fault stands at its line."""

from pathlib import Path

import pytest

from watchtower.cli.config_commands import check_config
from watchtower.clock import ManualClock
from watchtower.config import Config, examine, load_text
from watchtower.config.oncall import in_words

EXAMPLE = Path(__file__).parents[2] / "examples" / "oncall.yaml"
ACCOUNT = "{account_sid: AC00000000000000000000000000000000, auth_token: env:TWILIO_AUTH_TOKEN, from: '+493023125000'}"
HEAD = f"""\
server: {{external_url: https://watchtower.example.com}}
global: {{smtp_smarthost: "smtp.example.com:587", smtp_from: watchtower@example.com}}
oncall:
  twilio: {ACCOUNT}
"""
PEOPLE = """\
  people:
    primary: {name: Primary on call, phone: "+491713920001", slack: U0123PRIMARY, timezone: Europe/Berlin}
    data-lead: {phone: env:LEAD, email: lead@example.com, methods: [{voice: 1m}, email]}
"""
TEAM = "route: {receiver: team}\nreceivers: [{name: team, oncall_configs: [%s]}]\n"
ENVIRON = {"LEAD": "+491713920002", "TWILIO_AUTH_TOKEN": "t" * 32}


def loaded(text: str) -> Config:
    return load_text(HEAD + PEOPLE + text, environ=ENVIRON)


def faults(text: str) -> list[str]:
    return [f"{fault.line} {fault.path}: {fault.message}" for fault in examine(text, environ=ENVIRON).faults]


def test_an_escalation_becomes_one_destination_for_each_step_person_and_method() -> None:
    config = loaded(
        "  escalations: {data: {steps: [{notify: primary}, {wait: 5m}, {notify: [data-lead, primary]}], repeat: 2}}\n"
        + TEAM % "{escalation: data}"
    )
    made = {item.name: item for item in config.receivers["team"].destinations}
    assert {name: item.call.after_s for name, item in made.items() if item.call} == {
        "team/oncall[0]/1/primary/sms": 0,
        "team/oncall[0]/1/primary/voice": 120,
        "team/oncall[0]/2/data-lead/voice": 360,
        "team/oncall[0]/2/data-lead/email": 300,
        "team/oncall[0]/2/primary/sms": 300,
        "team/oncall[0]/2/primary/voice": 420,
    }
    call = made["team/oncall[0]/2/data-lead/voice"].call
    assert call and (call.person, call.redial_s, call.redials, call.daily_cap) == ("data-lead", 300, 5, 200)
    assert (call.round_s, call.rounds, call.severities) == (600, 2, ("page",))
    mail = made["team/oncall[0]/2/data-lead/email"].call
    assert mail and (mail.redial_s, mail.redials, mail.daily_cap) == (None, 0, None)
    assert {item.options.to for name, item in made.items() if name.endswith("data-lead/voice")} == {"+491713920002"}


def test_a_person_alone_can_be_named_and_severities_be_widened() -> None:
    (first, second) = (
        loaded(TEAM % "{person: primary, severities: [page, ticket], send_resolved: true}")
        .receivers["team"]
        .destinations
    )
    assert [item.name for item in (first, second)] == ["team/oncall[0]/1/primary/sms", "team/oncall[0]/1/primary/voice"]
    assert first.call and first.call.severities == ("page", "ticket")
    assert (first.send_resolved, second.send_resolved) == (True, False)


def test_redial_and_caps_can_be_said_for_all_and_redial_for_one_escalation() -> None:
    config = loaded(
        "  redial: {every: 3m, times: 2}\n  caps: {per_person_per_day: 40}\n"
        "  escalations:\n"
        "    calm: {steps: [{notify: primary}], redial: {times: 0}}\n"
        "    usual: {steps: [{notify: primary}]}\n" + TEAM % "{escalation: calm}, {escalation: usual}"
    )
    calls = [item.call for item in config.receivers["team"].destinations if item.kind == "voice"]
    assert [(call.redial_s, call.redials, call.daily_cap) for call in calls if call] == [(None, 0, 40), (180, 2, 40)]


def test_people_are_known_by_their_number_and_their_id_in_slack() -> None:
    people = loaded("").oncall
    assert people.person_by_phone("+491713920002") == "data-lead"
    assert people.person_by_slack("U0123PRIMARY") == "primary"
    assert people.person_by_phone("") is people.person_by_slack("") is people.person_by_phone("+491713920009") is None


def test_numbers_are_shown_by_nothing_that_is_printed() -> None:
    assert "3920001" not in repr(loaded("").oncall.people["primary"])


def test_an_escalation_is_said_in_minutes() -> None:
    config = loaded("  escalations: {data: {steps: [{notify: primary}, {wait: 5m}, {notify: data-lead}], repeat: 1}}\n")
    assert in_words(config.oncall, config.oncall.escalations["data"]) == (
        "0 min text primary · 2 min call primary · 5 min mail data-lead · 6 min call data-lead; "
        "calls are made again every 5 min, at most 5 times; all of it begins again after 10 min, once"
    )


def test_the_example_is_without_fault_or_warning_and_check_says_what_it_comes_to(
    clock: ManualClock,
) -> None:
    report = check_config(EXAMPLE, clock, secrets=False, addresses=False)
    assert (report.faults, report.warnings) == ((), ())
    (line,) = [line for line in report.lines() if line.startswith("on call")]
    assert line.startswith("on call  data: 0 min text primary · 2 min call primary · 5 min call data-lead")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (HEAD + '  people: {a: {phone: "0151"}}', "5 oncall.people.a.phone: '0151' is no number in E.164"),
        (HEAD + '  people: {a: {phone: "+8613812345678"}}', "5 oncall.people.a.phone: to '+8613812345678' is in none"),
        (HEAD + "  people: {a: {phone: env:NOBODY}}", "5 oncall.people.a.phone: environment variable NOBODY"),
        (HEAD + "  people: {a: {name: A}}", "5 oncall.people.a: a cannot be told"),
        (HEAD + "  people: {a: {email: a@b.c, methods: [sms]}}", "5 oncall.people.a.methods[0]: a has no phone"),
        (HEAD + "  people: {a: {email: a@b.c, methods: [fax]}}", "5 oncall.people.a.methods[0]: unknown method 'fax'"),
        (HEAD + "  people: {a: {email: a@b.c, methods: [{email: 0s, sms: 1m}]}}", "5 oncall.people.a.methods[0]: a m"),
        (HEAD + "  people: {a: {slack: me}}", "5 oncall.people.a.slack: 'me' is no member id of Slack"),
        (HEAD + "  people: {a b: {email: a@b.c}}", "5 oncall.people.a b: 'a b' cannot be the name of a person"),
        (HEAD + "  people: {a: {email: a@b.c, timezone: Mars}}", "5 oncall.people.a.timezone: unknown time zone"),
        (
            HEAD + '  people:\n    a: {phone: "+491713920001"}\n    b: {phone: "+491713920001"}',
            "7 oncall.people.b.phone: is that of 'a' too",
        ),
        ('oncall: {people: {a: {phone: "+491713920001"}}}', "1 oncall: texts and calls need a Twilio account"),
        ("oncall: {twilio: {token: x}}", "1 oncall.twilio.token: unknown key"),
        (HEAD + PEOPLE + "  escalations: {x: {steps: []}}", "8 oncall.escalations.x.steps: nobody is notified"),
        (
            HEAD + PEOPLE + "  escalations: {x: {steps: [{notify: primry}]}}",
            "8 oncall.escalations.x.steps[0].notify[0]: unknown person 'primry'",
        ),
        (
            HEAD + PEOPLE + "  escalations: {x: {steps: [{notify: primary, wait: 5m}]}}",
            "8 oncall.escalations.x.steps[0]: a step either notifies or waits",
        ),
        (
            HEAD + PEOPLE + "  escalations: {x: {steps: [{notify: primary}, {wait: 0s}]}}",
            "8 oncall.escalations.x.steps[1].wait: must be more than 0",
        ),
        (
            HEAD + PEOPLE + "  escalations: {x: {steps: [{notify: primary}, {wait: 1m}], repeat: 1}}",
            "8 oncall.escalations.x.repeat: it begins again after 1 min",
        ),
        (HEAD + PEOPLE + TEAM % "{escalation: dat}", "9 receivers[0].oncall_configs[0].escalation: unknown escalation"),
        (HEAD + PEOPLE + TEAM % "{person: prim}", "9 receivers[0].oncall_configs[0].person: unknown person 'prim'"),
        (HEAD + PEOPLE + TEAM % "{}", "9 receivers[0].oncall_configs[0]: names an escalation or a person"),
        (
            HEAD + PEOPLE + TEAM % "{person: primary, severities: [critical]}",
            "9 receivers[0].oncall_configs[0].severities[0]: unknown severity 'critical'",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_at_its_line(text: str, fault: str) -> None:
    assert [found for found in faults(text) if found.startswith(fault)], faults(text)


def test_a_person_has_a_budget_of_texts_and_calls_within_minutes() -> None:
    def budgets(caps: str) -> list[tuple[int | None, float]]:
        config = loaded(f"  caps: {caps}\n" + TEAM % "{person: primary}")
        calls = [item.call for receiver in config.receivers.values() for item in receiver.destinations]
        return sorted({(call.burst, call.burst_s) for call in calls if call and call.daily_cap}, key=str)

    assert budgets("{}") == [(1, 300.0), (3, 300.0)]
    assert budgets("{texts: 5, calls: 0, within: 10m}") == [(5, 600.0), (None, 600.0)]
