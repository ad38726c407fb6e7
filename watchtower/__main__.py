"""The command `watchtower`, and `python -m watchtower`. For `run`, in the path of every job, nothing else is loaded."""

import sys


def main() -> None:
    if sys.argv[1:2] == ["run"] and not {"--help", "-h"} & set(_options(sys.argv[2:])):
        from watchtower.wrapper import main as run

        sys.exit(run(sys.argv[2:]))
    from watchtower.cli import main as command

    command()


def _options(words: list[str]) -> list[str]:
    """What stands before the command that is run."""
    return words[: words.index("--")] if "--" in words else words[:1]


if __name__ == "__main__":
    main()
