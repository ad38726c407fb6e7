"""What pipelines cost by day, service and source; budgets; bills that are late. Amounts stay as the bill has them."""

from typing import Final

from grafana_foundation_sdk.models import dashboard as dm

from dashboards.grafana import panels
from dashboards.grafana.panels import GREEN, RED, YELLOW, Column, Target
from dashboards.promql import Query, or_zero

_Q: Final = Query("team")
_DAY: Final = Query()
_SHARE: Final = ((None, GREEN), (0.8, YELLOW), (1, RED))
_AGE: Final = ((None, GREEN), (2 * 86_400, YELLOW), (4 * 86_400, RED))


def cost(source: str, url: str) -> dm.Dashboard:
    """source: name of the data source; url: where people reach Watchtower."""
    made = panels.dashboard(
        panels.COST,
        "Watchtower: cost",
        "Bills by day and service, budgets, bills that are late.",
        hours=24,
        refresh="5m",
    )
    made = made.with_variable(panels.source_variable(source))
    made = made.with_variable(panels.choice("job", "Watchtower", "label_values(watchtower_build_info, job)"))
    teams = 'label_values(watchtower_budget_limit_amount{job=~"$job"}, team)'
    made = made.with_variable(panels.choice("team", "Team", teams))
    for name, label in (("currency", "Currency"), ("bill", "Source")):
        values = f'label_values(watchtower_cost_day_amount{{job=~"$job"}}, {"source" if name == "bill" else name})'
        made = made.with_variable(panels.choice(name, label, values, several=name == "bill"))
    made = made.link(panels.to_watchtower(url)).link(panels.link_to(panels.FLEET, "Fleet"))
    made = made.link(panels.link_to(panels.PIPELINE, "Pipeline"))
    return panels.laid_out(made, [("Budgets", _budgets()), ("Bills", _days()), ("Late bills", _late())])


def _budgets() -> list[object]:
    share = _Q.held("watchtower_budget_share_ratio")
    return [
        panels.number(
            "Budgets that are spent",
            "Budgets whose newest period is above its limit.",
            Target(or_zero(f"count({share} > 1)")),
        ),
        panels.number(
            "Late bills",
            "Budgets of which nothing can be said, since their bill is late.",
            Target(or_zero(f"count({_Q.held('watchtower_budget_late_seconds')} > 0)")),
        ),
        panels.bars(
            "Share of each budget",
            "What was spent of the limit in the newest period that the bill tells of; missing while the bill is late.",
            Target(share, "{{budget}} ({{period}})", instant=True),
            unit="percentunit",
            steps=_SHARE,
            most=1.2,
            width=16,
        ),
        panels.rows(
            "Budgets",
            "Amounts as the bill has them, never converted.",
            Target(_Q.held("watchtower_budget_limit_amount"), ref="A", as_table=True),
            Target(_Q.held("watchtower_budget_spent_amount"), ref="B", as_table=True),
            Target(share, ref="C", as_table=True),
            columns=[
                Column("budget", "Budget"),
                Column("team", "Team"),
                Column("period", "Period"),
                Column("currency", "Currency"),
                Column("Value #A", "Limit"),
                Column("Value #B", "Spent"),
                Column("Value #C", "Share", unit="percentunit", steps=_SHARE),
            ],
            width=24,
        ),
    ]


def _days() -> list[object]:
    amount = _DAY.held("watchtower_cost_day_amount", source="~$bill", currency="$currency")
    named = f'label_join(sum by (day, source, service) ({amount}), "series", " ", "source", "service")'
    return [
        panels.by_day(
            "Cost of each day, by source and service",
            "Billed cost of the last 31 days (UTC): the ten dearest services of each source, and all others together.",
            Target(named, as_table=True),
            unit="none",
        ),
        panels.bars(
            "By service",
            "All of the days above.",
            Target(f"topk(15, sum by (source, service) ({amount}))", "{{source}} {{service}}", instant=True),
            unit="none",
        ),
        panels.bars(
            "By source",
            "All of the days above.",
            Target(f"sum by (source) ({amount})", "{{source}}", instant=True),
            unit="none",
        ),
    ]


def _late() -> list[object]:
    return [
        panels.bars(
            "How far bills lag",
            "Time since the end of what the bills of a source tell of.",
            Target(
                f"time() - {_DAY.held('watchtower_bill_covered_until_timestamp_seconds', source='~$bill')}",
                "{{source}}",
                instant=True,
            ),
            unit="s",
            steps=_AGE,
            width=8,
        ),
        panels.bars(
            "When bills were loaded",
            "Time since the newest bill of a source came in.",
            Target(
                f"time() - {_DAY.held('watchtower_bill_loaded_timestamp_seconds', source='~$bill')}",
                "{{source}}",
                instant=True,
            ),
            unit="s",
            steps=_AGE,
            width=8,
        ),
        panels.bars(
            "Budgets whose bill is late",
            "How long it is late; 0 where it is not.",
            Target(_Q.held("watchtower_budget_late_seconds"), "{{budget}}", instant=True),
            unit="s",
            steps=((None, GREEN), (1, RED)),
            width=8,
        ),
    ]
