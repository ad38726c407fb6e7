"""The documents cannot drift: examples are loaded, commands exist, links lead somewhere."""

import importlib
import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from tests.contract.documents import Block, all_blocks, blocks, pages
from tests.contract.tree import ROOT
from watchtower.errors import WatchtowerError

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
OURS = re.compile(r"`((?:watchtower|collectors|rules|alerting|dashboards|tests|examples|deploy|tools)/[\w./*-]+)`")
MAKE = re.compile(r"^\s*make ([a-z0-9-]+)", re.MULTILINE)


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_each_yaml_example_is_valid(block: Block) -> None:
    """A block marked `yaml` is a Watchtower configuration; `yaml <word>` (e.g. `yaml openslo`) only has to be YAML."""
    if block.info == "yaml" and find_spec("watchtower.config") is not None:
        load_text = importlib.import_module("watchtower.config").load_text
        try:
            load_text(block.body)
        except WatchtowerError as error:
            pytest.fail(f"{block}: {error}")
    else:
        yaml.safe_load(block.body)


@pytest.mark.parametrize("page", pages(), ids=str)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for found in LINK.finditer(text):
        target = unquote(found[1] or found[2])
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (ROOT / page).parent / file if file else ROOT / page
        assert linked.exists(), f"{page}: no such file: {target}"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked.read_text(encoding="utf-8")), f"{page}: no such heading: {target}"


@pytest.mark.parametrize("page", pages(), ids=str)
def test_files_that_documents_name_are_there(page: Path) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    missing = [name for name in OURS.findall(text) if not any(ROOT.glob(name))]
    assert missing == []


def anchors(text: str) -> set[str]:
    """As Git forges make them: lower case, punctuation dropped, spaces as hyphens."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_make_commands_in_documents_are_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    for language in ("sh", "bash", "shell", "console"):
        for block in all_blocks(language):
            for name in MAKE.findall(block.body.replace("$ ", "")):
                assert name in targets, f"{block}: `make {name}` is no target of the Makefile"


def test_first_section_of_the_readme_holds_two_make_commands() -> None:
    """The two commands by which a stranger sees it work: they need nothing but make and Python."""
    if not next(blocks(Path("README.md")), None):
        pytest.skip("the README has no commands yet")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.split(r"^## ", text, flags=re.MULTILINE)
    opening = "".join(first[: 2 if "```" not in first[0] else 1])
    commands = MAKE.findall(opening.replace("$ ", ""))
    assert "demo" in commands
    assert len(commands) >= 2


def test_the_fences_are_read_as_markdown_does() -> None:
    assert anchors("# A `b` c!\n## Two words\n") == {"a-b-c", "two-words"}
