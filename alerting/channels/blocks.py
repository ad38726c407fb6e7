"""A Rendered laid out as Slack's Block Kit.

Data stands in `plain_text` and `rich_text` only, where Slack parses nothing: no mention, no link, no formatting can
come from it. Limits: Block Kit reference (header 150 characters, section 3000, 50 blocks) and, for the whole message,
well below the size at which chat.postMessage answers msg_too_long.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from alerting.escaping import mrkdwn, shorten
from alerting.rendering import Rendered, Section
from alerting.wording import Link

Block = dict[str, Any]

MAX_HEADER = 150
MAX_SECTION = 3000
MAX_TEXT = 4000  # of `text`, which notifications and screen readers show
MAX_BLOCKS = 50
MAX_BUTTON = 75
MAX_TOTAL = 10_000  # characters of all texts in the blocks

ACKNOWLEDGE = "watchtower_acknowledge"  # action_id of the button

_EMOJI = {"page": "🔴", "ticket": "🟠", "info": "🔵", "resolved": "🟢"}


def message(rendered: Rendered, note: str = "", button: str = "") -> dict[str, Any]:
    """`text` and `blocks` of a whole message: the state of the group as it is now. note: a last line of ours; button:
    value of the button to acknowledge it, "" for none."""
    blocks = [
        {"type": "header", "text": _plain(f"{_EMOJI[rendered.tone]} {rendered.title}", MAX_HEADER)},
        {"type": "section", "text": _plain(rendered.summary, MAX_SECTION)},
    ]
    made = _assembled(rendered, blocks, rendered.sections, note)
    if button:
        made["blocks"].append(_actions(button))
    return made


def reply(rendered: Rendered, note: str = "") -> dict[str, Any]:
    """`text` and `blocks` of the news in the thread: the message above already shows the whole."""
    news = rendered.news or rendered.summary
    blocks = [{"type": "section", "text": _plain(f"{_EMOJI[rendered.tone]} {news}", MAX_SECTION)}]
    return _assembled(rendered, blocks, rendered.sections[1:], note)


def _assembled(rendered: Rendered, blocks: list[Block], sections: Sequence[Section], note: str) -> dict[str, Any]:
    if rendered.news and rendered.news not in blocks[0]["text"]["text"]:
        blocks.append(_rich([_text(rendered.news, bold=True)]))
    room = MAX_TOTAL - sum(len(block["text"]["text"]) for block in blocks if "text" in block)
    for section in sections:
        elements, used = _section(section, room)
        room -= used
        if elements and len(blocks) < MAX_BLOCKS - 3:
            blocks.append({"type": "rich_text", "elements": elements})
    if rendered.links:
        blocks.append(_rich(_link_row(rendered.links)))
    if note:
        blocks.append(_rich([_text(note, italic=True)]))
    text = mrkdwn(shorten(f"{rendered.title}\n{rendered.news}".strip(), MAX_TEXT))
    return {"text": text, "blocks": blocks}


def _section(section: Section, room: int) -> tuple[list[Block], int]:
    """The elements of one section and the characters they take. room: characters left in the message."""
    elements: list[Block] = []
    used = 0
    for parts in _paragraphs(section):
        size = sum(len(part["text"]) for part in parts)
        if used + size > room:
            break
        used += size
        elements.append({"type": "rich_text_section", "elements": parts})
    body = shorten(section.body, min(MAX_SECTION, max(0, room - used)))
    if body:
        used += len(body)
        elements.append({"type": "rich_text_preformatted", "elements": [_text(body)]})
    if section.links:
        elements.append({"type": "rich_text_section", "elements": _link_row(section.links)})
    return elements, used


def _paragraphs(section: Section) -> Iterator[list[Block]]:
    if section.heading:
        yield [_text(f"{section.heading}\n", bold=True)]
    for name, value in section.facts:
        yield [_text(f"{name}: ", bold=True), _text(f"{value}\n")]
    for line in section.lines:
        yield [_text(f"{shorten(line, MAX_SECTION)}\n")]


def _link_row(links: Sequence[Link]) -> list[Block]:
    row: list[Block] = []
    for link in links:
        row += [_text(" · ")] if row else []
        row.append({"type": "link", "url": link.url, "text": link.text})
    return row


def _actions(value: str) -> Block:
    press = {"type": "button", "style": "primary", "action_id": ACKNOWLEDGE, "value": value}
    return {"type": "actions", "elements": [{**press, "text": _plain("Acknowledge", MAX_BUTTON)}]}


def _plain(text: str, limit: int) -> Block:
    return {"type": "plain_text", "text": shorten(text, limit), "emoji": False}


def _rich(elements: list[Block]) -> Block:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}


def _text(text: str, *, bold: bool = False, italic: bool = False) -> Block:
    style = {"bold": True} if bold else {"italic": True} if italic else None
    return {"type": "text", "text": text, **({"style": style} if style else {})}
