"""One moto server for all tests of AWS, and the credentials that it does not look at."""

from collections.abc import Generator

import pytest

from tests.collectors.billing.aws import moto


@pytest.fixture(scope="session")
def aws() -> Generator[str]:
    with moto() as url:
        yield url


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing listens there: whoever used it would fail
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
