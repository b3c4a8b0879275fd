//! Spans of `tracing` as those of OpenTelemetry, which go to a collector by OTLP over HTTP.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags,
    TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};
use tokio::runtime::Handle;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::Layer;

use super::collector::{BoundedSpans, CollectorClient, CountedExporter, SpanCounts};
use super::{QueueWait, TARGET, TraceLayer, TraceParent};
use crate::config::TraceConfig;
use crate::error::{Error, Result};
use crate::limits::{COLLECTOR_PATIENCE, SPAN_LINKS, SPANS_PAUSE, SPANS_TOGETHER, SPANS_WAITING};
use crate::outside;

/// The maker of spans of this process, once it exports traces.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// The provider of spans, which sends them.
pub(super) struct Exporter {
    provider: SdkTracerProvider,
    counts: Arc<SpanCounts>,
}

impl Exporter {
    pub(super) fn end(self, within: Duration) {
        // The exporter tells what it could not send; what did not leave in time is told here.
        if self.provider.shutdown_with_timeout(within).is_err() {
            self.counts.lose_waiting();
        }
        self.counts.tell_rest();
    }
}

pub(super) fn start(
    config: &TraceConfig,
    control: Handle,
) -> Result<Option<(Exporter, TraceLayer)>> {
    let Some(endpoint) = &config.endpoint else { return Ok(None) };
    let wrong = |error: &dyn std::fmt::Display| {
        Error::usage(format!("traces cannot be sent to {endpoint}: {error}"))
    };
    let counts = Arc::new(SpanCounts::default());
    let client = CollectorClient::new(control, Arc::clone(&counts))?;
    let inner = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(COLLECTOR_PATIENCE)
        // A pause between attempts would hold up the shutdown.
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(|error| wrong(&error))?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(SPANS_WAITING)
        .with_max_export_batch_size(SPANS_TOGETHER)
        .with_scheduled_delay(SPANS_PAUSE)
        .build();
    let exporter = CountedExporter { inner, counts: Arc::clone(&counts) };
    let inner = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(BoundedSpans { inner, counts: Arc::clone(&counts) })
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            f64::from(config.sampled_per_million) / 1e6,
        ))))
        .with_max_links_per_span(SPAN_LINKS as u32)
        .with_resource(describe_process(config))
        .build();
    let tracer = provider.tracer("windrow");
    let _ = TRACER.set(tracer.clone());
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false);
    // Events are lines of the log, which may have more to tell than a trace should.
    let spans = filter_fn(|meta| meta.is_span() && meta.target() == TARGET);
    let layer = layer.with_filter(spans.with_max_level_hint(LevelFilter::INFO));
    Ok(Some((Exporter { provider, counts }, Box::new(layer))))
}

/// Returns what traces tell of this process.
fn describe_process(config: &TraceConfig) -> Resource {
    let instance = format!("{}:{}", outside::machine_name(), outside::process_id());
    Resource::builder()
        .with_service_name(config.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", instance))
        .build()
}

pub(super) fn is_exporting() -> bool {
    TRACER.get().is_some()
}

pub(super) fn continue_trace(span: &Span, parent: TraceParent) {
    if is_exporting() {
        let _ = span.set_parent(remote_context(parent));
    }
}

pub(super) fn parent_of(span: &Span) -> Option<TraceParent> {
    if !is_exporting() {
        return None;
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    own.is_valid().then(|| TraceParent {
        trace: u128::from_be_bytes(own.trace_id().to_bytes()),
        span: u64::from_be_bytes(own.span_id().to_bytes()),
        is_sampled: own.is_sampled(),
    })
}

pub(super) fn record_wait(batch: &Span, wait: QueueWait) {
    let Some(tracer) = TRACER.get() else { return };
    let QueueWait { parent, from, until, goes_on } = wait;
    let mut builder =
        SpanBuilder::from_name("queue wait").with_kind(SpanKind::Internal).with_start_time(from);
    if !goes_on {
        let context = batch.context();
        let own = context.span().span_context().clone();
        builder = builder.with_links(vec![Link::with_context(own)]);
        batch.add_link(remote_span(parent));
    }
    let mut span =
        opentelemetry::trace::Tracer::build_with_context(tracer, builder, &remote_context(parent));
    span.end_with_timestamp(until.max(from));
}

fn remote_context(parent: TraceParent) -> Context {
    Context::new().with_remote_span_context(remote_span(parent))
}

fn remote_span(parent: TraceParent) -> SpanContext {
    let flags = if parent.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let trace = TraceId::from_bytes(parent.trace.to_be_bytes());
    let span = SpanId::from_bytes(parent.span.to_be_bytes());
    SpanContext::new(trace, span, flags, true, TraceState::default())
}
