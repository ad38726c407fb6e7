"""The fleet: what is broken, what is late, and whether Watchtower itself is well. Made to stay open all day."""

from typing import Final

from grafana_foundation_sdk.models import dashboard as dm

from dashboards.grafana import panels
from dashboards.grafana.panels import BAD_STATES, FIRST_BAD_CODE, GREEN, ORANGE, RED, YELLOW, Column, Target
from dashboards.promql import Query, or_zero

_Q: Final = Query("namespace", "team")
_SELF: Final = Query()  # of Watchtower itself: of no team
_TO_PIPELINE: Final = (
    f"/d/{panels.PIPELINE}?var-datasource=${{datasource}}&var-job=${{job}}"
    "&var-namespace=${__data.fields.Namespace}&var-pipeline=${__data.fields.Pipeline}"
)
_LATE: Final = "~missing_run|deadline|freshness"
_PLACE: Final = (
    Column("namespace", "Namespace"),
    Column("pipeline", "Pipeline", link=_TO_PIPELINE),
    Column("team", "Team"),
)
_RATIO: Final = ((None, GREEN), (0.05, YELLOW), (0.2, RED))
_HOURS: Final = ((None, GREEN), (86_400, YELLOW), (3 * 86_400, RED))


def fleet(source: str, url: str) -> dm.Dashboard:
    """source: name of the data source; url: where people reach Watchtower."""
    made = panels.dashboard(
        panels.FLEET, "Watchtower: fleet", "All pipelines: what is broken, late or slow, and who was told.", hours=24
    )
    made = made.with_variable(panels.source_variable(source))
    made = made.with_variable(panels.choice("job", "Watchtower", "label_values(watchtower_build_info, job)"))
    for name, label in (("namespace", "Namespace"), ("team", "Team")):
        values = f'label_values(watchtower_pipeline_open_runs{{job=~"$job"}}, {name})'
        made = made.with_variable(panels.choice(name, label, values))
    made = made.link(panels.to_watchtower(url)).link(panels.link_to(panels.PIPELINE, "Pipeline"))
    made = made.link(panels.link_to(panels.COST, "Cost"))
    return panels.laid_out(
        made,
        [
            ("Now", _now(url)),
            ("Broken and late", _broken()),
            ("Runs", _runs()),
            ("Incidents", _incidents()),
            ("Delivery", _delivery()),
            ("Watchtower itself", _itself()),
        ],
    )


def _now(url: str) -> list[object]:
    firing = _Q.held("watchtower_alerts", state="firing")
    paging = _Q.held("watchtower_alerts", state="firing", severity="page")
    late = _Q.held("watchtower_alerts", state="firing", kind=_LATE)
    ended = "watchtower_pipeline_runs_total"
    failed = _Q.increase(ended, over="$__range", state=f"~{BAD_STATES}")
    link = panels.to_watchtower(url, title="What is broken now")
    return [
        panels.number(
            "Broken pipelines",
            "Pipelines whose newest run that ended did not do its work.",
            Target(or_zero(f"count({_Q.held('watchtower_pipeline_last_end_state')} >= {FIRST_BAD_CODE})")),
            link=link,
        ),
        panels.number(
            "Alerts that page", "Alerts of severity `page` that fire.", Target(or_zero(f"sum({paging})")), link=link
        ),
        panels.number(
            "Late",
            "Alerts that fire about runs that are missing, deadlines that passed, and data that is stale.",
            Target(or_zero(f"sum({late})")),
            link=link,
        ),
        panels.number(
            "Alerts that fire",
            "Of every severity and kind.",
            Target(or_zero(f"sum({firing})")),
            steps=((None, GREEN), (1, ORANGE)),
            link=link,
        ),
        panels.number(
            "Incidents nobody has",
            "Incidents that are triggered and not acknowledged.",
            Target(or_zero(f"sum({_Q.held('watchtower_incidents', status='triggered')})")),
            link=link,
        ),
        panels.number(
            "Runs that failed",
            "Share of the runs that ended in the time shown.",
            Target(f"({or_zero(failed)}) / ({_Q.increase(ended, over='$__range')} > 0)"),
            unit="percentunit",
            steps=_RATIO,
            decimals=1,
        ),
    ]


