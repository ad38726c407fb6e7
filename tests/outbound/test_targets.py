"""A URL is taken apart once: what is checked is what is connected to, and a refusal says why without its path."""

import pytest

from watchtower.errors import Permanent, Reason
from watchtower.outbound.targets import Target, parse_target

READ = {
    "https://hooks.example.com": Target("https", "hooks.example.com", 443, "/"),
    "http://hooks.example.com/a?b=c": Target("http", "hooks.example.com", 80, "/a?b=c"),
    "https://hooks.example.com:8443/": Target("https", "hooks.example.com", 8443, "/"),
    "HTTPS://Hooks.Example.COM./x": Target("https", "hooks.example.com", 443, "/x"),
    "https://8.8.8.8/x": Target("https", "8.8.8.8", 443, "/x", "8.8.8.8"),
    "https://[2606:4700:0:0::1111]:444/": Target("https", "2606:4700::1111", 444, "/", "2606:4700::1111"),
    "https://bücher.example/ü?q=ü": Target("https", "xn--bcher-kva.example", 443, "/%C3%BC?q=%C3%BC"),
    "https://a_b.example-1.com/%20?x=%2F": Target("https", "a_b.example-1.com", 443, "/%20?x=%2F"),
    "https://example.com/a?b=c?d#e": Target("https", "example.com", 443, "/a?b=c?d"),
}
REFUSED = {
    "https://": "the url names no host",
    "https://./secret": "the url names no host",
    "https://%65xample.com/secret": "the host holds a % sign",
    "https://[fe80::1%25lo]/secret": "the host holds a % sign",
    "https://user:secret@example.com/": "the url holds credentials; give them by http_config",
    "https://exa mple.com/secret": "a blank, a control character or a backslash",
    "https://example.com\\secret": "a blank, a control character or a backslash",
    "https://example.com/\x7fsecret": "a blank, a control character or a backslash",
    "https://example.com/\x1fsecret": "a blank, a control character or a backslash",
    "ftp://example.com/secret": "the url begins with 'ftp', not with https:// or http://",
    "example.com/secret": "the url begins with ''",
    "https://example.com:0/secret": "the url has port 0",
    "https://example.com:65536/secret": "the url cannot be read",
    "https://[::1/secret": "the url cannot be read",
    "https://exa!mple.com/secret": "a host that is no valid name",
    f"https://{'a' * 64}.com/secret": "a host that is no valid name",
    f"https://example.com/{'secret' * 1400}": "the url has 8420 characters; at most 8192",
}


@pytest.mark.parametrize("url", READ)
def test_a_url_is_what_is_connected_to(url: str) -> None:
    assert parse_target(url) == READ[url]


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_two_readers_could_disagree_about_is_refused(url: str) -> None:
    with pytest.raises(Permanent) as caught:
        parse_target(url)
    assert caught.value.reason is Reason.REJECTED
    assert REFUSED[url] in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_longest_url_is_taken() -> None:
    assert parse_target("https://e.com/" + "a" * (8192 - 14)).path == "/" + "a" * (8192 - 14)


@pytest.mark.parametrize(
    ("url", "authority", "shown"),
    [
        ("https://e.com/secret", "e.com", "https://e.com"),
        ("http://e.com:443/secret", "e.com:443", "http://e.com:443"),
        ("https://[::1]:80/secret", "[::1]:80", "https://[::1]:80"),
        ("http://[::1]/secret", "[::1]", "http://[::1]"),
    ],
)
def test_the_host_header_names_a_port_that_is_not_the_usual_one(url: str, authority: str, shown: str) -> None:
    assert (parse_target(url).authority, str(parse_target(url))) == (authority, shown)
