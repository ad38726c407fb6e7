"""OpenLineage events in a topic of Kafka, as the Kafka transport of its clients writes them.

How far each partition was read lies in the source's cursor, which is stored in the transaction of the events: a crash
in between reads them again, and a repeat is the same fact. The offsets are committed to the group as well, but only
after that, and only so that whoever watches the group's lag sees it. The SDK comes with the extra `kafka`.
Sources: OpenLineage, "Kafka transport"; librdkafka, CONFIGURATION.md; confluent-kafka, "Consumer".
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Final

import msgspec
from pydantic import Field

from collectors.openlineage import OpenLineage
from collectors.source import PollerOf, SourceOf
from watchtower.config.polled import PolledConfig
from watchtower.config.types import PositiveDuration, Section
from watchtower.errors import ConfigError, Fault, Permanent, Reason, Transient
from watchtower.model.source import Page, Problem, Window
from watchtower.ports import Decoded, PollContext, Received
from watchtower.secrets import Secret

KIND: Final = "kafka"
BATCH: Final = 500  # events that are stored at once
MOMENT_S: Final = 0.5  # that is waited for a batch to become full
PATIENCE_S: Final = 10.0  # for an answer of the brokers
REMEDY: Final = "let its user DESCRIBE and READ the topic and the group"
CREDENTIALS: Final = "see whether `sasl.username`, `sasl.password` and the mechanism in `options` are right"
_MISSING = "confluent-kafka is not installed"
_INSTALL = "install the extra: pip install 'pipeline-watchtower[kafka]'"


class KafkaSource(PolledConfig):
    every: PositiveDuration = Field(default=5.0, description="how often it is read; at least 5s")
    brokers: tuple[str, ...] = Field(min_length=1, description="`host:port` of some of the brokers")
    topic: str = Field(default="openlineage.events", min_length=1, description="where the events are")
    group: str = Field(default="watchtower", min_length=1, description="whose offsets tell how far it is read")
    options: dict[str, Secret] = Field(
        default={}, description="of librdkafka, e.g. `security.protocol`, `sasl.password`; values may be secrets"
    )


class KafkaConfig(Section):
    """`collectors: kafka`."""

    sources: tuple[KafkaSource, ...] = Field(default=(), description="the topics")


class PolledTopic(SourceOf[KafkaSource]):
    """ports.PolledSource. Its cursor: the next offset of each partition."""

    kind = KIND

    def __init__(self, config: KafkaSource, context: PollContext) -> None:
        super().__init__(config, context)
        self._events = OpenLineage(source_of=context.source_of)
        self._heard: Any = None  # what the library's own threads said last of the brokers

    def read(self, window: Window) -> Iterator[Page]:
        """What was there when the poll began, so that a topic that is written without end is still read in polls. The
        first one reads all that the topic keeps: what is old teaches, and tells nobody."""
        for broker in self.config.brokers:
            self.context.check(f"https://{broker}")
        with self._consumer() as consumer:
            offsets = _offsets(window.cursor)
            ends: dict[int, int] = {}
            lost = 0
            for partition in self._partitions(consumer):
                first, ends[partition] = self._bounds(consumer, partition)
                begin = offsets.get(partition, first)
                lost += max(0, first - begin)
                offsets[partition] = max(begin, first)
            yield from self._pages(consumer, offsets, ends)
        yield Page(mark=window.until, problems=_gap(self.config.topic, lost), coverage={"partitions": len(ends)})

    def decode(self, record: bytes, received: Received) -> Decoded:
        """An event belongs to the source that its own namespace stands for, as it does where it is posted."""
        return self._events.decode(record, replace(received, source=None))

    def _pages(self, consumer: Any, offsets: dict[int, int], ends: Mapping[int, int]) -> Iterator[Page]:
        from confluent_kafka import TopicPartition  # noqa: PLC0415 - an extra

        def places(partitions: Sequence[int]) -> list[Any]:
            return [TopicPartition(self.config.topic, each, offsets[each]) for each in partitions]

        behind = [each for each in ends if offsets[each] < ends[each]]
        if not behind:
            yield Page(cursor=_to_cursor(offsets))
            return
        consumer.assign(places(behind))
        waited_s = 0.0
        while any(offsets[each] < ends[each] for each in behind):
            messages = self._asked(lambda: consumer.consume(BATCH, MOMENT_S))
            waited_s = 0.0 if messages else waited_s + MOMENT_S
            if waited_s >= PATIENCE_S:
                raise Transient(Reason.TIMEOUT, f"{self.what}: no event came within {PATIENCE_S:g} s")
            if not messages:
                continue
            yield Page(tuple(self._taken(messages, offsets, ends)), cursor=_to_cursor(offsets))
            self._asked(lambda: consumer.commit(offsets=places(behind), asynchronous=False))  # they are stored now

    def _taken(self, messages: Sequence[Any], offsets: dict[int, int], ends: Mapping[int, int]) -> Iterator[bytes]:
        for message in messages:
            error, partition = message.error(), message.partition()
            if error is not None and error.name() == "_PARTITION_EOF":
                offsets[partition] = max(
                    offsets[partition], ends[partition]
                )  # the markers of transactions are no events
                continue
            self._refuse(error)
            offsets[partition] = message.offset() + 1
            if message.value():
                yield message.value()

    def _partitions(self, consumer: Any) -> list[int]:
        topics = self._asked(lambda: consumer.list_topics(self.config.topic, PATIENCE_S)).topics
        topic = topics[self.config.topic]
        self._refuse(topic.error)
        return sorted(topic.partitions)

    def _bounds(self, consumer: Any, partition: int) -> tuple[int, int]:
        from confluent_kafka import TopicPartition  # noqa: PLC0415 - an extra

        place = TopicPartition(self.config.topic, partition)
        return self._asked(lambda: consumer.get_watermark_offsets(place, PATIENCE_S))

    @contextmanager
    def _consumer(self) -> Generator[Any]:
        from confluent_kafka import Consumer  # noqa: PLC0415 - an extra

        options = {name: secret.reveal() for name, secret in self.config.options.items()}
        ours = {
            "bootstrap.servers": ",".join(self.config.brokers),
            "group.id": self.config.group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 2,
        }
        self._heard = None
        consumer = self._asked(lambda: Consumer({**options, **ours, "error_cb": self._hear}))
        try:
            yield consumer
        except Transient:
            consumer.poll(0)  # which tells what was heard: a call only says that the brokers did not answer it
            self._refuse(self._heard)
            raise
        finally:
            consumer.close()

    def _hear(self, error: Any) -> None:
        if error.name() != "_ALL_BROKERS_DOWN":
            self._heard = error

    def _asked(self, call: Callable[[], Any]) -> Any:
        from confluent_kafka import KafkaException  # noqa: PLC0415 - an extra

        try:
            return call()
        except KafkaException as error:
            self._refuse(error.args[0])
            raise Transient(Reason.CONNECT, f"{self.what}: {error}") from error

    def _refuse(self, error: Any) -> None:
        """Raise what the library says is wrong, if it says so."""
        if error is None:
            return
        said = f"{self.what}: topic {self.config.topic!r}: {error.str()}"
        if error.name() == "_AUTHENTICATION":
            raise Permanent(Reason.AUTH, f"{said}; {CREDENTIALS}")
        if error.name() in ("TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "SASL_AUTHENTICATION_FAILED"):
            raise Permanent(Reason.AUTH, f"{said}; {REMEDY}")
        if error.name() in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"):
            raise Permanent(Reason.NOT_FOUND, f"{said}; is `topic` that of the transport?")
        raise Transient(Reason.CONNECT, f"{said}; are `brokers` and `options` right?")


class Kafka(PollerOf):
    """ports.Poller."""

    kind = KIND
    Config = KafkaConfig
    polled = PolledTopic
    addresses = ()

    def check(self, context: PollContext) -> None:
        if self.config.sources and find_spec("confluent_kafka") is None:
            raise ConfigError([Fault(f"collectors.{KIND}", _MISSING, _INSTALL)])


def _gap(topic: str, lost: int) -> tuple[Problem, ...]:
    """Told at the poll that finds it; the next one is over it."""
    if not lost:
        return ()
    return (Problem("gap", f"{lost:,} events of {topic} were deleted before they were read; keep them for longer"),)


def _offsets(cursor: str | None) -> dict[int, int]:
    try:
        return msgspec.json.decode(cursor or "{}", type=dict[int, int])
    except msgspec.DecodeError:
        return {}


def _to_cursor(offsets: Mapping[int, int]) -> str:
    return msgspec.json.encode(dict(sorted(offsets.items()))).decode()
