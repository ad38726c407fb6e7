"""Plain text of ours laid out for Jira: Atlassian Document Format for Cloud, wiki markup for Data Center.

Sources: Atlassian Document Format (structure, version 1), Jira's text formatting notation. Data can form no markup:
in a document it stands in text nodes, in wiki markup every sign that means something is escaped or encoded.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

from alerting.escaping import shorten, web_link

MAX_FIELD = 32_000  # characters; Jira takes 32 767 of a text field
_INDENT = "    "
_FACT = re.compile(r"([A-Z][A-Za-z ]{0,30}:) +(\S.*)")
_URL = re.compile(r"https?://\S+")
_MARKUP = re.compile(
    r"[\\{}\[\]|!&]"  # escapes, macros, links, tables, images, entities
    r"|(?<![A-Za-z0-9])[*_+^~-]|[*_+^~-](?![A-Za-z0-9])"  # emphasis, lists and rules; inside of a word they are plain
    r"|\?(?=\?)|^\s*#|(?<=#)#"  # citations, numbered lists
    r"|\((?=[a-z/!?*+-]{1,3}\))|[:;](?=[()PD])"  # pictures
    r"|(?:(?<=^h[1-6])|(?<=^bq))\."  # headings, quotations
)
_FENCE = "{noformat}"
_PLAIN_IN_URL = ":/?#@&=+$,;.%-_"  # what else an address may hold would be markup inside of a link

Document = dict[str, Any]
T = TypeVar("T")


def document(text: str) -> Document:
    """text as an ADF document of at most MAX_FIELD characters."""
    return _fitted(text, _document, lambda made: len(json.dumps(made, ensure_ascii=False)))


def wiki(text: str) -> str:
    """text as wiki markup of at most MAX_FIELD characters."""
    return _fitted(text, _wiki, len)


def _fitted(text: str, lay: Callable[[str], T], size: Callable[[T], int]) -> T:
    made = lay(text)
    while size(made) > MAX_FIELD:
        text = shorten(text, len(text) * 3 // 4)
        made = lay(text)
    return made


def _blocks(text: str) -> Iterator[tuple[bool, list[str]]]:
    """Whether it is preformatted, and the lines of each block; blank lines part paragraphs."""
    block: list[str] = []
    is_code = False
    for line in [*text.split("\n"), ""]:
        code = line.startswith(_INDENT) or (is_code and not line)
        if block and (not line or code is not is_code) and not (is_code and code):
            yield is_code, block
            block = []
        if line or (code and block):
            block.append(line)
            is_code = code
        else:
            is_code = False
    if block:
        yield is_code, block


def _code(lines: list[str]) -> str:
    return "\n".join(line.removeprefix(_INDENT) for line in lines).strip("\n")


def _pieces(line: str) -> Iterator[tuple[str, str]]:
    """(text, url) in their order; url is "" for what is no link."""
    end = 0
    for found in _URL.finditer(line):
        url = web_link(found[0])
        if url:
            if found.start() > end:
                yield line[end : found.start()], ""
            yield url, url
            end = found.end()
    if end < len(line):
        yield line[end:], ""


def _document(text: str) -> Document:
    content: list[Document] = []
    for is_code, lines in _blocks(text):
        if is_code:
            content.append({"type": "codeBlock", "attrs": {}, "content": [{"type": "text", "text": _code(lines)}]})
        else:
            content.append({"type": "paragraph", "content": list(_inline(lines))})
    return {"version": 1, "type": "doc", "content": content or [{"type": "paragraph", "content": []}]}


def _inline(lines: list[str]) -> Iterator[Document]:
    for number, line in enumerate(lines):
        if number:
            yield {"type": "hardBreak"}
        fact = _FACT.fullmatch(line)
        if fact:
            yield {"type": "text", "text": fact[1], "marks": [{"type": "strong"}]}
        for piece, url in _pieces(f" {fact[2]}" if fact else line):
            link = {"marks": [{"type": "link", "attrs": {"href": url}}]} if url else {}
            yield {"type": "text", "text": piece, **link}


def _wiki(text: str) -> str:
    return "\n\n".join(
        f"{_FENCE}\n{_code(lines).replace('{noformat', '{ noformat')}\n{_FENCE}" if is_code else _wiki_lines(lines)
        for is_code, lines in _blocks(text)
    )


def _wiki_lines(lines: list[str]) -> str:
    return "\n".join(_wiki_line(line) for line in lines)


def _wiki_line(line: str) -> str:
    fact = _FACT.fullmatch(line)
    shown = "".join(
        f"[{quote(url, safe=_PLAIN_IN_URL)}]" if url else _escaped(piece)
        for piece, url in _pieces(fact[2] if fact else line)
    )
    return f"*{fact[1]}* {shown}" if fact else shown


def _escaped(text: str) -> str:
    """As numeric entities: a backslash is itself shown before some signs, and would join two into a line end."""
    return _MARKUP.sub(lambda found: "".join(f"&#{ord(sign)};" for sign in found[0]), text)
