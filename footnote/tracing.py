"""Traces by OpenTelemetry: spans go to a collector, by OTLP over HTTP.

Where to, how many and under which name is told by OpenTelemetry's own environment variables (OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, …), which its SDK reads. It is imported only if tracing is switched on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from corpus.errors import StartupError
from corpus.settings import Settings
from corpus.spans import Attribute, Told, dotted, record_spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

NO_OTEL = (
    "tracing is on, but OpenTelemetry isn't installed. Install the extra `otel` (pip install 'footnote-rag[otel]'), or switch "
    "tracing off."
)
SERVICE = "footnote"


@contextmanager
def tracing(settings: Settings) -> Iterator[None]:
    """Record spans for the length of the block, if ``settings.tracing``; what isn't sent yet is sent at its end.

    Raises: StartupError, if the extra is missing.
    """
    if not settings.tracing:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as exc:
        raise StartupError(NO_OTEL) from exc
    with recording(BatchSpanProcessor(OTLPSpanExporter())):
        yield


@contextmanager
def recording(processor: SpanProcessor) -> Iterator[None]:
    """Hand all spans to ``processor`` for the length of the block, then shut it down."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    facts = {"service.version": version("footnote-rag")}
    if "OTEL_SERVICE_NAME" not in os.environ and "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        facts["service.name"] = SERVICE
    provider = TracerProvider(resource=Resource.create(facts), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    record_spans(OpenTelemetryRecorder(provider))
    try:
        yield
    finally:
        record_spans(None)
        provider.shutdown()


class OpenTelemetryRecorder:
    """Spans by OpenTelemetry's API. Of an exception only its type is recorded: its message may quote a secret or a question."""

    def __init__(self, provider: object) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._tracer = trace.get_tracer(SERVICE, tracer_provider=provider)  # type: ignore[arg-type]
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Attribute], *, caller: Mapping[str, str] | None) -> Iterator[Told]:
        trace = self._trace
        context = self._propagator.extract(caller) if caller is not None else None
        kind = trace.SpanKind.SERVER if caller is not None else trace.SpanKind.INTERNAL
        with self._tracer.start_as_current_span(
            name, context=context, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:

            def tell(**told: Attribute) -> None:
                if "name" in told:
                    span.update_name(str(told.pop("name")))
                if told.pop("failed", False):
                    span.set_status(trace.StatusCode.ERROR)
                span.set_attributes(dotted(told))

            try:
                yield tell
            except Exception as exc:
                span.set_attribute("error.type", type(exc).__qualname__)
                span.set_status(trace.StatusCode.ERROR)
                raise

    def begin(self, name: str, attributes: Mapping[str, Attribute]) -> Told:
        span = self._tracer.start_span(name, attributes=attributes)

        def tell(**told: Attribute) -> None:
            if told:
                span.set_attributes(dotted(told))
            else:
                span.end()

        return tell

    def headers(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier

    def trace_id(self) -> str | None:
        context = self._trace.get_current_span().get_span_context()
        return self._trace.format_trace_id(context.trace_id) if context.is_valid else None
