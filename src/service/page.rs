//! The page: files that the program carries, so that it works without a network.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use include_dir::{Dir, include_dir};

use super::parts::Segments;
use super::problem::Problem;
use crate::error::Error;

static PAGE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/service/page");

/// `GET /`
pub(super) async fn get_page() -> Response {
    send_file("index.html")
}

/// `GET /page/{file}`
pub(super) async fn get_page_file(Segments(file): Segments<String>) -> Response {
    send_file(&file)
}

fn send_file(name: &str) -> Response {
    let media = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "",
    };
    match PAGE.get_file(name).filter(|_| !media.is_empty()) {
        Some(file) => {
            let headers = [(header::CONTENT_TYPE, media), (header::CACHE_CONTROL, "no-cache")];
            (headers, file.contents()).into_response()
        }
        None => {
            let error = Error::usage(format!("the page has no file {name}"));
            Problem::new(StatusCode::NOT_FOUND, &error).into_response()
        }
    }
}
