"""Tests of rules: what is given, and what must fire and be told, as `watchtower test FILE…` reads it.

A document of its own beside the configuration that it tests. Times count from the test's beginning. It is refused with
every fault at its line, like the configuration.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from watchtower.config import document as documents
from watchtower.config.budgets import Amount, Currency
from watchtower.config.faults import Faults
from watchtower.config.types import Duration, PositiveDuration, Section
from watchtower.errors import ConfigError, Fault
from watchtower.model.run import RunState, Trigger

BEGINS = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday, 00:00 UTC
NAMESPACE = "test"  # where the configuration names none, or several
MAX_COUNT = 5_000  # of one entry

EndState = Literal["succeeded", "failed", "skipped", "cancelled", "timed_out", "crashed"]
TriggerName = Literal["schedule", "event", "manual", "backfill"]


def _instant(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("write a moment such as 2026-03-02T06:00:00Z")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is no moment; write e.g. 2026-03-02T06:00:00Z") from error
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone; write e.g. 2026-03-02T06:00:00Z")
    return moment.astimezone(UTC)


Instant = Annotated[datetime, BeforeValidator(_instant)]


class Repeated(Section):
    """Something that happens at a moment, or again and again."""

    at: Duration = Field(default=0.0, description="when, from the beginning of the test")
    every: PositiveDuration | None = Field(default=None, description="again after this time")
    count: int = Field(default=1, ge=1, le=MAX_COUNT, description="how often altogether; needs every")

    @model_validator(mode="after")
    def _repeats(self) -> "Repeated":
        if self.count > 1 and self.every is None:
            raise ValueError(f"count ({self.count}) says how often; every must say how far apart, e.g. every: 1h")
        return self


class Written(Section):
    dataset: str = Field(min_length=1, description="its name")
    namespace: str = Field(default=NAMESPACE, description="its namespace")
    rows: int | None = Field(default=None, ge=0, description="how many were written")
    bytes: int | None = Field(default=None, ge=0, description="how many were written")
    checksum: str | None = Field(default=None, description="of its content")
    partition: str | None = Field(default=None, description="which part of it")


class GivenRun(Repeated):
    """Runs of a pipeline. Without takes they never end."""

    pipeline: str = Field(min_length=1, description="its name")
    namespace: str | None = Field(default=None, description="its namespace; default: the only configured one")
    planned: Duration | None = Field(default=None, description="what the first was meant for, if that is not at")
    takes: Duration | None = Field(default=None, description="how long; without it they never end")
    ends: EndState = Field(default="succeeded", description="how they end")
    task: str | None = Field(default=None, description="a task of theirs, which ends as they do")
    tries: int = Field(default=1, ge=1, le=100, description="of that task, within the time; all but the last fail")
    waits: PositiveDuration | None = Field(default=None, description="how long they are queued before at")
    beats: PositiveDuration | None = Field(default=None, description="signs of life this often while they run")
    error: str | None = Field(default=None, description="the message of the failure")
    trigger: TriggerName = Field(default="schedule", description="what started them")
    schedule: str | None = Field(default=None, description="the cron expression that its orchestrator tells")
    owner: str | None = Field(default=None, description="whom its orchestrator names")
    writes: tuple[Written, ...] = Field(default=(), description="datasets that each run writes")

    @property
    def state(self) -> RunState:
        return RunState(self.ends)

    @property
    def trigger_kind(self) -> Trigger:
        return Trigger(self.trigger)

    @model_validator(mode="after")
    def _ends(self) -> "GivenRun":
        if self.takes is None and self.ends != "succeeded":
            raise ValueError(f"ends: {self.ends} needs takes: after what time it ends so")
        if self.tries > 1 and (self.task is None or self.takes is None):
            raise ValueError(f"tries ({self.tries}) needs task and takes: what is tried, and for how long altogether")
        if self.beats is not None and (self.takes is None or self.takes / self.beats > MAX_COUNT):
            raise ValueError(f"beats ({self.beats:g} s) needs takes, and at most {MAX_COUNT} of them fit")
        return self


class GivenValue(Repeated):
    """Numbers of a series."""

    series: str = Field(min_length=1, description="its name")
    value: float = Field(allow_inf_nan=False, description="what is told")
    pipeline: str | None = Field(default=None, description="the pipeline that it tells of")
    namespace: str | None = Field(default=None, description="of that pipeline")
    task: str | None = Field(default=None, description="the task that it tells of")
    labels: dict[str, str] = Field(default={}, description="further labels of the series")
    kind: Literal["gauge", "sum", "delta"] = Field(default="gauge", description="as in docs/series.md")


class GivenData(Repeated):
    """What a dataset tells of itself, or a probe of it."""

    dataset: str = Field(min_length=1, description="its name")
    namespace: str = Field(default=NAMESPACE, description="its namespace")
    newest: Duration | None = Field(default=None, description="of when its newest data is, if that is not at")
    fields: dict[str, str] | None = Field(default=None, description="its columns, each with its type")


class GivenCharge(Repeated):
    """What a day of the bill costs: the day of UTC that holds `at`. The bill that tells of it comes when it is over."""

    cost: Amount = Field(description="what the day cost, in quotes")
    currency: Currency = Field(default="USD", description="of the bill")
    billed_after: Duration = Field(default=21_600.0, description="how long after the end of the day its bill comes")
    tags: dict[str, str] = Field(default={}, description="tags of the charge")
    service: str = Field(default="service", description="its service")
    account: str = Field(default="account", description="who is charged")
    source: str = Field(default="bill", description="name of the bill's source")


class Given(Section):
    """One entry of `given`: exactly one of these."""

    run: GivenRun | None = None
    value: GivenValue | None = None
    data: GivenData | None = None
    charge: GivenCharge | None = None

    @model_validator(mode="after")
    def _one(self) -> "Given":
        if sum(each is not None for each in (self.run, self.value, self.data, self.charge)) != 1:
            raise ValueError("say one of them: run: {…}, value: {…}, data: {…} or charge: {…}")
        return self


class ExpectedAlert(Section):
    """An alert that is open. labels: those that it must have, among others."""

    alertname: str = Field(min_length=1, description="the rule's name")
    state: Literal["pending", "firing", "unknown"] = Field(default="firing", description="which state it is in")
    labels: dict[str, str] = Field(default={}, description="labels that it must have")
    says: str | None = Field(default=None, description="a part of its summary")


class ExpectedMessage(Section):
    """A message that was sent."""

    receiver: str = Field(min_length=1, description="whose it is")
    about: tuple[str, ...] = Field(default=(), description="names of all alerts that it shows; none: whichever")
    reason: str | None = Field(default=None, description="why it was sent, e.g. first, new_alerts, all_resolved")


class Expected(Section):
    """What holds at a moment. alerts: all that are open then, no others; told: all messages since the moment before."""

    at: Duration = Field(description="when, from the beginning of the test")
    alerts: tuple[ExpectedAlert, ...] | None = Field(default=None, description="all that are open, and no others")
    told: tuple[ExpectedMessage, ...] | None = Field(default=None, description="all messages since the entry before")

    @model_validator(mode="after")
    def _says(self) -> "Expected":
        if self.alerts is None and self.told is None:
            raise ValueError("expects nothing; say alerts: [] for none, or told: [] for no message")
        return self


class RuleTest(Section):
    name: str = Field(min_length=1, description="a sentence that says what holds")
    only: dict[str, str] = Field(default={}, description="look at alerts with these labels only, and their messages")
    begins: Instant = Field(default=BEGINS, description="the moment from which times count")
    given: tuple[Given, ...] = Field(default=(), description="what happens")
    expect: tuple[Expected, ...] = Field(min_length=1, description="what must hold, by time")

    @model_validator(mode="after")
    def _in_order(self) -> "RuleTest":
        moments = [each.at for each in self.expect]
        if moments != sorted(moments):
            raise ValueError("expect is not in the order of time; what was told counts since the entry before")
        return self


class RuleTests(Section):
    """One file."""

    config: str | None = Field(default=None, description="the configuration that is tested, beside this file")
    tests: tuple[RuleTest, ...] = Field(min_length=1, description="each on a stage of its own")


def load_tests(path: Path) -> RuleTests:
    """Raises ConfigError with every fault of the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError([Fault("", f"cannot be read: {why}", file=str(path))]) from error
    document = documents.read(text, str(path))
    faults = Faults(document, str(path))
    read = faults.validated(RuleTests, document.data, ())
    if read is None or faults.found:
        raise ConfigError(faults.found)
    return read
