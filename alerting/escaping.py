"""Text from data made safe for the place where it is shown, and cut to the length that place takes.

Data reaches people through chat, mail, tickets and logs; none of it may mention a channel, inject a header, hide what
it says, or make a link look like another (docs/channels.md, "What data can do to a message").
"""

import html
import re
import unicodedata
from hashlib import blake2b
from urllib.parse import urlsplit

ELLIPSIS = "…"
MAX_URL = 2000  # Slack takes 3000, mail clients break earlier

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_SPACES = re.compile(r"\s+")
_JOINERS = "\u200c\u200d"  # of emoji and of some scripts; the other format characters hide or reorder text
_UNFIT_FOR_LINKS = re.compile(r"[\s<>\"'`|\\]")
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


def clean(text: object) -> str:
    """`text` without control characters, terminal escapes and characters that hide or reorder; line ends are \\n."""
    said = str(text)
    if said.isprintable():  # as nearly everything is
        return said
    plain = _ANSI.sub("", said).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char for char in plain if char in "\n\t" or _is_shown(char))


def one_line(text: object, limit: int | None = None) -> str:
    """`text` cleaned, every run of white space one blank: fit for a title, a subject, a mail header."""
    line = _SPACES.sub(" ", clean(text)).strip()
    return line if limit is None else shorten(line, limit)


def header_text(text: object, limit: int | None = None) -> str:
    """For the value of a mail header: one line in which nothing reads as an encoded word (RFC 2047), since such a word
    may stand for a line end."""
    return one_line(str(text).replace("=?", "= ?"), limit).replace("=?", "= ?")


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters; what is cut ends in an ellipsis."""
    return text if len(text) <= limit else text[: max(0, limit - 1)].rstrip() + ELLIPSIS


def last_lines(text: str, lines: int, limit: int) -> str:
    """The last `lines` lines and `limit` characters: of a stack trace the end says what went wrong."""
    rows = text.strip("\n").split("\n")
    tail = "\n".join(rows[-lines:])
    if len(tail) > limit:
        return ELLIPSIS + tail[len(tail) - limit + 1 :]
    return tail if len(rows) <= lines else f"{ELLIPSIS}\n{tail}"


def mrkdwn(text: str) -> str:
    """For Slack's `text` field: the three characters by which Slack knows links, mentions and `<!channel>`."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def html_text(text: str) -> str:
    return html.escape(text, quote=True)


def web_link(url: object) -> str:
    """`url` if it is a plain http(s) address that can be shown as a link, else ""."""
    text = clean(url).strip()
    if text != str(url) or len(text) > MAX_URL or _UNFIT_FOR_LINKS.search(text):
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc else ""


def safe_id(key: str) -> str:
    """A key as an id that needs no escaping in a header, a query or a Message-ID: itself, or its hash."""
    return key if _SAFE_ID.fullmatch(key) else blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _is_shown(char: str) -> bool:
    """Not a control, format (bidirectional overrides, zero-width), surrogate, private or unassigned character, and no
    line end but \\n."""
    return char in _JOINERS or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
