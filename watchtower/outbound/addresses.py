"""Which addresses may be spoken to: public ones, and those the operator's `outbound.allow` names.

The deny list is our own: Python calls many addresses that must be refused "not private" or even global. IPv6 forms
that carry an IPv4 address are judged by it too. Sources: IANA's IPv4 and IPv6 special-purpose address registries,
RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 4291 (mapped, compatible, site-local).
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from watchtower.errors import BadInput

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_DENIED_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT, and metadata of some clouds"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "the platform address of a cloud"),
        ("169.254.0.0/16", "link-local, and metadata of clouds"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments, and metadata of some clouds"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT"),
        ("192.88.99.0/24", "6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarks"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved, and broadcast"),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_DENIED_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("64:ff9b:1::/48", "local-use NAT64"),
        ("100::/64", "discard-only"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
        ("::/96", "IPv4-compatible"),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")


def refusal(address: Address) -> str | None:
    """Why address must not be spoken to, in a few words; None for a public one."""
    if isinstance(address, IPv4Address):
        return next((why for network, why in _DENIED_V4 if address in network), None)
    inner = embedded(address)
    if inner is not None and (why := refusal(inner)) is not None:
        return f"it carries {inner}: {why}"
    if address in _NAT64 or address.ipv4_mapped is not None:
        return None  # how a machine without IPv4 reaches the public internet
    why = next((why for network, why in _DENIED_V6 if address in network), None)
    return why or (None if address in _GLOBAL_V6 else "not in the global unicast range")


def embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address inside a mapped, NAT64, 6to4, Teredo or IPv4-compatible address."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _COMPATIBLE and int(address) > 1:
        return IPv4Address(int(address))
    return None


def plain(address: Address) -> Address:
    """Without a scope id; a mapped address as the IPv4 address that the kernel makes of it."""
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def is_allowed(address: Address, allow: Iterable[Network]) -> bool:
    judged = plain(address)
    return any(judged.version == network.version and judged in network for network in allow)


def parse_address(text: str) -> Address:
    """text: as a resolver gives it, perhaps with a scope id. Raises ValueError."""
    return plain(ip_address(text.partition("%")[0]))


def parse_network(text: object) -> Network:
    """`10.0.0.0/8`, `10.1.2.3`, `fd00::/8`. Raises BadInput that shows the form, and the network meant if host bits
    are set."""
    if not isinstance(text, str):
        raise BadInput(f"network {text!r} is not a text such as 10.0.0.0/8")
    try:
        return ip_network(text.strip())
    except ValueError as error:
        try:
            meant = ip_network(text.strip(), strict=False)
        except ValueError:
            raise BadInput(f"network {text!r} is not of the form 10.0.0.0/8, 10.1.2.3 or fd00::/8") from error
        raise BadInput(f"network {text!r} has host bits set; did you mean {meant}?") from error


def parse_networks(texts: Sequence[object]) -> tuple[Network, ...]:
    return tuple(parse_network(text) for text in texts)


def single(address: Address) -> str:
    """The network of one address, as the remedy prints it."""
    return f"{address}/{address.max_prefixlen}"
