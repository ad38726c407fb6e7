"""Azure Machine Learning: jobs and pipelines with their steps, asked of the workspace's run history.

A job is called after its experiment, which is what all of its runs share; a run below another is a step of it. The
resource manager lists the same jobs without saying when they began and ended, hence the run history. Source: Azure
Machine Learning, "Run History APIs" v1.0 ("Experiments_GetByQuery", "Runs_GetByQueryByExperimentName", "Runs_Get").
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import quote

from pydantic import Field

from collectors.asking import JsonApi, Row, kept, member, record, required
from collectors.azure.token import REMEDY, AzureConfig, Tokens
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier, run_alias, task_alias
from collectors.openlineage.instants import parse_instant
from collectors.openlineage.texts import MAX_LABELS, NAME_CHARS, cut, said
from collectors.paging import pages
from collectors.polled import unless_gone
from collectors.source import ListedSource, PollerOf, Seen
from watchtower.config.polled import PolledConfig
from watchtower.config.types import Section, WebAddress
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobPatch, JobRef, RunError, RunPatch, RunState
from watchtower.model.source import Page, Window
from watchtower.ports import Decoded, PollContext, Received

KIND: Final = "azure_ml"
RESOURCE: Final = "https://ml.azure.com"
VERSION: Final = "api-version=v1.0"
PAGE: Final = 100
STATES: Final[Mapping[str, RunState]] = {
    "NotStarted": RunState.QUEUED,
    "Queued": RunState.QUEUED,
    "Provisioning": RunState.QUEUED,
    "Preparing": RunState.QUEUED,
    "Starting": RunState.QUEUED,
    "Running": RunState.RUNNING,
    "Finalizing": RunState.RUNNING,
    "Paused": RunState.RUNNING,
    "CancelRequested": RunState.RUNNING,
    "NotResponding": RunState.RUNNING,
    "Completed": RunState.SUCCEEDED,
    "Failed": RunState.FAILED,
    "Canceled": RunState.CANCELLED,
    "Bypassed": RunState.SKIPPED,
}
_RUN: Final = (
    "runId", "parentRunId", "rootRunId", "experimentId", "displayName", "runType", "status", "createdUtc",
    "startTimeUtc", "endTimeUtc", "target", "tags",
)  # fmt: skip
_NOT_ABOUT_IT: Final = ("azureml.", "_aml_", "mlflow.")  # tags that the service keeps for itself


class AzureMlSource(PolledConfig, AzureConfig):
    """One workspace."""

    subscription: str = Field(min_length=1, max_length=128, description="id of the subscription")
    resource_group: str = Field(min_length=1, max_length=128, description="that the workspace is in")
    workspace: str = Field(min_length=1, max_length=128, description="its name")
    region: str = Field(pattern=r"^[a-z0-9]{1,40}$", description="of the workspace, e.g. westeurope")
    experiments: tuple[str, ...] = Field(default=("*",), description="names; `*` and `?` are wildcards")
    base_url: WebAddress | None = Field(default=None, description="another address than Azure's own")

    @property
    def address(self) -> str:
        return self.base_url or f"https://{self.region}.api.azureml.ms"


class AzureMlConfig(Section):
    """`collectors: {azure_ml: …}`."""

    sources: tuple[AzureMlSource, ...] = Field(default=(), description="what is asked")


class PolledAzureMl(ListedSource[AzureMlSource]):
    """ports.PolledSource."""

    kind = KIND

    def __init__(self, config: AzureMlSource, context: PollContext) -> None:
        super().__init__(config, context)
        tokens = Tokens(config, context, RESOURCE, self.what)
        self._api = JsonApi(context, config.address, self.what, tokens.headers, REMEDY)
        group = ("subscriptions", config.subscription, "resourceGroups", config.resource_group)
        workspace = ("providers", "Microsoft.MachineLearningServices", "workspaces", config.workspace)
        self._workspace = "/".join(quote(part, safe="") for part in (*group, *workspace))
        self._experiments: dict[str, str] = {}

    @property
    def clock_at(self) -> datetime | None:
        return self._api.clock_at

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace, workspace=self._workspace)

    def definitions(self, window: Window) -> Iterator[Page]:
        if window.deep or not self._experiments:
            rows = [row for answer in self._answers("experiments:query") for row in answer]
            named = {str(row.get("experimentId")): str(row.get("name")) for row in rows}
            wanted = self.config.experiments
            self._experiments = {
                ident: name for ident, name in named.items() if any(fnmatchcase(name, each) for each in wanted)
            }
            yield Page(coverage={"experiments": len(self._experiments)})

    def listed(self, window: Window) -> Iterator[Sequence[Seen]]:
        """Runs of each experiment that were created since, newest first, steps among them."""
        for name in self._experiments.values():
            path = f"experiments/{quote(name, safe='')}/runs:query"
            for rows in self._answers(path, orderBy="CreatedUtc desc"):
                created = [parse_instant(str(row.get("createdUtc"))) or window.since for row in rows]
                new = [row for row, at in zip(rows, created, strict=True) if at >= window.since]
                yield [self._seen(row) for row in new]
                if len(new) < len(rows):
                    break

    def again(self, reference: str) -> Seen | None:
        path = f"history/v1.0/{self._workspace}/runs/{quote(reference, safe='')}?{VERSION}"
        run = unless_gone(lambda: self._api.get(path))
        return self._seen(run) if run is not None else None

    def _answers(self, path: str, **asked: Any) -> Iterator[list[Row]]:
        def ask(token: str) -> Row:
            following = {"continuationToken": token} if token else {}
            return self._api.post(
                f"history/v1.0/{self._workspace}/{path}?{VERSION}", {**asked, "top": PAGE, **following}
            )

        call = f"{self.what}: {path}"
        for answer in pages(call, ask, lambda answer: answer.get("continuationToken")):
            yield required(answer, "value", call)

    def _seen(self, run: Row) -> Seen:
        told = member(member(run, "error"), "error")
        shown = {
            **kept(run, _RUN),
            "experiment": self._experiments.get(str(run.get("experimentId"))),
            "by": member(run, "createdBy").get("userName"),
            "error": kept(told, ("code", "message")),
        }
        state = STATES.get(str(run.get("status")), RunState.RUNNING)
        return Seen(str(run.get("runId")), record(run=shown), not state.is_terminal)


class AzureMl(PollerOf):
    """ports.Poller."""

    kind = KIND
    Config = AzureMlConfig
    polled = PolledAzureMl
    addresses = ("base_url", "login_url")


def decode(body: bytes, received: Received, *, namespace: str, workspace: str) -> Decoded:
    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        if isinstance(document.get("run"), dict):
            return _run_facts(member(document, "run"), place, workspace)
        return None

    return decode_documents(body, read, "a run of Azure Machine Learning")


def _run_facts(run: Row, place: Place, workspace: str) -> Sequence[Fact] | None:
    ident, status, state = run.get("runId"), str(run.get("status")), STATES.get(str(run.get("status")))
    created, started, ended = (
        place.instant(parse_instant(str(run.get(name) or ""))) for name in ("createdUtc", "startTimeUtc", "endTimeUtc")
    )
    if not isinstance(ident, str) or state is None or created is None:
        return None
    at = (ended if state.is_terminal else None) or started or created
    pipeline = identifier(str(run.get("experiment") or run.get("displayName") or ident))
    common: dict[str, Any] = {
        "event_type": cut(status, 32),
        "authority": Authority.API,
        "state": state,
        "queued_at": created,
        "started_at": started,
        "ended_at": (ended or at) if state.is_terminal else None,
        "error": _error(member(run, "error")) if state.is_bad else None,
        "external_url": f"https://ml.azure.com/runs/{quote(ident, safe='')}?wsid=/{workspace}",
        "tags": {"compute": str(run["target"])} if run.get("target") else None,
    }
    key = ("run", ident, status)
    root = run.get("rootRunId")
    if run.get("parentRunId") and isinstance(root, str) and root != ident:
        task = identifier(str(run.get("displayName") or ident))
        patch = RunPatch(
            aliases=(task_alias(place.source, place.namespace, "", root, task=ident, map_index=None, attempt=1),),
            job=JobRef(place.source, place.namespace, pipeline, task),
            final=True if state.is_terminal else None,
            parent_alias=run_alias(place.source, place.namespace, "", root),
            native_run_id=identifier(root),
            **common,
        )
        return [place.fact(at, key, stands=not state.is_terminal, run=patch)]
    ref = JobRef(place.source, place.namespace, pipeline)
    tags = {
        cut(name, NAME_CHARS): cut(str(value), NAME_CHARS)
        for name, value in member(run, "tags").items()
        if not name.startswith(_NOT_ABOUT_IT)
    }
    patch = RunPatch(
        aliases=place.run_aliases(pipeline, ident),
        job=ref,
        native_run_id=identifier(ident),
        actor=said(str(run.get("by") or ""), NAME_CHARS),
        **common,
    )
    described = JobPatch(
        ref,
        owner=tags.get("owner") or tags.get("team"),
        tags=dict(list(tags.items())[:MAX_LABELS]) or None,
        job_type="EXPERIMENT",
        integration="AZURE_ML",
    )
    return [place.fact(at, key, stands=not state.is_terminal, run=patch, jobs=(described,))]


def _error(error: Row) -> RunError:
    code, message = str(error.get("code") or ""), str(error.get("message") or "").strip()
    return RunError(cut(message or code or "the job failed", 4_096), cut(code, NAME_CHARS))
