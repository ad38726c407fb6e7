"""`receivers` and `global`: each item of `<kind>_configs` becomes a destination, checked by its plug-in's own Config.

A plug-in says which keys of `global` give its defaults (`global_keys`), and which keys keep others from taking theirs
(`alternatives`), as Alertmanager does it (`config/config.go`, UnmarshalYAML of Config). An item of `oncall_configs`
becomes one destination for each step, person and method.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, Field, SecretStr

from watchtower.config.alerting import LOCAL, Destination, Global, Receiver
from watchtower.config.document import Path, dotted
from watchtower.config.faults import Faults, close_to, keys_of
from watchtower.config.oncall import PHONES, Contact, Escalation, OnCall, OncallConfigDocument
from watchtower.config.types import Duration, Section
from watchtower.errors import ConfigError
from watchtower.model.alert import Severity
from watchtower.registry import Registries
from watchtower.secrets import Secret, SecretStore, is_literal, unavailable

SUFFIX = "_configs"
ONCALL = "oncall"
EMERGENCY = "emergency"
# Keys of Alertmanager's `global` for providers that have no channel here: accepted, named by a warning.
_FOREIGN_GLOBALS = frozenset(
    {
        *("opsgenie_api_url", "opsgenie_api_key", "opsgenie_api_key_file"),
        *("rocketchat_api_url", "rocketchat_token", "rocketchat_token_file", "rocketchat_token_id"),
        *("rocketchat_token_id_file", "telegram_api_url", "telegram_bot_token", "telegram_bot_token_file"),
        *("victorops_api_key", "victorops_api_key_file", "victorops_api_url", "webex_api_url", "wechat_api_corp_id"),
        *("wechat_api_secret", "wechat_api_secret_file", "wechat_api_url", "mattermost_webhook_url"),
        *("mattermost_webhook_url_file",),
    }
)
_FOREIGN_RECEIVERS = frozenset(
    f"{name}{SUFFIX}"
    for name in (
        *("discord", "incidentio", "mattermost", "msteams", "msteamsv2", "opsgenie", "pushover"),
        *("rocketchat", "sns", "telegram", "victorops", "webex", "wechat"),
    )
)
_NO_SECRET = frozenset({"url"})  # the plain address of a webhook or a heartbeat
# Options of a library, by its own dotted names, may each be a secret, and few of them are.
_SECRET_OPTIONS = re.compile(r"password|secret|token|pem|oauthbearer\.config")


class GlobalDocument(Section):
    """The one key of `global` that no channel owns; the others give channels their defaults."""

    resolve_timeout: Duration = Field(
        default=300.0, description="when an alert that was pushed without an end counts as resolved"
    )


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where the file names a secret, and how. reference: `env:NAME` or `file:PATH`, never a value."""

    path: Path
    reference: str
    line: int | None = None


def global_section(data: dict[str, Any], registries: Registries, faults: Faults) -> Global:
    given = dict(faults.mapping(data.get("global"), ("global",)))
    own = {key: given.pop(key) for key in list(given) if key in GlobalDocument.model_fields}
    document = faults.validated(GlobalDocument, own, ("global",)) or GlobalDocument()
    known = _global_keys(registries, faults)
    defaults: dict[str, Any] = {}
    for key, value in given.items():
        if key in known:
            defaults[key] = value
        elif key in _FOREIGN_GLOBALS:
            faults.warn(("global", key), "has no effect: this provider is not supported yet", "remove it")
        else:
            faults.unknown(("global",), key, [*sorted(known), *GlobalDocument.model_fields])
    return Global(document.resolve_timeout, defaults)


