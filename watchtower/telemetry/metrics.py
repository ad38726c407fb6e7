"""Every metric there is.

Names are `watchtower_<noun>_<unit>_total`; labels come from bounded sets. Dashboards, shipped meta-alerts and
docs/operations.md are compared with this module, so a name exists here or nowhere.
"""

from collections.abc import Mapping
from typing import Final

from watchtower.model.run import RunState
from watchtower.telemetry.instruments import DECLARED, Metric, counter, gauge, histogram, stored

# From a commit in a fraction of a millisecond to the 9.2 s after which an OpenLineage client gives up.
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0)
_RUN_BUCKETS = (10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0)
_RESPONSE_BUCKETS = (60.0, 300.0, 600.0, 3600.0, 14400.0, 86400.0)  # the first four are Grafana OnCall's

# -- ingest -------------------------------------------------------------------------------------------------------

INGEST_REQUESTS = counter(
    "watchtower_ingest_requests_total", "Requests on ingest routes, by collector and answer.", "collector", "code"
)
INGEST_EVENTS = counter(
    "watchtower_ingest_events_total",
    "Events received, by what became of them: accepted, quarantined, refused.",
    "collector",
    "result",
)
INGEST_DROPS = counter(
    "watchtower_ingest_refusals_total",
    "Requests and events not folded, by collector and reason.",
    "collector",
    "reason",
)
INGEST_SKIPPED = counter(
    "watchtower_ingest_skipped_fields_total",
    "Fields that were there, could not be read and were left out, by their path.",
    "collector",
    "field",
)
INGEST_BYTES = counter("watchtower_ingest_body_bytes_total", "Bytes of bodies received, inflated.", "collector")
INGEST_SECONDS = histogram(
    "watchtower_ingest_request_seconds", "Time from the whole body to the answer.", _REQUEST_BUCKETS, "collector"
)
INGEST_INFLIGHT = gauge("watchtower_ingest_inflight_bytes", "Bytes of bodies that are being received or stored.")
INGEST_LAST = gauge("watchtower_ingest_last_event_timestamp_seconds", "When the last event was accepted.", "collector")

# -- spans --------------------------------------------------------------------------------------------------------

SPANS = counter(
    "watchtower_spans_walked_total", "Spans taken from stored batches: new, or repeated by their exporter.", "result"
)
SPANS_WAITING = gauge("watchtower_spans_waiting", "Spans that are stored and not yet in any figure.")
SPANS_LAG = gauge("watchtower_spans_lag_seconds", "How long the oldest of them waits.")
TRACE_JOINS = counter(
    "watchtower_trace_lookups_total",
    "Looks for the run of a trace: joined, ambiguous (more than one pipeline has such a run), unknown.",
    "result",
)

# -- spool --------------------------------------------------------------------------------------------------------

SPOOL_BYTES = gauge("watchtower_spool_bytes", "Bytes of events that wait on the disk for the store.")
SPOOL_RECORDS = counter(
    "watchtower_spool_records_total",
    "Requests written to the spool (in), and from there to the store (out).",
    "direction",
)
SPOOL_DAMAGED = counter("watchtower_spool_damaged_bytes_total", "Bytes of spool segments that could not be read.")
STORE_BYPASSED = gauge("watchtower_store_bypassed", "1 while events go to the spool because the store is slow or away.")

# -- HTTP ---------------------------------------------------------------------------------------------------------

HTTP_REQUESTS = counter(
    "watchtower_http_requests_total", "Requests on all other routes, by route and answer.", "route", "method", "code"
)
HTTP_SECONDS = histogram("watchtower_http_request_seconds", "Time to answer them.", _REQUEST_BUCKETS, "route")
HTTP_FAULTS = counter("watchtower_http_faults_total", "Requests that met a fault of ours, by route.", "route")
AUTH_FAILURES = counter("watchtower_auth_failures_total", "Requests refused by access control, by reason.", "reason")

# -- rules and alerts ---------------------------------------------------------------------------------------------

