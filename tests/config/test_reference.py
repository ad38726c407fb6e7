"""docs/configuration.md shows every key as the types read it."""

import pytest

from tests.config import reference


def test_the_tables_of_the_page_are_those_of_the_types() -> None:
    shown = reference.PAGE.read_text(encoding="utf-8")
    assert shown == reference.replaced(), "run: python -m tests.config.reference --write"


@pytest.mark.parametrize("name", reference.MODELS)
def test_every_key_says_what_it_is_for(name: str) -> None:
    fields = reference.MODELS[name].model_fields
    assert [key for key, field in fields.items() if not field.description] == []
