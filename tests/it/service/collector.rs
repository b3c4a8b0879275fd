//! A collector of OpenTelemetry that keeps the spans that it is sent: OTLP over HTTP, as protobuf.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// A span as it came.
#[derive(Clone, Debug)]
pub(super) struct SentSpan {
    pub(super) name: String,
    pub(super) trace: String,
    pub(super) id: String,
    /// The parent; empty for none.
    pub(super) parent: String,
    pub(super) kind: i32,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) failed: bool,
    pub(super) attributes: BTreeMap<String, String>,
    /// Traces and spans that it is linked with.
    pub(super) links: Vec<(String, String)>,
    /// The attributes of the process.
    pub(super) resource: BTreeMap<String, String>,
}

/// The spans that came to a collector.
#[derive(Default)]
struct Received {
    spans: Vec<SentSpan>,
    /// The heads and bodies of all requests.
    bytes: Vec<u8>,
}

/// A collector on a port of its own, until the tests end.
pub(super) struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    /// A collector that takes everything.
    pub(super) fn start() -> Self {
        Self::answering(Some("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    }

    /// A collector that gives an answer, or none at all.
    pub(super) fn answering(answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Received>> = Arc::default();
        let kept = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || while take_request(&stream, &kept, answer).is_some() {});
            }
        });
        Self { address, received }
    }

    /// The address for settings.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn spans(&self) -> Vec<SentSpan> {
        self.received.lock().unwrap().spans.clone()
    }

    /// Everything that came, as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.received.lock().unwrap().bytes).into_owned()
    }
}

/// Reads one request and answers it; None at the end of the connection.
fn take_request(
    mut stream: &TcpStream,
    received: &Mutex<Received>,
    answer: Option<&str>,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains("content-type: application/x-protobuf\r\n"), "{head}");
    let length = lower.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    let spans = read_spans(&body);
    let mut received = received.lock().unwrap();
    received.bytes.extend_from_slice(head.as_bytes());
    received.bytes.extend_from_slice(&body);
    received.spans.extend(spans);
    drop(received);
    match answer {
        Some(answer) => stream.write_all(answer.as_bytes()).ok(),
        None => {
            std::thread::park();
            None
        }
    }
}

fn read_spans(body: &[u8]) -> Vec<SentSpan> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut spans = Vec::new();
    for of_process in request.resource_spans {
        let resource = texts(of_process.resource.unwrap_or_default().attributes);
        let sent = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(sent.map(|span| read_span(span, &resource)));
    }
    spans
}

fn read_span(span: Span, resource: &BTreeMap<String, String>) -> SentSpan {
    let links = span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id)));
    SentSpan {
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        kind: span.kind,
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        failed: span.status.as_ref().is_some_and(|status| status.code == 2),
        links: links.collect(),
        name: span.name,
        attributes: texts(span.attributes),
        resource: resource.clone(),
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
