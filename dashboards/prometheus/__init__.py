"""What a Prometheus needs: how to scrape Watchtower, and the rules by which it watches the watcher."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

RULES = Path(__file__).parent / "watchtower_meta.rules.yml"
SCRAPE_EVERY = "15s"
TOKEN_FILE = "/etc/prometheus/watchtower.token"  # noqa: S105 - where it lies, not what it is
_SCRAPE_NOTE = """\
# Paste this into prometheus.yml, or from Prometheus 2.43 on name this file under `scrape_config_files`.
# The token: watchtower token create prometheus --scope metrics
"""


def scrape_config(url: str) -> str:
    """For a Watchtower that is reached at url. Its own labels `namespace` and so on stand against those that a service
    discovery adds: hence honor_labels."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    job: dict[str, Any] = {
        "job_name": "watchtower",
        "scheme": parts.scheme,
        "metrics_path": f"{parts.path.rstrip('/')}/metrics",
        "scrape_interval": SCRAPE_EVERY,
        "honor_labels": True,
        "authorization": {"credentials_file": TOKEN_FILE},
        "static_configs": [{"targets": [f"{host}:{port}"]}],
    }
    return _SCRAPE_NOTE + yaml.safe_dump({"scrape_configs": [job]}, sort_keys=False)
