"""Kafka: a topic of OpenLineage events is read from where the store says, on librdkafka's own cluster of brokers."""

import contextlib
import json
import socket
import threading
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

import confluent_kafka
import pytest

from collectors.kafka import KafkaSource, PolledTopic
from tests.app.house import event, running, until
from tests.app.polls import ask, context, polling, state_of
from watchtower.clock import ManualClock
from watchtower.errors import DeliveryError, Permanent, Reason, Transient
from watchtower.model.source import Page, Window
from watchtower.ports import Received
from watchtower.store.database import Database

NOW = datetime.now(UTC)  # the cluster stamps what is written by its own clock
TOPIC = "openlineage.events"


@pytest.fixture(scope="module")
def brokers() -> Generator[str]:
    """`host:port` of a cluster that librdkafka simulates, with the wire protocol of real brokers."""
    cluster = confluent_kafka.Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    known: Any = cluster.list_topics(timeout=30).brokers
    yield ",".join(f"{broker.host}:{broker.port}" for broker in known.values())
    cluster.flush(0)


def write(brokers: str, topic: str, *runs: str, kind: str = "COMPLETE") -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": brokers, "log_level": 0})
    for run in runs:
        said = event(datetime.now(UTC), kind, "orders", f"0191f5d2-0000-7000-8000-{int(run):012}")
        producer.produce(topic, json.dumps(said).encode())
    assert producer.flush(30) == 0


def source(brokers: str, topic: str, **said: Any) -> PolledTopic:
    config = {"name": "lineage", "brokers": [brokers], "topic": topic, **said}
    return PolledTopic(KafkaSource.model_validate(config), context(ManualClock(NOW)))


def poll(polled: PolledTopic, cursor: str | None = None) -> tuple[list[str], str | None]:
    """The ids of the runs that were read, and the cursor."""
    pages: list[Page] = list(polled.read(Window(NOW, NOW, cursor=cursor)))
    told = [
        fact.run.ol_run_id or ""
        for page in pages
        for record in page.records
        for fact in polled.decode(record, Received(NOW, "lineage")).facts
        if fact.run
    ]
    return sorted(run[-1] for run in told), next((page.cursor for page in reversed(pages) if page.cursor), cursor)


def test_events_are_read_once_and_on_from_there(brokers: str) -> None:
    polled = source(brokers, "once")
    write(brokers, "once", "1", "2", "3")
    told, cursor = poll(polled)
    assert told == ["1", "2", "3"]
    assert poll(polled, cursor)[0] == []
    write(brokers, "once", "4")
    assert poll(polled, cursor)[0] == ["4"]


def test_what_was_not_stored_is_read_again_whatever_the_group_says(brokers: str) -> None:
    polled = source(brokers, "again")
    write(brokers, "again", "1")
    assert poll(polled)[0] == ["1"]
    assert poll(polled, None)[0] == ["1"]


def test_the_groups_offsets_follow_what_is_stored(brokers: str) -> None:
    write(brokers, "lag", "1", "2")
    reading = source(brokers, "lag", group="watched").read(Window(NOW, NOW))
    page = next(reading)

    def committed() -> int:
        asked = confluent_kafka.Consumer({"bootstrap.servers": brokers, "group.id": "watched", "log_level": 0})
        places = [confluent_kafka.TopicPartition("lag", int(each)) for each in json.loads(page.cursor or "{}")]
        try:
            return sum(max(0, found.offset) for found in asked.committed(places, timeout=30))
        finally:
            asked.close()

    assert page.records
    assert committed() == 0  # handed over, not stored yet
    read = len(page.records) + sum(len(each.records) for each in reading)
    assert (read, committed()) == (2, 2)


