//! Traces: spans of a request from its answer through the queue to the commit of its jobs, and their way to a
//! collector.
//!
//! Other rooms mark their steps by spans of `tracing` with the target `TARGET`. Without a collector no such span is
//! made, and the macros cost nothing. A trace crosses the queue as the text of a `TraceParent`, so that it goes on in
//! the process that computes. `export.rs` turns the spans into those of OpenTelemetry and sends them;
//! without the feature `otlp`, `absent.rs` stands in its place. Spans hold no secret, no SQL and no text of an error.

#[cfg(not(feature = "otlp"))]
mod absent;
#[cfg(feature = "otlp")]
mod collector;
#[cfg(feature = "otlp")]
mod export;
mod parent;

use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tracing::{Instrument, Span};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::Layer;

use crate::config::TraceConfig;
use crate::error::Result;
#[cfg(not(feature = "otlp"))]
use absent::{self as backend, NoExporter as Exporter};
#[cfg(feature = "otlp")]
use export::{self as backend, Exporter};

pub use parent::TraceParent;

/// The target of spans that belong to traces. The log leaves them out.
pub const TARGET: &str = "windrow::traces";

/// The layer that turns spans of [`TARGET`] into those of traces.
pub type TraceLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The traces of this process on their way to a collector.
pub struct TraceExport(Exporter);

impl TraceExport {
    /// Starts to export traces, if the settings name a collector. The layer belongs to the subscriber of the process.
    /// `control` is the runtime that sends.
    ///
    /// # Errors
    /// If the system refuses what that needs.
    pub fn start(config: &TraceConfig, control: Handle) -> Result<Option<(Self, TraceLayer)>> {
        let started = backend::start(config, control)?;
        Ok(started.map(|(exporter, layer)| (Self(exporter), layer)))
    }

    /// Sends the spans that wait, and ends. Those that the collector does not take within the time are lost.
    pub fn end(self, within: Duration) {
        self.0.end(within);
    }
}

/// Returns whether this process exports traces.
pub fn is_exporting() -> bool {
    backend::is_exporting()
}

/// Lets a future run in a span of a trace. The span of the log around it stays the current one: tasks that the future
/// starts in their own right carry that one along, and the log sees no other.
pub fn trace_work<F: Future>(span: Span, work: F) -> impl Future<Output = F::Output> {
    let around = Span::current();
    work.instrument(around).instrument(span)
}

/// Lets a future run in a span for a step of the work, below that of the work itself.
pub fn trace_step<F: Future>(name: &'static str, work: F) -> impl Future<Output = F::Output> {
    trace_work(tracing::info_span!(target: TARGET, "step", otel.name = name), work)
}

/// Makes a span that has not begun the child of a span of another process.
pub fn continue_trace(span: &Span, parent: TraceParent) {
    backend::continue_trace(span, parent);
}

/// Returns what makes spans of other processes children of a span; None if it belongs to no trace.
pub fn parent_of(span: &Span) -> Option<TraceParent> {
    backend::parent_of(span)
}

/// The time in which jobs of a request waited in the queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueWait {
    /// The span that put them there.
    pub parent: TraceParent,
    /// The time of the request, by the clock of the queue.
    pub from: SystemTime,
    /// The time of the claim, by the same clock.
    pub until: SystemTime,
    /// True if the batch that took the jobs is a child of the same span. The others are linked with it.
    pub goes_on: bool,
}

/// Records that jobs waited, and that the batch of a span has taken them.
pub fn record_wait(batch: &Span, wait: QueueWait) {
    backend::record_wait(batch, wait);
}
