"""The configuration: one typed YAML document, refused as a whole with every fault at its line.

`document` reads YAML with lines, `loading` puts the sections together (`routing`, `receivers`, `intervals`, `rules`,
`subjects`, `sections`), `model` and `alerting` are what the rest of the program sees, `schema` is for editors.
"""

from watchtower.config.loading import Checked, examine, examine_file, load, load_text
from watchtower.config.model import Config, DeclaredDataset, DeclaredJob, Ownership
from watchtower.config.places import make_state_dir, state_dir, store_url
from watchtower.config.sections import is_loopback, parse_listen

__all__ = [
    "Checked",
    "Config",
    "DeclaredDataset",
    "DeclaredJob",
    "Ownership",
    "examine",
    "examine_file",
    "is_loopback",
    "load",
    "load_text",
    "make_state_dir",
    "parse_listen",
    "state_dir",
    "store_url",
]
