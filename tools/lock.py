"""`make lock`: resolve the dependencies into requirements.lock (to run) and requirements-dev.lock (to develop).

The files are universal (every supported Python and platform, by markers), carry a hash for each file that may be
installed, and name no package index: whichever one the machine is set up with serves the same bytes or none.
Without `--upgrade` a version changes only where pyproject.toml asks for it.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_OLDEST_PYTHON = "3.11"


def compile_lock(output: str, *options: str) -> None:
    """Options are those of `uv pip compile`; an existing output file is kept as the preferred solution."""
    subprocess.run(
        [
            Path(sys.executable).with_name("uv"), "pip", "compile", "--quiet",
            "--universal", "--python-version", _OLDEST_PYTHON,
            "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate",
            "--custom-compile-command", "make lock",
            "--output-file", output, "pyproject.toml", *options,
        ],
        cwd=ROOT,
        check=True,
    )  # fmt: skip


def main(upgrade: list[str]) -> None:
    extras = (part for name in ("aws", "google", "kafka", "snowflake") for part in ("--extra", name))
    build = (*extras, "--group", "build")
    compile_lock("requirements.lock", *build, *upgrade)
    compile_lock("requirements-dev.lock", *build, "--group", "dev", "--constraint", "requirements.lock", *upgrade)


if __name__ == "__main__":
    main(sys.argv[1:])