def _broken() -> list[object]:
    ended_badly = f"{_Q.held('watchtower_pipeline_last_end_state')} >= {FIRST_BAD_CODE}"
    place = "source, namespace, pipeline, team"
    since = f"time() - {_Q.held('watchtower_pipeline_last_success_timestamp_seconds')}"
    alerts = f"sum by ({place}) ({_Q.held('watchtower_pipeline_alerts')})"
    return [
        panels.rows(
            "Which pipelines are broken",
            "Those whose newest run that ended did not do its work; the name leads to the pipeline.",
            Target(ended_badly, ref="A", as_table=True),
            Target(f"({since}) and on ({place}) ({ended_badly})", ref="B", as_table=True),
            Target(f"{alerts} and on ({place}) ({ended_badly})", ref="C", as_table=True),
            columns=[
                *_PLACE,
                Column("Value #A", "Last end", states=True),
                Column("Value #B", "Since the last success", unit="s"),
                Column("Value #C", "Alerts"),
            ],
            width=24,
        ),
        panels.bars(
            "Longest without a success",
            "Time since the end of the newest run that succeeded.",
            Target(f"topk(15, {since})", "{{namespace}} {{pipeline}}", instant=True),
            unit="s",
            steps=_HOURS,
            width=8,
        ),
        panels.bars(
            "Oldest data",
            "Time since a run that ended well last wrote the dataset.",
            Target(
                f"topk(15, time() - {_Q.held('watchtower_dataset_updated_timestamp_seconds')})",
                "{{dataset}}",
                instant=True,
            ),
            unit="s",
            steps=_HOURS,
            width=8,
        ),
        panels.lines(
            "Alerts by kind",
            "Alerts that fire, by the kind of their rule.",
            Target(
                or_zero(f"sum by (kind) ({_Q.held('watchtower_alerts', state='firing')})"),
                "{{kind}}",
            ),
            width=8,
            stacked=True,
        ),
    ]


def _runs() -> list[object]:
    ended = "watchtower_pipeline_runs_total"
    usual = f"quantile_over_time(0.5, {_Q.series('watchtower_pipeline_last_duration_seconds')}[7d])"
    last = _Q.held("watchtower_pipeline_last_duration_seconds")
    place = "source, namespace, pipeline, team"
    return [
        panels.states(
            "State of the newest run",
            "One row for each pipeline, the colour is the state of its newest run.",
            Target(_Q.held("watchtower_pipeline_last_run_state"), "{{namespace}} {{pipeline}}"),
            height=12,
        ),
        panels.lines(
            "Runs that ended",
            "How many ended, by state, in each interval.",
            Target(_Q.increase(ended, ("state",)), "{{state}}"),
            stacked=True,
            every="10m",
            width=8,
            colours={"succeeded": GREEN, "failed": RED, "timed_out": RED, "crashed": RED, "cancelled": ORANGE},
        ),
        panels.lines(
            "How long runs take",
            "Over all pipelines; the points are single runs.",
            Target(_SELF.quantile(0.5, "watchtower_run_seconds"), "half are faster", exemplars=True),
            Target(_SELF.quantile(0.95, "watchtower_run_seconds"), "95 % are faster"),
            unit="s",
            every="30m",
            width=8,
        ),
        panels.bars(
            "Slower than usual",
            "The newest run that ended, as a multiple of the median of what the last seven days showed.",
            Target(
                f"topk(10, {last} / (max by ({place}) ({usual}) > 0))",
                "{{namespace}} {{pipeline}}",
                instant=True,
            ),
            unit="suffix:×",
            steps=((None, GREEN), (1.5, YELLOW), (3, RED)),
            width=8,
        ),
    ]


def _incidents() -> list[object]:
    ack, resolve = "watchtower_incident_acknowledge_seconds", "watchtower_incident_resolve_seconds"
    team = Query("team")
    return [
        panels.number(
            "Mean time to acknowledge",
            "From the beginning of an incident to its first acknowledgement, in the time shown.",
            Target(team.mean(ack, over="$__range")),
            unit="s",
            steps=((None, GREEN), (600, YELLOW), (3600, RED)),
        ),
        panels.number(
            "Mean time to resolve",
            "From the beginning of an incident to its end, in the time shown.",
            Target(team.mean(resolve, over="$__range")),
            unit="s",
            steps=((None, GREEN), (3600, YELLOW), (4 * 3600, RED)),
        ),
        panels.bars(
            "Acknowledged within",
            "Incidents acknowledged in the time shown, added up: each bar holds those above it.",
            Target(team.increase(f"{ack}_bucket", ("le",), over="$__range"), "{{le}} s", instant=True, as_heatmap=True),
            width=8,
            height=8,
        ),
        panels.lines(
            "Incidents that are open",
            "By whether somebody has them.",
            Target(or_zero(f"sum by (status) ({team.held('watchtower_incidents')})"), "{{status}}"),
            stacked=True,
            width=8,
            colours={"triggered": RED, "acknowledged": ORANGE},
        ),
    ]


