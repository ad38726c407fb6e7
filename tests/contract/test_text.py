"""What is committed is free of what belongs to one machine, of secrets, and of marks of unfinished work."""

import re
import tomllib

import pytest

from tests.contract.tree import ROOT, files

# Pieces are joined here, so that this file does not find itself.
FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.])/(?:home|Users|root)/[\w.-]+/|(?<![\w.])/" + r"work/\w"),
    "a package index": re.compile(
        "files.python" + r"hosted\.org|\bpy" + r"pi\.org|registry\.npm" + r"js\.org|--(?:extra-)?index-" + r"url[ =]h"
    ),
    "an unfinished mark": re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b"),
    "a private key": re.compile("-----BEGIN " + r"[A-Z ]*PRIVATE KEY-----"),
}
NOT_TEXT = {".gz", ".zst", ".png", ".ico", ".woff2", ".parquet", ".db"}
# Recorded or published by others, kept as they came.
AS_THEY_CAME = ("LICENSE",)


def text_of(name: str) -> str:
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("open('/home/" + "someone/x')", "a path of one machine"),
        ("uv pip install --index-" + "url https://example.org", "a package index"),
        ("# TO" + "DO: later", "an unfinished mark"),
        ("/var/lib/watchtower and $XDG_STATE_HOME/watchtower, ~/bin, /api/v1/home/x", None),
    ],
)
def test_the_search_sees_what_it_is_for(text: str, seen: str | None) -> None:
    assert next((what for what, pattern in FORBIDDEN.items() if pattern.search(text)), None) == seen


def test_committed_text_belongs_to_no_machine_and_is_finished() -> None:
    found = [
        f"{file}:{number}: {what}: {line.strip()[:100]}"
        for file in files()
        if file.suffix not in NOT_TEXT and str(file) not in AS_THEY_CAME
        for number, line in enumerate(text_of(str(file)).splitlines(), 1)
        for what, pattern in FORBIDDEN.items()
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)


def test_lock_files_hold_what_the_project_asks_for_each_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = {
        "requirements.lock": project["project"]["dependencies"] + project["dependency-groups"]["build"],
        "requirements-dev.lock": project["project"]["dependencies"] + project["dependency-groups"]["dev"],
    }
    for lock, wanted in asked.items():
        entries = [entry for entry in re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text()) if "==" in entry]
        names = {entry.split("==")[0].split("[")[0].strip() for entry in entries}
        unhashed = [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]
        missing = {re.split(r"[\[<>=;~! ]", need)[0].lower().replace("_", "-") for need in wanted} - names
        assert not missing, f"{lock} lacks {sorted(missing)}: run `make lock`"
        assert not unhashed


def test_development_and_running_use_the_same_versions() -> None:
    pinned = {
        lock: set(re.findall(r"^([a-z0-9][\w.-]*==[^\s\\]+(?: ; [^\\\n]+)?)", (ROOT / lock).read_text(), re.MULTILINE))
        for lock in ("requirements.lock", "requirements-dev.lock")
    }
    assert not pinned["requirements.lock"] - pinned["requirements-dev.lock"], "run `make lock`"
