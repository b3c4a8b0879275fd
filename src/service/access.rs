//! Tokens, scopes and rates, which decide about a request before any handler sees it; and a line in the log after it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use metrics::histogram;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::problem::Problem;
use super::state::Service;
use super::tokens::TokenScope;
use crate::error::Error;
use crate::outside;
use crate::traces::{self, TraceParent};
use crate::worker::name;

/// The header that carries the id of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The length of a request id that a caller may give.
const REQUEST_ID_LENGTH: usize = 128;

/// The one who sent a request.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The name of the token, or the address of an anonymous caller.
    pub(super) client: String,
    /// The trace that the request belongs to.
    pub(super) trace: Option<TraceParent>,
    /// The identifier of the request.
    pub(super) request_id: String,
}

/// The address of the peer of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Checks a request and passes it on. Adds the id of the request to the answer, and a line to the log.
pub(super) async fn guard_request(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let endpoint = matched.map_or_else(|| "other".to_string(), |path| path.as_str().to_string());
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let (mut response, client) = match identify(&service, &request, &endpoint, &id) {
        Ok(caller) => {
            let client = caller.client.clone();
            let span = request_span(&method, &endpoint, &id, caller.trace);
            request.extensions_mut().insert(caller);
            // The lines of the log on the way have the id of the request.
            let logged = tracing::error_span!("request", id);
            let answered = next.run(request).instrument(logged).instrument(span.clone());
            let response = answered.await;
            record_status(&span, response.status());
            (response, client)
        }
        Err(problem) => {
            // Whoever may not ask does not choose which traces are kept, either.
            let response = problem.into_response();
            record_status(&request_span(&method, &endpoint, &id, None), response.status());
            (response, String::new())
        }
    };
    let status = response.status().as_u16();
    let seconds = started.elapsed().as_secs_f64();
    let labels = [("endpoint", endpoint), ("status", status.to_string())];
    histogram!(name::HTTP_SECONDS, &labels).record(seconds);
    let milliseconds = seconds * 1e3;
    tracing::info!(request = id, client, %method, path, status, milliseconds, "answered");
    if method != Method::GET && method != Method::HEAD {
        tracing::info!(audit = true, request = id, client, %method, path, status, "write");
    }
    add_headers(response.headers_mut(), &id);
    response
}

fn add_headers(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Returns the id that the caller gave, if it is harmless, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let plain = |id: &&str| {
        !id.is_empty()
            && id.len() <= REQUEST_ID_LENGTH
            && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c))
    };
    given.filter(plain).map_or_else(
        || {
            let time = outside::utc_now().timestamp_micros();
            format!("{time:x}{:06x}", (outside::random_fraction() * 16_777_216.0) as u32)
        },
        str::to_string,
    )
}

/// Returns the span of a request, which goes on with the trace of its caller. Probes and the files of the page have
/// none.
fn request_span(method: &Method, endpoint: &str, id: &str, trace: Option<TraceParent>) -> Span {
    if is_open_endpoint(endpoint) {
        return Span::none();
    }
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    let known = known.contains(method) || *method == Method::OPTIONS || *method == Method::PATCH;
    let method = if known { method.as_str() } else { "_OTHER" };
    let span = tracing::info_span!(
        target: traces::TARGET, "request",
        otel.name = format!("{method} {endpoint}"), otel.kind = "server", otel.status_code = Empty,
        http.request.method = method, http.route = endpoint,
        http.response.status_code = Empty, windrow.request_id = id,
    );
    if let Some(trace) = trace {
        traces::continue_trace(&span, trace);
    }
    span
}