def _delivery() -> list[object]:
    oldest = f"time() - min({_SELF.held('watchtower_obligation_oldest_timestamp_seconds')})"
    return [
        panels.lines(
            "Attempts",
            "Attempts to deliver, by channel and what came of them.",
            Target(
                _SELF.increase("watchtower_delivery_attempts_total", ("channel", "result")), "{{channel}} {{result}}"
            ),
            stacked=True,
            every="5m",
            width=8,
        ),
        panels.lines(
            "Time of an attempt",
            "What 95 % of the attempts stay below, by channel.",
            Target(_SELF.quantile(0.95, "watchtower_delivery_attempt_seconds", ("channel",)), "{{channel}}"),
            unit="s",
            every="5m",
            width=8,
        ),
        panels.number(
            "Oldest message that is owed",
            "How long the oldest obligation waits that is neither delivered nor given up.",
            Target(or_zero(oldest)),
            unit="s",
            steps=((None, GREEN), (300, YELLOW), (1800, RED)),
        ),
        panels.number(
            "Given up",
            "Dead letters: messages that reached nobody.",
            Target(or_zero(f"sum({_SELF.held('watchtower_obligations', state='dead_letter')})")),
        ),
        panels.bars(
            "Owed, by destination",
            "Obligations that are open or were given up.",
            Target(or_zero(_SELF.held("watchtower_obligations")), "{{destination}} {{state}}", instant=True),
            width=24,
            height=5,
        ),
    ]


def _itself() -> list[object]:
    stages = f"time() - max by (stage) ({_SELF.series('watchtower_stage_last_progress_timestamp_seconds')})"
    return [
        panels.lines(
            "Events that come in",
            "Events a second, by what became of them.",
            Target(_SELF.rate("watchtower_ingest_events_total", ("collector", "result")), "{{collector}} {{result}}"),
            unit="cps",
            width=8,
        ),
        panels.lines(
            "Time to answer an event",
            "From the whole body to the answer, which is given when it is durable.",
            Target(
                _SELF.quantile(0.99, "watchtower_ingest_request_seconds", ("collector",)),
                "{{collector}}, 99 %",
                exemplars=True,
            ),
            unit="s",
            width=8,
        ),
        panels.lines(
            "From a fact to its rules",
            "How late due subjects are looked at, and how long the oldest waits.",
            Target(_SELF.quantile(0.95, "watchtower_due_lag_seconds", ("lane",)), "{{lane}}, 95 %"),
            Target(_SELF.held("watchtower_due_overdue_seconds"), "{{lane}}, oldest"),
            unit="s",
            width=8,
        ),
        panels.number(
            "Spool",
            "Events that wait on the disk, because the store is slow or away.",
            Target(f"sum({_SELF.series('watchtower_spool_bytes')})"),
            unit="bytes",
            steps=((None, GREEN), (1, YELLOW), (512 << 20, RED)),
        ),
        panels.number(
            "Slowest stage",
            "Seconds since a stage (rules, alerting) last went round.",
            Target(f"max({stages})"),
            unit="s",
            steps=((None, GREEN), (30, YELLOW), (60, RED)),
        ),
        panels.number(
            "Quarantine",
            "Input that could not be understood.",
            Target(_SELF.held("watchtower_quarantine_items")),
            steps=((None, GREEN), (1, YELLOW)),
        ),
        panels.lines(
            "Memory and processor",
            "Of each Watchtower process.",
            Target('process_resident_memory_bytes{job=~"$job"}', "{{instance}}"),
            unit="bytes",
            width=6,
            height=8,
        ),
        panels.lines(
            "Reading the store for a scrape",
            "Grows with the number of pipelines, not with history.",
            Target(_SELF.held("watchtower_state_scrape_seconds"), "seconds"),
            unit="s",
            width=6,
            height=8,
        ),
    ]
