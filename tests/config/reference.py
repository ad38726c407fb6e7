"""`python -m tests.config.reference --write`: the tables of docs/configuration.md and docs/testing.md, made from the
types that read these files."""

import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import AwareDatetime
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from watchtower.config import budgets, oncall, rule_tests, sections, types
from watchtower.config.budgets import BudgetDocument
from watchtower.config.calendars import CalendarDocument
from watchtower.config.flapping import FlapDocument, FlappingDocument
from watchtower.config.intervals import RangeDocument
from watchtower.config.keys import RESERVED, SECTIONS
from watchtower.config.maintenance import MaintenanceDocument
from watchtower.config.receivers import GlobalDocument
from watchtower.config.routing import InhibitRuleDocument, RouteDocument
from watchtower.config.rules import RuleDocument
from watchtower.config.sections import (
    BackupConfig,
    HeartbeatConfig,
    OutboundConfig,
    RetentionConfig,
    ScrubConfig,
    ServerConfig,
    StorageConfig,
)
from watchtower.config.subjects import DatasetDocument, JobDocument, OwnershipDocument
from watchtower.config.types import Section
from watchtower.model.cost import BudgetPeriod
from watchtower.model.duration import format_duration
from watchtower.registry import Registries
from watchtower.secrets import Secret

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "configuration.md"
TESTS_PAGE = DOCS / "testing.md"

MODELS: dict[str, type[Section]] = {
    "server": ServerConfig,
    "outbound": OutboundConfig,
    "scrub": ScrubConfig,
    "retention": RetentionConfig,
    "storage": StorageConfig,
    "backup": BackupConfig,
    "heartbeat": HeartbeatConfig,
    "maintenance": MaintenanceDocument,
    "calendar": CalendarDocument,
    "flapping": FlappingDocument,
    "flapping.runs": FlapDocument,
    "jobs": JobDocument,
    "datasets": DatasetDocument,
    "ownership": OwnershipDocument,
    "rules": RuleDocument,
    "budgets": BudgetDocument,
    "budgets.scope": budgets.ScopeDocument,
    "budgets.limit": budgets.LimitDocument,
    "budgets.thresholds": budgets.ThresholdDocument,
    "oncall": oncall.OncallDocument,
    "oncall.people": oncall.PersonDocument,
    "oncall.escalations": oncall.EscalationDocument,
    "oncall.redial": oncall.RedialDocument,
    "oncall.caps": oncall.CapsDocument,
    "oncall_configs": oncall.OncallConfigDocument,
    "global": GlobalDocument,
    "route": RouteDocument,
    "inhibit_rules": InhibitRuleDocument,
    "time_intervals": RangeDocument,
}

TEST_MODELS: dict[str, type[Section]] = {
    "test": rule_tests.RuleTest,
    "run": rule_tests.GivenRun,
    "writes": rule_tests.Written,
    "value": rule_tests.GivenValue,
    "data": rule_tests.GivenData,
    "charge": rule_tests.GivenCharge,
    "expect": rule_tests.Expected,
    "alerts": rule_tests.ExpectedAlert,
    "told": rule_tests.ExpectedMessage,
}

# Types that say more than their Python form: the annotation's metadata → words.
_NAMED: list[tuple[Any, str]] = [
    (types.Duration, "duration"),
    (types.PositiveDuration, "duration"),
    (types.Size, "size"),
    (types.Zone, "IANA zone"),
    (rule_tests.Instant, "moment"),
    (types.WebAddress, "web address"),
    (sections.Listen, "host:port"),
    (budgets.Amount, "amount"),
    (budgets.Limit, "amount"),
    (budgets.Currency, "currency"),
    (budgets.Share, "share"),
    (sections.NetworkText, "network"),
]
_PLAIN = {
    str: "text",
    bool: "true or false",
    int: "number",
    float: "number",
    Secret: "secret",
    AwareDatetime: "moment",
    BudgetPeriod: "day or month",
    budgets.ThresholdDocument: "share",
    oncall.MethodDocument: "method",
    oncall.StepDocument: "step",
    rule_tests.Given: "item",
    rule_tests.Expected: "item",
    rule_tests.ExpectedAlert: "alert",
    rule_tests.ExpectedMessage: "message",
    rule_tests.Written: "dataset",
    **dict.fromkeys((Any, budgets.ScopeDocument, budgets.LimitDocument), "see below"),
    **dict.fromkeys((oncall.RedialDocument, oncall.CapsDocument, FlapDocument), "see below"),
}


