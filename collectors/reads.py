"""What people say of dashboards: which datasets they are made of, where the tool that shows them does not tell."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from pydantic import Field

from watchtower.config.types import Section
from watchtower.model.run import DatasetIO, DatasetRef


class ReadDataset(Section):
    """A dataset as other sources name it."""

    namespace: str = Field(min_length=1, max_length=512, description="e.g. postgres://warehouse:5432")
    name: str = Field(min_length=1, max_length=512, description="e.g. shop.public.orders")


class Reads(Section):
    """What the jobs of a name read."""

    job: str = Field(min_length=1, max_length=512, description="name of the job; `*` and `?` are wildcards")
    datasets: tuple[ReadDataset, ...] = Field(description="that it reads")


def datasets_read(reads: Sequence[Reads], job: str) -> tuple[DatasetIO, ...]:
    """Each once."""
    refs = (
        DatasetRef(each.namespace, each.name) for said in reads if fnmatchcase(job, said.job) for each in said.datasets
    )
    return tuple(DatasetIO(ref, "in") for ref in dict.fromkeys(refs))
