//! Errors of the service as RFC 9457 has them: `application/problem+json`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, Kind};
use crate::queue::{JobError, JobName, error_kind_name};
use crate::store::redact_passwords;

/// The seconds after which a caller may come again if nothing better is known.
const COME_AGAIN: u64 = 2;

/// An error on its way to a caller.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    report: Box<ProblemReport>,
    retry_after: Option<u64>,
}

/// An error as callers get it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemReport {
    /// The kind of problem as a URI; always `about:blank`.
    #[serde(rename = "type")]
    uri: &'static str,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The error in one sentence.
    detail: String,
    /// The one who must act: usage, query, data, target, timeout, interrupted, internal.
    kind: String,
    /// The same as `detail`.
    message: String,
    /// The way out, if one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The position in the file of a feature set, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

impl Problem {
    /// Creates a problem with a status.
    pub(super) fn new(status: StatusCode, error: &Error) -> Self {
        let message = redact_passwords(error.message());
        let report = ProblemReport {
            uri: "about:blank",
            title: status.canonical_reason().unwrap_or("Error").to_string(),
            status: status.as_u16(),
            detail: message.clone(),
            kind: error_kind_name(error.kind()).to_string(),
            message,
            hint: error.hint_text().map(redact_passwords),
            place: error.place().map(ToString::to_string),
        };
        Self { report: Box::new(report), retry_after: None }
    }

    /// Creates the problem of a job that ended without rows.
    pub(super) fn of_job(status: StatusCode, job: &JobName, error: &JobError) -> Self {
        let message = redact_passwords(&format!("the job {job} failed: {}", error.message));
        let mut problem = Self::new(status, &Error::data(message));
        problem.report.kind.clone_from(&error.kind);
        problem.report.hint.clone_from(&error.hint);
        problem.report.place.clone_from(&error.place);
        problem
    }

    /// Creates the problem of a wrong request.
    pub(super) fn bad_request(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, &Error::usage(message).hint(hint))
    }

    /// Returns the message.
    pub(super) fn message(&self) -> &str {
        &self.report.message
    }

    /// Says when the caller may come again.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Returns the problem with another status.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.report.status = status.as_u16();
        self.report.title = status.canonical_reason().unwrap_or("Error").to_string();
        self
    }
}

impl From<Error> for Problem {
    /// Takes the status from the one who must act.
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            _ if error.is_disk_full() => StatusCode::INSUFFICIENT_STORAGE,
            _ if error.is_transient() => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Usage => StatusCode::BAD_REQUEST,
            Kind::Query | Kind::Data => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Target => StatusCode::BAD_GATEWAY,
            Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Kind::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let problem = Self::new(status, &error);
        match status {
            StatusCode::SERVICE_UNAVAILABLE => problem.retry_after(COME_AGAIN),
            StatusCode::INTERNAL_SERVER_ERROR => {
                tracing::error!("{error}");
                problem
            }
            _ => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.report.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self.report)).into_response();
        let headers = response.headers_mut();
        let media = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, media);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"windrow\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
