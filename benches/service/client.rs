//! A client for HTTP/1.1 that costs little: one connection that stays, and answers read in place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Outcome;

/// The media type of rows as an Arrow stream.
pub(crate) const ARROW: &str = "application/vnd.apache.arrow.stream";
/// The media type of rows as JSON.
pub(crate) const JSON: &str = "application/json";

/// An answer; its body lies in a buffer of the connection.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Answer<'_> {
    /// Returns the body as text, shortened for messages.
    pub(crate) fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]);
        format!("{}: {text}", self.status)
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Outcome<serde_json::Value> {
        serde_json::from_slice(self.body).map_err(|_| self.excerpt().into())
    }

    /// Fails unless the status is this one.
    pub(crate) fn expect(&self, status: u16) -> Outcome<()> {
        match self.status == status {
            true => Ok(()),
            false => Err(format!("expected {status}, got {}", self.excerpt()).into()),
        }
    }
}

/// How the end of a body is known.
#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunks,
}

/// A connection that stays open between requests.
pub(crate) struct Connection {
    stream: TcpStream,
    /// The bytes that were received: a head, and what follows it.
    received: Vec<u8>,
    /// The bytes at the beginning that belong to an answer that was given out.
    used: usize,
    /// A body that came in chunks.
    joined: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(1 << 16), used: 0, joined: Vec::new() })
    }

    /// Sends the bytes of a request and reads its answer.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Outcome<Answer<'_>> {
        self.received.drain(..self.used);
        self.used = 0;
        self.stream.write_all(request).await?;
        let (status, head_end, framing) = self.read_head().await?;
        match framing {
            Framing::Length(length) => {
                while self.received.len() < head_end + length {
                    self.read_more().await?;
                }
                self.used = head_end + length;
                Ok(Answer { status, body: &self.received[head_end..self.used] })
            }
            Framing::Chunks => {
                self.joined.clear();
                let mut at = head_end;
                loop {
                    let (from, until) = self.read_chunk(at).await?;
                    self.joined.extend_from_slice(&self.received[from..until]);
                    at = until + 2;
                    if from == until {
                        break;
                    }
                }
                self.used = at;
                Ok(Answer { status, body: &self.joined })
            }
        }
    }

    /// Sends a GET request.
    pub(crate) async fn get(&mut self, path: &str, accept: &str) -> Outcome<Answer<'_>> {
        self.send(&get_request(path, accept)).await
    }

    /// Sends a POST request with a body in JSON.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        body: &serde_json::Value,
    ) -> Outcome<Answer<'_>> {
        self.send(&post_request(path, &body.to_string())).await
    }

    /// Queues jobs, and returns their group with the number of jobs.
    pub(crate) async fn queue_jobs(
        &mut self,
        body: &serde_json::Value,
    ) -> Outcome<(String, usize)> {
        let answer = self.post("/compute/batch", body).await?;
        answer.expect(202)?;
        let accepted = answer.json()?;
        let group = accepted["group_id"].as_str().ok_or("the answer has no group_id")?;
        let jobs = accepted["job_ids"].as_array().map_or(0, Vec::len);
        Ok((group.to_string(), jobs))
    }

    /// Waits for the end of a group by its events. Fails unless all its jobs are done. The connection is used up.
    pub(crate) async fn wait_for_group(mut self, group: &str) -> Outcome<usize> {
        let path = format!("/groups/{group}/events");
        self.stream.write_all(&get_request(&path, "text/event-stream")).await?;
        let (status, mut at, framing) = self.read_head().await?;
        if status != 200 || !matches!(framing, Framing::Chunks) {
            return Err(format!("{path} answered {status}").into());
        }
        let mut events = Vec::new();
        loop {
            let (from, until) = self.read_chunk(at).await?;
            if from == until {
                return Err(format!("the events of {group} ended before its jobs").into());
            }
            events.extend_from_slice(&self.received[from..until]);
            self.received.drain(..until + 2);
            at = 0;
            while let Some(end) = events.windows(2).position(|two| two == b"\n\n") {
                if let Some(done) = read_group_event(&events[..end])? {
                    return Ok(done);
                }
                events.drain(..end + 2);
            }
        }
    }

    /// Reads a chunk whose size stands at this place. Returns where its bytes are; the last chunk has none.
    async fn read_chunk(&mut self, at: usize) -> Outcome<(usize, usize)> {
        let mut searched = at;
        let from = loop {
            let unread = &self.received[searched.min(self.received.len())..];
            match unread.windows(2).position(|two| two == b"\r\n") {
                Some(end) => break searched + end + 2,
                None => searched = self.received.len().saturating_sub(1).max(at),
            }
            self.read_more().await?;
        };
        let size = std::str::from_utf8(&self.received[at..from - 2])?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)?;
        while self.received.len() < from + size + 2 {
            self.read_more().await?;
        }
        Ok((from, from + size))
    }

    /// Reads until the head of an answer is there. Returns the status, the end of the head, and the framing of the body.
    async fn read_head(&mut self) -> Outcome<(u16, usize, Framing)> {
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more().await?;
        };
        let head = std::str::from_utf8(&self.received[..end])?;
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let status = status.ok_or("an answer has no status")?;
        let framing = match (find_header(head, "content-length"), status) {
            (Some(length), _) => Framing::Length(length.parse()?),
            (None, 304) => Framing::Length(0),
            (None, _) => Framing::Chunks,
        };
        Ok((status, end, framing))
    }

    async fn read_more(&mut self) -> Outcome<()> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err("the service closed the connection".into()),
            _ => Ok(()),
        }
    }
}

