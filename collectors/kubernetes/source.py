"""Jobs, CronJobs and the Pods of Jobs of one cluster: what is asked, and how far it is known.

One call through the guarded client does it; the official client brings models of all kinds there are, for the three
that are read here. Jobs and CronJobs go on from the version that the cursor holds. Pods are listed by the first poll of
a process and once an hour, since how many tries came before one, and what is stuck, is known from all of them together.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
from pydantic import Field

from collectors.asking import Row, member
from collectors.kubernetes import pods
from collectors.kubernetes.decode import KIND, decode, record_of
from collectors.kubernetes.lists import Changed, Lists
from collectors.kubernetes.pods import Owner
from collectors.kubernetes.seen import PodsSeen, owner_of
from collectors.source import PollerOf, SourceOf
from watchtower.config.polled import PolledConfig
from watchtower.config.types import PositiveDuration, Section, WebAddress
from watchtower.errors import Permanent, Reason
from watchtower.model.source import Page, Problem, Window
from watchtower.ports import Decoded, PollContext, Received
from watchtower.secrets import Secret

MOUNTED: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
UNREAD: Final = Problem(
    "pods",
    "its Pods may not be read, so why a container ended is not told: let the role get, list and watch pods"
    " (docs/kubernetes.md), or say `pods: false`",
)


class KubernetesSource(PolledConfig):
    every: PositiveDuration = Field(default=30.0, description="how often it is asked; at least 5s")
    base_url: WebAddress = Field(default="https://kubernetes.default.svc", description="of the cluster's API")
    token: Secret = Field(default=Secret(f"file:{MOUNTED}/token"), description="of a service account")
    ca_file: str | None = Field(default=None, description="its authority; default: the mounted one, if there is one")
    namespaces: tuple[str, ...] = Field(default=(), description="of the cluster; default: all of them")
    label_selector: str | None = Field(default=None, min_length=1, description="only these, e.g. `team=data`")
    pods: bool = Field(default=True, description="whether Pods of Jobs are read, for each try and why it ended")


class KubernetesConfig(Section):
    """`collectors: kubernetes`."""

    sources: tuple[KubernetesSource, ...] = Field(default=(), description="the clusters")


class PolledKubernetes(SourceOf[KubernetesSource]):
    """ports.PolledSource. Its cursor holds the resource version of each list that is watched."""

    kind = KIND

    def __init__(self, config: KubernetesSource, context: PollContext) -> None:
        super().__init__(config, context)
        self._lists = Lists(context, self.what, config.base_url, config.token, _ca_file(config, context))
        self._pods = PodsSeen()

    def read(self, window: Window) -> Iterator[Page]:
        self._lists.begin()
        versions = _versions(window.cursor)
        count = 0
        # CronJobs first: an hour's deep poll lists them anew, so that one that nobody changed stays known.
        for path in self._paths("cronjobs"):
            listed = path not in versions or window.deep
            for changed in self._lists.changes(path, versions, self.config.label_selector, anew=window.deep):
                count += len(changed) if listed else 0
                yield self._page(path, changed, versions)
        for path in self._paths("jobs"):
            for changed in self._lists.changes(path, versions, self.config.label_selector):
                self._pods.learn(item for item, _ in changed)
                yield self._page(path, changed, versions)
        if self.config.pods:
            yield from self._read_pods(versions, anew=window.deep or not self._pods.listed)
        coverage = {"cronjobs": count} if count else None
        mark = self._lists.clock_at or window.until
        yield Page(mark=mark, cursor=_to_cursor(versions), coverage=coverage, problems=self._pods.problems)

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace)

    def _page(self, path: str, changed: list[Changed], versions: Mapping[str, str]) -> Page:
        records = tuple(record_of(path, item, deleted=deleted) for item, deleted in changed)
        return Page(records, cursor=_to_cursor(versions))

    def _read_pods(self, versions: dict[str, str], *, anew: bool) -> Iterator[Page]:
        """Where they may not be read, all else is."""
        if anew:
            self._pods.begin()
        try:
            for path in self._paths("pods"):
                for changed in self._lists.changes(path, versions, pods.OF_JOBS, anew=anew):
                    ours = [(item, owner, deleted) for item, deleted in changed if (owner := self._owner(item))]
                    ours.sort(key=lambda each: pods.created(each[0]))
                    yield Page(tuple(self._pods.record(*each) for each in ours), cursor=_to_cursor(versions))
        except Permanent as error:
            if error.reason is not Reason.AUTH:
                raise
            self._pods.close(UNREAD)
        else:
            self._pods.listed = True

    def _owner(self, pod: Row) -> Owner | None:
        """The Job of a Pod; None for one that is not watched. One that was not seen by this process is asked for."""
        named = pods.owner_name(pod)
        if named is None:
            return None
        if named not in self._pods.jobs:
            path = f"apis/batch/v1/namespaces/{member(pod, 'metadata').get('namespace')}/jobs"
            selector = {"labelSelector": self.config.label_selector} if self.config.label_selector else {}
            found = self._lists.found(path, {"fieldSelector": f"metadata.name={named[1]}", **selector})
            owners = (owner_of(item) for item in found)
            self._pods.jobs[named] = next((each for each in owners if each and each.uid == named[0]), None)
        return self._pods.jobs[named]

    def _paths(self, kind: str) -> Iterator[str]:
        api = "api/v1" if kind == "pods" else "apis/batch/v1"
        for name in self.config.namespaces:
            yield f"{api}/namespaces/{name}/{kind}"
        if not self.config.namespaces:
            yield f"{api}/{kind}"


class Kubernetes(PollerOf):
    """ports.Poller."""

    kind = KIND
    Config = KubernetesConfig
    polled = PolledKubernetes


def _ca_file(config: KubernetesSource, context: PollContext) -> str | None:
    if config.ca_file:
        return str(context.base_dir / config.ca_file)
    mounted = Path(MOUNTED) / "ca.crt"
    return str(mounted) if mounted.exists() else None


def _versions(cursor: str | None) -> dict[str, str]:
    try:
        return msgspec.json.decode(cursor or "{}", type=dict[str, str])
    except msgspec.DecodeError:
        return {}


def _to_cursor(versions: Mapping[str, str]) -> str:
    return msgspec.json.encode(versions, order="sorted").decode()
