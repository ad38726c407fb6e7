"""What a call says, in words for the ear, and the TwiML that says it and waits for a key. Pure.

Source: Twilio's pages of TwiML's Say and Gather. Gather calls its action only for a key; without one the next verb
runs. Texts are data and nothing else: they are escaped, and what would be markup or unpronounceable is left out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from alerting.escaping import one_line, shorten
from alerting.rendering import Rendered, render
from watchtower.model.alert import Notice, NoticeReason, Severity

MAX_TWIML = 4_000  # characters of Calls' parameter Twiml
MAX_SPOKEN = 400
WAIT_FOR_KEY_S = 10
SAID = 2  # times, before the call ends by itself

KEYS = "Press 1 to acknowledge, 0 to hear it again."
TEST_KEYS = "Press 1 to see whether the key arrives."
NO_KEY = "No key was pressed. This is not acknowledged. Goodbye."
_OPENINGS = {
    Severity.PAGE: "This is Watchtower, with a page.",
    Severity.TICKET: "This is Watchtower, with a ticket.",
    Severity.INFO: "This is Watchtower, with a note.",
}

_TAG = re.compile(r"\[\w+\] ")
_URL = re.compile(r"https?://\S+")
_MOMENT = re.compile(r"(?:scheduled__|manual__|backfill__)?\d{4}-\d\d-\d\dT(\d\d:\d\d)[\d:.]*(?:Z|[+-]\d\d:?\d\d)?")
_ID = re.compile(r"\b(?=\w*\d)[0-9a-fA-F]{8,}(?:-[0-9a-fA-F]{4,})*\b")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_DOT = re.compile(r"(?<=[^\W\d])\.(?=[^\W\d])")
_JOINT = re.compile(r"(?<=\w)[_/\\|~-]+(?=\w)|_+")
_SILENT = re.compile(r"[^\w\s.,:;?!'()-]+")


@dataclass(frozen=True, slots=True)
class Speaker:
    """As TwiML's Say has them; "" leaves it to Twilio."""

    language: str = "en-US"
    voice: str = ""


def for_ear(text: str, limit: int = MAX_SPOKEN) -> str:
    """text as it can be listened to: names without their underscores, no ids, no addresses, no signs."""
    plain = _URL.sub(" a link ", one_line(text))
    plain = _ID.sub(" an id ", _MOMENT.sub(r" of \1 ", plain))
    plain = plain.replace("%", " percent ").replace("&", " and ").replace("=", " is ").replace("+", " plus ")
    plain = _JOINT.sub(" ", _DOT.sub(" dot ", _CAMEL.sub(" ", plain)))
    return shorten(one_line(_SILENT.sub(" ", plain)), limit).removesuffix("…").rstrip()


def spoken(notice: Notice, limit: int = MAX_SPOKEN) -> str:
    """The most important first: that it is Watchtower, how grave, what, since when."""
    rendered = render(notice)
    what = for_ear(_TAG.sub("", rendered.title, count=1), limit)
    return " ".join(part for part in (_opening(notice), _sentence(what), *_when(notice, rendered)) if part)


def announcement(notice: Notice, action: str, speaker: Speaker) -> str:
    """The TwiML of a call. action: where a pressed key is sent; "": none can be taken."""
    for limit in (MAX_SPOKEN, MAX_SPOKEN // 2, MAX_SPOKEN // 4, 40):
        made = _announcement(notice, spoken(notice, limit), action, speaker)
        if len(made) <= MAX_TWIML:
            break
    return made


def prompt(words: Sequence[str], action: str, speaker: Speaker) -> str:
    """Say words and wait for a key once more, then give up."""
    return _xml([_gather(words, action, speaker), _say(NO_KEY, speaker)])


def goodbye(words: str, speaker: Speaker) -> str:
    return _xml([_say(words, speaker), ElementTree.Element("Hangup")])


def _announcement(notice: Notice, said: str, action: str, speaker: Speaker) -> str:
    test, over = notice.reason is NoticeReason.TEST, notice.is_resolved
    if not action or (over and not test):
        end = "Goodbye." if over or test else "Acknowledge it in Watchtower. Goodbye."
        return _xml([_say(said, speaker), _say(said, speaker), _say(end, speaker)])
    gathers = [_gather([said, TEST_KEYS if test else KEYS], action, speaker) for _ in range(SAID)]
    return _xml([*gathers, _say("No key was pressed. Goodbye." if test else NO_KEY, speaker)])


def _opening(notice: Notice) -> str:
    if notice.reason is NoticeReason.TEST:
        return "This is a test call of Watchtower."
    return "This is Watchtower. All clear." if notice.is_resolved else _OPENINGS[notice.severity]


def _when(notice: Notice, rendered: Rendered) -> list[str]:
    if notice.reason is NoticeReason.TEST:
        return []
    firing = [alert.starts_at or alert.active_since for alert in notice.firing]
    since = [f"Since {min(firing):%H:%M} UTC."] if firing else []
    return [*since, *([_sentence(for_ear(rendered.news))] if rendered.news else [])]


def _sentence(text: str) -> str:
    return text if not text or text[-1] in ".?!" else f"{text}."


def _gather(words: Sequence[str], action: str, speaker: Speaker) -> ElementTree.Element:
    how = {"input": "dtmf", "numDigits": "1", "finishOnKey": "", "timeout": str(WAIT_FOR_KEY_S)}
    made = ElementTree.Element("Gather", {**how, "action": action, "method": "POST"})
    made.extend([_say(text, speaker) for text in words])
    return made


def _say(text: str, speaker: Speaker) -> ElementTree.Element:
    how = {"language": speaker.language, "voice": speaker.voice}
    made = ElementTree.Element("Say", {name: value for name, value in how.items() if value})
    made.text = text
    return made


def _xml(verbs: Sequence[ElementTree.Element]) -> str:
    response = ElementTree.Element("Response")
    response.extend(verbs)
    return '<?xml version="1.0" encoding="UTF-8"?>' + ElementTree.tostring(response, encoding="unicode")
