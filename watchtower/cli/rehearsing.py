"""`test`: what the rules do in cases that somebody wrote down, before they wake anybody."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from watchtower.cli.output import out, progress, show_json, styled, wants_json
from watchtower.cli.settings import Settings, takes

app = typer.Typer()


@app.command("test")
@takes("config", "output")
def rule_tests(
    at: Settings,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files of tests, docs/testing.md.")],
) -> None:
    """Play tests of rules, before they wake anybody.

    They are played on a clock that is moved by hand, and nobody is told anything. The configuration is the one that
    the file names, else that of --config. Exit code 1 if something did not hold.
    """
    from watchtower.config import Config, load
    from watchtower.config.rule_tests import RuleTests, load_tests
    from watchtower.rehearsal.playing import Played, play

    read = [(file, load_tests(file)) for file in files]

    def config_of(file: Path, tests: RuleTests) -> Config:
        return load(file.parent / tests.config) if tests.config else at.read()

    played: list[tuple[Path, Played]] = []
    with progress() as bar:
        task = bar.add_task("playing", total=sum(len(tests.tests) for _, tests in read))
        for file, tests in read:
            config = config_of(file, tests)
            for test in tests.tests:
                played.append((file, play(test, config)))
                bar.advance(task)
    _show(at, played)
    if any(each.failures for _, each in played):
        raise typer.Exit(1)


def _show(at: Settings, played: list[tuple[Path, Any]]) -> None:
    if wants_json(at.output):
        rows = [
            {"file": str(file), "test": each.name, "ok": not each.failures, "failures": list(each.failures)}
            for file, each in played
        ]
        show_json(rows)
        return
    for file, each in played:
        word = styled("fail" if each.failures else "ok")
        out.print(f"{word}  {escape(each.name)}  [dim]{escape(str(file))}[/dim]", soft_wrap=True)
        for failure in each.failures:
            out.print(f"      {escape(failure)}", soft_wrap=True)
    failed = sum(bool(each.failures) for _, each in played)
    out.print(f"{len(played) - failed} of {len(played)} held")
