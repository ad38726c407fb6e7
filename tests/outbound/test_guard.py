"""The guard: no form of an inner address gets a connection, at the first send or any later one."""

from ipaddress import IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.outbound.servers import says, serving
from watchtower.clock import SystemClock
from watchtower.errors import BadInput, DeliveryError, Permanent, Reason
from watchtower.outbound import Outbound, parse_network, parse_networks
from watchtower.outbound.addresses import embedded, refusal

# Addresses that must be refused, in the form in which a resolver gives them.
REFUSED = (Path(__file__).parent / "refused_addresses.txt").read_text(encoding="utf-8").split()

PUBLIC = [
    "8.8.8.8", "1.1.1.1", "9.9.9.9", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1",
    "198.17.0.1", "198.20.0.1", "2606:4700:4700::1111", "2a00:1450:4001::1", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8",
]  # fmt: skip

# Hosts that reach loopback on one system or another; {port} is that of a canary which must stay silent.
HOSTILE = [
    "http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "http://127.1:{port}/", "http://127.0.1:{port}/",
    "http://0:{port}/", "http://0.0.0.0:{port}/", "http://00.00.00.00:{port}/", "http://2130706433:{port}/",
    "http://0x7f000001:{port}/", "http://0x7f.1:{port}/", "http://0x7f.0x0.0x0.0x1:{port}/", "http://0177.0.0.1:{port}/",
    "http://017700000001:{port}/", "http://127.000.000.001:{port}/", "http://127.0.0.1.:{port}/",
    "http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://localhost.:{port}/", "http://loCalHost..:{port}/",
    "http://[::1]:{port}/", "http://[0:0:0:0:0:0:0:1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/", "http://[::127.0.0.1]:{port}/", "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[2002:7f00:1::]:{port}/", "http://[::]:{port}/", "http://[fe80::1%25lo]:{port}/",
    "http://[::1%25lo]:{port}/", "http://[::1%lo]:{port}/", "http://①②⑦.⓪.⓪.①:{port}/", "http://１２７.0.0.1:{port}/",
    "http://127。0。0。1:{port}/", "http://ｌocalhost:{port}/", "http://127.0.0.1%2e:{port}/", "http://%31%32%37.0.0.1:{port}/",
    "http://127.0.0.1%00.example.com:{port}/", "http://user@127.0.0.1:{port}/", "http://example.com@127.0.0.1:{port}/",
    "http://example.com:80@127.0.0.1:{port}/", "http://127.0.0.1:{port}@example.com/", "http://example.com#@127.0.0.1:{port}/",
    "http://example.com\\@127.0.0.1:{port}/", "http://127.0.0.1:{port}\\.example.com/", "http:\\\\127.0.0.1:{port}/",
    "http:/127.0.0.1:{port}/", "http:127.0.0.1:{port}/", "http:///127.0.0.1:{port}/", "//127.0.0.1:{port}/",
    "127.0.0.1:{port}/", " http://127.0.0.1:{port}/", "http://127.0.0.1:{port}/ ", "ht\ntp://127.0.0.1:{port}/",
    "http://127.0.0.1\t:{port}/", "http://127.0.0.1\r\nHost: x:{port}/", "http://127.0.0.1:{port}/\r\nX: y",
    "http://127.0.0.1:{port}/\x00", "HTTP://127.0.0.1:{port}/", "hTTps://127.0.0.1:{port}/", "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "dict://127.0.0.1:{port}/", "ldap://127.0.0.1:{port}/",
    "unix:///var/run/docker.sock", "jar:http://127.0.0.1:{port}/", "data:text/plain,x", "javascript:alert(1)",
    "ws://127.0.0.1:{port}/", "http://[127.0.0.1]:{port}/", "http://[::1/", "http://::1:{port}/", "http://127.0.0.1:0/",
    "http://127.0.0.1:99999/", "http://127.0.0.1:-1/", "http://127.0.0.1:{port}x/", "http://:{port}/", "http://.:{port}/",
    "", "/", "http://", "https://", "http://?x", "http://exa mple.com/", "http://-/", "http://a_b\u202e.example/",
]  # fmt: skip


def test_there_are_at_least_a_hundred_hostile_forms() -> None:
    assert len(HOSTILE) + len(REFUSED) >= 160
    assert len(set(HOSTILE)) == len(HOSTILE)


@pytest.mark.parametrize("form", HOSTILE)
def test_hostile_urls_get_no_connection(form: str) -> None:
    with serving(says(body=b"canary")) as canary:
        url = form.replace("{port}", str(canary.port))
        client = Outbound(SystemClock())
        for act in (lambda: client.check(url), lambda: client.request("GET", url, timeout_s=2)):
            with pytest.raises(DeliveryError) as caught:
                act()
            assert not caught.value.outcome_unknown
        assert canary.connections == 0


@pytest.mark.parametrize("address", REFUSED)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_with_an_inner_address_is_refused_with_the_line_to_add(address: str, scheme: str) -> None:
    client = Outbound(SystemClock(), (), lambda host, port: [address])
    url = f"{scheme}://hooks.example.com/"
    for act in (lambda: client.check(url), lambda: client.request("GET", url)):
        with pytest.raises(Permanent) as caught:
            act()
        assert caught.value.reason is Reason.REFUSED_ADDRESS
        assert "outbound: {allow: [" in str(caught.value)


