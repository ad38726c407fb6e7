"""`object_probe`: the newest of files that lie somewhere, how many and how large, and the one that is due by now.

What is due and is not there is a problem that says which name was expected, and what lies there instead. Files of one
date are one writing of their dataset: an older one that is written again makes nothing fresh.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import SequenceMatcher
from heapq import nlargest
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, model_validator

from collectors.aws.client import AwsConfig, require
from collectors.azure.token import AzureConfig
from collectors.identity import identifier
from collectors.probes.known import Known
from collectors.probes.observed import Observation, decode, micros
from collectors.probes.patterns import Pattern, pattern
from collectors.probes.places import GOOGLE, Bucket, Container, Files, Folder, bounded, split_container
from collectors.source import PollerOf, SourceOf
from watchtower.config.polled import PolledConfig
from watchtower.config.types import Duration, PositiveDuration, Section, Zone
from watchtower.errors import ConfigError, DeliveryError
from watchtower.model.run import DatasetRef
from watchtower.model.source import DATASET, Page, Problem, Window
from watchtower.ports import Decoded, PlacedFile, PollContext, Received
from watchtower.secrets import Secret

KIND: Final = "object_probe"
OTHERS: Final = 500  # newest files of other names, among which a renamed one is looked for
ALIKE: Final = 0.75  # of two names, as difflib measures it
_MINUTE: Final = timedelta(minutes=1)  # CronSim gives moments before the one given, which counts as well


def _pattern(said: str) -> str:
    pattern(said)
    return said


def _cron(said: str) -> str:
    try:
        CronSim(said, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError(f"{said!r} is no cron expression such as 0 7 * * 1-5: {error}") from error
    return said


class FileDocument(Section):
    """Files of one dataset."""

    name: Annotated[str, AfterValidator(_pattern)] = Field(
        min_length=1, description="below the place; `*` is any part, `{date:%Y-%m-%d}` a date"
    )
    dataset: str | None = Field(default=None, min_length=1, description="what they are called; default: their name")
    due: Annotated[str, AfterValidator(_cron)] | None = Field(
        default=None, description="cron expression by which a file must be there"
    )
    timezone: Zone = Field(default="UTC", description="IANA zone of `due` and of the date in the name")
    lag: Duration = Field(default=0.0, description="how long before `due` the date in its name is")

    @model_validator(mode="after")
    def _fits(self) -> "FileDocument":
        if self.due is not None and pattern(self.name).format is None:
            raise ValueError("due needs a {date:…} in the name; for others, give their dataset a `fail_after`")
        return self


class PlaceSource(AwsConfig, PolledConfig):
    every: PositiveDuration = Field(default=300.0, description="how often it is looked at; at least 5s")
    place: str = Field(
        min_length=1,
        description="a folder, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, or the https address of a container",
    )
    files: tuple[FileDocument, ...] = Field(min_length=1, description="what is looked for")
    access_key_id: str | None = Field(default=None, description="of S3, or of an HMAC key of Google Cloud Storage")
    secret_access_key: Secret | None = Field(default=None, description="that belongs to it")
    sas: Secret | None = Field(default=None, description="shared access signature of the container")
    azure: AzureConfig | None = Field(default=None, description="instead of it: an application that may read")

    @model_validator(mode="after")
    def _credentials(self) -> "PlaceSource":
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key belong together")
        if self.place.startswith("gs://") and self.access_key_id is None:
            raise ValueError("gs:// needs access_key_id and secret_access_key: an HMAC key of a service account")
        if self.sas is not None and self.azure is not None:
            raise ValueError("sas and azure exclude one another; keep one of them")
        return self


class ObjectProbeConfig(Section):
    """`collectors: object_probe`."""

    sources: tuple[PlaceSource, ...] = Field(default=(), description="the places")


def _faults(source: PlaceSource, context: PollContext, path: str) -> Sequence[Any]:
    if not source.place.startswith(("s3://", "gs://")):
        return ()
    try:
        require(context.check, source, path)
    except ConfigError as error:
        return error.faults
    return ()


@dataclass(slots=True)
class _Found:
    """What lies there of one pattern. newest: files of the greatest date, or all of them."""

    date: datetime | None = None
    newest: list[PlacedFile] = field(default_factory=list[PlacedFile])
    names: set[str] = field(default_factory=set[str])
    others: list[PlacedFile] = field(default_factory=list[PlacedFile])


class ProbedPlace(SourceOf[PlaceSource]):
    """ports.PolledSource. Its cursor holds what was seen last, by dataset."""

    kind = KIND

    def __init__(self, config: PlaceSource, context: PollContext) -> None:
        super().__init__(config, context)
        self._files = _files(config, context, self.what)

    def read(self, window: Window) -> Iterator[Page]:
        known = Known.of(window.cursor)
        problems: list[Problem] = []
        try:
            for document in self.config.files:
                ref = self._ref(document)
                sought = pattern(document.name)
                found = _look(bounded(self._files.under(_listed(sought)), self.config.place), sought)
                problems += _problems(document, sought, found, ref, window.until)
                seen = _observed(found, ref, window.until)
                records = (seen.record(),) if seen and known.take(seen) else ()
                yield Page(records, cursor=known.cursor() if records else None)
        except DeliveryError as error:
            concerned = tuple(DATASET + self._ref(document).id for document in self.config.files)
            yield Page(problems=(Problem("place", str(error), concerns=concerned),))
            raise
        yield Page(mark=window.until, problems=tuple(problems), coverage={"datasets": len(self.config.files)})

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, source=self.name, kind=KIND)

    def _ref(self, document: FileDocument) -> DatasetRef:
        namespace = self.config.namespace or self.config.place.rstrip("/")
        return DatasetRef(identifier(namespace), identifier(document.dataset or document.name))


class ObjectProbe(PollerOf):
    """ports.Poller."""

    kind = KIND
    Config = ObjectProbeConfig
    polled = ProbedPlace

    def check(self, context: PollContext) -> None:
        sources = enumerate(self.config.sources)
        faults = [
            fault
            for number, source in sources
            for fault in _faults(source, context, f"collectors.{KIND}.sources[{number}]")
        ]
        if faults:
            raise ConfigError(faults)


def _files(config: PlaceSource, context: PollContext, what: str) -> Files:
    place = config.place
    if place.startswith(("s3://", "gs://")):
        bucket, _, prefix = place.partition("://")[2].partition("/")
        google = place.startswith("gs://") and config.endpoint_url is None
        settings = config.model_copy(update={"endpoint_url": GOOGLE}) if google else config
        return Bucket(bucket, _folder(prefix), settings, context, config.access_key_id, config.secret_access_key)
    if place.startswith(("https://", "http://")):
        url, prefix = split_container(place)
        return Container(url, _folder(prefix), context, what, config.sas, config.azure)
    return Folder(context.base_dir / place.removeprefix("file://"))


def _folder(prefix: str) -> str:
    return f"{prefix.rstrip('/')}/" if prefix else ""


def _listed(sought: Pattern) -> str:
    """The folder of the pattern: what was renamed lies beside what was expected."""
    return sought.prefix.rpartition("/")[0] + "/" if "/" in sought.prefix else ""


def _look(files: Iterable[PlacedFile], sought: Pattern) -> _Found:
    found = _Found()
    others: list[PlacedFile] = []
    for file in files:
        if not sought.matches(file.name):
            others.append(file)
            continue
        found.names.add(file.name)
        date = sought.date_in(file.name)
        if date is not None and (found.date is None or date > found.date):
            found.date, found.newest = date, [file]
        elif date == found.date:
            found.newest.append(file)
    found.others = nlargest(OTHERS, others, key=lambda file: (file.changed_at, file.name))
    return found


def _observed(found: _Found, ref: DatasetRef, now: datetime) -> Observation | None:
    if not found.newest:
        return None
    return Observation(
        ref.namespace,
        ref.name,
        micros(now) or 0,
        updated_at=micros(min(now, max(file.changed_at for file in found.newest))),
        size=sum(file.size for file in found.newest),
        files=len(found.newest),
        partition=found.date.isoformat() if found.date else None,
    )


def _problems(
    document: FileDocument, sought: Pattern, found: _Found, ref: DatasetRef, now: datetime
) -> Iterator[Problem]:
    concerns = (DATASET + ref.id,)
    empty = sorted(file.name for file in found.newest if file.size == 0)
    if empty:
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        yield Problem(f"{ref.name}#empty", f"{empty[0]}{more} holds no byte", concerns=concerns)
    if document.due is None:
        if not found.names:
            said = f"nothing called {document.name} is there{_instead(found, document.name)}"
            yield Problem(ref.name, said, concerns=concerns)
        return
    due = last_due(document.due, document.timezone, now)
    name = sought.of(due - timedelta(seconds=document.lag)) if due else ""
    if due is not None and not _is_there(name, found):
        said = f"{name} is not there, due by {due:%Y-%m-%d %H:%M} {document.timezone}{_instead(found, name)}"
        yield Problem(ref.name, said, since=due.astimezone(UTC), concerns=concerns)


def _is_there(name: str, found: _Found) -> bool:
    """name may hold `*`: one of the files of its date is enough."""
    return name in found.names or ("*" in name and any(map(pattern(name).matches, found.names)))


def last_due(cron: str, timezone: str, now: datetime) -> datetime | None:
    """The last time by cron at or before now, in its zone."""
    local = now.astimezone(ZoneInfo(timezone))
    return next((moment for moment in CronSim(cron, local + _MINUTE, reverse=True) if moment <= local), None)


def _instead(found: _Found, name: str) -> str:
    """What lies there under a name that is much like it, the most alike first."""
    likeness = [(SequenceMatcher(None, name, file.name).ratio(), file.changed_at, file.name) for file in found.others]
    near = [each[2] for each in sorted(likeness, reverse=True) if each[0] >= ALIKE][:2]
    return f"; there is {' and '.join(near)}: was it renamed?" if near else ""
