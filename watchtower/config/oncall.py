"""`oncall`: people and how they are reached, who is told after whom, and how much one person may be sent.

What stands here is worked out into moments: which person is told by which method, how long after the first telling.
`receivers` makes ordinary destinations of it, so that everything that holds for a destination holds for a person too.
Source: the terms of Grafana OnCall and PagerDuty (escalation, step, repeat).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field, WithJsonSchema

from watchtower.config.document import Path
from watchtower.config.faults import Faults, close_to
from watchtower.config.types import Duration, PositiveDuration, Section, Zone
from watchtower.errors import ConfigError
from watchtower.model.alert import Call
from watchtower.secrets import Secret, SecretStore

PHONES = ("sms", "voice")  # methods that wake people and cost money: capped, and rung again
METHODS = (*PHONES, "slack", "email")
WAIT_S = 300.0  # of an escalation that begins again and whose last step names no wait (Grafana OnCall's default)
CALL_AFTER_S = 120.0  # who has not answered a text by then is called
MOST_ROUNDS = 9  # PagerDuty's limit of an escalation's repeats

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SLACK_ID = re.compile(r"[UW][A-Z0-9]{6,20}")
_MAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")
# Which of a person's contacts a method needs, and where it stands.
_CONTACT = {"sms": "phone", "voice": "phone", "slack": "slack", "email": "email"}


# -- as the file has it -------------------------------------------------------------------------------------------


def _member(value: str) -> str:
    if not _SLACK_ID.fullmatch(value):
        raise ValueError(f"{value!r} is no member id of Slack; it looks like U0123ABCDEF (profile, Copy member ID)")
    return value


def _mail(value: str) -> str:
    if not _MAIL.fullmatch(value):
        raise ValueError(f"{value!r} is no mail address, e.g. primary@example.com")
    return value


def _method(value: Any) -> Any:
    """`sms` alone is at once; `{voice: 2m}` is after two minutes."""
    given = {value: 0} if isinstance(value, str) else value
    items = list(cast("dict[str, Any]", given).items()) if isinstance(given, dict) else []
    if len(items) != 1:
        raise ValueError("a method is one of sms, voice, slack, email with its delay, e.g. {voice: 2m}")
    return {"kind": items[0][0], "after": items[0][1] if items[0][1] is not None else 0}


def _names(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class MethodDocument(Section):
    kind: str
    after: Duration = 0.0


_METHOD_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"enum": list(METHODS)},
        {
            "type": "object",
            "properties": {name: {"type": ["string", "number", "null"]} for name in METHODS},
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        },
    ]
}
MethodItem = Annotated[MethodDocument, BeforeValidator(_method), WithJsonSchema(_METHOD_SCHEMA)]


class PersonDocument(Section):
    """One entry of `oncall.people`, under the name by which acknowledgements and the audit know the person."""

    name: str = Field(default="", description="what people read; without it, the key")
    phone: Secret | None = Field(
        default=None, description="number for texts and calls like +4915112345678, or env:NAME, file:PATH"
    )
    slack: Annotated[str, BeforeValidator(_member, json_schema_input_type=str)] | None = Field(
        default=None, description="member id in Slack, by which buttons pressed there are known"
    )
    email: Annotated[str, BeforeValidator(_mail, json_schema_input_type=str)] | None = Field(
        default=None, description="mail address"
    )
    timezone: Zone = Field(default="UTC", description="where the person is, for times on pages")
    team: str | None = Field(default=None, description="which team the person belongs to")
    methods: tuple[MethodItem, ...] = Field(
        default=(),
        description="how the person is told, and how long after the step; "
        "with a phone, default `[{sms: 0s}, {voice: 2m}]`",
    )


class StepDocument(Section):
    """One item of `steps`: `notify` or `wait`."""

    notify: Annotated[tuple[str, ...], BeforeValidator(_names, json_schema_input_type=str | list[str])] | None = Field(
        default=None, description="people to tell, by their keys"
    )
    wait: PositiveDuration | None = Field(default=None, description="how long they have to acknowledge it")


class RedialDocument(Section):
    """`redial`: calls are made again until somebody acknowledges."""

    every: Annotated[PositiveDuration, Field(ge=60)] = Field(default=300.0, description="how long between two calls")
    times: int = Field(default=5, ge=0, le=50, description="how many further calls; 0 for none")


class EscalationDocument(Section):
    """One entry of `oncall.escalations`."""

    steps: tuple[StepDocument, ...] = Field(description="in this order: `notify` people, `wait`, `notify` …")
    repeat: int = Field(default=0, ge=0, le=MOST_ROUNDS, description="how often it begins again if nobody acknowledged")
    redial: RedialDocument | None = Field(default=None, description="instead of that of `oncall`")


class CapsDocument(Section):
    """`oncall.caps`."""

    per_person_per_day: int = Field(
        default=200, ge=1, description="texts and calls that one person is sent in 24 hours; see on call"
    )
    texts: int = Field(default=3, ge=0, description="texts that one person is sent within `within`; 0: no limit")
    calls: int = Field(default=1, ge=0, description="calls that one person gets within `within`; 0: no limit")
    within: PositiveDuration = Field(default=300.0, description="span of `texts` and `calls`")


class OncallDocument(Section):
    """`oncall`."""

    people: dict[str, Any] = Field(default={}, description="who can be told, by a key of yours; see below")
    twilio: dict[str, Any] = Field(
        default={}, description="the account for texts and calls: keys of `sms_configs` and `voice_configs` but `to`"
    )
    escalations: dict[str, Any] = Field(default={}, description="who is told after whom; see below")
    redial: RedialDocument = Field(default=RedialDocument(), description="of all escalations; see below")
    caps: CapsDocument = Field(default=CapsDocument(), description="how much is too much; see below")


class OncallConfigDocument(Section):
    """One item of a receiver's `oncall_configs`: an escalation, or a person alone."""

    escalation: str | None = Field(default=None, description="name of an entry of `oncall.escalations`")
    person: str | None = Field(default=None, description="key of an entry of `oncall.people`")
    severities: tuple[str, ...] = Field(
        default=("page",), min_length=1, description="alerts for which anybody is told; others pass by"
    )
    send_resolved: bool = Field(default=False, description="tell the end too; nobody is ever called for it")


