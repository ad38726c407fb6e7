"""The corpus of bad input: the decoder never raises, refuses only what is no JSON, and keeps everything else."""

import json
import time
from typing import Any

import pytest

from collectors.openlineage import OpenLineage, RejectReason
from tests.collectors.openlineage import events
from tests.collectors.openlineage.corpus import Case, corpus, dump
from watchtower.model.fact import Fact
from watchtower.model.instants import to_micros
from watchtower.ports import Decoded
from watchtower.store.schema.base import dump_json

CORPUS = corpus()
BY_KIND = {kind: [case for case in CORPUS if case[2] == kind] for kind in ("fold", "keep", "refuse", "either")}
COLLECTOR = OpenLineage()


def decode(body: bytes) -> Decoded:
    return COLLECTOR.decode(body, events.received())


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) > 600
    assert {kind: bool(cases) for kind, cases in BY_KIND.items()} == dict.fromkeys(BY_KIND, True)


@pytest.mark.parametrize("case", BY_KIND["refuse"], ids=lambda case: case[0])
def test_what_is_no_json_is_refused_as_a_whole(case: Case) -> None:
    decoded = decode(case[1])
    (reject,) = decoded.rejects
    assert (decoded.facts, reject.permanent, reject.reason) == ((), True, RejectReason.NOT_JSON)
    assert reject.body == case[1]


@pytest.mark.parametrize("case", BY_KIND["keep"], ids=lambda case: case[0])
def test_what_cannot_be_folded_is_kept(case: Case) -> None:
    decoded = decode(case[1])
    (reject,) = decoded.rejects
    assert (decoded.facts, reject.permanent) == ((), False)
    assert reject.reason in set(RejectReason) - {RejectReason.NOT_JSON}
    assert reject.message
    assert reject.body in case[1]


def test_one_bad_field_never_costs_the_event() -> None:
    lost = [name for name, body, _ in BY_KIND["fold"] if decode(body).rejects]
    assert lost == []


def test_what_is_json_is_never_refused() -> None:
    refused = [name for name, body, _ in BY_KIND["either"] if any(reject.permanent for reject in decode(body).rejects)]
    assert refused == []


def test_everything_decoded_can_be_stored() -> None:
    """UTF-8 without NUL, 64-bit numbers, years 1 to 9999, keys that fit an index of PostgreSQL."""
    for _, body, _ in BY_KIND["fold"] + BY_KIND["either"]:
        for fact in decode(body).facts:
            assert_storable(fact)


def assert_storable(fact: Fact) -> None:
    said = dump_json([fact.run, fact.jobs, fact.datasets])
    assert "\\u0000" not in said
    assert abs(to_micros(fact.event_time)) < 2**63
    assert abs(fact.key.minute) < 2**63
    refs = [*([fact.run.job] if fact.run else []), *(patch.ref for patch in fact.jobs)]
    for ref in refs:
        assert sum(len(part.encode()) for part in (ref.namespace, ref.pipeline, ref.task or "")) < 2_704
    if fact.run:
        assert all(len(alias.encode()) <= 1_024 for alias in fact.run.aliases)
        numbers = (fact.run.attempt, fact.run.max_attempts, fact.run.map_index, fact.run.generation)
        assert all(number is None or 0 <= number < 2**31 for number in numbers)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"retries": "two"}, "run.facets.airflow.task.retries"),
        ({"task_id": ["load"]}, "run.facets.airflow.task.task_id"),
        ({"upstream_task_ids": {}}, "run.facets.airflow.task.upstream_task_ids"),
    ],
)
def test_a_field_left_out_is_named(change: dict[str, Any], path: str) -> None:
    decoded = events.send(events.airflow_task("FAIL", task_changes=change))
    assert decoded.skipped == (path,)
    assert decoded.facts[0].run is not None
    assert decoded.facts[0].run.attempt == 1, "its neighbours are still read"


def test_nothing_is_said_to_be_left_out_of_a_good_event() -> None:
    for event in (events.airflow_task("FAIL"), events.airflow_dag("COMPLETE"), events.dbt_node("ABORT")):
        assert events.send(event).skipped == ()


def test_the_patient_way_reads_what_the_fast_way_reads() -> None:
    for event in (events.airflow_task("FAIL"), events.airflow_dag("COMPLETE"), events.dbt_node("FAIL")):
        fast = events.fact_of(event)
        slow = events.fact_of(dump(event)[:-1] + b', "patience": NaN}')
        assert (slow.run, slow.jobs, slow.datasets) == (fast.run, fast.jobs, fast.datasets)


def test_in_a_list_each_event_is_handled_by_itself() -> None:
    good = dump(events.plain())
    bad = [b"{}", b"5", dump(events.plain(run={})), b'{"run":' + b"[" * 500 + b"]" * 500 + b"}"]
    decoded = decode(b"[" + b",".join([good, bad[0], good, *bad[1:], good]) + b"]")
    assert [fact.body for fact in decoded.facts] == [good] * 3
    assert [(reject.index, reject.body) for reject in decoded.rejects] == list(zip((1, 3, 4, 5), bad, strict=True))
    assert [reject.reason for reject in decoded.rejects] == [
        RejectReason.NOT_AN_EVENT,
        RejectReason.NOT_AN_EVENT,
        RejectReason.NO_RUN_ID,
        RejectReason.TOO_DEEP,
    ]


def test_depth_64_is_read_and_65_is_kept_aside() -> None:
    def nested(depth: int) -> bytes:
        # The event's own objects around it: event, run, facets.
        inner = "[" * (depth - 3) + "]" * (depth - 3)
        return dump(events.plain()).replace(b'"facets": {}', f'"facets": {{"x": {inner}}}'.encode(), 1)

    assert decode(nested(64)).rejects == ()
    assert [reject.reason for reject in decode(nested(65)).rejects] == [RejectReason.TOO_DEEP]


def test_long_names_stay_different() -> None:
    one, other = (events.run_of(events.plain(job="x" * 5_000 + end)) for end in "ab")
    assert one.job != other.job
    assert one.aliases != other.aliases


def test_hostile_text_costs_time_in_proportion_to_its_length() -> None:
    """Patterns are bounded: a quadratic one would need minutes of processor time here."""
    pieces = ["password='", "://", "://a:", "token=", "(", "bearer ", "a.", '\\"', "|", "x:y@"]
    begin = time.process_time()
    for piece in pieces:
        text = piece * (250_000 // len(piece))
        event = events.airflow_task("FAIL", task_changes={"outlets": text[:60_000], "upstream_task_ids": text})
        event["run"]["facets"]["errorMessage"] = events.error(text, text)
        assert events.send(json.dumps(event).encode()).rejects == ()
    assert time.process_time() - begin < 20
