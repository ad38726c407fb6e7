"""A real Chromium for the tests of pages: whichever is installed, else Debian's."""

import shutil

from tests.services.debian import ensure

NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "fonts-dejavu-core")


def chromium() -> str:
    """Its path. Raises Unavailable with the line to type."""
    ensure("Chromium", PACKAGES, lambda: _found() is not None)
    found = _found()
    assert found is not None
    return found


def _found() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)
