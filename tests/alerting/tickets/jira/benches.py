"""Jira as its simulator shows it to people, and channels that tell it: Cloud or Data Center, as the simulator is."""

from typing import Any

from tests.alerting.desks import channel
from tests.alerting.notices import NOW
from tests.alerting.tickets.cases import Bench, Seen
from tests.simulators.jira import Issue, JiraSimulator
from watchtower.clock import ManualClock
from watchtower.ports import Channel

SEVERITIES = {"High": "page", "Medium": "ticket", "Low": "info"}
LOGIN = {"basic_auth": {"username": "bot@example.com", "password": "api-token"}}
BASE = {"api_url": "https://acme.atlassian.net", "project": "OPS", "issue_type": "Task", "http_config": LOGIN}
WRONG = {"http_config": {"basic_auth": {"username": "bot@example.com", "password": "wrong-password"}}}
WEAK = {"http_config": {"basic_auth": {"username": "guest@example.com", "password": "guest-token"}}}


class SimulatedDesk:
    def __init__(self, simulator: JiraSimulator) -> None:
        self.simulator = simulator

    def tickets(self, episode: str) -> list[Seen]:
        return [_seen(row) for row in self.simulator.issues if episode in row.fields["labels"] and not row.deleted]

    def seen(self, ticket_id: str) -> Seen:
        row = self.simulator.issue(ticket_id)
        assert row is not None
        return _seen(row)

    def person(self, ticket_id: str, *, status: str | None = None, owner: str | None = None) -> None:
        self.simulator.person(ticket_id, status=status, owner=owner)

    def copy(self, ticket_id: str) -> str:
        row = self.simulator.issue(ticket_id)
        assert row is not None
        number, copied = len(self.simulator.issues) + 1, dict(row.properties)
        second = Issue(
            10_000 + number,
            f"OPS-{number}",
            "OPS",
            dict(row.fields),
            copied,
            row.status,
            row.creator,
            None,
            row.seen_at,
            row.indexed_labels,
        )
        self.simulator.issues.append(second)
        return second.key


def _seen(row: Issue) -> Seen:
    ended = "rejected" if row.resolution == "Won't Do" else "resolved"
    status = "open" if row.status in ("To Do", "Open", "In Progress") else ended
    severity = SEVERITIES[row.fields.get("priority", {"name": "Low"})["name"]]
    return Seen(row.key, row.fields["summary"], status, severity, tuple(row.texts))


def options_of(simulator: JiraSimulator, project: str = "OPS", **options: Any) -> dict[str, Any]:
    kind = "cloud" if simulator.cloud else "datacenter"
    base = {"api_url": f"{simulator.url}/rest/api/2/", "api_type": kind, "project": project, "issue_type": "Task"}
    return {**base, "http_config": LOGIN, **options}


def bench_of(simulator: JiraSimulator) -> Bench:
    def make(**options: Any) -> Channel:
        clock = ManualClock(NOW)
        clock.advance(1)
        return channel("jira", clock, **options_of(simulator, **options))

    return Bench("jira", make, SimulatedDesk(simulator), "/browse/{id}", WRONG, WEAK)