def receivers(
    data: dict[str, Any],
    globals_: Global,
    registries: Registries,
    secrets: SecretStore,
    faults: Faults,
    *,
    people: OnCall | None = None,
) -> tuple[dict[str, Receiver], list[SecretReference]]:
    """By name, with the built-in `local` unless the file defines one of this name. people: of `oncall`."""
    reader = _Reader(globals_.defaults, registries, secrets, faults)
    server = data.get("server")
    reader.is_reachable = isinstance(server, dict) and bool(cast("dict[str, Any]", server).get("external_url"))
    reader.meet(people or OnCall())
    found: dict[str, Receiver] = {}
    for index, item in enumerate(faults.listed(data.get("receivers"), ("receivers",))):
        path: Path = ("receivers", index)
        given = faults.mapping(item, path)
        name = given.get("name")
        if not isinstance(name, str) or not name:
            faults.add(path, "a receiver needs a name", "add name: TEAM")
            name = ""
        elif name in found:
            faults.add((*path, "name"), f"two receivers are called {name!r}", "merge them, or rename one")
        found[name or f"?{index}"] = reader.receiver(name or "?", given, path)
    if LOCAL not in found:
        found[LOCAL] = Receiver(LOCAL, tuple(reader.built_in()))
    return found, list(dict.fromkeys(reader.references))


def emergency(
    data: dict[str, Any], globals_: Global, registries: Registries, secrets: SecretStore, faults: Faults
) -> tuple[tuple[Destination, ...], list[SecretReference]]:
    """`emergency`: destinations as those of a receiver, without a name and without people on call: who has the turn
    is known to a store."""
    given = dict(faults.mapping(data.get(EMERGENCY), (EMERGENCY,)))
    if f"{ONCALL}{SUFFIX}" in given:
        faults.add((EMERGENCY, f"{ONCALL}{SUFFIX}"), "an emergency is told directly", "name channels, e.g. sms_configs")
        given.pop(f"{ONCALL}{SUFFIX}")
    if "name" in given:
        faults.unknown((EMERGENCY,), "name", [f"{kind}{SUFFIX}" for kind in registries.destinations])
    reader = _Reader(globals_.defaults, registries, secrets, faults)
    reader.is_reachable = True  # nobody calls back about an emergency
    return reader.receiver(EMERGENCY, given, (EMERGENCY,)).destinations, reader.references


