//! A small HTTP client over one socket for each request, which shows what came and hides nothing.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The time after which a silent server is an error.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server as one caller reaches it.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    pub(super) token: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// An answer whose body is still coming.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    framing: Framing,
    stream: BufReader<TcpStream>,
}

enum Framing {
    Length(usize),
    Chunks,
    UntilEnd,
    Over,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, token: None }
    }

    /// The same server for the owner of a token.
    pub(super) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.trim().to_string()), ..self.clone() }
    }

    pub(super) fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(20))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The bytes of a request.
    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        let names =
            |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        if !names("host") {
            head += &format!("Host: {}\r\n", self.address);
        }
        if let Some(token) = &self.token {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        [head.as_bytes(), body].concat()
    }

    /// Sends a request, and returns the answer once its head is there.
    pub(super) fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply> {
        let mut reply = self.open_bytes(&self.request(method, path, headers, body))?;
        if method == "HEAD" {
            reply.framing = Framing::Over;
        }
        Ok(reply)
    }

    /// Sends bytes. A server may answer and close before it has read all of them.
    pub(super) fn open_bytes(&self, bytes: &[u8]) -> Result<Reply> {
        let mut stream = self.connect()?;
        let written = stream.write_all(bytes);
        Reply::read(stream).map_err(|error| written.err().unwrap_or(error))
    }

    pub(super) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        self.open(method, path, headers, body)?.finish()
    }

    pub(super) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let sent = self.try_send(method, path, headers, body);
        sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// Posts JSON.
    pub(super) fn post(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.post_with(path, &[], body)
    }

    pub(super) fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &serde_json::Value,
    ) -> Answer {
        let mut all = vec![("Content-Type", "application/json")];
        all.extend(headers);
        self.send("POST", path, &all, body.to_string().as_bytes())
    }
}

impl Reply {
    /// Reads the head of an answer.
    pub(super) fn read(stream: TcpStream) -> Result<Self> {
        let mut stream = BufReader::new(stream);
        let wrong = |line: &str| Error::new(ErrorKind::InvalidData, format!("not HTTP: {line:?}"));
        let first = read_line(&mut stream)?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| wrong(&first))?;
        let mut headers = Vec::new();
        loop {
            let line = read_line(&mut stream)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| wrong(&line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
        }
        let find = |wanted: &str| {
            headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        let framing = match (find("transfer-encoding"), find("content-length")) {
            _ if matches!(status, 204 | 304) => Framing::Over,
            (Some(_), _) => Framing::Chunks,
            (None, Some(length)) => Framing::Length(length.parse().map_err(|_| wrong(length))?),
            (None, None) => Framing::UntilEnd,
        };
        Ok(Self { status, headers, framing, stream })
    }

    /// Returns the next part of the body; None at its end.
    pub(super) fn next_part(&mut self) -> Result<Option<Vec<u8>>> {
        let mut part = Vec::new();
        match self.framing {
            Framing::Over => return Ok(None),
            Framing::Length(length) => {
                part.resize(length, 0);
                self.stream.read_exact(&mut part)?;
                self.framing = Framing::Over;
            }
            Framing::UntilEnd => {
                self.stream.read_to_end(&mut part)?;
                self.framing = Framing::Over;
            }
            Framing::Chunks => {
                let line = read_line(&mut self.stream)?;
                let length = usize::from_str_radix(line.trim(), 16)
                    .map_err(|_| Error::new(ErrorKind::InvalidData, format!("chunk {line:?}")))?;
                part.resize(length, 0);
                self.stream.read_exact(&mut part)?;
                read_line(&mut self.stream)?;
                if length == 0 {
                    self.framing = Framing::Over;
                    return Ok(None);
                }
            }
        }
        Ok(Some(part))
    }

    /// Reads the rest. An answer that breaks off is an error.
    pub(super) fn finish(mut self) -> Result<Answer> {
        let mut body = Vec::new();
        while let Some(part) = self.next_part()? {
            body.extend(part);
        }
        Ok(Answer { status: self.status, headers: self.headers, body })
    }
}

fn read_line(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(Error::new(ErrorKind::UnexpectedEof, "the connection ended"));
    }
    line.pop_if(|last| *last == b'\r');
    String::from_utf8(line).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}

impl Answer {
    pub(super) fn header(&self, wanted: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|error| panic!("{} {}: {error}", self.status, self.text()))
    }

    /// The answer, which must have this status.
    pub(super) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The message of a problem, after a look at its form.
    pub(super) fn problem(&self, status: u16) -> serde_json::Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        for key in ["type", "title", "detail", "kind", "message"] {
            assert!(problem[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {problem}");
        }
        problem
    }
}