@pytest.mark.parametrize("address", REFUSED)
def test_one_inner_address_among_public_ones_refuses_all(address: str) -> None:
    client = Outbound(SystemClock(), (), lambda host, port: ["8.8.8.8", address])
    with pytest.raises(Permanent, match="refused"):
        client.request("GET", "https://hooks.example.com/")


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass_over_https_only(address: str) -> None:
    client = Outbound(SystemClock(), (), lambda host, port: [address])
    client.check("https://hooks.example.com/")
    with pytest.raises(Permanent, match="plain http"):
        client.check("http://hooks.example.com/")


def test_the_line_of_the_refusal_is_the_one_that_helps() -> None:
    with pytest.raises(Permanent) as caught:
        Outbound(SystemClock()).check("http://127.0.0.1:9000/hook")
    assert "outbound: {allow: [127.0.0.1/32]}" in str(caught.value)
    Outbound(SystemClock(), parse_networks(["127.0.0.1/32"])).check("http://127.0.0.1:9000/hook")


def test_a_name_that_turns_inwards_between_two_requests_is_refused() -> None:
    """DNS rebinding: each send resolves, checks, and connects to what it checked."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]])
    with serving(says(body=b"ok")) as ledger:
        client = Outbound(SystemClock(), parse_networks(["127.0.0.1"]), lambda host, port: next(answers))
        url = ledger.url(host="hooks.example.com")
        assert client.request("GET", url).body == b"ok"
        with pytest.raises(Permanent, match=r"127\.0\.0\.2 is refused"):
            client.request("GET", url)
        assert ledger.connections == 1


def test_the_resolver_is_asked_once_for_each_send() -> None:
    """What was checked is what is used: a second answer cannot slip in between."""
    asked: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["8.8.8.8"]

    with serving(says(body=b"ok")) as ledger:
        client = Outbound(SystemClock(), parse_networks(["127.0.0.0/8"]), resolver)
        assert client.request("GET", ledger.url(host="hooks.example.com")).body == b"ok"
    assert asked == ["hooks.example.com"]


def test_a_name_that_was_checked_is_checked_again() -> None:
    answers = iter([["8.8.8.8"], ["10.0.0.1"]])
    client = Outbound(SystemClock(), (), lambda host, port: next(answers))
    client.check("https://slack.example.com/api/")
    with pytest.raises(Permanent, match=r"10\.0\.0\.1 is refused"):
        client.check("https://slack.example.com/api/")


def test_an_allowed_network_of_the_mapped_form_is_that_of_the_address() -> None:
    client = Outbound(SystemClock(), parse_networks(["127.0.0.0/8"]), lambda host, port: ["::ffff:127.0.0.1"])
    client.check("http://hooks.example.com/")


def test_messages_never_show_path_query_or_credentials() -> None:
    for url in ("https://127.0.0.1/T000/B000/s3cret?token=s3cret", "https://me:s3cret@127.0.0.1/", "s3cret://x"[3:]):
        with pytest.raises(DeliveryError) as caught:
            Outbound(SystemClock()).check(url)
        assert "s3cret" not in str(caught.value)


@given(st.integers(0, 2**32 - 1))
def test_every_embedding_of_an_inner_address_is_refused_too(number: int) -> None:
    inner = ip_address(number)
    if refusal(inner) is None:
        return
    for form in (
        number + (0xFFFF << 32),
        number + int(ip_address("64:ff9b::")),
        (0x2002 << 112) | (number << 80),
        number,
    ):
        assert refusal(ip_address(form.to_bytes(16, "big"))) is not None


@given(st.ip_addresses(v=6))
def test_no_address_outside_the_global_range_passes(address: object) -> None:
    judged = ip_address(str(address))
    if refusal(judged) is None:
        assert (
            str(judged)[0] in "23"
            or judged in parse_network("64:ff9b::/96")
            or judged in parse_network("::ffff:0:0/96")
        )


@pytest.mark.parametrize(
    ("text", "says_"), [("10.0.0.1/8", "did you mean 10.0.0.0/8"), ("localhost", "form"), (7, "text"), ("10/8", "form")]
)
def test_networks_are_read_strictly(text: object, says_: str) -> None:
    with pytest.raises(BadInput, match=says_):
        parse_network(text)


@pytest.mark.parametrize(
    ("address", "inner"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("64:ff9b::10.0.0.1", "10.0.0.1"),
        ("2002:a00:1::", "10.0.0.1"),
        ("2001:0:4136:e378:8000:63bf:f5ff:fffe", "10.0.0.1"),
        ("::10.0.0.1", "10.0.0.1"),
        ("::", None),
        ("::1", None),
        ("2606:4700:4700::1111", None),
    ],
)
def test_an_address_inside_of_another_is_found(address: str, inner: str | None) -> None:
    found = embedded(IPv6Address(address))
    assert found == (None if inner is None else ip_address(inner))
