"""Routes and owners that nothing reaches are warned of, at their line."""

from watchtower.config import examine

RECEIVERS = "receivers: [{name: a, local_configs: [{}]}, {name: b, local_configs: [{}]}]\n"
OWNERS = "ownership: [{match: {pipeline: ~a_.*}, owner: ada, team: alpha}, {match: {pipeline: ~b_.*}, team: beta}]\n"


def warnings(*lines: str, before: str = RECEIVERS + OWNERS) -> list[tuple[int, str, str]]:
    """By line of `lines`."""
    checked = examine(before + "".join(f"{line}\n" for line in lines))
    assert checked.faults == ()
    return [((each.line or 0) - before.count("\n"), each.message, each.remedy) for each in checked.warnings]


def routes(*children: str) -> list[tuple[int, str, str]]:
    return [
        (line - 3, message, remedy)
        for line, message, remedy in warnings("route:", "  receiver: a", "  routes:", *(f"    - {c}" for c in children))
    ]


def test_a_route_behind_one_that_takes_the_same_alerts_is_never_reached() -> None:
    [(line, message, remedy)] = routes("{receiver: b}", "{matchers: ['severity=\"page\"'], receiver: a}")
    assert (line, message) == (2, "no alert comes here: route.routes[0] takes each of them before")
    assert remedy == "put it before that one, or add continue: true to route.routes[0]"
    alpha, paged = "{matchers: ['team=\"alpha\"'], receiver: b}", "['team=\"alpha\"', 'severity=\"page\"']"
    assert [line for line, _, _ in routes(alpha, f"{{matchers: {paged}, receiver: a}}")] == [2]
    assert routes(f"{{matchers: {paged}, receiver: a}}", alpha) == []
    assert routes(alpha.replace("receiver", "continue: true, receiver"), f"{{matchers: {paged}}}") == []


def test_a_route_is_held_against_its_siblings_alone() -> None:
    inner = "{matchers: ['severity=\"page\"'], receiver: b}"
    assert routes(f"{{matchers: ['team=\"alpha\"'], routes: [{inner}]}}", inner) == []


def test_a_label_that_is_nearly_one_that_alerts_have() -> None:
    assert routes("{matchers: ['teem=\"alpha\"'], receiver: b}") == [
        (1, "no alert that is known of has the label 'teem'", "is 'team' meant?")
    ]
    assert [line for line, _, _ in warnings("route: {receiver: a, group_by: [pipelin]}")] == [1]
    assert routes("{matchers: ['cluster=\"eu\"'], receiver: b}") == [], "another tool's alerts may have it"
    tiers = "rules: [{alert: A, kind: run_failure, match: a, labels: {tier: gold}}]"
    assert warnings(tiers, "route: {receiver: a, group_by: [tier, '...']}".replace(", '...'", "")) == []


def test_an_inherited_group_is_doubted_once() -> None:
    child = "{matchers: ['severity=\"page\"'], receiver: b}"
    assert len(warnings("route:", "  receiver: a", "  group_by: [pipelin]", f"  routes: [{child}]")) == 1


def test_a_team_that_is_nearly_one_of_the_file() -> None:
    assert routes("{matchers: ['team=\"alpa\"'], receiver: b}") == [
        (1, "this file has no team 'alpa'", "is 'alpha' meant?")
    ]
    assert routes("{matchers: ['team=\"finance\"'], receiver: b}") == [], "an orchestrator may name it"
    assert routes("{matchers: ['team=~\"alpa|beta\"'], receiver: b}") == []


def test_what_inhibits_and_what_is_planned_is_read_likewise() -> None:
    inhibits = "inhibit_rules: [{source_matchers: ['knd=\"x\"'], target_matchers: ['team=\"bet\"'], equal: [namspace]}]"
    planned = "maintenance: [{name: m, matchers: ['pipline=\"x\"'], reason: r, cron: 0 2 * * *, duration: 1h}]"
    found = warnings("route: {receiver: a}", inhibits, planned)
    assert [line for line, _, _ in found] == [2, 2, 2, 3]
    assert {remedy for _, _, remedy in found} == {
        "is 'kind' meant?",
        "is 'beta' meant?",
        "is 'namespace' meant?",
        "is 'pipeline' meant?",
    }


def test_a_job_in_a_namespace_that_is_nearly_one_of_a_source() -> None:
    sources = "collectors: {openlineage: {sources: {airflow: [airflow-eu, 'spark-*']}}}\n"

    def doubts(namespace: str) -> list[tuple[int, str, str]]:
        return warnings("jobs:", f"  orders: {{namespace: {namespace}, schedule: 0 5 * * *}}", before=sources)

    said = "no source of this file tells of the namespace 'airflow_eu'"
    assert doubts("airflow_eu") == [(2, said, "is 'airflow-eu' meant?")]
    assert doubts("airflow-eu") == doubts("spark-us") == []
    assert doubts("warehouse") == [], "any producer may tell of it"


def test_an_owner_behind_one_that_fits_everything_decides_nothing() -> None:
    said = "decides nothing: ownership[0] fits whatever it does, and stands before it"
    everything = "  - {owner: platform, team: platform}"
    team = "  - {match: {pipeline: ~a_.*}, team: alpha}"
    assert warnings("ownership:", everything, team, before="") == [(3, said, "put it before that one")]
    assert warnings("ownership:", team, everything, before="") == []
    owner = "  - {match: {pipeline: ~a_.*}, owner: ada}"
    assert warnings("ownership:", team, owner, before="") == [], "the one gives the team, the other the owner"
