//! `GET /groups/{id}/events`: the jobs of a group as they change, as server-sent events.
//!
//! The id of an event is the number of the change, which only grows, and that of the job: several jobs may change
//! together. A caller that comes back with `Last-Event-ID` gets every later event, and none twice.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::Span;

use super::jobs::{GroupReport, JobReport, find_group};
use super::parts::Segments;
use super::problem::{Problem, ProblemReport};
use super::state::Service;
use crate::error::{Error, Result as OwnResult};
use crate::limits::{EVENT_LOOK, EVENT_STREAMS};
use crate::queue::{GroupRow, GroupState};

/// The interval at which a comment keeps a silent connection alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[utoipa::path(
    get, path = "/groups/{id}/events", tag = "jobs",
    params(
        ("id" = String, Path),
        ("Last-Event-ID" = Option<String>, Header, pattern = "^[0-9]+\\.[0-9]+$", description = "The id of the last event that the caller knows.")
    ),
    responses(
        (status = 200, description = "Events `job` and `group`; the stream ends with the group.", content_type = "text/event-stream"),
        (status = "4XX", body = ProblemReport), (status = "5XX", body = ProblemReport)
    )
)]
pub(super) async fn group_events(
    State(service): State<Arc<Service>>,
    Segments(id): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seen = headers.get("last-event-id").map(|id| parse_event_id(id.to_str().ok()?));
    let seen = match seen {
        None => (0, 0),
        Some(Some(seen)) => seen,
        Some(None) => {
            let hint = "send the id of an event of this group";
            return Err(Problem::bad_request("Last-Event-ID is none of an event", hint));
        }
    };
    let group = find_group(&service, &id).await?;
    let permit = Arc::clone(streams()).try_acquire_owned().map_err(|_| {
        let error = Error::usage(format!("{EVENT_STREAMS} event streams are open, their bound"));
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, &error);
        problem.retry_after(10)
    })?;
    let arrivals = service.queue.arrivals();
    let feed = EventFeed {
        service,
        group,
        arrivals,
        // The change of the last event may have had more jobs.
        after: (seen.0 - 1).max(0),
        seen,
        told: None,
        ready: Vec::new(),
        ended: false,
        logged: Span::current(),
        _permit: permit,
    };
    let events = stream::unfold(feed, |mut feed| async move {
        let event = feed.next_event().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    let mut response =
        Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Reads the id of an event: the change and the number of the job, as `12.3`.
fn parse_event_id(text: &str) -> Option<(i64, u32)> {
    let (change, number) = text.split_once('.')?;
    Some((change.parse().ok().filter(|change| *change >= 0)?, number.parse().ok()?))
}

/// The streams of this process that are open.
fn streams() -> &'static Arc<Semaphore> {
    static STREAMS: std::sync::OnceLock<Arc<Semaphore>> = std::sync::OnceLock::new();
    STREAMS.get_or_init(|| Arc::new(Semaphore::new(EVENT_STREAMS)))
}

/// The events of one group for one caller.
struct EventFeed {
    service: Arc<Service>,
    group: GroupRow,
    arrivals: watch::Receiver<u64>,
    /// The last change whose jobs were all read.
    after: i64,
    /// The change and the job of the last event that the caller had before.
    seen: (i64, u32),
    /// The numbers of done and failed jobs that the caller knows.
    told: Option<(u32, u32)>,
    /// Events that are not sent yet, the next one last.
    ready: Vec<Event>,
    ended: bool,
    /// The span of the request in the log.
    logged: Span,
    _permit: OwnedSemaphorePermit,
}

impl EventFeed {
    /// Returns the next event; None at the end.
    async fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            match self.look().await {
                Ok(()) if self.ready.is_empty() && !self.ended => {
                    let _ = tokio::time::timeout(EVENT_LOOK, self.arrivals.changed()).await;
                }
                Ok(()) => {}
                Err(error) => {
                    // The caller comes back with the id of its last event.
                    tracing::warn!(parent: &self.logged, "{error}");
                    return None;
                }
            }
        }
    }

    /// Looks at the queue, and prepares the events of what changed.
    async fn look(&mut self) -> OwnResult<()> {
        self.arrivals.borrow_and_update();
        // The group first: changes that come later are seen with the next look.
        let group = self.service.queue.group(&self.group.name).await?;
        let Some(group) = group else {
            self.ended = true; // The history has forgotten it.
            return Ok(());
        };
        let changes = self.service.queue.changes(&self.group, self.after).await?;
        for job in &changes {
            self.after = self.after.max(job.change);
            if (job.change, job.name.number) <= self.seen {
                continue;
            }
            let id = format!("{}.{}", job.change, job.name.number);
            let event = Event::default().event("job").id(id);
            self.ready.extend(event.json_data(JobReport::from(job)).ok());
        }
        let known = (group.done, group.failed());
        if changes.is_empty() && group.state() != GroupState::Running {
            self.ended = true;
        }
        if self.told != Some(known) {
            self.told = Some(known);
            let event = Event::default().event("group");
            self.ready.extend(event.json_data(GroupReport::from(&group)).ok());
        }
        self.ready.reverse();
        Ok(())
    }
}
