"""Addresses of providers: what cannot be one is refused when the file is read, not when somebody must be told."""

from pathlib import Path

import pytest

from watchtower.config import load_text
from watchtower.errors import ConfigError

TWILIO = f"to: '+4915112345678', from: '+4915112345679', account_sid: AC{'0' * 32}, auth_token: 'env:T'"
DESTINATIONS = {
    "sms_configs": f"{TWILIO}, base_url",
    "voice_configs": f"{TWILIO}, base_url",
    "slack_configs": "app_token: 'env:T', channel: C0000000001, base_url",
    "zendesk_configs": "email: desk@example.com, api_token: 'env:T', base_url",
    "servicenow_configs": "username: wt, password: 'env:T', base_url",
    "request_tracker_configs": "token: 'env:T', queue: General, base_url",
}


def load(kind: str, given: str, folder: Path) -> None:
    receiver = f"{{name: them, {kind}: [{{{DESTINATIONS[kind]}: '{given}'}}]}}"
    load_text(f"route: {{receiver: them}}\nreceivers: [{receiver}]\n", folder)


@pytest.mark.parametrize("kind", DESTINATIONS)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("env:PROVIDER_URL", "'env:PROVIDER_URL' is a reference, and an address is no secret; write it out: https://…"),
        ("file:/run/url", "is a reference"),
        ("api.example.com", "'api.example.com' is no address; write it with its scheme: https://…"),
        ("https://", "is no address"),
        ("ftp://api.example.com", "is no address"),
    ],
)
def test_what_is_no_address_is_refused_when_the_file_is_read(tmp_path: Path, kind: str, given: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(kind, given, tmp_path)
    assert said in str(caught.value)
    assert f"{kind}[0].base_url" in str(caught.value)


@pytest.mark.parametrize("kind", DESTINATIONS)
@pytest.mark.parametrize("given", ["https://api.example.com", "http://127.0.0.1:8080/api/", "HTTPS://api.example.com"])
def test_an_address_is_taken(tmp_path: Path, kind: str, given: str) -> None:
    load(kind, given, tmp_path)
