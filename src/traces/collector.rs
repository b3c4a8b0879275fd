//! The collector: requests with spans, and what is lost when it does not take them.
//!
//! Spans wait in a queue of a stated length. A thread of the SDK takes them from there and encodes them; the control
//! runtime sends them. So a collector that is slow or down never makes a request or a batch wait: its spans are
//! counted, and the log tells of them once in a while.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use opentelemetry::Context;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor};
use tokio::runtime::Handle;

use crate::error::{Error, Result, pluralize_count};
use crate::limits::{COLLECTOR_ANSWER, COLLECTOR_PATIENCE, SPANS_LOST_TOLD, SPANS_WAITING};

/// The spans that wait, and those that were lost.
#[derive(Debug, Default)]
pub(super) struct SpanCounts {
    waiting: AtomicUsize,
    lost: AtomicUsize,
    /// The time at which the log told of lost spans last.
    told: Mutex<Option<Instant>>,
    /// The reason why the last request to the collector failed.
    reason: Mutex<String>,
}

impl SpanCounts {
    /// Counts lost spans, and tells of all of them if the log did not for a while.
    fn lose(&self, spans: usize, reason: &str) {
        self.lost.fetch_add(spans, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= SPANS_LOST_TOLD) {
            *told = Some(Instant::now());
            drop(told);
            self.tell(reason);
        }
    }

    fn tell(&self, reason: &str) {
        let lost = pluralize_count(self.lost.swap(0, Ordering::Relaxed) as u64, "span");
        tracing::warn!("lost {lost} of traces: {reason}");
    }

    /// Tells of the spans that were lost since the log told of some.
    pub(super) fn tell_rest(&self) {
        if self.lost.load(Ordering::Relaxed) > 0 {
            self.tell("the collector did not take them");
        }
    }

    /// Counts the spans that never left, at the end.
    pub(super) fn lose_waiting(&self) {
        self.lost.fetch_add(self.waiting.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// The queue of spans, with its bound.
#[derive(Debug)]
pub(super) struct BoundedSpans {
    pub(super) inner: BatchSpanProcessor,
    pub(super) counts: Arc<SpanCounts>,
}

impl SpanProcessor for BoundedSpans {
    fn on_start(&self, span: &mut opentelemetry_sdk::trace::Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.counts.waiting.fetch_add(1, Ordering::Relaxed) >= SPANS_WAITING {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            let waiting = pluralize_count(SPANS_WAITING as u64, "span");
            self.counts.lose(1, &format!("{waiting} wait for the collector, their bound"));
            return;
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// The exporter of OTLP, whose failures are counted and told.
#[derive(Debug)]
pub(super) struct CountedExporter {
    pub(super) inner: opentelemetry_otlp::SpanExporter,
    pub(super) counts: Arc<SpanCounts>,
}

impl SpanExporter for CountedExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.inner.export(batch).await;
        // A shutdown that ran out of time has counted all that waited.
        let fewer = |waiting: usize| Some(waiting.saturating_sub(spans));
        let _ = self.counts.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        if exported.is_err() {
            let reason = self.counts.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
            self.counts.lose(spans, &reason);
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// The requests to the collector. No error names its address, which stands in the settings.
#[derive(Debug)]
pub(super) struct CollectorClient {
    client: reqwest::Client,
    control: Handle,
    counts: Arc<SpanCounts>,
}

impl CollectorClient {
    /// Creates a client that sends on the control runtime.
    ///
    /// # Errors
    /// If the system has no certificates that can be read.
    pub(super) fn new(control: Handle, counts: Arc<SpanCounts>) -> Result<Self> {
        // A redirection would pass the headers on, which may hold a token.
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let client = builder.timeout(COLLECTOR_PATIENCE).build().map_err(|error| {
            Error::data(format!("traces cannot be sent: {}", describe_error(&error.without_url())))
        })?;
        Ok(Self { client, control, counts })
    }

    async fn send(
        client: reqwest::Client,
        request: Request<Bytes>,
    ) -> std::result::Result<Response<Bytes>, String> {
        let text = |error: reqwest::Error| describe_error(&error.without_url());
        let request = reqwest::Request::try_from(request).map_err(text)?;
        let mut answer = client.execute(request).await.map_err(text)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(text)? {
            if body.len() + chunk.len() > COLLECTOR_ANSWER {
                return Err(format!(
                    "the collector answered with more than {COLLECTOR_ANSWER} bytes"
                ));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(
        &self,
        request: Request<Bytes>,
    ) -> std::result::Result<Response<Bytes>, HttpError> {
        let sent = self.control.spawn(Self::send(self.client.clone(), request));
        let sent = sent.await.unwrap_or_else(|_| Err("the request was given up".to_string()));
        let reason = match &sent {
            Ok(response) => format!("the collector answered {}", response.status()),
            Err(reason) => reason.clone(),
        };
        *self.counts.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        sent.map_err(HttpError::from)
    }
}

/// Returns an error with its causes, which have what it is about.
fn describe_error(error: &dyn std::error::Error) -> String {
    let mut text = format!("the collector was not reached: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}
