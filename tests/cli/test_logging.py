"""What the server logs is JSON, and no secret that it has read is in it, wherever it came from."""

import json
import subprocess
import sys

CANARY = "hunter2-canary-9f8e7d"
PROGRAM = f"""
import logging
from watchtower.cli import serving
from watchtower.secrets import SecretStore
secret = SecretStore(environ={{"HOOK": "{CANARY}"}}).resolve("env:HOOK")
getattr(serving, "_log_as_json")()
log = logging.getLogger("watchtower.test")
log.error("posting to %s failed", f"https://hooks.example.com/{{secret}}", extra={{"url": secret}})
try:
    raise OSError(f"connection to {{secret}} refused")
except OSError:
    log.exception("a traceback")
"""


def test_no_secret_that_was_read_is_logged() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(lines) == 2
    assert CANARY not in done.stderr
    assert "***" in lines[0]["message"]
