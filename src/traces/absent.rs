//! A windrow that was built without the feature `otlp` has this file in place of `export.rs`, and no traces.

use std::time::Duration;

use tokio::runtime::Handle;
use tracing::Span;

use super::{QueueWait, TraceLayer, TraceParent};
use crate::config::TraceConfig;
use crate::error::Result;

/// No exporter.
pub(super) enum NoExporter {}

impl NoExporter {
    pub(super) fn end(self, _: Duration) {
        match self {}
    }
}

pub(super) fn start(_: &TraceConfig, _: Handle) -> Result<Option<(NoExporter, TraceLayer)>> {
    Ok(None)
}

pub(super) fn is_exporting() -> bool {
    false
}

pub(super) fn continue_trace(_: &Span, _: TraceParent) {}

pub(super) fn parent_of(_: &Span) -> Option<TraceParent> {
    None
}

pub(super) fn record_wait(_: &Span, _: QueueWait) {}
