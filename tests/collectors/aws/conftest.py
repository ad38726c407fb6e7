"""One moto server for the tests of what is asked of AWS, fresh for each test, and credentials it does not look at."""

import urllib.request
from collections.abc import Generator

import pytest

from tests.collectors.billing.aws import moto

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="session")
def moto_url() -> Generator[str]:
    with moto() as url:
        yield url


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its URL; nothing is left of what earlier tests made."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with _DIRECT.open(urllib.request.Request(f"{moto_url}/moto-api/reset", method="POST"), timeout=20):
        return moto_url