fn record_status(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// Returns whether an endpoint needs no token.
fn is_open_endpoint(endpoint: &str) -> bool {
    matches!(endpoint, "/" | "/page/{file}" | "/live" | "/ready" | "/metrics" | "/openapi.json")
}

/// Returns the scope that a request needs.
fn needed_scope(method: &Method, endpoint: &str) -> TokenScope {
    if endpoint.starts_with("/admin/") {
        TokenScope::Admin
    } else if *method == Method::GET || *method == Method::HEAD {
        TokenScope::Read
    } else {
        TokenScope::Compute
    }
}

fn identify(
    service: &Service,
    request: &Request,
    endpoint: &str,
    id: &str,
) -> Result<Caller, Problem> {
    let headers = request.headers();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_string());
    let trace = headers.get("traceparent").and_then(|text| text.to_str().ok());
    let trace = trace.and_then(TraceParent::parse);
    let caller = |client: String| Caller { client, trace, request_id: id.to_string() };
    if is_open_endpoint(endpoint) {
        return Ok(caller(peer.unwrap_or_default()));
    }
    let token = headers.get(header::AUTHORIZATION).and_then(|text| text.to_str().ok());
    let token = token.and_then(|text| text.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = token.map(|(_, token)| token);
    let caller = match token {
        None if service.is_open() => {
            check_local_host(headers)?;
            check_origin(service, request)?;
            caller(peer.unwrap_or_default())
        }
        None => {
            let error = Error::usage("the request has no token");
            let hint = "send it as `Authorization: Bearer TOKEN`; `windrow token new` makes one";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, &error.hint(hint)));
        }
        Some(token) => {
            let Some((name, scope)) = service.tokens.check(token.trim()) else {
                let error = Error::usage("the token is unknown or was revoked");
                let hint = "`windrow token new` makes another";
                return Err(Problem::new(StatusCode::UNAUTHORIZED, &error.hint(hint)));
            };
            let needed = needed_scope(request.method(), endpoint);
            if scope < needed {
                let error = Error::usage(format!(
                    "the token {name} has the scope {}, and the request needs {}",
                    scope.name(),
                    needed.name()
                ));
                return Err(Problem::new(StatusCode::FORBIDDEN, &error));
            }
            caller(name)
        }
    };
    check_rates(service, &caller.client, token.is_some())?;
    Ok(caller)
}

/// Refuses anonymous requests under another host name: a page elsewhere may have pointed its name at this machine.
fn check_local_host(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let local = name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if local || name.eq_ignore_ascii_case("localhost") || host.is_empty() {
        return Ok(());
    }
    let error = Error::usage(format!("requests without a token must name localhost, not {name}"));
    let hint = "use http://127.0.0.1 or http://localhost, or make a token with `windrow token new`";
    Err(Problem::new(StatusCode::FORBIDDEN, &error.hint(hint)))
}

/// Refuses writes of anonymous callers that a page of another origin sends: browsers send some of them unasked.
fn check_origin(service: &Service, request: &Request) -> Result<(), Problem> {
    if *request.method() == Method::GET || *request.method() == Method::HEAD {
        return Ok(());
    }
    let headers = request.headers();
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(&header::HOST).unwrap_or_default();
    let settings = service.settings();
    let is_allowed = |origin: &str| {
        origin.split_once("://").is_some_and(|(_, of)| of == host)
            || settings.config.serve.cors.iter().any(|allowed| allowed == origin)
    };
    let from_afar = match headers.get(header::ORIGIN) {
        Some(origin) => !origin.to_str().is_ok_and(is_allowed),
        None => text(&HeaderName::from_static("sec-fetch-site")) == Some("cross-site"),
    };
    if !from_afar {
        return Ok(());
    }
    let error = Error::usage("a page of another origin may not write without a token");
    let hint = "name its origin in serve.cors, or make a token with `windrow token new`";
    Err(Problem::new(StatusCode::FORBIDDEN, &error.hint(hint)))
}

fn check_rates(service: &Service, client: &str, has_token: bool) -> Result<(), Problem> {
    let settings = service.settings();
    let refused = |most: Option<u32>, whose: &str, wait: std::time::Duration| {
        let most = most.unwrap_or_default();
        let error = Error::usage(format!("{whose} may send {most} requests a second"));
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, &error.hint("send fewer"));
        problem.retry_after(wait.as_secs().max(1))
    };
    let clock = DefaultClock::default();
    let serve = &settings.config.serve;
    if let Some(limiter) = &settings.all_requests
        && let Err(until) = limiter.check()
    {
        return Err(refused(serve.max_requests, "all clients", until.wait_time_from(clock.now())));
    }
    // Anonymous callers are those of this machine, where one is all.
    let client = if has_token { client } else { "anonymous" };
    if let Some(limiter) = &settings.client_requests
        && let Err(until) = limiter.check_key(&client.to_string())
    {
        let wait = until.wait_time_from(clock.now());
        return Err(refused(serve.max_requests_per_client, "a client", wait));
    }
    Ok(())
}
