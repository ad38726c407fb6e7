"""docs/rules.md says what the code does: options, defaults, meanings, the shipped rules, and every example."""

import re
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from pydantic.fields import FieldInfo

from rules.defaults import DEFAULT_RULES
from watchtower.model.alert import AlertState
from watchtower.model.duration import format_duration
from watchtower.model.template import parse_template
from watchtower.ports import RuleKind
from watchtower.registry import RULE_KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
KINDS: dict[str, RuleKind] = {name: RULE_KINDS.get(name)() for name in RULE_KINDS}
COMMON = {"alert", "kind", "match", "for", "keep_firing_for", "severity", "labels", "annotations", "runbook_url"}
EXAMPLES: list[dict[str, Any]] = [
    rule for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) for rule in yaml.safe_load(block)["rules"]
]


def _section(heading: str) -> str:
    return re.split(r"^## ", PAGE.split(f"\n## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def _table(heading: str) -> list[list[str]]:
    lines = [line for line in _section(heading).splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.default
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, cast("tuple[Any, ...]", value)))
    return format_duration(value) if isinstance(value, float) else str(value).lower()


@pytest.mark.parametrize("name", KINDS)
def test_the_table_of_a_kind_is_its_config(name: str) -> None:
    fields: dict[str, FieldInfo] = KINDS[name].Config.model_fields
    assert _table(f"`{name}`") == [[f"`{field}`", _default(info), info.description] for field, info in fields.items()]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each["alert"])
def test_each_example_is_a_valid_rule(example: dict[str, Any]) -> None:
    KINDS[example["kind"]].Config(**{key: value for key, value in example.items() if key not in COMMON})
    for text in example.get("annotations", {}).values():
        parse_template(text)


def test_each_kind_has_an_example() -> None:
    assert {example["kind"] for example in EXAMPLES} == set(KINDS)


def test_the_shipped_rules_are_listed() -> None:
    listed = [(name.strip("`"), kind.strip("`")) for name, kind, _ in _table("What is on without configuration")]
    assert listed == [(rule.name, rule.kind) for rule in DEFAULT_RULES]


def test_the_common_keys_and_the_states_are_listed() -> None:
    assert {row[0].strip("`") for row in _table("What every rule has")} == COMMON
    assert {row[0].strip("`") for row in _table("The life of an alert")} == {state.value for state in AlertState}
