//! All addresses of the service, and what every request passes on its way.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;
use super::state::Service;
use super::{access, admin, compute, events, features, health, jobs, many_features, page, sets};
use crate::error::{Error, Kind};
use crate::limits::{ANSWER_PATIENCE, WAIT_LONGEST};

/// The description of the service.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "windrow",
        description = "Features of market data: durable jobs, exact results, no look-ahead.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "jobs", description = "Requests to compute features, and what became of them."),
        (name = "features", description = "Rows of features."),
        (name = "sets", description = "What can be computed, and what targets hold."),
        (name = "service", description = "Health, metrics and settings."),
    )
)]
struct ApiDocument;

/// Returns the routes of the service, and their description as JSON.
fn api_routes() -> (Router<Arc<Service>>, String) {
    let (router, document) = OpenApiRouter::with_openapi(ApiDocument::openapi())
        .routes(routes!(compute::compute_batch))
        .routes(routes!(jobs::list_jobs))
        .routes(routes!(jobs::get_job, jobs::cancel_job))
        .routes(routes!(jobs::get_group, jobs::cancel_group))
        .routes(routes!(events::group_events))
        .routes(routes!(features::get_features))
        .routes(routes!(many_features::get_many_features))
        .routes(routes!(sets::list_sets))
        .routes(routes!(sets::get_set))
        .routes(routes!(sets::list_functions))
        .routes(routes!(sets::list_targets))
        .routes(routes!(health::get_health))
        .routes(routes!(health::is_live))
        .routes(routes!(health::is_ready))
        .routes(routes!(health::get_metrics))
        .routes(routes!(admin::reload))
        .split_for_parts();
    (router, describe_routes(document))
}

/// Returns the description as JSON. All errors are problems, whose media type stands here once for all addresses; and a
/// parameter that may be left out is not one that may be null.
fn describe_routes(document: utoipa::openapi::OpenApi) -> String {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter();
    let operations = paths.flat_map(|paths| paths.values_mut()).filter_map(Value::as_object_mut);
    for operation in operations.flat_map(|path| path.values_mut()) {
        let params = operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter();
        for kinds in params.flatten().filter_map(|param| param.pointer_mut("/schema/type")) {
            if let Some(list) = kinds.as_array_mut() {
                list.retain(|kind| kind != "null");
            }
        }
        for status in ["4XX", "5XX"] {
            let content = operation.pointer_mut(&format!("/responses/{status}/content"));
            let Some(content) = content.and_then(Value::as_object_mut) else { continue };
            if let Some(problem) = content.remove("application/json") {
                content.insert("application/problem+json".to_string(), problem);
            }
        }
    }
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// Returns the router of a service.
pub(super) fn service_router(service: &Arc<Service>) -> Router {
    let (routes, document) = api_routes();
    let json = [(header::CONTENT_TYPE, "application/json")];
    let document = move || async move { (json, document) };
    let router = routes
        .route("/openapi.json", get(document))
        .route("/", get(page::get_page))
        .route("/page/{file}", get(page::get_page_file));
    finish_router(router, service)
}

/// Returns the router of a process that only works: probes and metrics.
pub(super) fn worker_router(service: &Arc<Service>) -> Router {
    let router = Router::new()
        .route("/health", get(health::get_health))
        .route("/live", get(health::is_live))
        .route("/ready", get(health::is_ready))
        .route("/metrics", get(health::get_metrics));
    finish_router(router, service)
}

fn finish_router(router: Router<Arc<Service>>, service: &Arc<Service>) -> Router {
    let origins = &service.settings().config.serve.cors;
    let origins: Vec<HeaderValue> =
        origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    let cors = CorsLayer::new()
        .allow_origin(origins.clone())
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([header::ETAG, header::LOCATION, header::RETRY_AFTER]);
    let router = router
        .fallback(unknown_address)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(limit_time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(Arc::clone(service), access::guard_request));
    let router = if origins.is_empty() { router } else { router.layer(cors) };
    router.with_state(Arc::clone(service))
}

async fn unknown_address(uri: Uri) -> Problem {
    let error = Error::usage(format!("there is nothing at {}", uri.path()));
    Problem::new(StatusCode::NOT_FOUND, &error.hint("GET /openapi.json lists all addresses"))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let error = Error::usage(format!("{} does not take {method}", uri.path()));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, &error.hint("GET /openapi.json lists the methods"))
}

/// Gives up an answer that does not begin in time. Events have no such bound: their answers begin at once.
async fn limit_time(request: Request, next: Next) -> Response {
    let patience: Duration = ANSWER_PATIENCE + WAIT_LONGEST;
    let patience = match request.uri().query().is_some_and(|query| query.contains("wait=")) {
        true => patience,
        false => ANSWER_PATIENCE,
    };
    match tokio::time::timeout(patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let seconds = patience.as_secs();
            let error = Error::new(Kind::Timeout, format!("the answer took more than {seconds} s"));
            Problem::from(error).into_response()
        }
    }
}

/// Answers in place of a handler that panicked.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    let error = Error::internal("the request made the service panic");
    Problem::from(error).into_response()
}
