"""object_probe: the newest file of a dataset in a folder, in moto's S3 and in a container; what is missing is told."""

import os
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from pydantic import ValidationError

from collectors.aws.client import AwsConfig, client
from collectors.probes.objects import FileDocument, ObjectProbe, ObjectProbeConfig, PlaceSource, ProbedPlace, last_due
from collectors.probes.patterns import pattern
from tests.app.polls import context
from tests.collectors.billing.aws import moto
from tests.simulators.faults import Fault
from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.clock import ManualClock
from watchtower.errors import ConfigError, DeliveryError
from watchtower.model.fact import Fact
from watchtower.model.run import DatasetRef
from watchtower.model.source import Page, Problem, Window
from watchtower.ports import Received

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAILY = {"name": "orders/{date:%Y-%m-%d}.csv", "dataset": "orders", "due": "0 7 * * *", "timezone": "Europe/Berlin"}


def put(folder: Path, name: str, when: datetime = NOW - 30 * MINUTE, size: int = 4) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * size)
    os.utime(file, (when.timestamp(), when.timestamp()))


def source(place: str | Path, *files: dict[str, Any], **said: Any) -> ProbedPlace:
    config = {"name": "landing", "namespace": "landing", "place": str(place), "files": list(files), **said}
    return ProbedPlace(PlaceSource.model_validate(config), context(ManualClock(NOW)))


def look(
    probed: ProbedPlace, now: datetime = NOW, cursor: str | None = None
) -> tuple[list[Fact], tuple[Problem, ...], str | None]:
    pages: list[Page] = list(probed.read(Window(now, now, cursor=cursor)))
    facts = [fact for page in pages for record in page.records for fact in probed.decode(record, Received(now)).facts]
    assert pages[-1].problems is not None
    return facts, pages[-1].problems, next((page.cursor for page in reversed(pages) if page.cursor), None)


def test_the_files_of_the_newest_date_are_one_writing(tmp_path: Path) -> None:
    put(tmp_path, "orders/2026-03-01.csv", size=9)
    put(tmp_path, "orders/2026-03-02.csv", NOW - 2 * MINUTE, size=5)
    facts, problems, cursor = look(source(tmp_path, DAILY))
    (patch,) = facts[0].datasets
    assert problems == ()
    assert (patch.ref.name, patch.updated_at, patch.measured) == ("orders", NOW - 2 * MINUTE, True)
    assert (patch.file_count, patch.size_bytes, patch.partition) == (1, 5, "2026-03-02T00:00:00")
    assert look(source(tmp_path, DAILY), cursor=cursor)[0] == []


def test_several_files_of_a_date_and_files_without_one_are_counted(tmp_path: Path) -> None:
    for hour in ("00", "01"):
        put(tmp_path, f"events/2026/03/02/part-{hour}.json", size=3)
    put(tmp_path, "lookup.csv", size=7)
    parts = {"name": "events/{date:%Y/%m/%d}/part-*.json", "dataset": "events"}
    facts, problems, _ = look(source(tmp_path, parts, {"name": "lookup.csv"}))
    assert problems == ()
    assert [(each.datasets[0].file_count, each.datasets[0].size_bytes) for each in facts] == [(2, 6), (1, 7)]
    assert [each.datasets[0].partition for each in facts] == ["2026-03-02T00:00:00", None]


def test_a_file_that_is_not_there_when_it_is_due_is_named_with_the_moment(tmp_path: Path) -> None:
    put(tmp_path, "orders/2026-03-01.csv", NOW - timedelta(days=1))
    before = datetime(2026, 3, 2, 5, 59, tzinfo=UTC)
    assert look(source(tmp_path, DAILY), before)[1] == ()
    (missing,) = look(source(tmp_path, DAILY), before + MINUTE)[1]
    assert missing.summary == "orders/2026-03-02.csv is not there, due by 2026-03-02 07:00 Europe/Berlin"
    assert missing.since == datetime(2026, 3, 2, 6, tzinfo=UTC)
    assert missing.concerns == (f"dataset:{DatasetRef('landing', 'orders').id}",)
    put(tmp_path, "orders/2026-03-02.csv")
    assert look(source(tmp_path, DAILY))[1] == ()


@pytest.mark.parametrize("there", ["orders/20260302.csv", "orders/2026-03-02.csv.part", "orders/2026-03-02.CSV"])
def test_a_file_that_was_renamed_is_named(tmp_path: Path, there: str) -> None:
    put(tmp_path, "orders/2026-03-01.csv")
    put(tmp_path, "orders/readme.txt")
    put(tmp_path, there)
    (missing,) = look(source(tmp_path, DAILY))[1]
    assert missing.summary.endswith(f"; there is {there}: was it renamed?")


def test_a_date_in_the_name_may_lie_before_the_day_on_which_it_is_due(tmp_path: Path) -> None:
    put(tmp_path, "orders/2026-03-01.csv")
    assert look(source(tmp_path, {**DAILY, "lag": "1d"}))[1] == ()


