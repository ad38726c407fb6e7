"""Runs `watchtower …` as a user does: in this process, with what it printed and its exit code."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from watchtower.cli.main import main


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Both streams, on one line: terminals wrap."""
        return " ".join(f"{self.out} {self.err}".split())


Watchtower = Callable[..., Answer]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Watchtower:
    """terminal=True: standard output says that it is one. No answer may ever hold a traceback."""

    def run(*arguments: object, terminal: bool = False) -> Answer:
        monkeypatch.setattr(sys, "argv", ["watchtower", *map(str, arguments)])
        capsys.readouterr()
        monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
        code: Any = 0
        handlers = list(logging.getLogger().handlers)
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        finally:
            logging.getLogger().handlers[:] = handlers  # those of `serve` write to a stream that is closed soon
        printed = capsys.readouterr()
        answer = Answer(int(code or 0), printed.out, printed.err)
        assert "Traceback" not in answer.said, answer.err
        assert answer.code != 70, answer.err
        return answer

    return run