_NESTED = (budgets.ScopeDocument, oncall.RedialDocument, oncall.CapsDocument, FlapDocument)


def parts() -> dict[str, str]:
    """Name of a part → its table."""
    return {
        "sections": _sections(),
        "reserved": ", ".join(f"`{name}`" for name in RESERVED) + "\n",
        "receivers": _receivers(),
        **{name: _table(model) for name, model in MODELS.items()},
    }


def replaced(page: Path, tables: dict[str, str]) -> str:
    text = page.read_text(encoding="utf-8")
    for name, body in tables.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not marked.search(text):
            raise ValueError(f"{page.name} lacks the marks <!-- {name} --> and <!-- /{name} -->")
        text = marked.sub(lambda found, body=body: found[1] + body + found[2], text)
    return text


def pages() -> dict[Path, dict[str, str]]:
    """Each page with its tables."""
    return {PAGE: parts(), TESTS_PAGE: {name: _table(model) for name, model in TEST_MODELS.items()}}


def _sections() -> str:
    return (
        "\n".join(["| Section | What it is for |", "|---|---|", *(f"| `{k}` | {v} |" for k, v in SECTIONS.items())])
        + "\n"
    )


def _receivers() -> str:
    known = Registries()
    rows = ["| Key | Kind | Takes defaults from `global` |", "|---|---|---|"]
    for name in known.destinations:
        kind = "channel" if name in known.channels else "ticket system"
        keys = dict(getattr(known.destination(name).Config, "global_keys", {}))
        shown = ", ".join(f"`{key}`" for key in sorted(set(keys.values()))) or "–"
        rows.append(f"| `{name}_configs` | {kind} | {shown} |")
    return "\n".join(rows) + "\n"


def _table(model: type[Section]) -> str:
    rows = ["| Key | Form | Default | What it says |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        form = _form(field)
        rows.append(
            f"| `{field.alias or name}` | {form} | {_default(field, form)} | {_cell(field.description or '')} |"
        )
    return "\n".join(rows) + "\n"


def _form(field: FieldInfo) -> str:
    annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return _words(annotation)


def _words(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        base, *metadata = get_args(annotation)
        for named, words in _NAMED:
            if get_args(named)[1] in metadata:
                return words
        return _words(base)
    arguments = [each for each in get_args(annotation) if each is not type(None)]
    if get_origin(annotation) is tuple:
        return "list" if arguments[0] is Any else f"list of {_plural(_words(arguments[0]))}"
    if get_origin(annotation) is dict:
        return "mapping"
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    return _words(arguments[0]) if arguments else _PLAIN[annotation]


def _plural(word: str) -> str:
    return word if word.endswith("s") else f"{word}s"


def _default(field: FieldInfo, form: str) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if value in (None, "", (), {}) or isinstance(value, _NESTED):
        return "–"
    if isinstance(value, tuple):
        return f"`[{', '.join(_shown(cast('tuple[Any, ...]', value)))}]`"
    if form == "duration":
        return f"`{format_duration(value, 1) if value % 86_400 else f'{value / 86_400:.0f}d'}`" if value else "`0s`"
    if form == "size":
        return f"`{value >> 20}MiB`"
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(values: tuple[Any, ...]) -> list[str]:
    return [str(value.at) if isinstance(value, budgets.ThresholdDocument) else str(value) for value in values]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    wanted = {page: replaced(page, tables) for page, tables in pages().items()}
    if "--write" in sys.argv:
        for page, text in wanted.items():
            page.write_text(text, encoding="utf-8")
    sys.exit(any(page.read_text(encoding="utf-8") != text for page, text in wanted.items()))
