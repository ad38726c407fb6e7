"""Spans of our own work, where somebody configured where they go; and times that are tied to them."""

import contextlib
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import Histogram

_tracer: trace.Tracer | None = None


def configure(endpoint: str, *, version: str, headers: Mapping[str, str] | None = None) -> TracerProvider:
    """Send our own traces to endpoint (OTLP over HTTP, e.g. `http://127.0.0.1:4318/v1/traces`). The caller shuts the
    provider down. Until this is called, spans cost nothing."""
    global _tracer  # noqa: PLW0603 - one per process, as the SDK's own
    provider = TracerProvider(resource=Resource.create({"service.name": "watchtower", "service.version": version}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, headers=dict(headers or {}))))
    _tracer = provider.get_tracer("watchtower")
    return provider


_NO_SPAN = contextlib.nullcontext()


def span(
    name: str, attributes: Mapping[str, str | int | float | bool] | None = None
) -> contextlib.AbstractContextManager[object]:
    """A span of our own work around the block; nothing while traces are not configured."""
    return _NO_SPAN if _tracer is None else _tracer.start_as_current_span(name, attributes=attributes)


def observe(histogram: Histogram, seconds: float, exemplar: Mapping[str, str] | None = None) -> None:
    """Record seconds, tied to exemplar, else to the current trace if there is one. histogram: with its labels set."""
    if exemplar is None and _tracer is not None:
        context = trace.get_current_span().get_span_context()
        exemplar = {"trace_id": f"{context.trace_id:032x}"} if context.is_valid else None
    histogram.observe(max(0.0, seconds), dict(exemplar) if exemplar else None)