class _Reader:
    def __init__(
        self, defaults: Mapping[str, Any], registries: Registries, secrets: SecretStore, faults: Faults
    ) -> None:
        self._defaults = defaults
        self._registries = registries
        self._secrets = secrets
        self._faults = faults
        self.references: list[SecretReference] = []
        self.is_reachable = False  # by providers that call back
        self._people = OnCall()
        self._reached: dict[tuple[str, str], Any] = {}  # person and method → options of the channel

    def receiver(self, name: str, given: Mapping[str, Any], path: Path) -> Receiver:
        destinations: list[Destination] = []
        for key, items in given.items():
            kind = key.removesuffix(SUFFIX)
            if key == "name":
                continue
            if key == f"{ONCALL}{SUFFIX}":
                for index, item in enumerate(self._faults.listed(items, (*path, key))):
                    destinations += self._called(f"{name}/{ONCALL}[{index}]", item, (*path, key, index))
                continue
            if not key.endswith(SUFFIX) or kind not in self._registries.destinations:
                self._unknown(key, path)
                continue
            for index, item in enumerate(self._faults.listed(items, (*path, key))):
                destination = self._destination(f"{name}/{kind}[{index}]", kind, item, (*path, key, index))
                if destination is not None:
                    destinations.append(destination)
        return Receiver(name, tuple(destinations))

    def built_in(self) -> Iterator[Destination]:
        if LOCAL in self._registries.channels:
            yield Destination(LOCAL, LOCAL, self._registries.channels.get(LOCAL).Config())

    def _unknown(self, key: str, path: Path) -> None:
        known = [f"{kind}{SUFFIX}" for kind in (*self._registries.destinations, ONCALL)]
        if key in _FOREIGN_RECEIVERS:
            self._faults.add((*path, key), "is not supported yet", f"known: {', '.join(known)}")
        else:
            self._faults.add((*path, key), "unknown key", close_to(key, [*known, "name"]))

    def _destination(self, name: str, kind: str, item: Any, path: Path) -> Destination | None:
        config = self._config(kind, path)
        if config is None:
            return None
        given = self._faults.mapping(item, path)
        options = self._options(config, given, path)
        if options is None:
            return None
        resolved = bool(getattr(options, "send_resolved", True))
        return Destination(name, kind, options, resolved, dotted(path), self._faults.line(path))

    def _config(self, kind: str, path: Path) -> type[BaseModel] | None:
        try:
            return self._registries.destination(kind).Config
        except ConfigError as error:
            self._faults.add(path, str(error))
            return None

    def _options(
        self,
        config: type[BaseModel],
        given: Mapping[str, Any],
        path: Path,
        elsewhere: Mapping[str, Path] | None = None,
        about: Path | None = None,
    ) -> BaseModel | None:
        """given with the defaults of `global`, as config; None if it has faults. elsewhere: keys that stand at another
        path of the document; about: where warnings stand that are about the whole."""
        inherited = self._inherited(config, given)
        moved = {**(elsewhere or {}), **{key: ("global", name) for key, name in inherited.items()}}
        whole = {**{key: self._defaults[name] for key, name in inherited.items()}, **given}
        data = absolute(whole, self._secrets)
        options = self._faults.validated(config, data, path, context={"secrets": self._secrets}, elsewhere=moved)
        if options is None:
            return None
        for warning in getattr(options, "warnings", tuple)():
            self._faults.warn((*path, *warning.path.split(".")), warning.message, warning.remedy)
        missed: str = getattr(options, "needs_external_url", "")
        if missed and not self.is_reachable:
            remedy = "set server.external_url to the address by which the provider reaches it"
            self._faults.warn(about or path, missed, remedy)
        self.references += secret_references(options, path, self._faults, moved)
        return options

    # -- people ---------------------------------------------------------------------------------------------------

    def meet(self, people: OnCall) -> None:
        """Everybody's ways to be reached are checked, whether or not a receiver names them."""
        self._people = people
        self._check_account()
        for person in people.people.values():
            for method in person.methods:
                options = self._reach(person, method.kind)
                if options is not None:
                    self._reached[person.key, method.kind] = options

    def _check_account(self) -> None:
        known = {key for kind in PHONES if (config := self._phone_config(kind)) for key in keys_of(config)}
        known -= {"to", "send_resolved"}
        for key in self._people.twilio:
            if key not in known:
                self._faults.unknown(("oncall", "twilio"), key, sorted(known))

    def _phone_config(self, kind: str) -> type[BaseModel] | None:
        return self._config(kind, ("oncall", "twilio")) if kind in self._registries.channels else None

    def _reach(self, person: Contact, kind: str) -> BaseModel | None:
        """The options of the channel by which kind reaches person."""
        path: Path = ("oncall", "people", person.key, "phone" if kind in PHONES else kind)
        if kind not in PHONES:
            given = {"channel": person.slack} if kind == "slack" else {"to": person.email}
            config = self._config(kind, path)
            return self._options(config, given, path, dict.fromkeys(given, path)) if config else None
        if not person.phone:
            return None
        if "account_sid" not in self._people.twilio and "twilio_account_sid" not in self._defaults:
            remedy = "add twilio: {account_sid: AC…, auth_token: env:TWILIO_AUTH_TOKEN, from: '+49…'} to oncall"
            self._faults.add(("oncall",), "texts and calls need a Twilio account", remedy)
            return None
        config = self._config(kind, path)
        if config is None:
            return None
        keys = [key for key in keys_of(config) if key != "to"]
        given = {"to": person.phone, **{key: self._people.twilio[key] for key in keys if key in self._people.twilio}}
        elsewhere: dict[str, Path] = {"to": path, **{key: ("oncall", "twilio", key) for key in keys}}
        return self._options(config, given, path, elsewhere, about=("oncall", "twilio"))

    def _called(self, name: str, item: Any, path: Path) -> Iterator[Destination]:
        """The destinations of one item of `oncall_configs`: `team/oncall[0]/1/primary/voice` and so on."""
        document = self._faults.validated(OncallConfigDocument, self._faults.mapping(item, path), path)
        escalation = self._escalation(document, path) if document else None
        if document is None or escalation is None:
            return
        known = [severity.value for severity in Severity]
        for index, word in enumerate(document.severities):
            if word not in known:
                self._faults.add((*path, "severities", index), f"unknown severity {word!r}", close_to(word, known))
        for telling in self._people.tellings(escalation, document.severities):
            options = self._reached.get((telling.person, telling.method))
            if options is None:
                continue
            yield Destination(
                name=f"{name}/{telling.number}/{telling.person}/{telling.method}",
                kind=telling.method,
                options=options,
                send_resolved=document.send_resolved and telling.method != "voice",
                path=dotted(path),
                line=self._faults.line(path),
                call=telling.call,
            )

    def _escalation(self, document: OncallConfigDocument, path: Path) -> Escalation | None:
        people, escalations = self._people.people, self._people.escalations
        if (document.escalation is None) == (document.person is None):
            self._faults.add(path, "names an escalation or a person", "write {escalation: NAME} or {person: KEY}")
            return None
        name = document.escalation or document.person or ""
        known, key = (escalations, "escalation") if document.escalation is not None else (people, "person")
        if name not in known:
            remedy = (
                close_to(name, known) if known else f"add it to oncall: {'people' if key == 'person' else key + 's'}"
            )
            self._faults.add((*path, key), f"unknown {key} {name!r}", remedy)
            return None
        return escalations[name] if key == "escalation" else self._people.of_person(name)

    def _inherited(self, config: type[BaseModel], given: Mapping[str, Any]) -> dict[str, str]:
        """Keys of config that take their value from a key of `global`."""
        keys: Mapping[str, str] = getattr(config, "global_keys", {})
        groups: Iterable[frozenset[str]] = getattr(config, "alternatives", ())
        kept = frozenset[str]().union(*(group for group in groups if group & given.keys()))
        settled = kept | given.keys()
        return {key: name for key, name in keys.items() if name in self._defaults and key not in settled}


