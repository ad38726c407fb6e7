"""What is asked of a Prefect server, what it comes to, and what happens when it answers badly."""

import json
import random
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.collectors.folding import folded, line
from tests.collectors.prefect.rows import HERE, NOW, RECEIVED, ROWS, decoded, polled, records, window
from tests.simulators.faults import Fault
from tests.simulators.http import Recorded
from tests.simulators.prefect import PrefectSimulator
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.fact import Fact
from watchtower.model.run import RunState
from watchtower.model.source import Page


@pytest.fixture
def server() -> Generator[PrefectSimulator]:
    with PrefectSimulator(NOW, ROWS) as simulator:
        yield simulator


def runs(facts: list[Fact], name: str) -> list[Any]:
    return [fact.run for fact in facts if fact.run and fact.run.job.name == name]


def flow_runs(pages: list[Page]) -> list[Any]:
    found: list[dict[str, Any]] = [json.loads(record) for record in records(pages)]
    return [one["flow_run"] for one in found if one.get("type") == "flow_run"]


def test_everything_that_ended_or_is_open_comes_to_the_recorded_facts(server: PrefectSimulator) -> None:
    source = polled(server.api_url)
    facts = decoded(source, list(source.read(window())))
    golden = HERE / "facts.txt"
    assert sorted(map(line, facts)) == golden.read_text().splitlines()


def test_a_retry_of_a_task_is_an_attempt_and_only_the_last_one_is_final(server: PrefectSimulator) -> None:
    source = polled(server.api_url)
    facts = decoded(source, list(source.read(window())))
    fetched = [(run.attempt, run.max_attempts, run.state, run.final) for run in runs(facts, "orders.fetch")]
    assert fetched == [(1, 3, RunState.FAILED, False), (2, 3, RunState.FAILED, False), (3, 3, RunState.SUCCEEDED, True)]


def test_a_task_that_failed_is_not_final_while_the_flow_tries_again(server: PrefectSimulator) -> None:
    source = polled(server.api_url)
    facts = decoded(source, list(source.read(window())))
    failed = [run for run in runs(facts, "invoices.check_schema") if run.event_type == "Failed"]
    assert sorted((run.generation, run.attempt, run.final) for run in failed) == [(0, 2, False), (1, 2, True)]
    assert all("RuntimeError" in run.error.stack for run in failed)
    (flow,) = runs(facts, "invoices")
    assert (flow.generation, flow.attempt, flow.max_attempts, flow.state) == (0, 2, 2, RunState.FAILED)


def test_a_flow_that_is_run_again_after_its_end_is_a_new_generation(server: PrefectSimulator) -> None:
    source = polled(server.api_url)
    facts = decoded(source, list(source.read(window())))
    lives = [(run.generation, run.state, run.native_run_id) for run in runs(facts, "slow")]
    assert [life[:2] for life in lives] == [(0, RunState.TIMED_OUT), (1, RunState.SUCCEEDED)]
    assert lives[0][2] == lives[1][2]


def test_a_subflow_hangs_below_the_task_that_stands_for_it(server: PrefectSimulator) -> None:
    source = polled(server.api_url)
    facts = decoded(source, list(source.read(window())))
    names = ("report", "orders.report", "orders")
    child, stand_in, parent = (next(run for run in runs(facts, name) if run.state) for name in names)
    assert child.parent_alias == stand_in.aliases[0]
    assert stand_in.parent_alias == parent.aliases[0]


def test_parameters_are_never_kept(server: PrefectSimulator) -> None:
    source = polled(server.api_url)
    assert not any(b"hunter2" in record for record in records(list(source.read(window()))))


def test_a_run_that_was_killed_is_read_at_each_poll_and_says_the_same(server: PrefectSimulator) -> None:
    source = polled(server.api_url)
    first, second = (records(list(source.read(window()))) for _ in range(2))
    stuck = [record for record in first if b'"flow":"stuck"' in record]
    assert stuck
    assert set(stuck) <= set(second)


