//! The parts of a request's address: as their types, or as the problem that they are wrong.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The segments of a path, decoded after the route was chosen.
pub(super) struct Segments<T>(pub(super) T);

/// The query of an address.
pub(super) struct Choice<T>(pub(super) T);

const DESCRIBED: &str = "GET /openapi.json describes it";

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong = |error: PathRejection| {
            Problem::bad_request(format!("the address is wrong: {}", error.body_text()), DESCRIBED)
        };
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(segments)| Self(segments))
            .map_err(wrong)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Choice<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong = |error: QueryRejection| {
            Problem::bad_request(format!("the query is wrong: {}", error.body_text()), DESCRIBED)
        };
        Query::from_request_parts(parts, state).await.map(|Query(query)| Self(query)).map_err(wrong)
    }
}
