"""What is known of runs, jobs, datasets, series, traces and sources, and what could not be understood."""

from watchtower.model.access import Permission
from watchtower.server.api import changes, datasets, observed, quarantine, series, sources, traces
from watchtower.server.endpoints import Endpoint

_OBSERVED = Permission.OBSERVED_READ

ENDPOINTS = (
    Endpoint(
        "GET", "/api/v1/runs", _OBSERVED, observed.list_runs, "Runs, newest first.", observed.RunList, observed.RunQuery
    ),
    Endpoint(
        "GET",
        "/api/v1/runs/{id}",
        _OBSERVED,
        observed.get_run,
        "One run with the attempts of its tasks, what it read and wrote. A merged id redirects (308).",
        observed.RunDetail,
        statuses=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/traces",
        _OBSERVED,
        traces.list_traces,
        "Traces of one run, oldest first.",
        traces.TraceList,
        traces.TraceQuery,
        statuses=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/traces/{id}",
        _OBSERVED,
        traces.get_trace,
        "One trace: what it comes to by operation, and the spans that are kept.",
        traces.TraceDetail,
        statuses=(404,),
    ),
    Endpoint(
        "GET", "/api/v1/jobs", _OBSERVED, observed.list_jobs, "Jobs by name.", observed.JobList, observed.JobQuery
    ),
    Endpoint("GET", "/api/v1/jobs/{id}", _OBSERVED, observed.get_job, "One job.", observed.JobItem, statuses=(404,)),
    Endpoint(
        "GET",
        "/api/v1/datasets",
        _OBSERVED,
        datasets.list_datasets,
        "Datasets by name, or those that are searched for.",
        datasets.DatasetList,
        datasets.DatasetQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/datasets/{id}",
        _OBSERVED,
        datasets.get_dataset,
        "One dataset: how fresh it is, when new data is expected, and what holds it up.",
        datasets.DatasetDetail,
        statuses=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/changes",
        _OBSERVED,
        changes.list_changes,
        "Change markers, newest first: what was deployed when.",
        changes.ChangeList,
        changes.ChangeQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/series",
        _OBSERVED,
        series.list_series,
        "Series that were told, by name.",
        series.SeriesList,
        series.SeriesQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/series/{id}",
        _OBSERVED,
        series.get_series,
        "One series with its samples, newest first; also a derived one, `<name>@<job id>`.",
        series.SeriesDetail,
        series.SampleQuery,
        statuses=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/sources",
        _OBSERVED,
        sources.list_sources,
        "Sources that are asked and those that send: how far each is known, and what is wrong with it.",
        sources.SourceList,
    ),
    Endpoint(
        "GET",
        "/api/v1/quarantine",
        Permission.QUARANTINE,
        quarantine.list_quarantine,
        "What could not be understood and is kept, oldest first.",
        quarantine.QuarantineList,
        quarantine.QuarantineQuery,
    ),
    Endpoint(
        "POST",
        "/api/v1/quarantine/replay",
        Permission.QUARANTINE,
        quarantine.replay,
        "Try up to 100 of them again, as they were received; what is understood now leaves the quarantine.",
        quarantine.Replayed,
        body=quarantine.ReplayBody,
        statuses=(409,),
    ),
)
