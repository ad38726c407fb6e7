"""docs/configuration.md and docs/testing.md show every key as the types read it."""

from pathlib import Path

import pytest

from tests.config import reference


@pytest.mark.parametrize("page", reference.pages(), ids=lambda page: page.name)
def test_the_tables_of_the_page_are_those_of_the_types(page: Path) -> None:
    tables = reference.pages()[page]
    shown = page.read_text(encoding="utf-8")
    assert shown == reference.replaced(page, tables), "run: python -m tests.config.reference --write"


@pytest.mark.parametrize("name", [*reference.MODELS, *reference.TEST_MODELS])
def test_every_key_says_what_it_is_for(name: str) -> None:
    fields = {**reference.MODELS, **reference.TEST_MODELS}[name].model_fields
    assert [key for key, field in fields.items() if not field.description] == []