def test_what_is_due_on_workdays_is_not_missed_on_sunday(tmp_path: Path) -> None:
    put(tmp_path, "orders/2026-02-27.csv")
    sunday = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert look(source(tmp_path, {**DAILY, "due": "0 7 * * 1-5"}), sunday)[1] == ()


def test_one_of_the_files_of_a_date_is_enough(tmp_path: Path) -> None:
    put(tmp_path, "orders/2026-03-02-part7.csv")
    assert look(source(tmp_path, {**DAILY, "name": "orders/{date:%Y-%m-%d}-*.csv"}))[1] == ()


def test_a_file_without_a_byte_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path, "orders/2026-03-02.csv", size=0)
    (empty,) = look(source(tmp_path, DAILY))[1]
    assert empty.summary == "orders/2026-03-02.csv holds no byte"


def test_where_nothing_of_that_name_is_there_at_all_it_is_said(tmp_path: Path) -> None:
    put(tmp_path, "lookups.csv")
    facts, (missing,), _ = look(source(tmp_path, {"name": "lookup.csv"}))
    assert missing.summary == "nothing called lookup.csv is there; there is lookups.csv: was it renamed?"
    assert facts == []


def test_a_place_that_cannot_be_read_is_told_with_all_that_it_concerns(tmp_path: Path) -> None:
    pages: list[Page] = []
    with pytest.raises(DeliveryError, match="no folder that this process can read"):
        pages.extend(source(tmp_path / "gone", DAILY).read(Window(NOW, NOW)))
    page = next(source(tmp_path / "gone", DAILY).read(Window(NOW, NOW)))
    assert page.problems is not None
    assert page.problems[0].concerns == (f"dataset:{DatasetRef('landing', 'orders').id}",)


@pytest.mark.parametrize("zone_and_due", [("Europe/Berlin", "30 2 * * *"), ("UTC", "0 7 * * *")], ids=str)
@pytest.mark.parametrize("hour", range(24))
def test_the_last_due_moment_is_never_ahead_and_at_most_a_day_and_an_hour_ago(
    zone_and_due: tuple[str, str], hour: int
) -> None:
    """Also on the days on which the clock of Berlin is changed, where 02:30 is not, or twice."""
    zone, due = zone_and_due
    for day in (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)):
        now = day + timedelta(hours=hour, seconds=30)
        moment = last_due(due, zone, now)
        assert moment is not None
        assert now - timedelta(hours=25) <= moment <= now


def test_the_moment_itself_counts() -> None:
    at = datetime(2026, 3, 2, 7, tzinfo=UTC)
    assert last_due("0 7 * * *", "UTC", at) == at
    assert last_due("0 7 * * *", "UTC", at - timedelta(seconds=1)) == at - timedelta(days=1)


# -- buckets and containers ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket() -> Generator[str]:
    with moto() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        s3 = client("s3", AwsConfig(endpoint_url=url), lambda _: None)
        s3.create_bucket(Bucket="acme-landing")
        for name, size in (("in/orders/2026-03-01.csv", 2), ("in/orders/20260302.csv", 3), ("in/other/a.csv", 9)):
            s3.put_object(Bucket="acme-landing", Key=name, Body=b"x" * size)
        yield url


@pytest.mark.parametrize("said", [{}, {"access_key_id": "other", "secret_access_key": "its own"}], ids=["env", "keys"])
def test_a_bucket_is_listed_and_what_was_renamed_in_it_named(bucket: str, said: dict[str, Any]) -> None:
    probed = source("s3://acme-landing/in", DAILY, endpoint_url=bucket, **said)
    later = datetime.now(UTC)
    facts, problems, _ = look(probed, later)
    assert (facts[0].datasets[0].file_count, facts[0].datasets[0].size_bytes) == (1, 2)
    assert "is not there" in problems[0].summary
    assert later - timedelta(hours=1) < (facts[0].datasets[0].updated_at or NOW) <= later


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    with pytest.raises(DeliveryError, match="NoSuchBucket"):
        list(source("s3://acme-gone/in", DAILY, endpoint_url=bucket).read(Window(NOW, NOW)))


class Blobs(HttpSimulator):
    """A container, two blobs a page. Shape: Azure Storage, "List Blobs"."""

    names: tuple[str, ...] = ("in/orders/2026-02-28.csv", "in/orders/2026-03-01.csv", "in/orders/2026-03-02.csv")

    def answer(self, request: Recorded) -> Reply:
        if request.query.get("sig") != "right":
            return Reply(403, b"<Error><Code>AuthenticationFailed</Code></Error>")
        assert (request.path, request.query["comp"]) == ("/landing", "list")
        first = int(request.query.get("marker", 0))
        shown = [name for name in self.names if name.startswith(request.query["prefix"])]
        blobs = "".join(self._blob(name) for name in shown[first : first + 2])
        marker = str(first + 2) if len(shown) > first + 2 else ""
        body = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
        return Reply(200, f'\ufeff<?xml version="1.0" encoding="utf-8"?>{body}'.encode())

    def _blob(self, name: str) -> str:
        said = f"<Last-Modified>{format_datetime(NOW - MINUTE, usegmt=True)}</Last-Modified><Etag>1</Etag>"
        return (
            f"<Blob><Name>{escape(name)}</Name><Properties>{said}<Content-Length>4</Content-Length></Properties></Blob>"
        )


