"""One pipeline: its runs as they went, how long they take beside what is usual, and its alerts."""

from typing import Final

from grafana_foundation_sdk.models import dashboard as dm

from dashboards.grafana import panels
from dashboards.grafana.panels import BAD_STATES, GREEN, ORANGE, RED, YELLOW, Target
from dashboards.promql import Query, or_zero

_Q: Final = Query("namespace", "pipeline")
_LAST: Final = "watchtower_pipeline_last_duration_seconds"
_ENDED: Final = "watchtower_pipeline_runs_total"
_USUAL: Final = "namespace, pipeline"


def pipeline(source: str, url: str) -> dm.Dashboard:
    """source: name of the data source; url: where people reach Watchtower."""
    made = panels.dashboard(
        panels.PIPELINE, "Watchtower: pipeline", "One pipeline: its runs, durations and alerts.", hours=72
    )
    made = made.with_variable(panels.source_variable(source))
    made = made.with_variable(panels.choice("job", "Watchtower", "label_values(watchtower_build_info, job)"))
    spaces = 'label_values(watchtower_pipeline_open_runs{job=~"$job"}, namespace)'
    names = 'label_values(watchtower_pipeline_open_runs{job=~"$job", namespace=~"$namespace"}, pipeline)'
    made = made.with_variable(panels.choice("namespace", "Namespace", spaces))
    made = made.with_variable(panels.choice("pipeline", "Pipeline", names, several=False))
    made = made.link(panels.to_watchtower(url)).link(panels.link_to(panels.FLEET, "Fleet"))
    made = made.link(panels.link_to(panels.COST, "Cost"))
    return panels.laid_out(made, [("Now", _now(url)), ("Runs", _runs()), ("Durations", _durations())])


def _now(url: str) -> list[object]:
    bad = _Q.increase(_ENDED, over="$__range", state=f"~{BAD_STATES}")
    return [
        panels.number(
            "Newest run",
            "Its state.",
            Target(_Q.held("watchtower_pipeline_last_run_state"), "{{namespace}}"),
            unit="none",
            states=True,
        ),
        panels.number(
            "Since the last success",
            "Time since the end of the newest run that succeeded.",
            Target(f"time() - {_Q.held('watchtower_pipeline_last_success_timestamp_seconds')}", "{{namespace}}"),
            unit="s",
            steps=((None, GREEN), (86_400, YELLOW), (3 * 86_400, RED)),
        ),
        panels.number(
            "Since the last start",
            "Time since the newest run began.",
            Target(f"time() - {_Q.held('watchtower_pipeline_last_start_timestamp_seconds')}", "{{namespace}}"),
            unit="s",
            steps=panels.NEUTRAL,
        ),
        panels.number(
            "Runs under way",
            "Runs that have not ended.",
            Target(_Q.held("watchtower_pipeline_open_runs"), "{{namespace}}"),
            steps=panels.NEUTRAL,
        ),
        panels.number(
            "Alerts",
            "Alerts of the pipeline and its tasks that fire.",
            Target(or_zero(f"sum({_Q.held('watchtower_pipeline_alerts')})")),
            link=panels.to_watchtower(url, title="What is broken now"),
        ),
        panels.number(
            "Runs that failed",
            "Share of the runs that ended in the time shown.",
            Target(f"({or_zero(bad)}) / ({_Q.increase(_ENDED, over='$__range')} > 0)"),
            unit="percentunit",
            steps=((None, GREEN), (0.05, YELLOW), (0.2, RED)),
            decimals=1,
        ),
    ]


def _runs() -> list[object]:
    return [
        panels.states(
            "State of the newest run",
            "The colour is the state of the newest run at each moment.",
            Target(_Q.held("watchtower_pipeline_last_run_state"), "{{namespace}} {{pipeline}}"),
            height=5,
        ),
        panels.lines(
            "Runs that ended",
            "How many ended, by state, in each interval.",
            Target(_Q.increase(_ENDED, ("state",)), "{{state}}"),
            stacked=True,
            every="30m",
            colours={"succeeded": GREEN, "failed": RED, "timed_out": RED, "crashed": RED, "cancelled": ORANGE},
        ),
        panels.lines(
            "Alerts over time",
            "Alerts of the pipeline and its tasks that fire, by severity.",
            Target(or_zero(f"sum by (severity) ({_Q.held('watchtower_pipeline_alerts')})"), "{{severity}}"),
            stacked=True,
            colours={"page": RED, "ticket": ORANGE, "info": YELLOW},
        ),
    ]


def _durations() -> list[object]:
    seven_days = f"{_Q.series(_LAST)}[7d]"
    seconds = _Q.increase("watchtower_pipeline_run_seconds_total", state="succeeded")
    return [
        panels.lines(
            "The newest run beside what is usual",
            "How long the newest run that ended took; half, and 95 %, of what the last seven days showed was shorter.",
            Target(_Q.held(_LAST), "newest"),
            Target(f"max by ({_USUAL}) (quantile_over_time(0.5, {seven_days}))", "half are shorter"),
            Target(f"max by ({_USUAL}) (quantile_over_time(0.95, {seven_days}))", "95 % are shorter"),
            unit="s",
            width=16,
            calcs=("lastNotNull", "max"),
        ),
        panels.lines(
            "Mean of runs that succeeded",
            "In each interval.",
            Target(f"{seconds} / ({_Q.increase(_ENDED, state='succeeded')} > 0)", "mean"),
            unit="s",
            every="1h",
            width=8,
        ),
    ]
