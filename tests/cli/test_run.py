"""`watchtower run`: the command comes first, and what happened to it is told, now or later."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.app.house import House, running
from watchtower import wrapper
from watchtower.wrapper.telling import tell

PYTHON = sys.executable


def command(house: House | None, folder: Path, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    told = {"WATCHTOWER_RUN_SPOOL": str(folder / "waiting"), "HOME": str(folder), "PATH": os.environ["PATH"]}
    if house:
        told |= {"WATCHTOWER_URL": house.instance.url, "WATCHTOWER_TOKEN": house.ingest}
    return subprocess.Popen(
        [PYTHON, "-m", "watchtower", "run", *words],
        env={**told, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
    )


def finished(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    out, errors = process.communicate(timeout=120)
    return process.returncode, out, errors


def waiting(folder: Path) -> list[list[dict[str, Any]]]:
    files = sorted((folder / "waiting").glob("*.jsonl"))
    return [[json.loads(line) for line in file.read_text().splitlines() if line] for file in files]


def runs(house: House) -> list[dict[str, Any]]:
    return [house.get(f"/api/v1/runs/{item['id']}") for item in house.items("/api/v1/runs")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running(tmp_path_factory.mktemp("house")) as house:
        yield house


def test_status_output_and_evidence_are_passed_on(house: House, tmp_path: Path) -> None:
    script = "echo copying; echo 'disk full' >&2; exit 23"
    assert finished(command(house, tmp_path, "--job", "told", "--", "sh", "-c", script)) == (
        23,
        b"copying\n",
        b"disk full\n",
    )
    (run,) = [run for run in runs(house) if run["pipeline"] == "told"]
    assert (run["state"], run["job"]["namespace"], run["error"]["message"]) == (
        "failed",
        "cron",
        "exit status 23: disk full",
    )
    assert sorted(run["said"].split("\n")[:2]) == ["copying", "disk full"]
    assert run["duration_s"] is not None
    assert waiting(tmp_path) == []


def test_the_command_knows_its_run_and_a_success_is_told(house: House, tmp_path: Path) -> None:
    code, out, _ = finished(
        command(house, tmp_path, "-j", "known", "sh", "-c", 'echo "$WATCHTOWER_JOB $WATCHTOWER_RUN_ID"')
    )
    job, run_id = out.decode().split()
    (run,) = [run for run in runs(house) if run["pipeline"] == "known"]
    assert (code, job, run["native_run_id"], run["state"]) == (0, "known", run_id, "succeeded")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_signals_reach_the_command_and_end_it_as_they_would_alone(tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    inherited = signal.signal(number, signal.SIG_DFL)  # whoever started the tests may ignore it, as nohup does
    try:
        process = command(None, tmp_path, "--job", "x", "--", "sh", "-c", "echo ready; exec sleep 60")
    finally:
        signal.signal(number, inherited)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert finished(process)[0] == -number
    assert waiting(tmp_path)[0][-1]["error"]["message"] == f"killed by {name}"


def test_a_command_may_handle_its_signal(tmp_path: Path) -> None:
    script = "trap 'echo cleaned; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    process = command(None, tmp_path, "--job", "x", "--", "sh", "-c", script)
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert finished(process)[:2] == (5, b"cleaned\n")


def test_what_cannot_be_started_ends_as_in_a_shell_and_is_told(house: House, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    assert finished(command(house, tmp_path, "--job", "nothing", "--", "no-such-command"))[0] == 127
    assert finished(command(house, tmp_path, "--job", "text", "--", str(tmp_path / "text")))[0] == 126
    errors = {run["pipeline"]: run["error"]["message"] for run in runs(house) if run["error"]}
    assert errors["nothing"] == "exit status 127: no-such-command: No such file or directory"
    assert "Permission denied" in errors["text"]


def test_what_could_not_be_told_waits_and_is_told_by_the_next_run(house: House, tmp_path: Path) -> None:
    away = {"WATCHTOWER_URL": "http://127.0.0.1:9", "WATCHTOWER_TOKEN": "x"}
    assert finished(command(None, tmp_path, "--job", "later", "--", "sh", "-c", "exit 4", **away))[0] == 4
    ((began, ended),) = waiting(tmp_path)
    assert (began["event"], ended["event"], began["run"]) == ("start", "fail", ended["run"])
    assert next((tmp_path / "waiting").iterdir()).stat().st_mode & 0o077 == 0
    assert finished(command(house, tmp_path, "--job", "next", "--", "true"))[0] == 0
    assert waiting(tmp_path) == []
    assert {run["pipeline"]: run["state"] for run in runs(house)}["later"] == "failed"


def test_the_name_of_what_waits_outlives_a_loss_of_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders that name it are synced before a line is in it; the command need not wait for that."""
    synced: list[Path] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    spool = tmp_path / "var" / "waiting"
    options = wrapper.Options({"WATCHTOWER_RUN_SPOOL": str(spool), "WATCHTOWER_URL": "http://127.0.0.1:1"})
    said = wrapper.Said("a-run", 1_772_438_400.0)
    tell(options, said)
    (file,) = spool.iterdir()
    assert synced == [tmp_path, tmp_path / "var", spool, file]
    synced.clear()
    said.status = 0
    tell(options, said)
    assert synced == [file]


