"""The emergency channel: tells somebody, by a way that needs no store, that Watchtower does not work (promise P22).

The destinations of `emergency` are spoken to directly. What was told is kept in a small file beside the store, so that
a process that is started again and again tells once and not each time; without the file it is kept in memory.
"""

import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from alerting.destinations import make_channel
from watchtower.config.model import Config
from watchtower.errors import DeliveryError
from watchtower.model.alert import Alert, AlertState, Notice, NoticeReason, Severity
from watchtower.model.labels import Labels, fingerprint
from watchtower.model.run import stable_id
from watchtower.outbound import Outbound
from watchtower.ports import Channel, ChannelContext, Clock
from watchtower.telemetry import metrics

log = logging.getLogger(__name__)

FILE = "emergency.json"
ALERT = "WatchtowerEmergency"
AGAIN_AFTER = timedelta(hours=1)  # of the same cause
BETWEEN = timedelta(minutes=5)  # two messages about whatever it is; that it is over is told at once
LOOK_S = 5.0
FAULTY_FOR_S = 120.0  # before somebody is woken: a store that is restarted is back by then


@dataclass(frozen=True, slots=True)
class _Told:
    """Of one cause. seq: messages so far; times as RFC 3339."""

    since: str
    last: str
    seq: int
    text: str


class Emergency:
    """channels: by destination, none where nothing is configured. Thread-safe."""

    def __init__(self, channels: Mapping[str, Channel], folder: Path, clock: Clock, external_url: str = "") -> None:
        self._channels = channels
        self._file = folder / FILE
        self._clock = clock
        self._external_url = external_url
        self._lock = threading.Lock()
        self._told = _read(self._file)

    @staticmethod
    def of(config: Config, folder: Path, clock: Clock) -> "Emergency":
        """Raises ConfigError for a destination that cannot be made."""
        return Emergency(channels_of(config, clock), folder, clock, config.server.url)

    def use(self, channels: Mapping[str, Channel], external_url: str) -> None:
        """Tell these from now on. What was told already stays known."""
        with self._lock:
            self._channels, self._external_url = channels, external_url

    def tell(self, cause: str, text: str) -> bool:
        """Tell of cause unless it was told within the hour, or anything was within five minutes; whether it was."""
        with self._lock:
            now = self._clock.now()
            before = self._told.get(cause)
            if not self._channels or not self._may(before, now):
                return False
            since = before.since if before else now.isoformat()
            told = _Told(since, now.isoformat(), before.seq + 1 if before else 1, text)
            self._note(cause, told)  # before it is sent: a process that dies of sending does not send for ever
            self._send(cause, told, now, over=False)
            return True

    def over(self, cause: str) -> bool:
        """Tell that cause is over, if it was told; whether it was."""
        with self._lock:
            before = self._told.get(cause)
            if before is None:
                return False
            now = self._clock.now()
            self._note(cause, None)
            self._send(cause, _Told(before.since, now.isoformat(), before.seq + 1, before.text), now, over=True)
            return True

    def _may(self, before: _Told | None, now: datetime) -> bool:
        if before is not None and now - datetime.fromisoformat(before.last) < AGAIN_AFTER:
            return False
        newest = max((datetime.fromisoformat(each.last) for each in self._told.values()), default=None)
        return newest is None or not timedelta(0) <= now - newest < BETWEEN

    def _note(self, cause: str, told: _Told | None) -> None:
        self._told.pop(cause, None)
        if told is not None:
            self._told[cause] = told
        draft = self._file.with_suffix(".new")
        with suppress(OSError):  # a full or read-only disk can be the very cause
            draft.write_text(json.dumps({name: asdict(each) for name, each in self._told.items()}))
            draft.replace(self._file)

    def _send(self, cause: str, told: _Told, now: datetime, *, over: bool) -> None:
        for destination, channel in self._channels.items():
            try:
                channel.deliver(_notice(destination, cause, told, now, self._external_url, over=over))
                result = "sent"
            except DeliveryError as error:
                result = "failed"
                log.error("an emergency could not be told", extra={"destination": destination, "why": str(error)})
            except Exception:  # the edge of one destination: the others must be told all the same
                result = "failed"
                log.exception("an emergency could not be told", extra={"destination": destination})
            metrics.EMERGENCIES.labels(result).inc()


