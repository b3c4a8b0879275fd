//! The HTTP client for object stores and web servers: it retries requests where that may help, slows
//! down when the server asks for it, and explains final failures in words.
//!
//! `object_store` builds, signs and interprets the requests. Its own retries are switched off, so that
//! each attempt is logged, counted and bounded in one place.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector, SpawnedReqwestConnector,
};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::retry::{CallError, Retry};
use crate::error::Error;
use crate::limits::{ANSWER_SILENCE, REQUESTS_AT_ONCE, SLOW_DOWN, SLOW_DOWN_PAUSE};
use crate::outside;

/// The minimum bytes per second of an upload and of an answer, below which they count as stuck.
const MIN_BYTES_PER_SECOND: [u64; 2] = [100_000, 10_000];

/// The hosts from which machines in a cloud fetch their credentials.
const METADATA_HOSTS: [&str; 3] = ["169.254.169.254", "169.254.170.2", "metadata.google.internal"];

/// Creates clients that retry their requests.
#[derive(Clone, Debug)]
pub(super) struct RetryingConnector {
    /// The bucket or the host, for messages.
    pub(super) name: String,
    /// The retry policy.
    pub(super) retry: Arc<Retry>,
    /// The runtime that drives the connections; None for that of the caller.
    pub(super) driver: Option<Handle>,
}

impl HttpConnector for RetryingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = match &self.driver {
            None => ReqwestConnector::default().connect(options)?,
            Some(driver) => SpawnedReqwestConnector::new(driver.clone()).connect(options)?,
        };
        Ok(HttpClient::new(RetryingService {
            client,
            pace: RequestThrottle::default(),
            permits: Semaphore::new(REQUESTS_AT_ONCE),
            name: self.name.clone(),
            retry: Arc::clone(&self.retry),
        }))
    }
}

#[derive(Debug)]
struct RetryingService {
    client: HttpClient,
    pace: RequestThrottle,
    permits: Semaphore,
    name: String,
    retry: Arc<Retry>,
}

#[async_trait]
impl HttpService for RetryingService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let method = request.method().as_str();
        // The query may contain a secret.
        let what = format!("{method} {}", request.uri().path());
        let host = request.uri().host().unwrap_or_default().to_string();
        let done = if METADATA_HOSTS.contains(&host.as_str()) {
            let asked =
                tokio::time::timeout(Duration::from_secs(3), self.send_once(&host, request));
            match asked.await {
                Ok(Ok(SendOutcome::Done(response))) => Ok(response),
                _ => Err(self.no_credentials()),
            }
        } else {
            self.retry
                .call_with_retries(&what, || self.attempt_request(&what, &host, request.clone()))
                .await
        };
        // `object_store` never retries this kind.
        done.map_err(|error| HttpError::new(HttpErrorKind::Decode, error))
    }
}

/// The outcome of one request.
enum SendOutcome {
    /// An answer that `object_store` interprets.
    Done(HttpResponse),
    /// The server is overloaded.
    SlowDown { why: String, after: Option<Duration> },
}

impl RetryingService {
    fn no_credentials(&self) -> Error {
        let set = match self.name.split(':').next() {
            Some("gs") => "GOOGLE_APPLICATION_CREDENTIALS",
            Some("az") => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
            _ => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE",
        };
        Error::target(format!("there are no credentials for {}", self.name)).hint(format!(
            "set {set}, or its keys under stores in windrow.yaml (anonymous: true for a public one)"
        ))
    }

