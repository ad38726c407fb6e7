"""The words of an alert: what is wrong, what was expected, where to look, and what the operator wrote.

Annotations of the operator are templates (`watchtower.model.template`), parsed once per rule. One that cannot be
parsed was refused when the configuration was loaded; if a rule comes another way, its text is shown as it is.
"""

from collections.abc import Mapping
from functools import lru_cache

from watchtower.errors import BadInput
from watchtower.model.labels import Labels
from watchtower.model.rule import Rule, Violation
from watchtower.model.template import FIELDS, Template, parse_template


def annotations_of(rule: Rule, violation: Violation, labels: Labels, description: str) -> dict[str, str]:
    """An operator's `summary` or `description` takes the place of ours."""
    made = {"summary": violation.summary, "description": description}
    cause = violation.evidence.get("cause")
    if cause:
        made["cause"] = str(cause)
    if rule.runbook_url:
        made["runbook_url"] = rule.runbook_url
    if rule.annotations:
        fields = template_fields(rule, violation, labels, made)
        for name, text in rule.annotations.items():
            template = _template(text)
            made[name] = template.render(fields) if template else text
    return made


def template_fields(rule: Rule, violation: Violation, labels: Labels, made: Mapping[str, str]) -> dict[str, object]:
    """Evidence that bears a known name, under the labels, which always win."""
    fields: dict[str, object] = {name: value for name, value in violation.evidence.items() if name in FIELDS}
    fields |= {"value": violation.value, "since": violation.since, **made}
    fields |= {name: labels.get(name) for name in FIELDS & labels.keys()}
    fields |= {f"labels.{name}": value for name, value in labels.items()}
    fields["runbook_url"] = rule.runbook_url
    return fields


@lru_cache(maxsize=4096)
def _template(text: str) -> Template | None:
    try:
        return parse_template(text)
    except BadInput:
        return None
