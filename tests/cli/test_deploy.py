"""What stands in deploy/ starts the command line as it is."""

import json
import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from tests.cli.test_reference import complaint
from tests.contract.tree import PACKAGES, ROOT
from watchtower.config.places import SERVICE_DIR, state_dir

UNIT = ROOT / "deploy" / "watchtower.service"
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture
def service() -> dict[str, str]:
    """The section [Service], without its case folded; of a key that is given twice the last one."""
    unit = RawConfigParser(strict=False)
    unit.optionxform = str  # pyright: ignore[reportAttributeAccessIssue] - the documented way to keep the case
    unit.read(UNIT)
    return dict(unit["Service"])


def test_the_unit_names_a_document_that_the_installed_tree_has() -> None:
    unit = UNIT.read_text(encoding="utf-8")
    found = re.search(r"^Documentation=file:///opt/watchtower/src/(.*)$", unit, re.MULTILINE)
    assert found is not None
    assert (ROOT / found[1]).is_file()


def test_the_unit_starts_a_command_that_exists(service: dict[str, str]) -> None:
    program, *words = service["ExecStart"].split()
    assert Path(program).name == "watchtower"
    assert complaint(words) is None


def test_the_unit_keeps_its_state_where_the_program_looks_for_it(service: dict[str, str]) -> None:
    named = f"/var/lib/{service['StateDirectory']}"
    assert Path(named) == SERVICE_DIR
    assert state_dir(None, {"STATE_DIRECTORY": named}) == SERVICE_DIR


def test_the_unit_leaves_time_to_stop_in_order(service: dict[str, str]) -> None:
    from alerting.runner import Runner
    from watchtower.server.runner import DRAIN_S

    assert Runner.stop.__defaults__ is not None
    assert int(service["TimeoutStopSec"]) > DRAIN_S + 5 + Runner.stop.__defaults__[0]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_understands_the_unit() -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(UNIT)], capture_output=True, text=True, check=False, timeout=30
    )
    complaints = [line for line in done.stderr.splitlines() if "Unknown key" in line or "Failed to parse" in line]
    assert complaints == []


def test_the_image_has_every_package_and_starts_a_command_that_exists() -> None:
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    assert copied == set(PACKAGES)
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)[0])
    command = json.loads(re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)[0])
    assert entry == ["watchtower"]
    assert complaint(command) is None
    for name in re.findall(r"^COPY (.*) \./$", DOCKERFILE, re.MULTILINE)[0].split():
        assert (ROOT / name).is_file()
