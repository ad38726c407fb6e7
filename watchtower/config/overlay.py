"""A configuration under which some sections of another file stand: to try rules before they are in force."""

from dataclasses import replace
from pathlib import Path

from watchtower.config import document as documents
from watchtower.config.loading import examine_document, examine_file
from watchtower.config.model import Config
from watchtower.errors import ConfigError, Fault


def load_over(base: Path | None, over: Path) -> Config:
    """The configuration in the file base, None for the built-in one, in which the sections that over has stand in place
    of its own. Raises ConfigError with the faults of base, else with those of over."""
    if base is not None:
        checked = examine_file(base)
        if checked.config is None:
            raise ConfigError(list(checked.faults))
    below, above = _read(base) if base is not None else documents.Document(), _read(over)
    lines = {path: line for path, line in below.lines.items() if path[0] not in above.data}
    whole = replace(above, data={**below.data, **above.data}, lines={**lines, **above.lines})
    folder = (base or over).resolve().parent
    checked = examine_document(whole, folder, file=over)
    if checked.config is None:
        raise ConfigError(list(checked.faults))
    return checked.config


def _read(path: Path) -> documents.Document:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError([Fault("", f"cannot be read: {why}", file=str(path))]) from error
    return documents.read(text, str(path))