def test_what_ended_long_enough_ago_is_asked_for_once(server: PrefectSimulator) -> None:
    server.now = NOW + timedelta(minutes=10)
    source = polled(server.api_url)
    list(source.read(window()))
    asked = len(server.requests)
    list(source.read(window(deep=False)))
    again = [request.path for request in server.requests[asked:]]
    assert "/api/logs/filter" not in again
    assert again.count("/api/task_runs/filter") == 1  # of the runs that are open


def test_the_mark_is_the_servers_own_time_before_it_was_read(server: PrefectSimulator) -> None:
    """Whatever ours shows."""
    server.told = "Sat, 28 Nov 2026 09:48:00 GMT"
    marks = [page.mark for page in polled(server.api_url).read(window()) if page.mark]
    assert marks == sorted(marks)
    assert marks[-1] == datetime(2026, 11, 28, 9, 48, tzinfo=UTC)


def test_late_runs_are_a_problem_of_the_source(server: PrefectSimulator) -> None:
    source = polled(server.api_url)
    (problem,) = [problem for page in source.read(window()) for problem in page.problems or ()]
    assert "1 scheduled run waits for a worker" in problem.summary


def test_runs_that_end_while_pages_are_read_shift_nothing(server: PrefectSimulator) -> None:
    template = next(row for row in ROWS["flow_runs"] if row["state_name"] == "Completed")
    ended = [_ended(template, number) for number in range(450)]
    server.rows["flow_runs"] = ended[:440]
    left = iter(ended[440:])

    def grow(request: Recorded) -> None:
        if request.path.endswith("flow_runs/filter") and (row := next(left, None)):
            server.rows["flow_runs"].append(row)

    server.before_answer = grow
    source = polled(server.api_url)
    assert {row["id"] for row in ended[:440]} <= {run["id"] for run in flow_runs(list(source.read(window())))}


@pytest.mark.parametrize("same", [200, 201, 450])
def test_however_many_runs_ended_at_one_instant_all_are_read_and_all_before_them(
    server: PrefectSimulator, same: int
) -> None:
    """As when somebody cancels them all at once."""
    template = next(row for row in ROWS["flow_runs"] if row["state_name"] == "Completed")
    at_once = {"end_time": (NOW - timedelta(minutes=90)).isoformat()}
    ended = [_ended(template, number) for number in range(same + 20)]
    ended[10:-10] = [{**row, **at_once} for row in ended[10:-10]]
    server.rows["flow_runs"] = ended
    source = polled(server.api_url)
    assert sorted(run["id"] for run in flow_runs(list(source.read(window())))) == [row["id"] for row in ended]


def test_a_server_that_ignores_the_number_of_a_page_is_told(server: PrefectSimulator) -> None:
    template = next(row for row in ROWS["flow_runs"] if row["state_type"] == "RUNNING")
    server.rows["flow_runs"] = [{**template, "id": f"00000000-0000-7000-8000-{n:012}"} for n in range(300)]
    server.deaf_to = "offset"
    with pytest.raises(Transient, match="prefect source 'shop': flow_runs/filter: a page leads back"):
        list(polled(server.api_url).read(window()))


def test_open_runs_are_read_page_by_page(server: PrefectSimulator) -> None:
    template = next(row for row in ROWS["flow_runs"] if row["state_name"] == "Running")
    server.rows["flow_runs"] = [{**template, "id": f"00000000-0000-7000-8000-{number:012}"} for number in range(401)]
    source = polled(server.api_url)
    assert len(flow_runs(list(source.read(window())))) == 401


