//! Sends the spans of the example host to a collector of OpenTelemetry, over OTLP.

use std::error::Error;

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _},
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracerProvider, Tracer},
};
use rocket_batch::{Relation, TraceParent, TracePropagator};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Connects the spans of the batches with OpenTelemetry.
pub struct OpenTelemetry;

impl TracePropagator for OpenTelemetry {
    fn connect(&self, span: &Span, position: &TraceParent, relation: Relation) {
        let Some(remote) = span_context(position) else { return };
        if relation == Relation::Batch {
            span.add_link(remote.clone());
        }
        // One trace has the request, and all work on its batch. Without this line, each attempt is
        // a trace of its own that is linked with the one of the request.
        let _ = span.set_parent(Context::new().with_remote_span_context(remote));
    }

    fn position(&self, span: &Span) -> Option<TraceParent> {
        let context = span.context();
        let context = context.span().span_context().clone();
        let flags = context.trace_flags().to_u8();
        format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()).parse().ok()
    }
}

fn span_context(position: &TraceParent) -> Option<SpanContext> {
    let trace = TraceId::from_hex(position.trace_id()).ok()?;
    let span = SpanId::from_hex(position.span_id()).ok()?;
    let flags = if position.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
    Some(SpanContext::new(trace, span, flags, true, TraceState::default()))
}

/// The exporter. Dropping it sends what is left.
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Sends spans to the collector at `endpoint`, such as `http://localhost:4318/v1/traces`.
    ///
    /// # Errors
    ///
    /// If `endpoint` is not a URL.
    pub fn to(endpoint: &str) -> Result<Self, Box<dyn Error>> {
        let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).with_protocol(Protocol::HttpJson);
        let process = KeyValue::new("service.instance.id", i64::from(std::process::id()));
        let resource = Resource::builder().with_service_name("shop").with_attribute(process).build();
        let provider = SdkTracerProvider::builder().with_resource(resource);
        Ok(Self(provider.with_batch_exporter(exporter.build()?).build()))
    }

    /// Makes the spans.
    pub fn tracer(&self) -> Tracer {
        self.0.tracer("rocket_batch")
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            eprintln!("The last spans could not be sent: {error}");
        }
    }
}
