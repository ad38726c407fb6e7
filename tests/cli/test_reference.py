"""The documents, the help and the messages speak of commands that exist, and of all of them."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli import reference
from tests.contract.tree import ROOT, files
from watchtower.cli.main import COMMANDS, load
from watchtower.config.keys import RESERVED
from watchtower.registry import RULE_KINDS
from watchtower.server.ingest import INGEST_ROUTES
from watchtower.server.routes import ENDPOINTS

README = (ROOT / "README.md").read_text(encoding="utf-8")
# `watchtower …` between back-ticks, and command lines of shell blocks.
_NAMED = re.compile(r"`watchtower ([a-z][^`\n]*)`|^(?:\.venv/bin/)?watchtower ([a-z].*?)(?:  +#.*)?$", re.MULTILINE)


def named() -> list[Any]:
    """Every command line that a page, a message or a comment names, with where it stands."""
    found: list[Any] = []
    for file in files():
        if file.suffix in (".md", ".py", ".yaml", ".html") and file.parts[0] not in ("tests", "benchmarks", ".cache"):
            lines = [match[1] or match[2] for match in _NAMED.finditer((ROOT / file).read_text(encoding="utf-8"))]
            found += [pytest.param(line, id=f"{file}: {line}") for line in lines]
    return found


def complaint(words: list[str]) -> str | None:
    """What is wrong with the words after `watchtower`; None: nothing."""
    name, *rest = words
    if name not in COMMANDS:
        return f"there is no command {name!r}"
    command = load(name)
    children = getattr(command, "commands", {})
    if children and rest and not rest[0].startswith("-"):
        if rest[0] not in children:
            return f"{name} has no subcommand {rest[0]!r}"
        command = children[rest.pop(0)]
    known = {option for param in command.params for option in param.opts} | {"--help", "-h"}
    unknown = [word for word in rest if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known]
    return f"no option {unknown[0]}" if unknown else None


@pytest.mark.parametrize("line", named())
def test_a_command_that_is_named_somewhere_exists(line: str) -> None:
    words = shlex.split(line.replace("…", " "), comments=True)
    ends = [place for place, word in enumerate(words) if word in ("|", "||", "&&", ">", "&", ";", "--")]
    assert complaint(words[: min(ends, default=len(words))]) is None


def test_the_page_shows_every_command_as_it_is() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.replaced(), "run `make docs`"


def test_the_readme_names_every_command() -> None:
    rows = re.findall(r"^\| (`watchtower.*?) \|", README, re.MULTILINE)
    shown = {word.removeprefix("watchtower ") for row in rows for word in re.findall(r"`([^`]+)`", row)}
    assert {name.split()[0] for name in shown} == set(COMMANDS)
    for name in shown:
        assert complaint(name.split()) is None


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_their_own_help_says(name: str) -> None:
    command = load(name)
    assert COMMANDS[name].summary == reference.summary(command)
    assert len(COMMANDS[name].summary) <= 66, "it must fit into one line of a terminal with 80 columns"


def test_every_option_and_argument_says_what_it_is_for() -> None:
    for path, command in reference.commands():
        for param in command.params:
            assert param.help or param.show_default, f"{path}: {param.name} has no help"


# What makes a program slow to answer, and large, is what it imports; the limit in seconds is in docs/cli.md.
OF_THE_SERVER = frozenset({"uvicorn", "starlette", "grpc", "apscheduler", "jinja2", "prometheus_client", "psycopg"})
OF_FEW = frozenset({"pandas", "numpy", "duckdb", "grafana_foundation_sdk", "holidays", "boto3", "confluent_kafka"})
OF_CONFIGURATIONS = frozenset({"sqlalchemy", "pydantic", "yaml", "opentelemetry", "urllib3", "slack_sdk", "twilio"})


@pytest.mark.parametrize(
    ("words", "never"),
    [
        (["run", "--", "true"], OF_THE_SERVER | OF_FEW | OF_CONFIGURATIONS | {"typer", "rich"}),
        (["--version"], OF_THE_SERVER | OF_FEW | OF_CONFIGURATIONS),
        (["--help"], OF_THE_SERVER | OF_FEW | OF_CONFIGURATIONS),
        (["check"], OF_THE_SERVER | OF_FEW),
    ],
    ids=["run", "version", "help", "check"],
)
def test_a_command_answers_before_anything_heavy_is_imported(words: list[str], never: set[str], tmp_path: Path) -> None:
    (tmp_path / "watchtower.yaml").write_text("rules: [{alert: Failed, kind: run_failure, match: {pipeline: x}}]\n")
    code = (
        f"import sys; sys.argv = ['watchtower', *{words!r}]\n"
        "from watchtower.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: print(*sys.modules)"
    )
    asked = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "WATCHTOWER_RUN_SPOOL": str(tmp_path / "waiting")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=asked, timeout=120
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "watchtower" in loaded
    assert not loaded & never


def test_completion_offers_commands_and_their_options(tmp_path: Path) -> None:
    def offered(line: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "watchtower"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={
                "PATH": "/usr/bin:/bin",
                "_WATCHTOWER_COMPLETE": "complete_bash",
                "COMP_WORDS": line,
                "COMP_CWORD": str(len(line.split(" ")) - 1),
                "HOME": str(tmp_path),
            },
        ).stdout

    assert offered("watchtower si").split() == ["silence"]
    assert offered("watchtower silence a").split() == ["add"]
    assert "--comment" in offered("watchtower silence add --co").split()


def test_the_page_of_limits_names_every_section_that_has_no_effect() -> None:
    text = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    listed = text.split("<!-- reserved -->")[1].split("<!-- /reserved -->")[0]
    assert re.findall(r"`(\w+)`", listed) == list(RESERVED)


@pytest.mark.parametrize(
    ("said", "is_there"),
    [
        ("SLOs", "slo" in RULE_KINDS),
        ("schema change", "schema_change" in RULE_KINDS),
        ("OTLP logs", "otlp_logs" in INGEST_ROUTES.values()),
        ("Alertmanager's API for inbound alerts", any(one.path.startswith("/api/v2") for one in ENDPOINTS)),
    ],
)
def test_the_page_of_limits_does_not_miss_what_is_there(said: str, is_there: bool) -> None:
    """What it says is not there yet is taken back when that changes."""
    text = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    missing = text.split("## Not there yet")[1].split("## ")[0]
    assert (said in missing) is not is_there
