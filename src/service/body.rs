//! Bodies of requests: bounded, read in a bounded time, and JSON.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::error::{Error, group_digits};
use crate::limits::{BODY_BYTES, BODY_DRAINED, BODY_PATIENCE};

/// Reads a body as JSON.
pub(super) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<(T, Vec<u8>), Problem> {
    let media = headers.get(header::CONTENT_TYPE).map(|media| media.to_str().unwrap_or_default());
    let media = media.map(|media| media.split(';').next().unwrap_or_default().trim());
    if media.is_some_and(|media| !media.eq_ignore_ascii_case("application/json")) {
        let error =
            Error::usage("the body is not JSON").hint("send Content-Type: application/json");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error));
    }
    let bytes = match tokio::time::timeout(BODY_PATIENCE, read_bytes(body)).await {
        Ok(bytes) => bytes?,
        Err(_) => return Err(late_body(BODY_PATIENCE)),
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok((value, bytes)),
        Err(error) => Err(Problem::bad_request(
            format!("the body is wrong: {error}"),
            "GET /openapi.json describes it",
        )),
    }
}

/// Reads all bytes. Of a body that is too long, more is read and dropped, so that the caller reads the answer.
async fn read_bytes(body: Body) -> Result<Vec<u8>, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut length = 0;
    while let Some(chunk) = stream.next().await {
        let Ok(chunk) = chunk else {
            return Err(Problem::bad_request("the body ended early", "send the request again"));
        };
        length += chunk.len();
        if length <= BODY_BYTES {
            bytes.extend_from_slice(&chunk);
        } else if length > BODY_DRAINED {
            break;
        }
    }
    if length <= BODY_BYTES {
        return Ok(bytes);
    }
    let most = group_digits(BODY_BYTES as u64);
    let error = Error::usage(format!("the body has more than {most} bytes"));
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, &error.hint("send several requests")))
}

fn late_body(patience: Duration) -> Problem {
    let seconds = patience.as_secs();
    let error = Error::usage(format!("the body did not come within {seconds} s"));
    Problem::new(StatusCode::REQUEST_TIMEOUT, &error.hint("send the request again"))
}