def _global_keys(registries: Registries, faults: Faults) -> frozenset[str]:
    """Every key of `global` that some channel or ticket system takes a default from."""
    known: set[str] = set()
    for kind in registries.destinations:
        try:
            known.update(getattr(registries.destination(kind).Config, "global_keys", {}).values())
        except ConfigError as error:
            faults.add((), str(error))
    return frozenset(known)


def absolute(value: Any, secrets: SecretStore) -> Any:
    """value with each relative `ca_file` starting at the folder of the configuration file."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {
            key: str(secrets.path(inner)) if key == "ca_file" and isinstance(inner, str) else absolute(inner, secrets)
            for key, inner in items
        }
    if isinstance(value, list):
        return [absolute(inner, secrets) for inner in cast("list[Any]", value)]
    return value


def secret_references(
    options: BaseModel, path: Path, faults: Faults, elsewhere: Mapping[str, Path] | None = None
) -> Iterator[SecretReference]:
    """The secrets of validated options, by field and by Alertmanager's `*_file` keys. A literal is a warning, a
    reference that this release cannot read a fault; both say only where. elsewhere: as in Faults.validated."""
    for name, info in type(options).model_fields.items():
        key = str(info.alias or name)
        here = (elsewhere or {}).get(key, (*path, key))
        yield from _of(getattr(options, name), key, here, faults)


def _of(value: Any, key: str, path: Path, faults: Faults) -> Iterator[SecretReference]:
    if isinstance(value, BaseModel):
        yield from secret_references(value, path, faults)
    elif isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, Any]", value).items():
            yield from _of(inner, str(name), (*path, str(name)), faults)
    elif isinstance(value, tuple | list):
        for index, inner in enumerate(cast("tuple[Any, ...]", value)):
            yield from _of(inner, key, (*path, index), faults)
    elif isinstance(value, SecretStr):
        yield from _reference(value.get_secret_value(), key, path, faults)
    elif isinstance(value, Secret):
        if value.is_literal:
            _literal(key, path, faults)
        else:
            yield SecretReference(path, value.reference, faults.line(path))
    elif isinstance(value, str) and key.endswith("_file") and key != "ca_file":
        yield SecretReference(path, f"file:{value}", faults.line(path))


def _reference(text: str, key: str, path: Path, faults: Faults) -> Iterator[SecretReference]:
    problem = unavailable(text)
    if problem:
        faults.add(path, problem)
    elif is_literal(text):
        _literal(key, path, faults)
    else:
        yield SecretReference(path, text, faults.line(path))


def _literal(key: str, path: Path, faults: Faults) -> None:
    is_plain_option = "." in key and not _SECRET_OPTIONS.search(key)
    if key not in _NO_SECRET and not is_plain_option:
        faults.warn(path, "a secret stands in the file itself", "move it out: env:NAME or file:PATH")
