"""`focus`: bills in FOCUS 1.0 to 1.2, CSV or Parquet, as exports in a folder or an S3 bucket that is looked at.

AWS Data Exports, Azure Cost Management and Google's exports all write it; each period of an export is replaced whole.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, field_validator

from collectors.aws.client import AwsConfig, require
from collectors.billing.columns import FOCUS
from collectors.billing.places import Bucket, Each, Feed, LocalFolder, Place
from watchtower.config.polled import SourceName, each_named_once
from watchtower.config.types import Duration, PositiveDuration, Section
from watchtower.errors import ConfigError, Fault
from watchtower.ports import BillContext, BillFormat, FileFeed, QueryFeed

_S3 = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")


class FocusSource(AwsConfig):
    """A place where exports lie."""

    name: SourceName = Field(description="of the source, as costs and budgets call it")
    path: str = Field(min_length=1, description="a folder, or s3://BUCKET/PREFIX; all folders below are looked through")
    every: PositiveDuration = Field(default=3_600.0, description="how often it is looked at")
    each: Each = Field(
        default="folder", description="`folder`: the files of a folder are one export; `file`: every file is one"
    )
    settle: Duration = Field(
        default=60.0, description="an export that changed within this time waits for the next look"
    )
    tags: tuple[str, ...] = Field(default=(), description="tag keys that daily sums keep; all without it")

    @field_validator("path")
    @classmethod
    def _placed(cls, value: str) -> str:
        if "://" in value and not _S3.fullmatch(value):
            raise ValueError(f"{value!r} is neither a folder nor s3://BUCKET/PREFIX")
        return value


class FocusConfig(Section):
    """`collectors: focus`."""

    sources: Annotated[tuple[FocusSource, ...], AfterValidator(each_named_once)] = Field(
        default=(), description="where exports lie"
    )


class Focus:
    kind: ClassVar[str] = "focus"
    Config: ClassVar[type[FocusConfig]] = FocusConfig
    format: ClassVar[BillFormat] = FOCUS

    def __init__(self, config: FocusConfig) -> None:
        self._config = config

    def feeds(self, context: BillContext) -> Sequence[FileFeed | QueryFeed]:
        faults: list[Fault] = []
        made: list[Feed] = []
        for number, source in enumerate(self._config.sources):
            try:
                place = _place(source, context, f"collectors.focus.sources[{number}]")
            except ConfigError as error:
                faults += error.faults
                continue
            made.append(
                Feed(
                    name=source.name,
                    every_s=source.every,
                    format=FOCUS,
                    tags=source.tags,
                    place=place,
                    each=source.each,
                    settle_s=source.settle,
                    clock=context.clock,
                )
            )
        if faults:
            raise ConfigError(faults)
        return made


def _place(source: FocusSource, context: BillContext, path: str) -> Place:
    found = _S3.fullmatch(source.path)
    if found is None:
        return LocalFolder(context.base_dir / Path(source.path).expanduser())
    require(context.check, source, path)
    return Bucket(found[1], found[2] or "", source, context.check)
