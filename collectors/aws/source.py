"""What every source at AWS that is asked has in common: calls with credentials that are kept fresh, and a queue.

The queue (SQS) is fed by a rule of EventBridge: it tells at once what a poll finds later. A message is deleted only
after what it says is stored. EventBridge is best effort, so the queue comes beside the poll, not in its place.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, TypeVar

from pydantic import Field

from collectors import paging
from collectors.aws.client import AwsConfig, client, require, translated
from collectors.openlineage.instants import utc
from collectors.polled import http_date
from collectors.source import PollerOf, SourceOf
from watchtower.config.polled import PolledConfig
from watchtower.errors import ConfigError, Fault, Permanent, Reason
from watchtower.model.source import Page
from watchtower.ports import PollContext

Row = Mapping[str, Any]

MOST_MESSAGES: Final = 5_000  # of one poll
KEPT_S: Final = 900.0  # a client; an assumed role is good for an hour


class AwsSource(PolledConfig, AwsConfig):
    """One account in one region."""


class QueuedAwsSource(AwsSource):
    """One that is told at once, too."""

    queue: str | None = Field(
        default=None, pattern=r"^https?://\S+$", description="URL of an SQS queue that a rule of EventBridge feeds"
    )


A = TypeVar("A", bound=AwsSource)
Q = TypeVar("Q", bound=QueuedAwsSource)


class AwsPoller(PollerOf):
    """ports.Poller for one service of AWS."""

    def check(self, context: PollContext) -> None:
        faults: list[Fault] = []
        for number, source in enumerate(self.config.sources):
            try:
                require(context.check, source, f"collectors.{self.kind}.sources[{number}]")
            except ConfigError as error:
                faults += error.faults
        if faults:
            raise ConfigError(faults)


class Ask:
    """Calls of one service, with its errors in our words. now: the service's own time at its last answer.

    A client is kept for a while, since making one takes a good part of a second of CPU time; an assumed role lasts
    longer. It is made anew at once after credentials were refused, which may have been renewed.
    """

    def __init__(self, service: str, config: AwsSource, context: PollContext, kind: str) -> None:
        self._service = service
        self._config = config
        self._context = context
        self.what = f"{kind} source {config.name!r}: {service}"
        self._client: Any = None
        self._until = 0.0  # boot time
        self.now: datetime | None = None

    def __call__(self, operation: str, /, **arguments: Any) -> Row:
        boottime = self._context.clock.boottime()
        if self._client is None or boottime >= self._until:
            self._client = client(self._service, self._config, self._context.check)
            self._until = boottime + KEPT_S
        try:
            with translated(f"{self.what} {operation}"):
                found: Row = getattr(self._client, operation)(**arguments)
        except Permanent as error:
            if error.reason is Reason.AUTH:
                self._client = None
            raise
        self.now = http_date(found.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")) or self.now
        return found


class AwsSourceOf(SourceOf[A]):
    """ports.PolledSource for one service of AWS. service: as the SDK calls it."""

    service: ClassVar[str]

    def __init__(self, config: A, context: PollContext) -> None:
        super().__init__(config, context)
        self.ask = Ask(self.service, config, context, self.kind)

    @property
    def clock_at(self) -> datetime | None:
        return self.ask.now


class QueuedSourceOf(AwsSourceOf[Q]):
    """One whose queue is read after what it was asked for."""

    def __init__(self, config: Q, context: PollContext) -> None:
        super().__init__(config, context)
        self._sqs = Ask("sqs", config, context, self.kind)

    def beside(self) -> Iterator[Page]:
        return queued(self._sqs, self.config.queue)


def pages(ask: Ask, operation: str, *, following: str = "nextToken", **arguments: Any) -> Iterator[Row]:
    """All pages of an answer. following: what the service calls the place where the next one begins."""

    def page(token: str) -> Row:
        return ask(operation, **arguments, **({following: token} if token else {}))

    return paging.pages(f"{ask.what} {operation}", page, lambda answer: answer.get(following))


def queued(ask: Ask, queue: str | None) -> Iterator[Page]:
    """What the queue holds, page by page. Each is deleted once its page was taken. ask: of SQS."""
    if queue is None:
        return
    for _ in range(MOST_MESSAGES // 10):
        answer = ask("receive_message", QueueUrl=queue, MaxNumberOfMessages=10)
        messages: Sequence[Row] = answer.get("Messages", [])
        if not messages:
            return
        yield Page(tuple(str(message["Body"]).encode() for message in messages))
        entries = [{"Id": str(at), "ReceiptHandle": each["ReceiptHandle"]} for at, each in enumerate(messages)]
        ask("delete_message_batch", QueueUrl=queue, Entries=entries)


def instant(value: Any) -> datetime | None:
    """As the SDK (datetime), its JSON (RFC 3339) or EventBridge (milliseconds since 1970) writes it."""
    if isinstance(value, datetime):
        return utc(value)
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, UTC)
        return utc(datetime.fromisoformat(value)) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def plain(value: Any) -> Any:
    """value with instants as text, fit for a record."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items() if key != "ResponseMetadata"}  # pyright: ignore
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]  # pyright: ignore
    return value
