//! The answer to a request for rows that are still computed.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The answer while the rows are computed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Pending {
    /// The job that computes the rows; of many symbols, the first one.
    pub(super) job_id: String,
    /// The group of the job.
    pub(super) group_id: String,
    /// The expected seconds until it has ended; null while nothing was measured.
    pub(super) estimated_completion_time: Option<f64>,
}

/// Returns the answer 202, which names the job or the group (`kind`).
pub(super) fn pending_answer(pending: Pending, kind: &str) -> Response {
    let id = if kind == "jobs" { &pending.job_id } else { &pending.group_id };
    let location = format!("/{kind}/{id}");
    let seconds = pending.estimated_completion_time.unwrap_or(1.0).ceil().clamp(1.0, 60.0) as u64;
    let headers = [
        (header::LOCATION, location),
        (header::RETRY_AFTER, seconds.to_string()),
        (header::CACHE_CONTROL, "no-store".to_string()),
    ];
    (StatusCode::ACCEPTED, headers, Json(pending)).into_response()
}
