"""A Rendered laid out as the HTML part of a mail: inline styles, no image, no script, nothing fetched."""

from collections.abc import Iterator

from alerting.escaping import html_text
from alerting.rendering import Rendered, Section
from alerting.wording import Link

_COLOURS = {"page": "#b3261e", "ticket": "#a15c00", "info": "#1f5fa8", "resolved": "#1e7a3c"}
_FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:15px;line-height:1.45"
_CODE = "background:#f4f4f4;padding:10px;border-radius:4px;white-space:pre-wrap;font-size:13px"


def page(rendered: Rendered) -> str:
    return "\n".join(_page(rendered)) + "\n"


def _page(rendered: Rendered) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield f"<title>{html_text(rendered.title)}</title></head>"
    yield f'<body style="{_FONT};color:#1c1c1c;max-width:720px">'
    yield f'<h1 style="font-size:18px;color:{_COLOURS[rendered.tone]}">{html_text(rendered.title)}</h1>'
    yield f"<p>{html_text(rendered.summary)}</p>"
    if rendered.news:
        yield f"<p><strong>{html_text(rendered.news)}</strong></p>"
    for section in rendered.sections:
        yield from _section(section)
    yield from _links(rendered.links)
    yield "</body></html>"


def _section(section: Section) -> Iterator[str]:
    if section.heading:
        yield f'<h2 style="font-size:15px;margin-bottom:4px">{html_text(section.heading)}</h2>'
    if section.facts:
        yield '<table style="border-collapse:collapse">'
        for name, value in section.facts:
            head = f'<th scope="row" style="text-align:left;padding:2px 14px 2px 0;color:#555">{html_text(name)}</th>'
            yield f'<tr>{head}<td style="padding:2px 0">{html_text(value)}</td></tr>'
        yield "</table>"
    if section.lines:
        yield "<ul>" + "".join(f"<li>{html_text(line)}</li>" for line in section.lines) + "</ul>"
    if section.body:
        yield f'<pre style="{_CODE}">{html_text(section.body)}</pre>'
    yield from _links(section.links)


def _links(links: tuple[Link, ...]) -> Iterator[str]:
    if links:
        anchors = (f'<a href="{html_text(link.url)}">{html_text(link.text)}</a>' for link in links)
        yield f"<p>{' · '.join(anchors)}</p>"
