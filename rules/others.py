"""How rules name another job or dataset, and when they look at it again.

`load_orders` alone is a pipeline; `{pipeline: …, task: …}` and `{dataset: …}` say more, and `namespace` where the name
is known in several.
"""

from datetime import datetime, timedelta
from typing import Any

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from rules.options import Options
from watchtower.model.companion import Companion

_OFTEN = timedelta(minutes=1)
_SELDOM = timedelta(minutes=15)
_OFTEN_FOR = timedelta(hours=1)
_SELDOM_FOR = timedelta(days=7)
_EPOCH = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


class Other(Options):
    pipeline: str | None = Field(default=None, min_length=1, description="its name")
    task: str | None = Field(default=None, min_length=1, description="one of its tasks")
    dataset: str | None = Field(default=None, min_length=1, description="instead: the name of a dataset")
    namespace: str | None = Field(default=None, min_length=1, description="where the name is known in several")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"pipeline": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one(self) -> "Other":
        if (self.pipeline is None) == (self.dataset is None):
            raise ValueError("name a pipeline or a dataset, e.g. load_orders or {dataset: shop.orders}")
        if self.task is not None and self.pipeline is None:
            raise ValueError("task needs the pipeline that it belongs to")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The short form is a text."""
        return {"anyOf": [{"type": "string", "minLength": 1}, handler(core_schema)]}

    @property
    def companion(self) -> Companion:
        if self.dataset is not None:
            return Companion("dataset", self.dataset, None, self.namespace)
        return Companion("job", self.pipeline or "", self.task, self.namespace)


def look_again(since: datetime, now: datetime) -> datetime | None:
    """When to look at the other one again, since nothing that is told of it wakes this subject: on each minute in the
    first hour after since, then each quarter of an hour for a week."""
    if now < since + _OFTEN_FOR:
        return min(_next(now, _OFTEN), since + _OFTEN_FOR)
    if now < since + _SELDOM_FOR:
        return min(_next(now, _SELDOM), since + _SELDOM_FOR)
    return None


def _next(now: datetime, step: timedelta) -> datetime:
    return now + step - (now - _EPOCH) % step