# -- as the program has it ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Method:
    """kind: one of METHODS; after_s: counted from the step."""

    kind: str
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Contact:
    """A person of `oncall.people`. key: the only name in acknowledgements, audit and destinations."""

    key: str
    name: str
    phone: str = field(default="", repr=False)
    slack: str = ""
    email: str = ""
    timezone: str = "UTC"
    team: str | None = None
    methods: tuple[Method, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """number: from 1, of the steps that notify; after_s: counted from the beginning of the round."""

    number: int
    people: tuple[str, ...]
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Redial:
    every_s: float = 300.0
    times: int = 5


@dataclass(frozen=True, slots=True)
class Escalation:
    """length_s: from the beginning of one round to that of the next; repeat: further rounds."""

    name: str
    steps: tuple[Step, ...]
    length_s: float = 0.0
    repeat: int = 0
    redial: Redial = Redial()


@dataclass(frozen=True, slots=True)
class Telling:
    """One person is told in one way at one moment. number: of the step; call: what a destination has to know of it."""

    number: int
    person: str
    method: str
    call: Call


@dataclass(frozen=True, slots=True)
class OnCall:
    """`oncall`, checked. twilio: as it stands in the file, for the channels of each person."""

    people: Mapping[str, Contact] = field(default_factory=dict[str, Contact])
    escalations: Mapping[str, Escalation] = field(default_factory=dict[str, Escalation])
    twilio: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    redial: Redial = Redial()
    per_person_per_day: int = 200
    texts: int = 3
    calls: int = 1
    burst_s: float = 300.0

    def person_by_phone(self, number: str) -> str | None:
        """The key of the only person with this number; None: nobody's, or of more than one."""
        return _only(person.key for person in self.people.values() if number and person.phone == number)

    def person_by_slack(self, member: str) -> str | None:
        return _only(person.key for person in self.people.values() if member and person.slack == member)

    def of_person(self, key: str) -> Escalation:
        """A person alone: one step, no further round."""
        return Escalation(key, (Step(1, (key,)),), redial=self.redial)

    def tellings(self, escalation: Escalation, severities: tuple[str, ...] = ("page",)) -> Iterator[Telling]:
        """Everything that one round of escalation does, in the order of the file."""
        last: dict[str, float] = {}
        for step, key, method in self._each(escalation):
            if method.kind in PHONES:
                last[key] = max(last.get(key, 0.0), step.after_s + method.after_s)
        for step, key, method in self._each(escalation):
            call = self._call(escalation, step.after_s + method.after_s, key, method)
            rest = call.daily_cap is not None and call.after_s == last[key]
            yield Telling(step.number, key, method.kind, replace(call, severities=severities, last_resort=rest))

    def _each(self, escalation: Escalation) -> Iterator[tuple[Step, str, Method]]:
        for step in escalation.steps:
            for key in step.people:
                for method in self.people[key].methods:
                    yield step, key, method

    def _call(self, escalation: Escalation, after_s: float, person: str, method: Method) -> Call:
        redial = escalation.redial
        again = method.kind == "voice" and redial.times > 0
        return Call(
            person=person,
            after_s=after_s,
            redial_s=redial.every_s if again else None,
            redials=redial.times if again else 0,
            round_s=escalation.length_s,
            rounds=escalation.repeat,
            daily_cap=self.per_person_per_day if method.kind in PHONES else None,
            burst={"sms": self.texts, "voice": self.calls}.get(method.kind) or None,
            burst_s=self.burst_s,
        )


def _only(keys: Iterator[str]) -> str | None:
    found = list(keys)
    return found[0] if len(found) == 1 else None


_VERBS = {"sms": "text", "voice": "call", "slack": "message", "email": "mail"}


def in_words(people: OnCall, escalation: Escalation) -> str:
    """`0 min text primary · 2 min call primary · 5 min call data-lead; …`: minutes from the first telling."""
    tellings = sorted(people.tellings(escalation), key=lambda telling: telling.call.after_s)
    moments = [f"{each.call.after_s / 60:g} min {_VERBS[each.method]} {each.person}" for each in tellings]
    parts = [" · ".join(moments) or "nobody"]
    redial = escalation.redial
    if redial.times and any(telling.call.redials for telling in tellings):
        parts.append(f"calls are made again every {redial.every_s / 60:g} min, at most {redial.times} times")
    if escalation.repeat:
        times = "once" if escalation.repeat == 1 else f"{escalation.repeat} times"
        parts.append(f"all of it begins again after {escalation.length_s / 60:g} min, {times}")
    return "; ".join(parts)


# -- reading ------------------------------------------------------------------------------------------------------


def oncall(data: dict[str, Any], secrets: SecretStore, faults: Faults) -> OnCall:
    """The section with all its faults; what could not be read is left out."""
    path: Path = ("oncall",)
    document = faults.validated(OncallDocument, faults.mapping(data.get("oncall"), path), path)
    if document is None:
        return OnCall()
    people = _people(document, secrets, faults)
    redial = Redial(document.redial.every, document.redial.times)
    return OnCall(
        people=people,
        escalations=_escalations(document, people, redial, faults),
        twilio=document.twilio,
        redial=redial,
        per_person_per_day=document.caps.per_person_per_day,
        texts=document.caps.texts,
        calls=document.caps.calls,
        burst_s=document.caps.within,
    )


def _people(document: OncallDocument, secrets: SecretStore, faults: Faults) -> dict[str, Contact]:
    found: dict[str, Contact] = {}
    for key, given in document.people.items():
        path: Path = ("oncall", "people", key)
        found[key] = Contact(key, key)  # its name is known to the escalations even if it has faults
        if not _is_key(key, "a person", path, faults):
            continue
        person = faults.validated(PersonDocument, faults.mapping(given, path), path, context={"secrets": secrets})
        if person is None:
            continue
        phone = _phone(person.phone, (*path, "phone"), faults)
        contact = Contact(
            key=key,
            name=person.name or key,
            phone=phone,
            slack=person.slack or "",
            email=person.email or "",
            timezone=person.timezone,
            team=person.team,
        )
        found[key] = replace(contact, methods=_methods(person, contact, path, faults))
    _check_twins(found, faults)
    return found


def _phone(secret: Secret | None, path: Path, faults: Faults) -> str:
    """Read at load: who calls back is known by it. As a secret it stands in no log."""
    if secret is None:
        return ""
    try:
        return secret.reveal()
    except ConfigError as error:
        for fault in error.faults:
            faults.add(path, fault.message, fault.remedy)
    return ""


def _methods(person: PersonDocument, contact: Contact, path: Path, faults: Faults) -> tuple[Method, ...]:
    if not person.methods:
        return _usual(person, contact, path, faults)
    found: dict[str, Method] = {}
    for index, item in enumerate(person.methods):
        here = (*path, "methods", index)
        if item.kind not in METHODS:
            faults.add(here, f"unknown method {item.kind!r}", close_to(item.kind, METHODS))
        elif item.kind in found:
            faults.add(here, f"{item.kind} stands twice", "keep one; redial says how often calls are made again")
        elif getattr(person, _CONTACT[item.kind]) is None:
            needed = _CONTACT[item.kind]
            faults.add(here, f"{contact.key} has no {needed}, which {item.kind} needs", f"add {needed}: …")
        else:
            found[item.kind] = Method(item.kind, item.after)
    return tuple(found.values())


def _usual(person: PersonDocument, contact: Contact, path: Path, faults: Faults) -> tuple[Method, ...]:
    if person.phone is not None:
        return (Method("sms"), Method("voice", CALL_AFTER_S))
    kind = "slack" if contact.slack else "email" if contact.email else ""
    if not kind:
        faults.add(path, f"{contact.key} cannot be told", "add phone, slack or email")
    return (Method(kind),) if kind else ()


def _check_twins(people: Mapping[str, Contact], faults: Faults) -> None:
    """Whoever calls back must be one person."""
    for contact in ("phone", "slack"):
        seen: dict[str, str] = {}
        for person in people.values():
            value = getattr(person, contact)
            if value and value in seen:
                path: Path = ("oncall", "people", person.key, contact)
                faults.add(path, f"is that of {seen[value]!r} too", "whoever answers must be one person")
            seen.setdefault(value, person.key)


def _escalations(
    document: OncallDocument, people: Mapping[str, Contact], redial: Redial, faults: Faults
) -> dict[str, Escalation]:
    found: dict[str, Escalation] = {}
    for name, given in document.escalations.items():
        path: Path = ("oncall", "escalations", name)
        if not _is_key(name, "an escalation", path, faults):
            continue
        made = faults.validated(EscalationDocument, faults.mapping(given, path), path)
        own = made.redial if made else None
        again = Redial(own.every, own.times) if own else redial
        found[name] = _escalation(name, made, people, again, faults) if made else Escalation(name, ())
    return found


def _escalation(
    name: str, document: EscalationDocument, people: Mapping[str, Contact], redial: Redial, faults: Faults
) -> Escalation:
    path: Path = ("oncall", "escalations", name)
    steps: list[Step] = []
    elapsed = waited = 0.0
    for index, item in enumerate(document.steps):
        here = (*path, "steps", index)
        if (item.notify is None) == (item.wait is None):
            faults.add(here, "a step either notifies or waits", "write {notify: [primary]} or {wait: 5m}")
        elif item.wait is not None:
            elapsed, waited = elapsed + item.wait, waited + item.wait
        else:
            step = Step(len(steps) + 1, _known(item.notify or (), people, (*here, "notify"), faults), elapsed)
            steps.append(step)
            waited = 0.0
    if not steps:
        faults.add((*path, "steps"), "nobody is notified", "add {notify: [primary]}")
    if waited and not document.repeat:
        faults.warn((*path, "steps"), "the last wait has no effect: nothing follows it", "remove it, or add repeat: 1")
    length_s = (elapsed if waited else elapsed + WAIT_S) if document.repeat else 0.0
    escalation = Escalation(name, tuple(steps), length_s, document.repeat, redial)
    _check_length(escalation, people, path, faults)
    return escalation


def _known(names: tuple[str, ...], people: Mapping[str, Contact], path: Path, faults: Faults) -> tuple[str, ...]:
    found: dict[str, None] = {}
    if not names:
        faults.add(path, "nobody is named", "write notify: [primary]")
    for index, name in enumerate(names):
        if name not in people:
            faults.add((*path, index), f"unknown person {name!r}", close_to(name, people) if people else _NO_PEOPLE)
        elif name in found:
            faults.add((*path, index), f"{name!r} stands twice in one step", "keep one")
        else:
            found[name] = None
    return tuple(found)


_NO_PEOPLE = "add the person to oncall: people"


def _check_length(escalation: Escalation, people: Mapping[str, Contact], path: Path, faults: Faults) -> None:
    """A round must not begin before the one before it has told everybody."""
    steps = [(step, people[key]) for step in escalation.steps for key in step.people]
    moments = [step.after_s + method.after_s for step, person in steps for method in person.methods]
    if escalation.repeat and moments and max(moments) >= escalation.length_s:
        faults.add(
            (*path, "repeat"),
            f"it begins again after {escalation.length_s / 60:g} min, before the last method of its steps",
            "end the steps with a longer {wait: …}",
        )


def _is_key(key: str, what: str, path: Path, faults: Faults) -> bool:
    if _KEY.fullmatch(str(key)):
        return True
    remedy = "use letters, digits, _ . and -, beginning with a letter or digit"
    faults.add(path, f"{key!r} cannot be the name of {what}", remedy)
    return False
