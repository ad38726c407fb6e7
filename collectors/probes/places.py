"""Where files lie: a folder, a bucket of S3 or of what speaks its language, a container of Azure Blob Storage.

Listed and never opened. Sources: Google Cloud Storage, "Interoperability" (its XML API takes S3's calls and HMAC keys);
Azure Storage services REST API, "List Blobs", "Authorize with Microsoft Entra ID", "Service SAS".
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree

from collectors.aws.client import AwsConfig, client, translated
from collectors.azure.token import AzureConfig, Tokens
from collectors.paging import pages
from collectors.polled import accepted, http_date
from watchtower.errors import Permanent, Reason, Transient
from watchtower.ports import PlacedFile, PollContext
from watchtower.secrets import Secret

MOST_FILES: Final = 100_000
GOOGLE: Final = "https://storage.googleapis.com"
BLOB_VERSION: Final = "2021-08-06"
BLOB_REMEDY: Final = "renew `sas`, or give the application the role Storage Blob Data Reader"
TIMEOUT_S: Final = 60.0


class Files(Protocol):
    def under(self, folder: str) -> Iterator[PlacedFile]:
        """Names are below the place. folder: "", or one that ends with a slash. Raises Transient or Permanent."""
        ...


def bounded(files: Iterable[PlacedFile], what: str) -> Iterator[PlacedFile]:
    """Raises Permanent where they are too many to be looked at every few minutes."""
    for count, file in enumerate(files):
        if count >= MOST_FILES:
            remedy = "name a deeper `place`, or let the pattern begin with more than a wildcard"
            raise Permanent(Reason.TOO_LARGE, f"{what} holds more than {MOST_FILES:,} files; {remedy}")
        yield file


@dataclass(frozen=True, slots=True)
class Folder:
    root: Path

    def under(self, folder: str) -> Iterator[PlacedFile]:
        if not self.root.is_dir():
            raise Permanent(Reason.NOT_FOUND, f"{self.root} is no folder that this process can read")
        start = self.root / folder
        if not start.is_dir():
            return
        for path in sorted(start.rglob("*")):
            try:
                known = path.stat()
            except FileNotFoundError:
                continue  # taken away meanwhile
            if S_ISREG(known.st_mode):
                name = path.relative_to(self.root).as_posix()
                changed_at = datetime.fromtimestamp(known.st_mtime, UTC)
                yield PlacedFile(name, known.st_size, str(known.st_mtime_ns), changed_at)


@dataclass(frozen=True, slots=True)
class Bucket:
    """key_id, key: where credentials are not those of the SDK's usual chain."""

    bucket: str
    prefix: str
    config: AwsConfig
    context: PollContext
    key_id: str | None = None
    key: Secret | None = None

    def under(self, folder: str) -> Iterator[PlacedFile]:
        whole = self.prefix + folder
        keys = (self.key_id, self.key.reveal()) if self.key_id and self.key else None
        s3 = client("s3", self.config, self.context.check, keys)
        with translated(f"s3 ListObjectsV2 of {self.bucket}/{whole}"):
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=whole):
                for known in page.get("Contents", []):
                    yield self._placed(known)

    def _placed(self, known: Any) -> PlacedFile:
        name = str(known["Key"]).removeprefix(self.prefix)
        return PlacedFile(name, int(known["Size"]), str(known["ETag"]), known["LastModified"].astimezone(UTC))


@dataclass(slots=True)
class Container:
    """url: of the container. sas: what follows the question mark of a shared access signature, read anew each time."""

    url: str
    prefix: str
    context: PollContext
    what: str
    sas: Secret | None = None
    azure: AzureConfig | None = None
    _tokens: Tokens | None = field(default=None, init=False)

    def under(self, folder: str) -> Iterator[PlacedFile]:
        prefix = self.prefix + folder
        call = f"{self.what}: List Blobs of {self.url}"
        for root in pages(call, lambda marker: self._page(prefix, marker), lambda root: root.findtext("NextMarker")):
            for blob in root.iterfind("Blobs/Blob"):
                yield self._placed(blob)

    def _page(self, prefix: str, marker: str) -> ElementTree.Element:
        call = f"{self.what}: List Blobs of {self.url}"
        asked = {"restype": "container", "comp": "list", "prefix": prefix, **({"marker": marker} if marker else {})}
        signature = f"&{self.sas.reveal().lstrip('?')}" if self.sas else ""
        headers = {"x-ms-version": BLOB_VERSION, **self._credentials()}
        url = f"{self.url}?{urlencode(asked, quote_via=quote)}{signature}"
        answer = self.context.http.request("GET", url, headers=headers, timeout_s=TIMEOUT_S)
        accepted(answer, self.context.clock.now(), call, BLOB_REMEDY)
        try:
            # Of at most 16 MiB, from the configured provider; expat itself bounds what entities may grow to.
            root = ElementTree.fromstring(answer.body)  # noqa: S314
        except ElementTree.ParseError as error:
            raise Transient(Reason.BAD_ANSWER, f"{call}: the answer is no XML: {error}") from error
        if root.tag != "EnumerationResults":  # read as an empty list, every file would be missing
            told = f"the answer is <{root.tag[:60]}>, no list of blobs; is `place` right?"
            raise Transient(Reason.BAD_ANSWER, f"{call}: {told}")
        return root

    def _credentials(self) -> Mapping[str, str]:
        if self.azure is None:
            return {}
        if self._tokens is None:
            self._tokens = Tokens(self.azure, self.context, "https://storage.azure.com", self.what)
        return self._tokens.headers()

    def _placed(self, blob: ElementTree.Element) -> PlacedFile:
        name = (blob.findtext("Name") or "").removeprefix(self.prefix)
        size = int(blob.findtext("Properties/Content-Length") or 0)
        changed_at = http_date(blob.findtext("Properties/Last-Modified"))
        if changed_at is None:
            raise Transient(Reason.BAD_ANSWER, f"{self.what}: {name} has no Last-Modified")
        return PlacedFile(name, size, blob.findtext("Properties/Etag") or "", changed_at)


def split_container(place: str) -> tuple[str, str]:
    """`https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX` → the container's address, the prefix."""
    parts = urlsplit(place)
    container, _, prefix = parts.path.lstrip("/").partition("/")
    return f"{parts.scheme}://{parts.netloc}/{container}", prefix
