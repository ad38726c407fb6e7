"""The command line: one file per group of commands. Exit codes: 0 ok, 1 findings, 2 usage or configuration."""

from watchtower.cli.main import main

__all__ = ["main"]