/// Returns the value of a header.
fn find_header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.trim())
}

/// Returns the number of jobs of a group that has ended, if the event says so.
fn read_group_event(event: &[u8]) -> Outcome<Option<usize>> {
    let text = std::str::from_utf8(event)?;
    let mut lines = text.lines();
    if !lines.any(|line| line == "event: group") {
        return Ok(None);
    }
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
    let group: serde_json::Value = serde_json::from_str(data)?;
    match group["state"].as_str() {
        Some("running") => Ok(None),
        Some("done") => Ok(group["total"].as_u64().map(|total| total as usize)),
        _ => Err(format!("a group failed: {data}").into()),
    }
}

/// Returns the bytes of a GET request.
pub(crate) fn get_request(path: &str, accept: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\n\r\n").into_bytes()
}

/// Returns the bytes of a POST request with a body in JSON.
pub(crate) fn post_request(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Requests that several connections send, each one after the other.
pub(crate) trait Script: Send + Sync + 'static {
    /// Returns the request of this number.
    fn request(&self, number: u64) -> impl AsRef<[u8]> + Send;

    /// Checks the answer to the request of this number, which was sent at this time.
    fn check(&self, number: u64, sent: Instant, answer: &Answer<'_>) -> Outcome<()>;
}

/// What a script took.
pub(crate) struct Taken {
    /// The time of each request, sorted.
    pub(crate) times: Vec<Duration>,
    /// The time from the first request to the last answer.
    pub(crate) whole: Duration,
}

impl Taken {
    /// Returns the requests per second.
    pub(crate) fn rate(&self) -> f64 {
        self.times.len() as f64 / self.whole.as_secs_f64()
    }

    /// Returns the time below which this share of the requests lies, in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let at = (self.times.len() as f64 * share) as usize;
        let time = self.times.get(at.min(self.times.len().saturating_sub(1)));
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

/// How a script is played.
pub(crate) struct Pace {
    pub(crate) connections: usize,
    /// The requests at most.
    pub(crate) count: u64,
    /// The time after which no request is sent.
    pub(crate) time: Duration,
    /// The requests per second of all connections; None for as many as there are answers.
    pub(crate) rate: Option<f64>,
}

impl Pace {
    /// Returns the pace of so many requests, each as soon as its connection is free.
    pub(crate) fn count(connections: usize, count: usize) -> Self {
        Self { connections, count: count as u64, time: Duration::MAX, rate: None }
    }

    /// Returns the pace of requests for so long, each as soon as its connection is free.
    pub(crate) fn time(connections: usize, time: Duration) -> Self {
        Self { connections, count: u64::MAX, time, rate: None }
    }
}

/// Sends the requests of a script over several connections.
pub(crate) async fn play_script<S: Script>(
    address: SocketAddr,
    script: &Arc<S>,
    pace: &Pace,
) -> Outcome<Taken> {
    let next = Arc::new(AtomicU64::new(0));
    let mut opened = Vec::new();
    for _ in 0..pace.connections {
        opened.push(Connection::open(address).await?);
    }
    let began = Instant::now();
    let (count, time, rate) = (pace.count, pace.time, pace.rate);
    let senders = opened.into_iter().map(|mut connection| {
        let (next, script) = (Arc::clone(&next), Arc::clone(script));
        tokio::spawn(async move {
            let mut times = Vec::new();
            while began.elapsed() < time {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    break;
                }
                if let Some(rate) = rate {
                    let due = began + Duration::from_secs_f64(number as f64 / rate);
                    tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
                }
                let request = script.request(number);
                let sent = Instant::now();
                let answer = connection.send(request.as_ref()).await?;
                times.push(sent.elapsed());
                script.check(number, sent, &answer)?;
            }
            Ok::<_, crate::Failure>(times)
        })
    });
    let senders: Vec<_> = senders.collect();
    let mut times = Vec::new();
    for sender in senders {
        times.extend(sender.await??);
    }
    let whole = began.elapsed();
    times.sort_unstable();
    Ok(Taken { times, whole })
}
