"""What reads bytes or texts of strangers, each as one function that takes anything and says nothing (T20).

A target fails by an exception that its reader does not promise, by an answer that cannot be, by a hang, or by memory.
Registered collectors and hooks are targets by themselves; a finding becomes a file under `found/`, for good.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from rules.schedules.declared import expected_between, parse_schedule
from tests import bills
from tests.badinput.corpus import corpus
from tests.collectors.openlineage import events
from tests.fuzz.hooks import EXTERNAL, SIGNERS, hooks
from watchtower.clock import ManualClock
from watchtower.config.loading import load_text
from watchtower.config.rules import matcher
from watchtower.errors import BadInput, ConfigError, Permanent
from watchtower.model.duration import format_duration, parse_duration
from watchtower.model.hook import HookRefused, HookRequest
from watchtower.model.labels import Matcher, all_match, parse_matchers
from watchtower.model.template import FIELDS, MAX_OUTPUT_BYTES, parse_template
from watchtower.outbound.addresses import refusal
from watchtower.outbound.answers import retry_after_s
from watchtower.outbound.targets import parse_target
from watchtower.ports import Decoded
from watchtower.registry import COLLECTORS
from watchtower.server.bodies import TooLarge, inflate
from watchtower.store.bills.folder import BillFolder
from watchtower.store.bills.importing import Importer
from watchtower.store.bills.orders import BadBill
from watchtower.store.database import Database
from watchtower.store.migrations import migrate

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
FOUND = Path(__file__).parent / "found"
LIMIT = 1 << 20

Target = Callable[[bytes], None]


def decoder(kind: str) -> Target:
    collector = COLLECTORS.get(kind)()

    def decode(data: bytes) -> None:
        """The first byte says what its sender calls it."""
        content_type = "application/x-protobuf" if data[:1] and data[0] & 1 else "application/json"
        decoded = collector.decode(data[1:], replace(events.received(), content_type=content_type))
        assert isinstance(decoded, Decoded)
        assert all(reject.reason and reject.message for reject in decoded.rejects)

    return decode


def hook(name: str) -> Target:
    receiver = hooks()[name]

    def read(data: bytes) -> None:
        """Rightly signed first, so that what is behind the signature is reached; then with data as its signature."""
        for request in SIGNERS[name](data, NOW):
            forged = {header: data.decode("latin-1") for header in request.headers}
            for asked in (request, replace(request, headers=forged)):
                _believed(receiver.read, asked)

    return read


def _believed(read: Callable[[HookRequest, datetime], object], request: HookRequest) -> None:
    try:
        assert request.url.startswith(EXTERNAL)
        assert read(request, NOW) is not None
    except HookRefused:
        pass


def compressed(data: bytes) -> None:
    for encoding in ("", "gzip", "deflate", "zstd", data[:8].decode("latin-1")):
        try:
            assert len(inflate(data, encoding, LIMIT)) <= LIMIT
        except TooLarge as error:
            assert error.head
        except BadInput:
            pass


def configuration(data: bytes) -> None:
    try:
        load_text(data.decode("utf-8", "replace"), environ={})
    except ConfigError as error:
        assert error.faults


def matchers(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    readers: list[Callable[[str], tuple[Matcher, ...]]] = [parse_matchers, lambda said: (matcher("pipeline", said),)]
    for read in readers:
        try:
            found = read(text)
        except BadInput:
            continue
        all_match(found, {"pipeline": text[:200], "team": "data"})


def template(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    values = {
        field: (text, 10**400, float("nan"), NOW, None, object())[place % 6] for place, field in enumerate(FIELDS)
    }
    for said in (text, "{" + text + "}", "{summary|" + text + "}"):
        try:
            shown = parse_template(said).render(values)
        except BadInput:
            continue
        assert len(shown.encode()) <= MAX_OUTPUT_BYTES
        assert "object at 0x" not in shown or "object at 0x" in text


def times(data: bytes) -> None:
    """Durations, timetables of orchestrators, and the Retry-After of providers."""
    text = data.decode("utf-8", "replace")
    try:
        seconds = parse_duration(text)
        assert seconds >= 0
        format_duration(seconds)
    except BadInput:
        pass
    schedule = parse_schedule(text, "Europe/Berlin", NOW)
    if schedule is not None:
        assert all(tick > NOW for tick in expected_between(schedule, NOW, NOW.replace(year=2027), 20))
        schedule.describe()
    assert (retry_after_s({"retry-after": text}, NOW) or 0) >= 0


def address(data: bytes) -> None:
    """Whatever a URL is taken for, no form of an inner address passes as a public one."""
    try:
        target = parse_target(data.decode("utf-8", "replace"))
    except Permanent:
        return
    assert target.scheme in ("http", "https")
    assert target.host.isascii()
    assert not any(char <= " " or char == "\x7f" for char in target.path + target.authority)
    if target.literal is not None:
        inner = ip_address(target.literal)
        assert inner.is_global or refusal(inner) is not None


@cache
def _importer() -> tuple[Importer, Path]:
    folder = Path(tempfile.mkdtemp(prefix="watchtower-fuzz-"))
    clock = ManualClock(NOW)
    database = Database(f"sqlite:///{folder / 'watchtower.db'}")
    migrate(database, clock)
    return Importer(database, BillFolder(folder / "bills"), clock), folder


def bill(suffix: str) -> Target:
    def bring(data: bytes) -> None:
        importer, folder = _importer()
        file = folder / f"bill.{suffix}"
        file.write_bytes(data)
        try:
            assert importer.run(bills.order(file))
        except BadBill as error:
            assert error.faults

    return bring


TARGETS: dict[str, Callable[[], Target]] = {
    **{kind: lambda kind=kind: decoder(kind) for kind in sorted(COLLECTORS)},
    **{f"hook_{name}": lambda name=name: hook(name) for name in sorted(SIGNERS)},
    "compressed": lambda: compressed,
    "configuration": lambda: configuration,
    "matchers": lambda: matchers,
    "template": lambda: template,
    "times": lambda: times,
    "address": lambda: address,
    "bill_csv": lambda: bill("csv"),
    "bill_parquet": lambda: bill("parquet"),
}

# Words that coverage alone takes long to find.
WORDS: dict[str, list[str]] = {
    "address": ["http://127.0.0.1:80/", "https://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]", "http://0x7f.1/"],
    "template": [
        "{pipeline|upper|truncate:20}",
        "{labels.team|default:none}",
        "{{}}",
        "summary",
        "round:2",
        "duration",
    ],
    "matchers": ['{team="data", pipeline=~"a|b.*"}', "~(a+)+$", "a!~b"],
    "times": ["*/5 0-6 1,15 * MON#2", "@daily", "1 day, 2:00:00", "1h30m", "Mon, 02 Mar 2026 08:00:00 GMT", "1e5"],
    "configuration": [
        "rules:\n- {name: a, kind: duration, match: {pipeline: ~a}}",
        "route: {receiver: a}\nreceivers: []",
    ],
}


def seeds(target: str) -> list[bytes]:
    """Where to begin: what was found before, words of its language, and the corpus."""
    found = [file.read_bytes() for file in sorted((FOUND / target).glob("*"))]
    mark = b"\x01" if target.startswith("otlp") else b"\x00"
    first = mark if target in COLLECTORS else b""
    bodies = [first + file.body for file in corpus() if len(file.body) <= 4_000]
    return [*found, *(word.encode() for word in WORDS.get(target, ())), *bodies]
