"""Where providers leave exports: a folder of this machine, or a bucket of S3.

Which files belong together is told by the folder that they lie in, or each stands alone.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

from collectors.aws.client import AwsConfig, client, translated
from watchtower.errors import Permanent, Reason
from watchtower.ports import BillFormat, Clock, Export, PlacedFile
from watchtower.pulse import beat

Each = Literal["folder", "file"]
SUFFIXES = (".csv", ".csv.gz", ".csv.zst", ".gz", ".zst", ".parquet")
MOST_FILES = 100_000


class Place(Protocol):
    def files(self) -> Iterable[PlacedFile]: ...

    def fetch(self, file: PlacedFile, folder: Path) -> Path: ...


@dataclass(frozen=True, slots=True)
class Feed:
    """ports.FileFeed over a place. each: a `folder` is one export, or every `file` is; settle_s: an export that was
    changed within this time may still be growing, and is left for the next look."""

    name: str
    every_s: float
    format: BillFormat
    tags: tuple[str, ...]
    place: Place
    each: Each
    settle_s: float
    clock: Clock

    def exports(self) -> Sequence[Export]:
        files = sorted((file for file in self.place.files() if is_bill(file.name)), key=lambda file: file.name)
        settled = self.clock.now() - timedelta(seconds=self.settle_s)
        found = [made for made in exports_of(files, self.each) if made.changed_at <= settled]
        return sorted(found, key=lambda made: (made.changed_at, made.name))

    def fetch(self, file: PlacedFile, folder: Path) -> Path:
        return self.place.fetch(file, folder)


def exports_of(files: Iterable[PlacedFile], each: Each) -> list[Export]:
    by_name: dict[str, list[PlacedFile]] = defaultdict(list)
    for file in files:
        by_name[file.name if each == "file" else str(PurePosixPath(file.name).parent)].append(file)
    return [Export(name, tuple(some)) for name, some in by_name.items()]


def is_bill(name: str) -> bool:
    """By its name alone: manifests and hidden files lie beside bills."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "_")) for part in path.parts)
    return not hidden and path.name.lower().endswith(SUFFIXES)


@dataclass(frozen=True, slots=True)
class LocalFolder:
    root: Path

    def files(self) -> Iterable[PlacedFile]:
        """Raises Permanent where there is no such folder."""
        if not self.root.is_dir():
            raise Permanent(Reason.NOT_FOUND, f"{self.root} is no folder that this process can read")
        for count, path in enumerate(sorted(self.root.rglob("*"))):
            if count > MOST_FILES:
                raise Permanent(
                    Reason.TOO_LARGE, f"{self.root} holds more than {MOST_FILES:,} files; name a deeper one"
                )
            beat()
            if path.is_file():
                known = path.stat()
                changed_at = datetime.fromtimestamp(known.st_mtime_ns // 1_000_000_000, UTC)
                name = path.relative_to(self.root).as_posix()
                yield PlacedFile(name, known.st_size, str(known.st_mtime_ns), changed_at)

    def fetch(self, file: PlacedFile, folder: Path) -> Path:
        return self.root / file.name


@dataclass(frozen=True, slots=True)
class Bucket:
    """s3://bucket/prefix. A client is made for each look, so that credentials are fresh."""

    bucket: str
    prefix: str
    config: AwsConfig
    check: Callable[[str], None]

    def files(self) -> Iterable[PlacedFile]:
        s3 = client("s3", self.config, self.check)
        with translated(f"s3 ListObjectsV2 of {self.bucket}/{self.prefix}"):
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
            return [_placed(known, self.prefix) for page in pages for known in page.get("Contents", [])]

    def fetch(self, file: PlacedFile, folder: Path) -> Path:
        """Exactly the content that was listed: another one meanwhile is a fault, and fetched at the next look."""
        target = folder / sha256(file.name.encode()).hexdigest()  # a key is no path that we chose
        s3 = client("s3", self.config, self.check)
        with translated(f"s3 GetObject of {self.bucket}/{self.prefix}{file.name}"):
            answer = s3.get_object(Bucket=self.bucket, Key=f"{self.prefix}{file.name}", IfMatch=file.stamp)
            with target.open("wb") as out:
                for piece in answer["Body"].iter_chunks(1 << 20):
                    out.write(piece)
                    beat()
        return target


def _placed(known: Any, prefix: str) -> PlacedFile:
    return PlacedFile(
        name=str(known["Key"]).removeprefix(prefix),
        size=known["Size"],
        stamp=str(known["ETag"]),
        changed_at=known["LastModified"].astimezone(UTC),
    )
