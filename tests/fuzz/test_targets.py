"""Every target: what was found before stays repaired, and atheris looks for more for SECONDS each (0: not at all)."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import FOUND, TARGETS, seeds

SECONDS = int(os.environ.get("SECONDS", "8"))
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_is_known_to_hurt_hurts(name: str) -> None:
    target = TARGETS[name]()
    for seed in seeds(name)[: 200 if name.startswith("bill") else None]:
        target(seed)


def test_each_finding_belongs_to_a_target() -> None:
    assert {folder.name for folder in FOUND.iterdir()} <= set(TARGETS)


@pytest.mark.skipif(not SECONDS, reason="SECONDS=0")
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this platform")
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_more_is_found(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", name, str(SECONDS), str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS + 300, check=False)
    found = [f"{file.name}: {file.read_bytes()[:200]!r}" for file in tmp_path.iterdir()]
    assert (ran.returncode, found) == (0, []), ran.stdout[-3_000:] + ran.stderr[-6_000:]
    tried = re.search(r"stat::number_of_executed_units: *([0-9]+)", ran.stderr)
    assert tried and int(tried[1]) > 0
