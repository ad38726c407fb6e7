"""A URL taken apart once, strictly: what is checked is what is connected to, so no second parser can disagree.

Source: RFC 3986. Credentials, blanks, backslashes and control characters are refused; messages show scheme and host
only, since paths and queries of webhooks are secrets.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, quote, urlsplit

from watchtower.errors import Permanent, Reason

MAX_URL = 8192
_PORTS = {"http": 80, "https": 443}
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"
_UNFIT = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True, slots=True)
class Target:
    """host: ASCII, lower case, without brackets; literal: the host if it is an address already; path: with query."""

    scheme: str
    host: str
    port: int
    path: str
    literal: str | None = None

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse_target(url: str) -> Target:
    """Raises Permanent(REJECTED) that says what is wrong with url, without repeating its path."""
    if len(url) > MAX_URL:
        raise _bad(f"the url has {len(url)} characters; at most {MAX_URL}")
    if _UNFIT.search(url):
        raise _bad("the url holds a blank, a control character or a backslash")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _bad(f"the url cannot be read: {error}") from error
    if parts.scheme not in _PORTS:
        raise _bad(f"the url begins with {parts.scheme[:20]!r}, not with https:// or http://")
    if "@" in parts.netloc:
        raise _bad("the url holds credentials; give them by http_config.basic_auth or authorization")
    if port == 0:
        raise _bad("the url has port 0")
    host, literal = _host(parts)
    path = quote(parts.path, safe=_PATH_SAFE) or "/"
    query = f"?{quote(parts.query, safe=_PATH_SAFE + '?')}" if parts.query else ""
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], path + query, literal)


def _host(parts: SplitResult) -> tuple[str, str | None]:
    name = (parts.hostname or "").rstrip(".")
    if not name or "%" in name:
        raise _bad("the url names no host" if not name else "the host holds a % sign")
    try:
        literal = str(ip_address(name))
        return literal, literal
    except ValueError:
        pass
    try:
        host = name.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise _bad("the url has a host that is no valid name") from error
    if not all(char.isalnum() or char in "-._" for char in host):
        raise _bad("the url has a host that is no valid name")
    return host, None


def _bad(message: str) -> Permanent:
    return Permanent(Reason.REJECTED, message)
