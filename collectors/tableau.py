"""Tableau: refreshes of extracts as runs, so that what a late table does is seen to end at what people look at.

The list of a site's background jobs says which there are; each job says what it refreshes and why it failed. Source:
Tableau REST API reference, "Sign In", "Query Jobs", "Query Job".
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from pydantic import Field, field_validator

from collectors.asking import JsonApi, Row, an_object, kept, member, members, record
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier
from collectors.openlineage.instants import parse_instant
from collectors.openlineage.texts import cut
from collectors.paging import pages
from collectors.polled import accepted, read_json, unless_gone
from collectors.reads import Reads, datasets_read
from collectors.remembered import forget_oldest
from collectors.source import ListedSource, PollerOf, Seen
from watchtower.config.polled import PolledConfig
from watchtower.config.types import Section, WebAddress
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, DatasetIO, DatasetRef, JobPatch, JobRef, RunError, RunPatch, RunState
from watchtower.model.source import Window
from watchtower.ports import Decoded, PollContext, Received
from watchtower.secrets import Secret

KIND: Final = "tableau"
REMEDY: Final = "see whether the access token has expired, and its user is an administrator of the site"
PAGE: Final = 100
MOST_REMEMBERED: Final = 10_000
REFRESHES: Final = ("refresh_extracts", "increment_extracts")
TIMEOUT_S: Final = 20.0
# By the finish code of a job that has completed.
ENDS: Final[Mapping[str, RunState]] = {"0": RunState.SUCCEEDED, "1": RunState.FAILED, "2": RunState.CANCELLED}
_JOB: Final = ("id", "type", "createdAt", "startedAt", "completedAt", "endedAt", "finishCode", "title")


class TableauSource(PolledConfig):
    """One site."""

    base_url: WebAddress = Field(description="of the server or pod, e.g. https://eu-west-1a.online.tableau.com")
    site: str = Field(
        default="", max_length=256, description="as in its address, behind /site/; the default site has none"
    )
    token_name: str = Field(
        min_length=1, max_length=256, description="of a personal access token that nothing else uses"
    )
    token: Secret = Field(description="its secret")
    api: str = Field(default="3.19", pattern=r"^\d+\.\d+$", description="version of the REST API")
    reads: tuple[Reads, ...] = Field(default=(), description="which datasets the workbooks and data sources read")

    @field_validator("base_url")
    @classmethod
    def _plain(cls, value: str) -> str:
        return value.rstrip("/").removesuffix("/api")


class TableauConfig(Section):
    """`collectors: {tableau: …}`."""

    sources: tuple[TableauSource, ...] = Field(default=(), description="what is asked")


class Session:
    """What signing in gives: a token for some hours, and the id of the site. Raises as accepted does."""

    def __init__(self, config: TableauSource, context: PollContext, what: str) -> None:
        self._config = config
        self._context = context
        self._what = f"{what}: sign in"
        self._token: str | None = None
        self._site = ""

    def headers(self) -> dict[str, str]:
        if self._token is None:
            self._sign_in()
        return {"X-Tableau-Auth": self._token or ""}

    @property
    def path(self) -> str:
        """Of the site."""
        if self._token is None:
            self._sign_in()
        return f"api/{self._config.api}/sites/{self._site}"

    def forget(self) -> None:
        self._token = None

    def _sign_in(self) -> None:
        who = {"personalAccessTokenName": self._config.token_name, "site": {"contentUrl": self._config.site}}
        body = record(credentials={**who, "personalAccessTokenSecret": self._config.token.reveal()})
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        url = f"{self._config.base_url}/api/{self._config.api}/auth/signin"
        answer = self._context.http.request("POST", url, headers=headers, body=body, timeout_s=TIMEOUT_S)
        accepted(answer, self._context.clock.now(), self._what, REMEDY)
        told = member(an_object(read_json(answer, object, self._what)), "credentials")
        token, site = told.get("token"), member(told, "site").get("id")
        if not isinstance(token, str) or not isinstance(site, str):
            raise Transient(Reason.BAD_ANSWER, f"{self._what}: the answer has no token")
        self._token, self._site = token, quote(site, safe="")


class PolledTableau(ListedSource[TableauSource]):
    """ports.PolledSource. References are ids of jobs."""

    kind = KIND

    def __init__(self, config: TableauSource, context: PollContext) -> None:
        super().__init__(config, context)
        self._session = Session(config, context, self.what)
        self._api = JsonApi(context, config.base_url, self.what, self._session.headers, REMEDY)
        self._ended: dict[str, Seen] = {}  # jobs that were read whole

    @property
    def clock_at(self) -> datetime | None:
        return self._api.clock_at

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace, url=self.config.base_url, reads=self.config.reads)

    def listed(self, window: Window) -> Iterator[Sequence[Seen]]:
        created = f"createdAt:gte:{window.since.strftime('%Y-%m-%dT%H:%M:%SZ')}"
        types = f"jobType:in:[{','.join(REFRESHES)}]"

        def ask(number: str) -> Row:
            asked = {"filter": f"{created},{types}", "sort": "createdAt:asc", "pageSize": PAGE}
            return self._get(f"jobs?{urlencode({**asked, 'pageNumber': number or '1'}, safe=':,[]')}")

        for answer in pages(f"{self.what}: jobs", ask, _next_number):
            if not member(answer, "pagination"):
                raise Transient(Reason.BAD_ANSWER, f"{self.what}: the answer is no list of jobs")
            rows = members(member(answer, "backgroundJobs"), "backgroundJob")
            found = (self.again(str(row.get("id"))) for row in rows)
            yield [seen for seen in found if seen is not None]

    def again(self, reference: str) -> Seen | None:
        """None for a job that the site has forgotten."""
        if reference in self._ended:
            return self._ended[reference]
        found = unless_gone(lambda: self._get(f"jobs/{quote(reference, safe='')}"))
        if found is None:
            return None
        job = member(found, "job")
        seen = Seen(reference, record(job=_job(job)), not _state(job).is_terminal)
        if not seen.is_open:
            self._ended[reference] = seen
            forget_oldest(self._ended, MOST_REMEMBERED)
        return seen

    def _get(self, path: str) -> Row:
        """A session ends after some hours, or when its token is used elsewhere: then one more is begun."""
        try:
            return self._api.get(f"{self._session.path}/{path}")
        except Permanent as error:
            if error.reason is not Reason.AUTH:
                raise
            self._session.forget()
        return self._api.get(f"{self._session.path}/{path}")


class Tableau(PollerOf):
    """ports.Poller."""

    kind = KIND
    Config = TableauConfig
    polled = PolledTableau


def _job(job: Row) -> dict[str, Any]:
    of = member(job, "extractRefreshJob")
    what = next((kind for kind in ("workbook", "datasource") if member(of, kind).get("name")), "")
    return {
        **{name: str(value) for name, value in kept(job, _JOB).items()},
        "kind": what or None,
        "name": member(of, what).get("name") if what else None,
        "notes": of.get("notes"),
    }


def _state(job: Row) -> RunState:
    if job.get("completedAt") or job.get("endedAt"):
        return ENDS.get(str(job.get("finishCode")), RunState.FAILED)
    return RunState.RUNNING if job.get("startedAt") else RunState.QUEUED


def decode(body: bytes, received: Received, *, namespace: str, url: str, reads: Sequence[Reads] = ()) -> Decoded:
    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, url, text, received)
        if isinstance(document.get("job"), dict):
            return _facts(member(document, "job"), place, reads)
        return None

    return decode_documents(body, read, "a refresh of an extract of Tableau")


def _facts(job: Row, place: Place, reads: Sequence[Reads]) -> Sequence[Fact] | None:
    ident, name = job.get("id"), job.get("name") or job.get("title")
    created, started, ended = (
        place.instant(parse_instant(str(job.get(field) or "")))
        for field in ("createdAt", "startedAt", "completedAt" if job.get("completedAt") else "endedAt")
    )
    if not isinstance(ident, str) or not isinstance(name, str) or created is None:
        return None
    state, kind = _state(job), job.get("kind")
    ref = JobRef(place.source, place.namespace, identifier(f"{kind}/{name}" if kind else name))
    wrote = DatasetIO(DatasetRef(f"tableau://{(place.url or '').partition('://')[2]}", ref.pipeline), "out")
    patch = RunPatch(
        aliases=place.run_aliases(ref.pipeline, ident),
        job=ref,
        event_type=cut(state.value.upper(), 32),
        authority=Authority.API,
        state=state,
        native_run_id=identifier(ident),
        queued_at=created,
        started_at=started,
        ended_at=ended if state.is_terminal else None,
        error=_error(job) if state.is_bad else None,
        datasets=(*datasets_read(reads, ref.pipeline), wrote),
    )
    described = JobPatch(ref, job_type=str(kind or "extract").upper(), integration="TABLEAU")
    at = (ended if state.is_terminal else None) or started or created
    return [place.fact(at, ("job", ident, state.value), stands=not state.is_terminal, run=patch, jobs=(described,))]


def _error(job: Row) -> RunError:
    message = str(job.get("notes") or "").strip()
    return RunError(cut(message or "the refresh failed; Tableau says no more", 4_096))


def _next_number(answer: Row) -> str | None:
    pagination = member(answer, "pagination")
    number = _count(pagination.get("pageNumber"))
    return str(number + 1) if number * PAGE < _count(pagination.get("totalAvailable")) else None


def _count(value: Any) -> int:
    """Numbers come as texts."""
    return int(value) if str(value).isdecimal() else 0
