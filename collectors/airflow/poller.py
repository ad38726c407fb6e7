"""`collectors: {airflow: {sources: […]}}`: which Airflows are asked, and with which credentials."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from pydantic import Field, field_validator, model_validator

from collectors.airflow.api import Api
from collectors.airflow.authentication import Anonymous, Authentication, Bearer, Password
from collectors.airflow.composer import Composer, ComposerConfig
from collectors.airflow.decode import KIND, decode
from collectors.airflow.mwaa import InvokedAirflow, MwaaConfig
from collectors.airflow.names import Place
from collectors.airflow.reading import Reader
from collectors.asking import check_address
from collectors.aws.client import require
from collectors.google.token import missing
from collectors.source import PollerOf, SourceOf
from watchtower.config.polled import PushedConfig
from watchtower.config.types import Section, WebAddress, Zone
from watchtower.errors import ConfigError, Fault
from watchtower.model.source import Page, Window
from watchtower.ports import Decoded, PollContext, Received
from watchtower.secrets import Secret


class AirflowSource(PushedConfig):
    """One Airflow. namespace: its `[openlineage] namespace`, if it sends events, too: then both meet."""

    base_url: WebAddress = Field(description="of its web server, e.g. https://airflow.example.com")
    username: str | None = Field(default=None, min_length=1, description="of a user who may read")
    password: Secret | None = Field(default=None, description="of that user")
    token: Secret | None = Field(default=None, description="a bearer token instead of both")
    mwaa: MwaaConfig | None = Field(default=None, description="the Amazon MWAA environment it is asked through")
    composer: ComposerConfig | None = Field(default=None, description="the Cloud Composer environment it runs in")
    timezones: tuple[Zone, ...] = Field(
        default=(), description="of DAGs' schedules, besides Airflow's default; its API does not tell them"
    )
    api: Literal["auto", "v2", "v1"] = Field(default="auto", description="v2 is Airflow 3's, v1 Airflow 2's")

    @field_validator("base_url")
    @classmethod
    def _plain(cls, value: str) -> str:
        if value.rstrip("/").endswith(("/api/v1", "/api/v2")):
            raise ValueError(f"{value!r}: leave /api/v… away; it is found out")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _one_way_in(self) -> "AirflowSource":
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together; give both, or token, or neither")
        if self.token is not None and self.username is not None:
            raise ValueError("give either token or username and password, not both")
        if self.mwaa is not None and (self.token is not None or self.username is not None):
            raise ValueError("Amazon MWAA is asked with AWS's credentials; leave username, password and token away")
        if self.composer is not None and (self.token or self.username or self.mwaa):
            raise ValueError("Cloud Composer is asked with Google's credentials; leave username, token and mwaa away")
        return self


class AirflowConfig(Section):
    """`collectors: airflow`."""

    sources: tuple[AirflowSource, ...] = Field(default=(), description="which Airflows are asked")


class PolledAirflow(SourceOf[AirflowSource]):
    """ports.PolledSource."""

    kind = KIND

    def __init__(self, config: AirflowSource, context: PollContext) -> None:
        super().__init__(config, context)
        source = context.source_of(self.namespace)
        version = {"auto": 0, "v2": 2, "v1": 1}[config.api]
        http = InvokedAirflow(config.mwaa, context.clock, context.check) if config.mwaa else context.http
        self._composer = Composer(config.composer, context, config.name) if config.composer else None
        who = self._composer or _authentication(config, context)
        self._place = Place(source, self.namespace, config.base_url)
        self._reader = Reader(
            Api(http, context.clock, config.base_url, who, version=version),
            lambda run_ids: context.known_runs(source, self.namespace, run_ids),
            context.clock.boottime,
            config.timezones,
        )

    def read(self, window: Window) -> Iterator[Page]:
        if self._composer is None:
            return self._reader.read(window)
        return _beside(self._composer, self._reader.read(window))

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(self._place, record, received)


class AirflowPoller(PollerOf):
    """ports.Poller."""

    kind = KIND
    Config = AirflowConfig
    polled = PolledAirflow

    def check(self, context: PollContext) -> None:
        """The address of an environment of Amazon MWAA is for people; it is AWS that is asked."""
        faults: list[Fault] = []
        for number, source in enumerate(self.config.sources):
            place = f"collectors.{KIND}.sources[{number}]"
            try:
                if source.mwaa is not None:
                    require(context.check, source.mwaa, f"{place}.mwaa")
                else:
                    check_address(context.check, source.base_url, f"{place}.base_url")
                if source.composer is not None:
                    check_address(context.check, source.composer.base_url, f"{place}.composer.base_url")
                    faults += missing(source.composer, context, f"{place}.composer")
            except ConfigError as error:
                faults += error.faults
        if faults:
            raise ConfigError(faults)


def _beside(composer: Composer, pages: Iterator[Page]) -> Iterator[Page]:
    """The environment's problems come first: where its Airflow cannot be asked, they may say why."""
    problems = tuple(composer.problems())
    yield Page(problems=problems)
    for page in pages:
        yield page if page.problems is None else replace(page, problems=(*problems, *page.problems))


def _authentication(config: AirflowSource, context: PollContext) -> Authentication:
    if config.token is not None:
        return Bearer(config.token)
    if config.username is not None and config.password is not None:
        return Password(context.http, context.clock, config.base_url, config.username, config.password)
    return Anonymous()