RULE_EVALUATIONS = counter(
    "watchtower_rule_evaluations_total", "Evaluations of a rule on a subject, by kind and result.", "kind", "result"
)
RULE_SECONDS = histogram("watchtower_rule_evaluation_seconds", "Time of one pass over due subjects.", _REQUEST_BUCKETS)
DUE_LAG = histogram("watchtower_due_lag_seconds", "How late due rows were taken up, by lane.", _WAIT_BUCKETS, "lane")
ALERT_TRANSITIONS = counter(
    "watchtower_alert_transitions_total",
    "Alerts that began to fire or were resolved, by rule kind.",
    "kind",
    "transition",
)

# -- polls --------------------------------------------------------------------------------------------------------

SOURCE_POLLS = counter(
    "watchtower_source_polls_total",
    "Polls of a source, by what became of them: ok, or why they ended early.",
    "source",
    "collector",
    "result",
)
SOURCE_SECONDS = histogram(
    "watchtower_source_poll_seconds", "Time that a whole poll of a source took.", _WAIT_BUCKETS, "source"
)
SOURCE_RECORDS = counter(
    "watchtower_source_records_total",
    "Records that polls brought: new, known (stored before, as they are), quarantined.",
    "source",
    "result",
)

# -- bills --------------------------------------------------------------------------------------------------------

BILL_IMPORTS = counter(
    "watchtower_bill_imports_total",
    "Bills that feeds brought, by what became of them: changed, known, refused, failed.",
    "result",
)
BILL_LAST = gauge(
    "watchtower_bill_last_look_timestamp_seconds", "When a source of bills was last looked at with success.", "source"
)

# -- delivery -----------------------------------------------------------------------------------------------------

DELIVERY_ATTEMPTS = counter(
    "watchtower_delivery_attempts_total",
    "Attempts to deliver a notice, by channel, result and reason.",
    "channel",
    "result",
    "reason",
)
DELIVERY_SECONDS = histogram(
    "watchtower_delivery_attempt_seconds", "Time of one attempt, by channel.", _REQUEST_BUCKETS, "channel"
)
DEAD_LETTERS = counter(
    "watchtower_dead_letters_total", "Obligations given up, by channel and reason.", "channel", "reason"
)
DUPLICATES = counter("watchtower_delivery_duplicates_total", "Visible effects beyond the first, by channel.", "channel")

HOOKS = counter(
    "watchtower_hook_requests_total",
    "Callbacks of providers, by hook and by what came of them or why they were refused.",
    "hook",
    "result",
)

# -- the whole ----------------------------------------------------------------------------------------------------

HEARTBEATS = counter("watchtower_heartbeats_total", "Heartbeats to outside, by result.", "result")
ROUND_TRIPS = counter(
    "watchtower_round_trips_total", "Watchtower's own events, by the stage that they came to in time.", "stage"
)
ROUND_TRIP_LAST = gauge(
    "watchtower_round_trip_last_timestamp_seconds", "When the last of them had gone through the whole path."
)
ROUND_TRIP_SECONDS = gauge("watchtower_round_trip_seconds", "How long that one took.")
STAGE_LAST = gauge("watchtower_stage_last_progress_timestamp_seconds", "When each stage last advanced.", "stage")
WORK_STUCK = gauge(
    "watchtower_work_stuck", "1 while a poll, a look at bills or a backup gives no sign of life, by its name.", "work"
)
DISK_FREE = gauge("watchtower_disk_free_bytes", "Room on the disk of an SQLite store.")
DISK_REFUSING = gauge("watchtower_disk_low", "1 while events are refused because the disk of the store is nearly full.")
BACKUP_LAST = gauge("watchtower_backup_last_timestamp_seconds", "When this process last made a backup by itself.")
EMERGENCIES = counter(
    "watchtower_emergencies_total", "Messages that Watchtower itself does not work, by result.", "result"
)
CONFIG_RELOADS = counter("watchtower_config_reloads_total", "Reloads of the configuration, by result.", "result")
CONFIG_OK = gauge("watchtower_config_last_reload_successful", "1 if the last reload was accepted.")
BUILD = gauge("watchtower_build_info", "1, with the version that runs.", "version")
CLOCK = gauge("watchtower_clock_timestamp_seconds", "What Watchtower's clock says at the scrape.")

# -- runs and people, as they end and answer ----------------------------------------------------------------------