def channels_of(config: Config, clock: Clock) -> dict[str, Channel]:
    """By destination. Raises ConfigError for one that cannot be made."""
    context = ChannelContext(
        http=Outbound(clock, config.outbound.networks),
        clock=clock,
        external_url=config.server.url,
        secret=config.secrets.resolve,
    )
    return {item.name: make_channel(item, context) for item in config.emergency}


class Alarm:
    """A thread that looks every few seconds whether Watchtower works, and tells the emergency channel if it does not
    for two minutes, or at once where nothing mends itself. faults: what is wrong now; lost: what is wrong for good."""

    def __init__(
        self,
        emergency: Emergency,
        clock: Clock,
        faults: Callable[[], Sequence[str]],
        lost: Callable[[], str | None],
        *,
        look_s: float = LOOK_S,
        faulty_for_s: float = FAULTY_FOR_S,
    ) -> None:
        self._emergency = emergency
        self._clock = clock
        self._faults = faults
        self._lost = lost
        self._look_s = look_s
        self._faulty_for_s = faulty_for_s
        self._since: float | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._since = self._clock.boottime()  # a life begins without proof that it works
        self._thread = threading.Thread(target=self._run, name="alarm", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._look_s):
            try:
                self.look()
            except Exception:  # the edge of the loop
                log.exception("the alarm failed")

    def look(self) -> None:
        lost = self._lost()
        if lost is not None:
            self._emergency.tell("store", lost)
            return
        found = self._faults()
        now = self._clock.boottime()
        if not found:
            self._since = None
            for cause in ("start", "store", "path"):
                self._emergency.over(cause)
            return
        self._since = now if self._since is None else self._since
        if now - self._since >= self._faulty_for_s:
            self._emergency.tell("path", "; ".join(found))


def _read(file: Path) -> dict[str, _Told]:
    try:
        kept: dict[str, dict[str, Any]] = json.loads(file.read_text())
        return {str(name): _Told(**each) for name, each in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _notice(destination: str, cause: str, told: _Told, now: datetime, external_url: str, *, over: bool) -> Notice:
    """A message like any other. One cause is one conversation, from its first message until it is over."""
    host = socket.gethostname()
    labels: Labels = {
        "alertname": ALERT,
        "kind": "meta",
        "source": "watchtower",
        "host": host,
        "cause": cause,
        "severity": Severity.PAGE.value,
    }
    episode = stable_id("emergency", host, cause, told.since)
    since = datetime.fromisoformat(told.since)
    summary = f"Watchtower on {host} works again" if over else f"Watchtower on {host} does not work: {told.text}"
    help_text = "`watchtower doctor` on that machine names the damage and the remedy. Pipelines may not be watched."
    alert = Alert(
        id=episode,
        fingerprint=fingerprint(labels),
        rule=ALERT,
        subject="watchtower",
        labels=labels,
        annotations={"summary": summary, "description": f"It was: {told.text}" if over else help_text},
        state=AlertState.RESOLVED if over else AlertState.FIRING,
        active_since=since,
        starts_at=since,
        ends_at=now if over else None,
    )
    repeat = NoticeReason.FIRST if told.seq == 1 else NoticeReason.REPEAT
    return Notice(
        id=f"{episode}-{told.seq}",
        key=f"wt-{episode}-{told.seq}",
        episode_key=f"wt-{episode}",
        group_hash=episode,
        destination=destination,
        receiver="emergency",
        reason=NoticeReason.ALL_RESOLVED if over else repeat,
        seq=told.seq,
        attempt=1,
        first_attempt_at=now,
        now=now,
        group_labels={"alertname": ALERT, "host": host},
        alerts=(alert,),
        incident_id=None,
        ref={},
        previous_ref=None,
        external_url=external_url,
    )
