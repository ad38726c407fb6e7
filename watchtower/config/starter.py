"""The first configuration file of a beginner: `watchtower init` writes it."""

from importlib.resources import files


def init_text() -> str:
    """A commented watchtower.yaml that loads as it is."""
    return files("watchtower.config").joinpath("starter.yaml").read_text(encoding="utf-8")