def test_a_container_is_listed_page_by_page() -> None:
    with Blobs(NOW) as server:
        probed = source(f"{server.url}/landing/in", DAILY, sas="?sv=2021&sig=right")
        facts, problems, _ = look(probed)
    assert problems == ()
    assert (facts[0].datasets[0].partition, facts[0].datasets[0].updated_at) == ("2026-03-02T00:00:00", NOW - MINUTE)


def test_a_signature_that_is_refused_is_told_with_the_remedy_and_not_shown() -> None:
    with Blobs(NOW) as server, pytest.raises(DeliveryError, match="renew `sas`") as raised:
        list(source(f"{server.url}/landing/in", DAILY, sas="sig=wrong-one").read(Window(NOW, NOW)))
    assert "wrong-one" not in str(raised.value)


@pytest.mark.parametrize(
    "fault",
    [
        *(Fault.RATE_LIMITED_SECONDS, Fault.UNAVAILABLE, Fault.BAD_GATEWAY, Fault.RESET_AFTER_BODY, Fault.REDIRECT),
        *(Fault.INVALID_JSON, Fault.WRONG_TYPE, Fault.EMPTY_200, Fault.HUGE_ANSWER, Fault.ACCEPT_THEN_TIMEOUT),
    ],
)
def test_a_container_that_answers_badly_is_told_and_nothing_is_remembered(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Blobs(NOW) as server:
        server.changes_something = lambda request: True
        monkeypatch.setattr("collectors.probes.places.TIMEOUT_S", 2.0)
        probed = source(f"{server.url}/landing/in", DAILY, sas="sv=2021&sig=right")
        _, _, cursor = look(probed)
        server.fail_next(*[fault] * 9)
        pages: list[Page] = []
        with pytest.raises(DeliveryError) as raised:
            pages.extend(probed.read(Window(NOW, NOW, cursor=cursor)))
        assert server.url.removeprefix("http://") in str(raised.value) or "'landing'" in str(raised.value)
        assert not any(page.cursor for page in pages)
        server.recover()
        assert look(probed, cursor=cursor)[0] == []


def test_a_page_for_people_is_no_empty_container() -> None:
    with Blobs(NOW) as server:
        server.answer = lambda request: Reply(200, b"<html><body>Please log in</body></html>")
        with pytest.raises(DeliveryError, match=r"<html>, no list of blobs; is `place` right"):
            list(source(f"{server.url}/landing/in", DAILY, sas="sig=right").read(Window(NOW, NOW)))


# -- configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"name": "a/{date:%Y}/{date:%m}.csv"}, "more than one date"),
        ({"name": "a/{day}.csv"}, "brace"),
        ({"name": "a/{date:%B}.csv"}, "%B"),
        ({"name": "a.csv", "due": "0 7 * * *"}, "needs a {date:"),
        ({"name": "{date:%Y}.csv", "due": "07:00"}, "no cron expression"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(said: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        FileDocument.model_validate(said)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"place": "gs://a/b"}, "HMAC key"),
        ({"place": "s3://a", "access_key_id": "k"}, "belong together"),
        (
            {
                "place": "https://a.example/b",
                "sas": "s",
                "azure": {"tenant": "t", "client_id": "c", "client_secret": "s"},
            },
            "exclude one another",
        ),
    ],
)
def test_a_place_that_makes_no_sense_is_refused(said: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        PlaceSource.model_validate({"name": "a", "files": [{"name": "b"}], **said})


def test_an_endpoint_that_the_guard_refuses_is_a_fault_of_the_configuration() -> None:
    place = {"name": "a", "place": "s3://b", "endpoint_url": "http://10.1.2.3", "files": [{"name": "c"}]}
    config = ObjectProbeConfig.model_validate({"sources": [place]})
    with pytest.raises(ConfigError, match=r"10\.1\.2\.3"):
        ObjectProbe(config).sources(context(ManualClock(NOW)))


def test_a_pattern_gives_the_date_in_a_name_and_the_name_of_a_date() -> None:
    hourly = pattern("in/{date:%Y%m%dT%H}/part-*.json")
    assert hourly.prefix == "in/"
    assert hourly.date_in("in/20260302T07/part-1.json") == datetime(2026, 3, 2, 7)  # noqa: DTZ001
    assert hourly.date_in("in/20261399T07/part-1.json") is None
    assert not hourly.matches("in/20260302T07/sub/part-1.json")
    assert hourly.of(NOW) == "in/20260302T08/part-*.json"