@pytest.mark.parametrize(
    ("fault", "error", "reason", "words"),
    [
        (Fault.UNAUTHORIZED, Permanent, Reason.AUTH, "renew `api_key`"),
        (Fault.FORBIDDEN, Permanent, Reason.AUTH, "renew `api_key`"),
        (Fault.NOT_FOUND, Permanent, Reason.NOT_FOUND, "404"),
        (Fault.RATE_LIMITED_SECONDS, Transient, Reason.RATE_LIMITED, "429"),
        (Fault.UNAVAILABLE, Transient, Reason.SERVER_ERROR, "503"),
        (Fault.BAD_GATEWAY, Transient, Reason.SERVER_ERROR, "502"),
        (Fault.INVALID_JSON, Transient, Reason.BAD_ANSWER, "not as expected"),
        (Fault.ERROR_500, Transient, Reason.SERVER_ERROR, "500"),
        (Fault.REDIRECT, Permanent, Reason.REJECTED, "redirects"),
    ],
)
def test_a_bad_answer_names_the_source_and_the_remedy(
    server: PrefectSimulator, fault: Fault, error: type[Exception], reason: Reason, words: str
) -> None:
    source = polled(server.api_url)
    server.fail_next(fault)
    with pytest.raises(error, match=r"(?s).*") as raised:
        list(source.read(window()))
    said: Any = raised.value
    assert said.reason is reason
    assert words in str(said)
    if reason is not Reason.REJECTED:
        assert "prefect source 'shop'" in str(said)
    if fault is Fault.RATE_LIMITED_SECONDS:
        assert said.retry_after_s == 7


def test_a_log_in_page_is_no_answer(server: PrefectSimulator) -> None:
    source = polled(f"{server.url}/login")
    server.rows["flow_runs"] = []
    with pytest.raises((Permanent, Transient)):
        list(source.read(window()))


def test_any_order_and_repetition_of_answers_and_events_comes_to_the_same(server: PrefectSimulator) -> None:
    source = polled(server.api_url)
    facts = decoded(source, list(source.read(window())))
    for event in ROWS["events"]:
        facts += source.decode(json.dumps(event).encode(), RECEIVED).facts
    whole = folded(facts)
    chosen = random.Random(20261130)
    for _ in range(30):
        shuffled = [*facts, *chosen.sample(facts, 20)]
        chosen.shuffle(shuffled)
        assert folded(shuffled) == whole


def test_an_event_and_an_answer_of_the_same_state_are_one_fact(server: PrefectSimulator) -> None:
    source = polled(server.api_url)
    asked = {fact.key for fact in decoded(source, list(source.read(window())))}
    ends = [row for row in ROWS["events"] if row["event"] in ("prefect.flow-run.Completed", "prefect.flow-run.Failed")]
    told = {fact.key for row in ends for fact in source.decode(json.dumps(row).encode(), RECEIVED).facts}
    assert told
    assert told <= asked


def _ended(template: dict[str, Any], number: int) -> dict[str, Any]:
    at = (NOW - timedelta(hours=2) + timedelta(seconds=number)).isoformat()
    run_id = f"00000000-0000-7000-8000-{number:012}"
    return {**template, "id": run_id, "end_time": at, "state": {**template["state"], "id": run_id, "timestamp": at}}


def test_a_run_that_is_in_no_state_yet_is_neither_a_fact_nor_refused(server: PrefectSimulator) -> None:
    source = polled(server.api_url)
    for document in (
        {"type": "flow_run", "flow": "orders", "flow_run": {"id": "1"}},
        {"type": "task_run", "of": {"id": "1"}, "task_run": {"id": "2"}},
    ):
        found = source.decode(json.dumps(document).encode(), RECEIVED)
        assert (found.facts, found.rejects) == ((), ())
    (reject,) = source.decode(b'{"type": "flow_run", "flow_run": {"name": "orders"}}', RECEIVED).rejects
    assert reject.reason == "unknown"


@pytest.mark.parametrize(
    ("tags", "owner"), [(["owner:shop-data", "team:shop"], "shop-data"), (["team=shop"], "shop"), (["nightly"], None)]
)
def test_a_deployment_belongs_to_whom_its_tags_name(
    server: PrefectSimulator, tags: list[str], owner: str | None
) -> None:
    for row in server.rows["deployments"]:
        row["tags"] = tags
    source = polled(server.api_url)
    facts = decoded(source, list(source.read(window())))
    assert {job.owner for fact in facts for job in fact.jobs} == {owner}


def test_a_paused_deployment_is_said_to_be_paused(server: PrefectSimulator) -> None:
    source = polled(server.api_url)
    facts = decoded(source, list(source.read(window())))
    paused = {job.ref.name: job.paused for fact in facts for job in fact.jobs}
    assert paused == {"orders/hourly": False, "invoices/each-10-min": False, "invoices/paused": True}
