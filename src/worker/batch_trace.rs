//! A batch in the log and in traces.
//!
//! A batch computes jobs of one request or of many. In the log, every line of its work names the first request, and
//! the groups and jobs of all; the line `queued` of a group has the id of its request. In traces, a batch is a child of
//! the span that queued its first job, or of the next one whose trace is kept, and is linked with those of the others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use tracing::Span;
use tracing::field::Empty;

use crate::error::Error;
use crate::limits::{LOGGED_NAMES, SPAN_LINKS};
use crate::queue::{Batch, JobRow, Queue, error_kind_name};
use crate::traces::{self, QueueWait, TraceParent};

/// Returns the span of a batch in the log. It is there at every level, so that no line goes without it.
pub(super) fn log_span(batch: &Batch) -> Span {
    let mut groups: Vec<&str> = Vec::new();
    for job in &batch.jobs {
        if !groups.contains(&job.name.group.as_str()) {
            groups.push(&job.name.group);
        }
    }
    let mut request = batch.request_id.clone().unwrap_or_else(|| "none".to_string());
    if groups.len() > 1 {
        request += &format!(" and {} more", groups.len() - 1);
    }
    let jobs = batch.jobs.iter().map(|job| job.name.to_string());
    let (groups, jobs) = (name_some(groups.into_iter().map(str::to_string)), name_some(jobs));
    tracing::error_span!("batch", request, set = batch.set, groups, jobs)
}

/// Lists the first names, and says how many more there are.
fn name_some(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(LOGGED_NAMES);
    let named = names.take(LOGGED_NAMES).collect::<Vec<_>>().join(",");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// Returns the span of a batch in its trace, and records how long its jobs waited. Without a collector, it does
/// nothing.
pub(super) async fn trace_span(queue: &Arc<dyn Queue>, batch: &Batch) -> Span {
    if !traces::is_exporting() {
        return Span::none();
    }
    let waits = queued_traces(queue, batch).await;
    let goes_on = waits.iter().find(|wait| wait.0.is_sampled).or(waits.first());
    let goes_on = goes_on.map(|wait| wait.0);
    let target = if batch.request.target.is_some() { "target" } else { "cache" };
    let span = tracing::info_span!(
        target: traces::TARGET, "batch", otel.kind = "consumer",
        otel.status_code = Empty, "error.type" = Empty,
        windrow.set = batch.set, windrow.symbols = count_symbols(batch), windrow.into = target,
        windrow.jobs = batch.jobs.len(),
    );
    if let Some(parent) = goes_on {
        traces::continue_trace(&span, parent);
    }
    for (parent, job) in waits.into_iter().filter(|(parent, _)| parent.is_sampled) {
        let (from, until) = (job.created, job.started.unwrap_or(job.created));
        let (from, until) = (queue_instant(from), queue_instant(until));
        traces::record_wait(
            &span,
            QueueWait { parent, from, until, goes_on: goes_on == Some(parent) },
        );
    }
    span
}

/// Records in the span of a batch that it failed.
pub(super) fn record_failure(span: &Span, error: &Error) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error_kind_name(error.kind()));
}

/// Returns the traces of the requests of a batch, up to [`SPAN_LINKS`], each with its first job.
async fn queued_traces<'b>(
    queue: &Arc<dyn Queue>,
    batch: &'b Batch,
) -> Vec<(TraceParent, &'b JobRow)> {
    let mut seen = BTreeSet::new();
    let firsts = batch.jobs.iter().filter(|job| seen.insert(job.group_id));
    let mut firsts = firsts.take(SPAN_LINKS);
    let parse = |text: Option<String>| text.as_deref().and_then(TraceParent::parse);
    let own = firsts.next().and_then(|job| Some((parse(batch.trace.clone())?, job)));
    let others = firsts.map(|job| async move {
        // A trace is not worth an error: a group that cannot be read has none.
        let group = queue.group(&job.name.group).await.ok().flatten();
        Some((parse(group?.trace)?, job))
    });
    own.into_iter().chain(join_all(others).await.into_iter().flatten()).collect()
}

fn count_symbols(batch: &Batch) -> usize {
    batch.jobs.iter().map(|job| &job.symbol).collect::<BTreeSet<_>>().len()
}

/// Returns a time of the queue's clock.
fn queue_instant(micros: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros.max(0).unsigned_abs())
}