def test_flush_tells_what_waits_and_says_whether_anything_is_left(house: House, tmp_path: Path) -> None:
    finished(command(None, tmp_path, "--job", "flushed", "--", "true"))
    (torn,) = (tmp_path / "waiting").iterdir()
    torn.write_bytes(torn.read_bytes() + b'\n{"job": "flushed", "eve')
    assert finished(command(None, tmp_path, "--flush"))[0] == 1
    assert finished(command(house, tmp_path, "--flush"))[0] == 0
    assert waiting(tmp_path) == []
    assert {run["pipeline"]: run["state"] for run in runs(house)}["flushed"] == "succeeded"


def test_a_watchtower_that_never_answers_costs_no_more_than_the_patience(tmp_path: Path) -> None:
    """It takes the connection and is silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        process = command(
            None, tmp_path, "--patience", "0.2", "--job", "x", "--", "sh", "-c", "exit 7", WATCHTOWER_URL=url
        )
        assert finished(process)[0] == 7
    assert [event["event"] for event in waiting(tmp_path)[0]] == ["start", "fail"]


def test_a_wrong_token_is_said_and_keeps_the_run(house: House, tmp_path: Path) -> None:
    code, _, errors = finished(command(house, tmp_path, "--token", "wt_no", "--job", "x", "--", "true"))
    assert (code, len(waiting(tmp_path))) == (0, 1)
    assert b"it is kept, and told later" in errors


def test_a_spool_that_cannot_be_written_keeps_nobody_from_telling(house: House, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = command(house, tmp_path, "--spool", str(tmp_path / "file"), "--job", "spoolless", "--", "false")
    assert finished(process)[0] == 1
    assert "spoolless" in {run["pipeline"] for run in runs(house)}


def test_what_goes_on_in_the_background_keeps_its_output(house: House, tmp_path: Path) -> None:
    """The command ends at once; what it started writes later, and must not meet a closed pipe."""
    mark = tmp_path / "mark"
    script = f"(while [ ! -e {mark} ]; do sleep 0.02; done; echo late) & echo soon"
    process = command(house, tmp_path, "--job", "background", "--", "sh", "-c", script)
    process.wait(timeout=60)
    mark.touch()
    assert finished(process)[:2] == (0, b"soon\nlate\n")


def test_much_output_passes_whole_and_only_its_end_is_told(house: House, tmp_path: Path) -> None:
    script = "import sys; sys.stdout.write('x' * 3_000_000 + 'end')"
    code, out, _ = finished(command(house, tmp_path, "--job", "much", "--", PYTHON, "-c", script))
    assert (code, len(out)) == (0, 3_000_003)
    (run,) = [run for run in runs(house) if run["pipeline"] == "much"]
    assert run["said"].endswith("xend")
    assert len(run["said"]) == 4_000


def test_a_reader_that_goes_away_does_not_end_the_command(house: House, tmp_path: Path) -> None:
    process = command(house, tmp_path, "--job", "unread", "--", "sh", "-c", "yes | head -c 1000000; exit 3")
    assert process.stdout
    process.stdout.close()
    assert process.wait(timeout=60) == 3


def test_without_its_output_the_command_has_the_terminal_itself(tmp_path: Path) -> None:
    process = command(None, tmp_path, "--no-output", "--job", "x", "--", "sh", "-c", "echo plain; exit 2")
    assert finished(process)[:2] == (2, b"plain\n")
    assert "output" not in waiting(tmp_path)[0][-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a command"),
        (["--flush", "--", "true"], "name a command"),
        (["--job"], "--job needs a value"),
        (["--nonsense", "true"], "unknown option --nonsense"),
        (["--patience", "ever", "true"], "--patience 'ever' is no number"),
    ],
)
def test_a_mistake_on_the_line_is_named(words: list[str], said: str) -> None:
    with pytest.raises(wrapper.Usage, match=said):
        wrapper.read(words, {})


def test_what_is_left_out_comes_from_the_environment_and_the_command() -> None:
    options = wrapper.read(["--", "/usr/bin/backup", "--job", "its own"], {"WATCHTOWER_URL": "http://x/"})
    assert (options.job, options.url, list(options.command)) == (
        "backup",
        "http://x",
        ["/usr/bin/backup", "--job", "its own"],
    )


def test_it_loads_nothing_that_it_does_not_need() -> None:
    """It stands in the path of every job: no third-party package, no e-mail parser, no TLS before it is asked for."""
    script = "import sys, watchtower.wrapper, watchtower.wrapper.telling; print(*sys.modules)"
    loaded = subprocess.run([PYTHON, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert (
        not {"typer", "rich", "http.client", "email", "ssl", "asyncio", "pathlib", "subprocess"}
        & set(loaded) - _at_start()
    )


def _at_start() -> set[str]:
    script = "import sys; print(*sys.modules)"
    return set(subprocess.run([PYTHON, "-c", script], capture_output=True, text=True, check=True).stdout.split())