def test_an_event_belongs_to_the_source_of_its_namespace(brokers: str) -> None:
    polled = source(brokers, "whose")
    write(brokers, "whose", "1")
    (record,) = (record for page in polled.read(Window(NOW, NOW)) for record in page.records)
    (fact,) = polled.decode(record, Received(NOW, "lineage")).facts
    assert (fact.kind, fact.source) == ("run", "openlineage:prod")


def test_what_is_no_event_costs_that_message_only(
    brokers: str, engine: str, database: Database, clock: ManualClock
) -> None:
    topic = f"mixed-{engine}"
    producer = confluent_kafka.Producer({"bootstrap.servers": brokers, "log_level": 0})
    producer.produce(topic, b"no json")
    producer.produce(topic, b"")
    producer.flush(30)
    write(brokers, topic, "1")
    polled = source(brokers, topic)
    assert ask(polling(database, clock), polled)
    known = state_of(database, "lineage")
    assert (known.failures, known.records, sum(json.loads(known.cursor or "{}").values())) == (0, 2, 3)


def test_a_topic_that_is_not_there_and_brokers_that_are_away_are_told(brokers: str) -> None:
    with pytest.raises(DeliveryError, match="kafka source 'lineage'"):
        poll(source("127.0.0.1:1", TOPIC))


def test_refused_credentials_are_told_with_the_remedy(brokers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call itself only says that nobody answered."""
    monkeypatch.setattr("collectors.kafka.PATIENCE_S", 3.0)
    who = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "p"}
    with pytest.raises(Permanent, match=r"kafka source 'lineage'.*`sasl.username`") as raised:
        poll(source(brokers, TOPIC, options=who))
    assert raised.value.reason is Reason.AUTH


def test_what_a_user_may_not_read_is_told_with_the_remedy() -> None:
    refused = confluent_kafka.KafkaError(confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED)  # pyright: ignore
    with pytest.raises(Permanent, match=r"kafka source 'lineage'.*DESCRIBE and READ") as raised:
        source("127.0.0.1:1", TOPIC)._refuse(refused)  # type: ignore[attr-defined]
    assert raised.value.reason is Reason.AUTH


def test_what_is_no_broker_is_told_by_what_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectors.kafka.PATIENCE_S", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):  # the listener is closed at the end
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1_000)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n<html></html>")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(Transient, match=r"kafka source 'lineage'.*are `brokers` and `options` right"):
            poll(source(f"127.0.0.1:{listener.getsockname()[1]}", TOPIC))


def test_events_that_were_deleted_before_they_were_read_are_counted(
    brokers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(brokers, "short", "1", "2")
    polled = source(brokers, "short")
    known = max(page.cursor or "" for page in polled.read(Window(NOW, NOW)))
    bounds = {int(each): (end + 3, end + 3) for each, end in json.loads(known).items()}

    def bounds_of(consumer: Any, partition: int) -> tuple[int, int]:
        return bounds[partition]

    monkeypatch.setattr(polled, "_bounds", bounds_of)
    last = list(polled.read(Window(NOW, NOW, cursor=known)))[-1]
    assert [problem.summary for problem in last.problems or ()] == [
        f"{3 * len(bounds)} events of short were deleted before they were read; keep them for longer"
    ]


def test_an_address_that_the_guard_refuses_is_not_connected_to() -> None:
    with pytest.raises(Permanent, match=r"10\.9\.8\.7"):
        poll(source("10.9.8.7:9092", TOPIC))


def test_a_run_that_failed_is_told_from_the_topic_to_the_alert(brokers: str, tmp_path: Any) -> None:
    config = f"""
outbound: {{allow: [127.0.0.0/8]}}
collectors: {{kafka: {{sources: [{{name: lineage, brokers: ["{brokers}"], topic: alerts}}]}}}}
"""
    write(brokers, "alerts", "1", kind="FAIL")
    with running(tmp_path, config) as house:
        until(
            lambda: [each for each in house.items("/api/v1/alerts") if each["labels"]["alertname"] == "RunFailed"],
            "the alert about the run",
            60,
        )