RUN_SECONDS = histogram(
    "watchtower_run_seconds",
    "Time from the start to the end of pipelines' runs that ended, by source and state.",
    _RUN_BUCKETS,
    "source",
    "state",
)
ACK_SECONDS = histogram(
    "watchtower_incident_acknowledge_seconds",
    "From the beginning of an incident to its first acknowledgement.",
    _RESPONSE_BUCKETS,
    "severity",
    "team",
)
RESOLVE_SECONDS = histogram(
    "watchtower_incident_resolve_seconds",
    "From the beginning of an incident to its end.",
    _RESPONSE_BUCKETS,
    "severity",
    "team",
)

# -- what the store holds, read at a scrape -----------------------------------------------------------------------

STATE_OK = stored(
    "watchtower_state_scrape_ok", "1 if the metrics that are read from the store are in this answer, else 0."
)
STATE_SECONDS = stored("watchtower_state_scrape_seconds", "Time that reading them from the store took.")
STATE_LEFT_OUT = stored(
    "watchtower_state_left_out", "Pipelines, datasets, … beyond the limit of a scrape, which have no series.", "what"
)

_PIPELINE = ("source", "namespace", "pipeline", "team")
PIPELINES = stored("watchtower_pipelines", "Pipelines that are known, by team.", "team")
PIPELINE_STATE = stored(
    "watchtower_pipeline_last_run_state", "State of the newest run as a number, see below.", *_PIPELINE
)
PIPELINE_END_STATE = stored(
    "watchtower_pipeline_last_end_state", "State of the newest run that has ended, as a number, see below.", *_PIPELINE
)
PIPELINE_START = stored("watchtower_pipeline_last_start_timestamp_seconds", "When the newest run began.", *_PIPELINE)
PIPELINE_SUCCESS = stored(
    "watchtower_pipeline_last_success_timestamp_seconds", "When the newest run that succeeded ended.", *_PIPELINE
)
PIPELINE_DURATION = stored(
    "watchtower_pipeline_last_duration_seconds", "How long the newest run that has ended took.", *_PIPELINE
)
PIPELINE_OPEN = stored("watchtower_pipeline_open_runs", "Runs that have not ended.", *_PIPELINE)
PIPELINE_RUNS = stored(
    "watchtower_pipeline_runs_total",
    "Runs that ended since this process started, by state; backfills and replays are not counted.",
    *_PIPELINE,
    "state",
    kind="counter",
)
PIPELINE_RUN_SECONDS = stored(
    "watchtower_pipeline_run_seconds_total",
    "Seconds that the runs counted in watchtower_pipeline_runs_total took.",
    *_PIPELINE,
    "state",
    kind="counter",
)
PIPELINE_ALERTS = stored(
    "watchtower_pipeline_alerts", "Alerts of a pipeline and its tasks that fire.", *_PIPELINE, "severity"
)
DATASET_UPDATED = stored(
    "watchtower_dataset_updated_timestamp_seconds",
    "When a dataset was last made new by a run that ended well.",
    *("namespace", "dataset", "team"),
)
ALERTS = stored(
    "watchtower_alerts",
    "Alerts that are not over, by state (firing, unknown), severity, rule kind and team.",
    *("state", "severity", "kind", "team"),
)
ALERTS_OLDEST = stored(
    "watchtower_alert_oldest_timestamp_seconds", "When the alert that fires longest began to.", "severity"
)
INCIDENTS = stored("watchtower_incidents", "Incidents that are not resolved.", *("status", "severity", "team"))
SILENCES = stored("watchtower_silences", "Silences that hold at present.")
OBLIGATIONS = stored(
    "watchtower_obligations",
    "Obligations in the ledger that were not met, by state (due, sending, dead_letter) and destination.",
    *("state", "destination"),
)
OBLIGATION_OLDEST = stored(
    "watchtower_obligation_oldest_timestamp_seconds", "Since when the oldest open obligation stands.", "destination"
)
DUE_OVERDUE = stored(
    "watchtower_due_overdue_seconds", "How long the oldest row of a lane of the due queue is overdue.", "lane"
)
QUARANTINED = stored("watchtower_quarantine_items", "Input that could not be understood and waits in quarantine.")