    /// Makes one attempt, which repeats the request as often as the server asks to slow down.
    async fn attempt_request(
        &self,
        what: &str,
        host: &str,
        request: HttpRequest,
    ) -> Result<HttpResponse, CallError> {
        let since = Instant::now();
        loop {
            self.pace.wait_turn().await;
            let _permit = self.permits.acquire().await;
            let (why, after) = match self.send_once(host, request.clone()).await? {
                SendOutcome::Done(response) => {
                    self.pace.reset_after_success();
                    return Ok(response);
                }
                SendOutcome::SlowDown { why, after } => (why, after),
            };
            if since.elapsed() > SLOW_DOWN {
                let minutes = SLOW_DOWN.as_secs() / 60;
                return Err(Error::target(format!("{}: {why}, for {minutes} minutes", self.name))
                    .hint("run at another time, or with fewer --threads")
                    .into());
            }
            self.retry.count_retry(what, &why, self.pace.slow_down(after));
        }
    }

    async fn send_once(&self, host: &str, request: HttpRequest) -> Result<SendOutcome, CallError> {
        let name = match host.is_empty() || self.name.contains(host) {
            true => self.name.clone(),
            false => format!("{} at {host}", self.name),
        };
        let lost = |why: String| CallError {
            error: Error::target(format!("{name}: {why}"))
                .hint("check the endpoint, and that the server is up"),
            transient: true,
        };
        let (is_head, is_post) =
            (request.method().as_str() == "HEAD", request.method().as_str() == "POST");
        let asked = format!(" to {} {}", request.method(), request.uri().path());
        let in_part = request.headers().contains_key("range");
        let upload = request.body().content_length() as u64;
        let most = ANSWER_SILENCE + Duration::from_secs(upload / MIN_BYTES_PER_SECOND[0]);
        let sent = tokio::time::timeout(most, self.client.execute(request)).await;
        let response = sent
            .map_err(|_| lost(format!("no answer for {} s", most.as_secs())))?
            .map_err(|error| lost(describe_http_error(&error)))?;
        let (parts, body) = response.into_parts();
        if in_part && parts.status.as_u16() == 200 {
            // The server sent the whole object instead of a range: the caller decides whether to fetch it.
            return Ok(SendOutcome::Done(HttpResponse::from_parts(parts, Bytes::new().into())));
        }
        let mut bytes = BytesMut::new();
        let mut body = body.bytes_stream();
        let since = Instant::now();
        loop {
            let next = tokio::time::timeout(ANSWER_SILENCE, body.next()).await;
            let next = next.map_err(|_| {
                lost(format!("its answer stopped for {} s", ANSWER_SILENCE.as_secs()))
            })?;
            let Some(chunk) = next else { break };
            bytes.extend_from_slice(&chunk.map_err(|error| lost(describe_http_error(&error)))?);
            let fair =
                ANSWER_SILENCE + Duration::from_secs(bytes.len() as u64 / MIN_BYTES_PER_SECOND[1]);
            if since.elapsed() > fair {
                return Err(lost("its answer comes too slowly".to_string()));
            }
        }
        let bytes = bytes.freeze();
        let status = parts.status.as_u16();
        let after =
            parts.headers.get("retry-after").and_then(|after| after.to_str().ok()?.parse().ok());
        let said = ServerReply::parse_reply(status, if is_head { &[] } else { &bytes });
        // An answer with a successful status may still contain a server failure.
        let failed = is_post && said.code.as_deref().is_some_and(is_server_fault);
        match status {
            429 | 503 => {
                let after = after.map(Duration::from_secs);
                Ok(SendOutcome::SlowDown { why: format!("{name} answers {said}"), after })
            }
            _ if failed || status > 501 || matches!(status, 408 | 500) || said.is_conflict() => {
                Err(CallError {
                    error: Error::target(format!("{name} answers {said}"))
                        .hint("the server is at fault: try again later"),
                    transient: true,
                })
            }
            _ if said.is_refusal() => Err(self.refusal_error(&name, &said, &asked).into()),
            _ => Ok(SendOutcome::Done(HttpResponse::from_parts(parts, bytes.into()))),
        }
    }

