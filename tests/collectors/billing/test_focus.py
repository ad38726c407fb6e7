"""Exports in folders and buckets: found, settled, grouped, and fetched exactly as they were listed."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from collectors.billing.focus import Focus, FocusConfig
from collectors.billing.places import exports_of, is_bill
from watchtower.clock import ManualClock
from watchtower.errors import ConfigError, Permanent, Reason
from watchtower.outbound import Outbound, parse_networks
from watchtower.ports import BillContext, FileFeed, PlacedFile

NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
CLOCK = ManualClock(NOW)
LOOPBACK = Outbound(CLOCK, parse_networks(["127.0.0.0/8"])).check


def feed(path: str, base: Path = Path("/"), check: Callable[[str], None] = LOOPBACK, **more: Any) -> FileFeed:
    config = FocusConfig.model_validate({"sources": [{"name": "aws", "path": path, **more}]})
    (made,) = Focus(config).feeds(BillContext(CLOCK, check, base))
    assert hasattr(made, "exports")
    return made  # type: ignore[return-value]


def put(folder: Path, name: str, age_s: float = 3600, text: str = "x") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    at = (NOW - timedelta(seconds=age_s)).timestamp()
    os.utime(file, (at, at))
    return file


def names(found: FileFeed) -> list[list[str]]:
    return [[file.name for file in export.files] for export in found.exports()]


def test_the_files_of_a_folder_are_one_export_and_the_oldest_comes_first(tmp_path: Path) -> None:
    put(tmp_path, "BILLING_PERIOD=2026-10/focus-00001.csv.gz", 100)
    put(tmp_path, "BILLING_PERIOD=2026-10/focus-00002.csv.gz", 100)
    put(tmp_path, "BILLING_PERIOD=2026-09/focus-00001.csv.gz", 9_000)
    put(tmp_path, "BILLING_PERIOD=2026-10/manifest.json", 100)
    put(tmp_path, "_metadata/old.csv", 100)
    put(tmp_path, ".hidden.csv", 100)
    assert names(feed(tmp_path.name, tmp_path.parent)) == [
        ["BILLING_PERIOD=2026-09/focus-00001.csv.gz"],
        ["BILLING_PERIOD=2026-10/focus-00001.csv.gz", "BILLING_PERIOD=2026-10/focus-00002.csv.gz"],
    ]


def test_each_file_can_be_an_export_of_its_own(tmp_path: Path) -> None:
    put(tmp_path, "2026-10-19.csv", 7_200)
    put(tmp_path, "2026-10-20.csv", 3_600)
    assert names(feed(str(tmp_path), each="file")) == [["2026-10-19.csv"], ["2026-10-20.csv"]]


def test_an_export_that_may_still_grow_waits(tmp_path: Path) -> None:
    put(tmp_path, "a/1.csv", 7_200)
    put(tmp_path, "a/2.csv", 10)
    put(tmp_path, "b/1.csv", 61)
    assert names(feed(str(tmp_path))) == [["b/1.csv"]]
    assert len(names(feed(str(tmp_path), settle="5s"))) == 2


def test_a_folder_that_is_not_there_is_told_at_the_look(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="is no folder that this process can read"):
        feed(str(tmp_path / "gone")).exports()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("a/b.csv", True), ("b.PARQUET", True), ("m.json", False), ("_meta/b.csv", False), ("../b.csv", False)],
)
def test_bills_are_told_from_what_lies_beside_them(name: str, wanted: bool) -> None:
    assert is_bill(name) is wanted


def test_exports_of_no_files_are_none() -> None:
    assert exports_of([], "folder") == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"name": "a/b", "path": "/x"}, "use up to 64 letters"),
        ({"name": "..", "path": "/x"}, "use up to 64 letters"),
        ({"name": "aws", "path": "gs://x/y"}, "neither a folder nor s3://BUCKET/PREFIX"),
        ({"name": "aws", "path": "/x", "role": "me"}, "should match pattern"),
        ({"name": "aws", "path": "/x", "evry": "6h"}, "Extra inputs"),
    ],
)
def test_a_source_that_cannot_be_is_refused_when_it_is_read(source: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FocusConfig.model_validate({"sources": [source]})


def test_two_sources_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two sources are called 'aws'"):
        FocusConfig.model_validate({"sources": [{"name": "aws", "path": "/x"}, {"name": "aws", "path": "/y"}]})


def test_the_guard_refuses_an_inner_address_when_the_configuration_is_read() -> None:
    strict = Outbound(CLOCK).check
    with pytest.raises(ConfigError, match=r"sources\[0\].endpoint_url"):
        feed("s3://bills/x", check=strict, endpoint_url="https://127.0.0.1:9000")


# -- S3, as moto answers ------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(aws: str) -> tuple[Any, str]:
    client: Any = boto3.client("s3", endpoint_url=aws, region_name="us-east-1", config=_no_proxy())  # pyright: ignore[reportUnknownMemberType]
    name = f"bills-{uuid4().hex[:8]}"
    client.create_bucket(Bucket=name)
    return client, name


def _no_proxy() -> Any:
    from botocore.config import Config

    return Config(proxies={}, s3={"addressing_style": "path"})


def test_a_bucket_is_listed_and_fetched_below_its_prefix(aws: str, bucket: tuple[Any, str], tmp_path: Path) -> None:
    client, name = bucket
    client.put_object(Bucket=name, Key="exports/2026-10/focus-1.csv", Body=b"one")
    client.put_object(Bucket=name, Key="exports//etc/passwd.csv", Body=b"a key is no path")
    client.put_object(Bucket=name, Key="other/focus.csv", Body=b"not ours")
    CLOCK.set(datetime.now(UTC) + timedelta(hours=1))
    found = feed(f"s3://{name}/exports/", endpoint_url=aws)
    assert sorted(names(found)) == [["/etc/passwd.csv"], ["2026-10/focus-1.csv"]]
    fetched = {file.name: found.fetch(file, tmp_path) for each in found.exports() for file in each.files}
    assert fetched["2026-10/focus-1.csv"].read_bytes() == b"one"
    assert fetched["/etc/passwd.csv"].parent == tmp_path


def test_an_object_that_changed_after_it_was_listed_is_not_taken(
    aws: str, bucket: tuple[Any, str], tmp_path: Path
) -> None:
    client, name = bucket
    client.put_object(Bucket=name, Key="a.csv", Body=b"old")
    found = feed(f"s3://{name}", endpoint_url=aws)
    stale = PlacedFile("a.csv", 3, '"0123456789abcdef0123456789abcdef"', NOW)
    with pytest.raises(Permanent, match="PreconditionFailed"):
        found.fetch(stale, tmp_path)


def test_a_bucket_that_is_not_there_is_told_with_its_name(aws: str) -> None:
    with pytest.raises(Permanent) as caught:
        feed("s3://no-such-bucket-here/x", endpoint_url=aws).exports()
    assert caught.value.reason is Reason.NOT_FOUND
    assert "s3 ListObjectsV2 of no-such-bucket-here/x" in str(caught.value)


def test_every_request_passes_the_guard(aws: str) -> None:
    asked: list[str] = []

    def check(url: str) -> None:
        asked.append(url)
        if "list-type=2" in url:
            raise Permanent(Reason.REFUSED_ADDRESS, "refused")

    with pytest.raises(Permanent) as caught:
        feed("s3://some-bucket", endpoint_url=aws, check=check).exports()
    assert caught.value.reason is Reason.REFUSED_ADDRESS
    assert len(asked) == 2


def test_a_role_is_assumed_for_each_look(aws: str, bucket: tuple[Any, str]) -> None:
    client, name = bucket
    client.put_object(Bucket=name, Key="a.csv", Body=b"x")
    role = "arn:aws:iam::123456789012:role/watchtower"
    assert names(feed(f"s3://{name}", endpoint_url=aws, role=role)) == [["a.csv"]]


def test_without_the_sdk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: str) -> None: ...

    monkeypatch.setattr("collectors.aws.client.find_spec", nothing)
    with pytest.raises(ConfigError, match=r"pipeline-watchtower\[aws\]"):
        feed("s3://bills/x")
