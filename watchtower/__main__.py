"""`python -m watchtower`: the same as the command `watchtower`."""

from watchtower.cli import main

main()