    /// Explains a refusal to the user.
    fn refusal_error(&self, name: &str, said: &ServerReply, asked: &str) -> Error {
        let error = Error::target(format!("{name} answers {said}{asked}"));
        match (said.status, said.code.as_deref()) {
            (_, Some("NoSuchBucket" | "ContainerNotFound")) => {
                Error::target(format!("there is no {}", self.name))
                    .hint("correct its name, or create it")
            }
            (301 | 307 | 308, _) | (400, Some("AuthorizationHeaderMalformed")) => {
                error.hint("the bucket is in another region: set AWS_REGION, or region under stores in windrow.yaml")
            }
            (401 | 403, _) => error.hint(
                "check the credentials, and that they are allowed to list, read and write there",
            ),
            _ => error,
        }
    }
}

/// The reply of a server, with its own error code and message.
struct ServerReply {
    status: u16,
    code: Option<String>,
    message: Option<String>,
}

impl ServerReply {
    fn parse_reply(status: u16, body: &[u8]) -> Self {
        // An error is short, and an answer that is no error does not begin like one.
        let head = &body[..body.len().min(4096)];
        let text = String::from_utf8_lossy(head);
        let between = |tag: &str| {
            let (_, rest) = text.split_once(&format!("<{tag}>"))?;
            Some(rest.split_once('<')?.0.trim().to_string())
        };
        let is_error = !(200..300).contains(&status) || text.contains("<Error>");
        let found = |tag| if is_error { between(tag) } else { None };
        Self { status, code: found("Code"), message: found("Message") }
    }

    /// Returns whether two writers collided, which is transient.
    fn is_conflict(&self) -> bool {
        matches!(self.code.as_deref(), Some("ConditionalRequestConflict" | "OperationAborted"))
    }

    /// Returns whether the reply is a refusal that no caller can handle.
    fn is_refusal(&self) -> bool {
        let missing = matches!(self.code.as_deref(), Some("NoSuchBucket" | "ContainerNotFound"));
        missing || !matches!(self.status, 200..300 | 304 | 404 | 405 | 409 | 412 | 416 | 501)
    }
}

impl std::fmt::Display for ServerReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        match self.message.as_deref().filter(|message| !message.is_empty()) {
            Some(message) => write!(f, " ({})", message.trim_end_matches('.')),
            None => Ok(()),
        }
    }
}

fn is_server_fault(code: &str) -> bool {
    matches!(code, "InternalError" | "SlowDown" | "ServiceUnavailable")
}

/// Describes why a connection failed: the innermost cause is the most precise.
fn describe_http_error(error: &HttpError) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let what = match error.kind() {
        HttpErrorKind::Connect => "cannot connect",
        _ => "the connection broke",
    };
    format!("{what} ({last})")
}

/// The pace of requests: pauses that double while a server asks to slow down.
#[derive(Debug, Default)]
struct RequestThrottle(Mutex<(u32, Option<Instant>)>);

impl RequestThrottle {
    async fn wait_turn(&self) {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner).1;
        if let Some(until) = until {
            // Requests do not all resume at the same moment.
            let spread = outside::random_jitter(Duration::from_millis(200));
            if until > Instant::now() {
                tokio::time::sleep_until(until + spread).await;
            }
        }
    }

    /// Makes all requests pause, longer each time; returns the pause.
    fn slow_down(&self, after: Option<Duration>) -> Duration {
        let mut pace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(until) = pace.1.filter(|until| *until > now) {
            return until - now; // Another request already set this pause.
        }
        pace.0 = (pace.0 + 1).min(8);
        let bound = (Duration::from_millis(100) * 2_u32.pow(pace.0)).min(SLOW_DOWN_PAUSE);
        let wait = after.map_or(outside::random_jitter(bound), |after| after.min(SLOW_DOWN_PAUSE));
        pace.1 = Some(now + wait);
        wait
    }

    fn reset_after_success(&self) {
        let mut pace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.1.is_none_or(|until| until < Instant::now()) {
            *pace = (0, None);
        }
    }
}
