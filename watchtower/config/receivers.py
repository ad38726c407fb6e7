"""`receivers` and `global`: each item of `<kind>_configs` becomes a destination, checked by its plug-in's own Config.

A plug-in says which keys of `global` give its defaults (`global_keys`), and which keys keep others from taking theirs
(`alternatives`), as Alertmanager does it (`config/config.go`, UnmarshalYAML of Config).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, Field, SecretStr

from watchtower.config.alerting import LOCAL, Destination, Global, Receiver
from watchtower.config.document import Path, dotted
from watchtower.config.faults import Faults, close_to
from watchtower.config.types import Duration, Section
from watchtower.errors import ConfigError
from watchtower.registry import Registries
from watchtower.secrets import Secret, SecretStore, is_literal, unavailable

SUFFIX = "_configs"
# Keys of Alertmanager's `global` for providers that have no channel here: accepted, named by a warning.
_FOREIGN_GLOBALS = frozenset(
    {
        *("opsgenie_api_url", "opsgenie_api_key", "opsgenie_api_key_file", "pagerduty_url", "jira_api_url"),
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
        *("discord", "incidentio", "jira", "mattermost", "msteams", "msteamsv2", "opsgenie", "pagerduty", "pushover"),
        *("rocketchat", "sns", "telegram", "victorops", "webex", "wechat"),
    )
)
_NO_SECRET = frozenset({"url"})  # the plain address of a webhook or a heartbeat


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
    data: dict[str, Any], globals_: Global, registries: Registries, secrets: SecretStore, faults: Faults
) -> tuple[dict[str, Receiver], list[SecretReference]]:
    """By name, with the built-in `local` unless the file defines one of this name."""
    reader = _Reader(globals_.defaults, registries, secrets, faults)
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
    return found, reader.references


class _Reader:
    def __init__(
        self, defaults: Mapping[str, Any], registries: Registries, secrets: SecretStore, faults: Faults
    ) -> None:
        self._defaults = defaults
        self._registries = registries
        self._secrets = secrets
        self._faults = faults
        self.references: list[SecretReference] = []

    def receiver(self, name: str, given: Mapping[str, Any], path: Path) -> Receiver:
        destinations: list[Destination] = []
        for key, items in given.items():
            kind = key.removesuffix(SUFFIX)
            if key == "name":
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
        known = [f"{kind}{SUFFIX}" for kind in self._registries.destinations]
        if key in _FOREIGN_RECEIVERS:
            self._faults.add((*path, key), "is not supported yet", f"known: {', '.join(known)}")
        else:
            self._faults.add((*path, key), "unknown key", close_to(key, [*known, "name"]))

    def _destination(self, name: str, kind: str, item: Any, path: Path) -> Destination | None:
        try:
            config: type[BaseModel] = self._registries.destination(kind).Config
        except ConfigError as error:
            self._faults.add(path, str(error))
            return None
        given = self._faults.mapping(item, path)
        inherited = self._inherited(config, given)
        elsewhere: dict[str, Path] = {key: ("global", name) for key, name in inherited.items()}
        whole = {**{key: self._defaults[name] for key, name in inherited.items()}, **given}
        context = {"secrets": self._secrets}
        data = absolute(whole, self._secrets)
        options = self._faults.validated(config, data, path, context=context, elsewhere=elsewhere)
        if options is None:
            return None
        for warning in getattr(options, "warnings", tuple)():
            self._faults.warn((*path, *warning.path.split(".")), warning.message, warning.remedy)
        self.references += secret_references(options, path, self._faults, elsewhere)
        resolved = bool(getattr(options, "send_resolved", True))
        return Destination(name, kind, options, resolved, dotted(path), self._faults.line(path))

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
    if key not in _NO_SECRET:
        faults.warn(path, "a secret stands in the file itself", "move it out: env:NAME or file:PATH")
