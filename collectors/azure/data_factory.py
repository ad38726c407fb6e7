"""Azure Data Factory: pipeline runs with their activities, asked of its REST API, and told by diagnostic logs.

A rerun is a run of its own with the same group. Activities that are tried again come as one record for each attempt.
Sources: Azure Data Factory REST API 2018-06-01 ("Pipeline Runs - Query By Factory", "Activity Runs - Query By Pipeline
Run", "Triggers - List By Factory"); Azure Monitor, "Schema of Data Factory diagnostic logs".
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final
from urllib.parse import quote

from pydantic import Field

from collectors.asking import JsonApi, Row, kept, member, members, record, required
from collectors.azure.factory_runs import KIND, OUTPUT, STATES, decode
from collectors.azure.token import REMEDY, AzureConfig, Tokens
from collectors.openlineage.instants import parse_instant
from collectors.paging import pages
from collectors.polled import unless_gone
from collectors.source import PollerOf, Seen, SlicedSource
from watchtower.config.polled import PolledConfig
from watchtower.config.types import Section, WebAddress
from watchtower.model.run import RunState
from watchtower.model.source import Page, Window
from watchtower.ports import Decoded, PollContext, Received

VERSION: Final = "api-version=2018-06-01"
DAY: Final = timedelta(days=1)
MOST_ACTIVITIES: Final = 5_000  # of one run
BATCH_BYTES: Final = 1 << 20  # of runs with their activities that are held at once, but for the last of them
_RUN: Final = (
    "runId", "runGroupId", "pipelineName", "status", "message", "runStart", "runEnd", "lastUpdated", "annotations",
    "runDimension",
)  # fmt: skip
_INVOKED: Final = ("name", "invokedByType", "pipelineName", "pipelineRunId")
_ACTIVITY: Final = (
    "activityRunId", "activityName", "activityType", "status", "activityRunStart", "activityRunEnd", "retryAttempt",
    "iterationHash",
)  # fmt: skip
_ERROR: Final = ("errorCode", "message", "failureType")


class DataFactorySource(PolledConfig, AzureConfig):
    """One factory."""

    subscription: str = Field(min_length=1, max_length=128, description="id of the subscription")
    resource_group: str = Field(min_length=1, max_length=128, description="that the factory is in")
    factory: str = Field(min_length=1, max_length=128, description="its name")
    base_url: WebAddress = Field(default="https://management.azure.com", description="another cloud's than Azure's")


class DataFactoryConfig(Section):
    """`collectors: {data_factory: …}`."""

    sources: tuple[DataFactorySource, ...] = Field(default=(), description="what is asked")


class PolledDataFactory(SlicedSource[DataFactorySource]):
    """ports.PolledSource."""

    kind = KIND

    def __init__(self, config: DataFactorySource, context: PollContext) -> None:
        super().__init__(config, context)
        tokens = Tokens(config, context, config.base_url, self.what)
        self._api = JsonApi(context, config.base_url, self.what, tokens.headers, REMEDY)
        group = ("subscriptions", config.subscription, "resourceGroups", config.resource_group)
        factory = ("providers", "Microsoft.DataFactory", "factories", config.factory)
        self._factory = "/".join(quote(part, safe="") for part in (*group, *factory))

    @property
    def clock_at(self) -> datetime | None:
        return self._api.clock_at

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace)

    def definitions(self, window: Window) -> Iterator[Page]:
        if window.deep:
            found = self._pipelines()
            yield Page(found, coverage={"pipelines": len(found)})

    def between(self, since: datetime, until: datetime | None) -> Iterator[Sequence[Seen]]:
        """Runs that changed then. The open end lies ahead, whatever our clock shows."""
        asked: dict[str, Any] = {
            "lastUpdatedAfter": since.isoformat(),
            "lastUpdatedBefore": (until or self.context.clock.now() + DAY).isoformat(),
        }
        for rows in self._answers(f"{self._factory}/queryPipelineRuns", asked):
            yield from self._batches(rows)

    def again(self, reference: str) -> Seen | None:
        """None for one that was forgotten meanwhile: Data Factory keeps runs for 45 days."""
        path = f"{self._factory}/pipelineruns/{quote(reference, safe='')}?{VERSION}"
        row = unless_gone(lambda: self._api.get(path))
        return self._seen(row) if row is not None else None

    def _batches(self, rows: Sequence[Row]) -> Iterator[Sequence[Seen]]:
        batch: list[Seen] = []
        size = 0
        for row in rows:
            batch.append(self._seen(row))
            size += len(batch[-1].record or b"")
            if size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        yield batch

    def _seen(self, run: Row) -> Seen:
        run_id = str(run.get("runId"))
        shown = {**kept(run, _RUN), "invokedBy": kept(member(run, "invokedBy"), _INVOKED)}
        whole = record(run=shown, activities=[_activity(each) for each in self._activities(run_id, run)])
        return Seen(run_id, whole, not STATES.get(str(run.get("status")), RunState.RUNNING).is_terminal)

    def _activities(self, run_id: str, run: Row) -> list[Row]:
        started = parse_instant(str(run.get("runStart"))) or parse_instant(str(run.get("lastUpdated")))
        if started is None:
            return []
        asked: dict[str, Any] = {
            "lastUpdatedAfter": (started - DAY).isoformat(),
            "lastUpdatedBefore": ((parse_instant(str(run.get("lastUpdated"))) or started) + 2 * DAY).isoformat(),
        }
        found: list[Row] = []
        for rows in self._answers(f"{self._factory}/pipelineruns/{quote(run_id, safe='')}/queryActivityruns", asked):
            found += rows
            if len(found) >= MOST_ACTIVITIES:
                break
        return found

    def _answers(self, path: str, asked: Row) -> Iterator[list[Row]]:
        """All that fit a question."""

        def ask(token: str) -> Row:
            following = {"continuationToken": token} if token else {}
            return self._api.post(f"{path}?{VERSION}", {**asked, **following})

        call = f"{self.what}: {path.rpartition('/')[2]}"
        for answer in pages(call, ask, lambda answer: answer.get("continuationToken")):
            yield required(answer, "value", self.what)

    def _pipelines(self) -> tuple[bytes, ...]:
        """Pipelines that a trigger starts by a schedule; one that several start is waited for by none."""
        found: dict[str, list[Row]] = {}

        def ask(query: str) -> Row:
            return self._api.get(f"{self._factory}/triggers?{query or VERSION}")

        for answer in pages(f"{self.what}: triggers", ask, _following):
            for trigger in required(answer, "value", self.what):
                properties = member(trigger, "properties")
                if properties.get("type") == "ScheduleTrigger" and properties.get("runtimeState") == "Started":
                    for each in members(properties, "pipelines"):
                        name = str(member(each, "pipelineReference").get("referenceName"))
                        found.setdefault(name, []).append(member(member(properties, "typeProperties"), "recurrence"))
        return tuple(record(pipeline=name, recurrences=found[name]) for name in sorted(found))


class DataFactory(PollerOf):
    """Asks factories, and takes their diagnostic logs: ports.Poller and ports.Collector in one."""

    kind = KIND
    Config = DataFactoryConfig
    polled = PolledDataFactory
    addresses = ("base_url", "login_url")
    of_token: ClassVar[bool] = True

    def decode(self, body: bytes, received: Received) -> Decoded:
        name = received.source or KIND
        namespaces = {source.name: source.of_jobs for source in self.config.sources}
        return decode(body, received, namespace=namespaces.get(name, name))


def _following(answer: Row) -> str:
    """What is asked at the address that is configured, whatever address the answer says."""
    return str(answer.get("nextLink") or "").partition("?")[2]


def _activity(activity: Row) -> dict[str, Any]:
    """What is read of one: no input, and of its output what was moved and what is billed."""
    output = member(activity, "output")
    billed = members(member(output, "billingReference"), "billableDuration")
    return {
        **kept(activity, _ACTIVITY),
        "error": kept(member(activity, "error"), _ERROR),
        "output": {**kept(output, OUTPUT), "billed": [kept(each, ("duration", "unit")) for each in billed]},
    }