_SOURCE = ("source", "collector", "team")
SOURCE_LAG = stored("watchtower_source_lag_seconds", "How long ago the last whole poll of a source began.", *_SOURCE)
SOURCE_SUCCESS = stored(
    "watchtower_source_last_success_timestamp_seconds", "When the last whole poll of a source began.", *_SOURCE
)
SOURCE_EVENT = stored(
    "watchtower_source_last_event_timestamp_seconds", "The newest thing that a source has told of.", *_SOURCE
)
SOURCE_FAILURES = stored("watchtower_source_failures", "Polls of a source in a row that failed.", *_SOURCE)
SOURCE_PROBLEMS = stored("watchtower_source_problems", "Things that a source says are wrong with it.", *_SOURCE)

_SENDER = ("source", "namespace", "team")
SENDER_EVENT = stored(
    "watchtower_sender_last_event_timestamp_seconds",
    "When the newest word of a source that sends by itself came in, within a minute.",
    *_SENDER,
)
SENDER_LAG = stored("watchtower_sender_lag_seconds", "How long that word had been on its way.", *_SENDER)
SENDER_SILENCE = stored(
    "watchtower_sender_longest_silence_seconds", "The longest silence of such a source in four weeks.", *_SENDER
)
SENDER_PIPELINES = stored(
    "watchtower_sender_pipelines",
    "Pipelines that are known of such a source (known), and of which it told something within seven days (heard_7d).",
    *_SENDER,
    "which",
)

COST_DAY = stored(
    "watchtower_cost_day_amount",
    "Billed cost of each of the last 31 days (UTC), by the ten dearest services of a source and all others together.",
    *("day", "source", "service", "currency"),
)
BILL_COVERED = stored(
    "watchtower_bill_covered_until_timestamp_seconds", "The end of what the bills of a source tell of.", "source"
)
BILL_LOADED = stored(
    "watchtower_bill_loaded_timestamp_seconds", "When the newest bill of a source was loaded.", "source"
)
_BUDGET = ("budget", "team", "period", "currency")
BUDGET_LIMIT = stored("watchtower_budget_limit_amount", "What may be spent in a period.", *_BUDGET)
BUDGET_SPENT = stored(
    "watchtower_budget_spent_amount",
    "What was spent in the newest period that the bill tells of; missing while the bill is late or cannot be used.",
    *_BUDGET,
)
BUDGET_SHARE = stored("watchtower_budget_share_ratio", "The same as a share of the limit, 1 is all of it.", *_BUDGET)
BUDGET_COVERED = stored(
    "watchtower_budget_covered_until_timestamp_seconds", "How far the bills of a budget reach.", "budget", "team"
)
BUDGET_LATE = stored(
    "watchtower_budget_late_seconds", "How long the bill of a budget is late, 0 while it is not.", "budget", "team"
)

_SLO = ("slo", "team")
SLO_TARGET = stored("watchtower_slo_objective_ratio", "The share of events that must be good.", *_SLO, "objective")
SLO_EVENTS = stored(
    "watchtower_slo_events",
    "Events (or slices) of the period so far, by verdict: good or bad.",
    *(*_SLO, "objective", "verdict"),
)
SLO_LEFT = stored(
    "watchtower_slo_error_budget_remaining_ratio",
    "What is left of the error budget, 1 is all of it; below 0 more is used than there was; missing while unknown.",
    *_SLO,
)
SLO_BURN = stored(
    "watchtower_slo_burn_rate",
    "How many times faster than allowed the budget goes, over each long window of its alerts.",
    *(*_SLO, "window"),
)
SLO_EXHAUSTION = stored(
    "watchtower_slo_exhaustion_seconds",
    "Until nothing is left of the budget at the pace of the newest day; missing where it lasts.",
    *_SLO,
)

# A state that did not do its work is 7 or more: `>= 7` finds what is broken.
RUN_STATE_CODES: Final[Mapping[RunState, int]] = {
    RunState.QUEUED: 1,
    RunState.RUNNING: 2,
    RunState.RETRY_WAIT: 3,
    RunState.SUCCEEDED: 4,
    RunState.SKIPPED: 5,
    RunState.CANCELLED: 6,
    RunState.FAILED: 7,
    RunState.UPSTREAM_FAILED: 8,
    RunState.TIMED_OUT: 9,
    RunState.CRASHED: 10,
    RunState.LOST: 11,
}


def declared() -> list[Metric]:
    """Every metric there is, by name."""
    return sorted(DECLARED, key=lambda metric: metric.name)
