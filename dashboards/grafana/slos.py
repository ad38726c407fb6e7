"""Service level objectives: what is left of each error budget, how fast it goes, when it is gone."""

from typing import Final

from grafana_foundation_sdk.models import dashboard as dm

from dashboards.grafana import panels
from dashboards.grafana.panels import GREEN, ORANGE, RED, YELLOW, Column, Target
from dashboards.promql import Query, or_zero

_Q: Final = Query("team")
_SLO: Final = {"slo": "~$slo"}
_LEFT: Final = ((None, RED), (0.0001, ORANGE), (0.25, YELLOW), (0.5, GREEN))
_RATE: Final = ((None, GREEN), (1, YELLOW), (3, ORANGE), (14.4, RED))
_GONE: Final = ((None, RED), (86_400, ORANGE), (7 * 86_400, YELLOW), (30 * 86_400, GREEN))


def slos(source: str, url: str) -> dm.Dashboard:
    """source: name of the data source; url: where people reach Watchtower."""
    made = panels.dashboard(
        panels.SLOS,
        "Watchtower: objectives",
        "What is left of each error budget, how fast it goes, and when it is gone.",
        hours=7 * 24,
        refresh="1m",
    )
    made = made.with_variable(panels.source_variable(source))
    made = made.with_variable(panels.choice("job", "Watchtower", "label_values(watchtower_build_info, job)"))
    for name, label in (("team", "Team"), ("slo", "SLO")):
        values = f'label_values(watchtower_slo_objective_ratio{{job=~"$job"}}, {name})'
        made = made.with_variable(panels.choice(name, label, values))
    made = made.link(panels.to_watchtower(url)).link(panels.link_to(panels.FLEET, "Fleet"))
    made = made.link(panels.link_to(panels.COST, "Cost"))
    return panels.laid_out(made, [("Now", _now(url)), ("Each objective", _each()), ("Over time", _over_time())])


def _left() -> str:
    return _Q.held("watchtower_slo_error_budget_remaining_ratio", **_SLO)


def _now(url: str) -> list[object]:
    link = panels.to_watchtower(url, "/slos", title="What follows from it")
    gone = _Q.held("watchtower_slo_exhaustion_seconds", **_SLO)
    paging = _Q.held("watchtower_alerts", state="firing", severity="page", kind="slo")
    burning = _Q.held("watchtower_alerts", state="firing", kind="slo")
    return [
        panels.number(
            "Budgets used up",
            "Objectives that are missed in this period: more bad events than all of it allows.",
            Target(or_zero(f"count({_left()} <= 0)")),
            link=link,
        ),
        panels.number(
            "Pages", "Alerts of severity `page` about budgets that burn.", Target(or_zero(f"sum({paging})")), link=link
        ),
        panels.number(
            "Alerts", "About budgets that burn or are used up, of every severity.", Target(or_zero(f"sum({burning})"))
        ),
        panels.number(
            "Gone within a week",
            "Objectives of which nothing is left within seven days, at the pace of the newest day.",
            Target(or_zero(f"count({gone} < {7 * 86_400})")),
            link=link,
        ),
        panels.number(
            "Least left",
            "Of the objective that has least left of its budget.",
            Target(f"min({_left()})"),
            unit="percentunit",
            steps=_LEFT,
        ),
        panels.number(
            "Declared",
            "Objectives of the configuration in force.",
            Target(or_zero(f"count(count by (slo) ({_Q.held('watchtower_slo_objective_ratio', **_SLO)}))")),
            steps=panels.NEUTRAL,
        ),
    ]


def _each() -> list[object]:
    day = _Q.held("watchtower_slo_burn_rate", window="1d", **_SLO)
    return [
        panels.bars(
            "Budget left",
            "100 % is all of it; nothing is left at 0 %. Missing while too little is known.",
            Target(f"sort({_left()})", "{{slo}}", instant=True),
            unit="percentunit",
            steps=_LEFT,
            most=1,
            width=9,
            height=12,
        ),
        panels.rows(
            "Objectives",
            "Left of the budget, how many times faster than allowed the newest day went, and until when it lasts.",
            Target(_left(), ref="A", as_table=True),
            Target(day, ref="B", as_table=True),
            Target(_Q.held("watchtower_slo_exhaustion_seconds", **_SLO), ref="C", as_table=True),
            columns=[
                Column("slo", "SLO"),
                Column("team", "Team"),
                Column("Value #A", "Left", unit="percentunit", steps=_LEFT),
                Column("Value #B", "Burn rate, 1d", steps=_RATE),
                Column("Value #C", "Gone in", unit="s", steps=_GONE),
            ],
            width=15,
            height=12,
        ),
    ]


def _over_time() -> list[object]:
    return [
        panels.lines(
            "Budget left, over time",
            "It comes back as bad events leave a rolling period, and at once when one of the calendar begins.",
            Target(_left(), "{{slo}}"),
            unit="percentunit",
        ),
        panels.lines(
            "Burn rate, fastest window",
            "1 uses up the budget exactly at the end of the period; 14.4 is a fiftieth of a month's budget in an hour.",
            Target(f"max by (slo) ({_Q.held('watchtower_slo_burn_rate', **_SLO)})", "{{slo}}"),
            steps=((None, GREEN), (14.4, RED)),
        ),
        panels.lines(
            "Bad events of the period",
            "Runs, updates, samples, minutes or slices, as each objective counts them.",
            Target(_Q.held("watchtower_slo_events", verdict="bad", **_SLO), "{{slo}} {{objective}}"),
            width=24,
        ),
    ]
