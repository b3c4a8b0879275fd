//! An S3 server within the test process, whose requests can be made to fail.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// It is answered.
    Pass,
    /// It is answered, but the answer is lost.
    Lost,
    /// The connection is closed before anything is done.
    Cut,
    /// The server says this instead.
    Status(u16, &'static str),
    /// It is answered after a while.
    Late(Duration),
    /// It is answered as by servers that ignore conditions.
    Unconditional,
    /// It is a list, and has the ETags of the objects, as real servers send them.
    Tagged,
}

type Judge = Box<dyn FnMut(&str, &str) -> Fate + Send>;

/// One server with one bucket, `s3://bucket`.
pub(crate) struct Store {
    folder: tempfile::TempDir,
    port: u16,
    judge: Arc<Mutex<Judge>>,
    asked: Arc<Mutex<Vec<String>>>,
    busy: Arc<AtomicUsize>,
    /// The clients whose connections were accepted, in order.
    clients: Arc<Mutex<Vec<SocketAddr>>>,
    /// The number of clients, the earliest ones, that are dead: what they sent is not served any more.
    dead: Arc<AtomicUsize>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Store {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("KEY", "SECRET"));
        let service = builder.build();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let judge: Arc<Mutex<Judge>> = Arc::new(Mutex::new(Box::new(|_, _| Fate::Pass)));
        let asked = Arc::default();
        let root = folder.path().to_path_buf();
        let front = Front {
            folder: root,
            service,
            judge: Arc::clone(&judge),
            asked: Arc::clone(&asked),
            begun: Arc::default(),
            aborted: Arc::default(),
            busy: Arc::default(),
            client: 0,
            dead: Arc::default(),
        };
        let (busy, dead) = (Arc::clone(&front.busy), Arc::clone(&front.dead));
        let clients: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let accepted = Arc::clone(&clients);
        runtime.spawn(async move {
            while let Ok((socket, from)) = listener.accept().await {
                let mut front = front.clone();
                let mut accepted = accepted.lock().unwrap();
                accepted.push(from);
                front.client = accepted.len();
                drop(accepted);
                let _ = socket.set_nodelay(true);
                tokio::spawn(async move {
                    let builder = Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(socket), front).await;
                });
            }
        });
        Self { folder, port, judge, asked, busy, clients, dead, runtime: Some(runtime) }
    }

    /// What windrow.yaml says of it.
    pub(crate) fn yaml(&self) -> String {
        format!(
            "stores:\n  s3://bucket:\n    endpoint: http://127.0.0.1:{}\n    allow_http: true\n    access_key_id: KEY\n    secret_access_key: SECRET\n",
            self.port
        )
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The folder in which it has the bucket.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.folder.path().join("bucket")
    }

    /// The objects below a prefix, sorted, without what the server notes for itself.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let (root, mut found) = (self.bucket(), Vec::new());
        walk(&root.join(prefix), &mut found);
        let below =
            |path: &PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().to_string();
        let mut keys: Vec<String> = found.iter().map(below).collect();
        keys.retain(|key| !key.rsplit('/').next().unwrap().starts_with('.'));
        keys.sort();
        keys
    }

    /// Uploads that somebody began and nobody ended.
    pub(crate) fn uploads(&self) -> usize {
        let entries = std::fs::read_dir(self.folder.path()).unwrap().flatten();
        entries.filter(|e| e.file_name().to_string_lossy().starts_with(".upload_id")).count()
            + std::fs::read_dir(self.bucket())
                .unwrap()
                .flatten()
                .filter(|e| e.file_name().to_string_lossy().contains("upload_id"))
                .count()
    }

    /// Removes everything.
    pub(crate) fn empty(&self) {
        self.settle();
        std::fs::remove_dir_all(self.bucket()).unwrap();
        std::fs::create_dir(self.bucket()).unwrap();
        for entry in std::fs::read_dir(self.folder.path()).unwrap().flatten() {
            if entry.path().is_file() {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    /// Takes all clients so far for dead: what they sent and the server has not read yet is not served.
    pub(crate) fn bury_clients(&self) {
        // Connections are accepted in order: once this one is, all earlier ones are.
        let before = self.clients.lock().unwrap().len();
        let last = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let last = last.local_addr().unwrap();
        while !self.clients.lock().unwrap()[before..].contains(&last) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.dead.store(self.clients.lock().unwrap().len(), Ordering::SeqCst);
        self.settle();
    }

    /// Waits until no request is at work.
    pub(crate) fn settle(&self) {
        while self.busy.load(Ordering::SeqCst) > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Decides by method and path (with its query) what becomes of each request from now on.
    pub(crate) fn judge(&self, judge: impl FnMut(&str, &str) -> Fate + Send + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }

    /// The requests since the last time that it was asked for them: method and path.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What stands between clients and the server, which knows no list of uploads.
#[derive(Clone)]
struct Front {
    folder: PathBuf,
    service: S3Service,
    judge: Arc<Mutex<Judge>>,
    asked: Arc<Mutex<Vec<String>>>,
    begun: Arc<Mutex<Vec<(String, String)>>>,
    /// The uploads that somebody aborted.
    aborted: Arc<Mutex<Vec<(String, String)>>>,
    /// Requests that are at work.
    busy: Arc<AtomicUsize>,
    /// The number of the client of this connection, from 1.
    client: usize,
    /// The number of clients that are dead.
    dead: Arc<AtomicUsize>,
}

impl Front {
    /// Answers a request, also if nobody waits for it any more, and notes the uploads that are begun and ended.
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let this = self.clone();
        tokio::spawn(async move { this.answer_now(request).await }).await?
    }

    async fn answer_now(&self, request: Request<Incoming>) -> Answer {
        let (method, uri) = (request.method().to_string(), request.uri().clone());
        let query = uri.query().unwrap_or_default();
        let key = uri.path().trim_start_matches("/bucket").trim_matches('/').to_string();
        if method == "GET" && query.starts_with("uploads") {
            return Ok(self.list(query));
        }
        let again = |(_, id): &(String, String)| {
            method == "DELETE" && query.contains(&format!("uploadId={id}"))
        };
        let aborted = self.aborted.lock().unwrap().iter().find(|upload| again(upload)).cloned();
        if let Some((_, id)) = aborted {
            self.remove_parts(&id);
            return Ok(Response::builder().status(204).body(s3s::Body::empty()).unwrap());
        }
        let answer = Service::call(&self.service, request).await.map_err(Into::into);
        let ended = |(_, id): &(String, String)| query.contains(&format!("uploadId={id}"));
        match answer {
            Ok(response) if method == "POST" && query.starts_with("uploads") => {
                let (head, body) = response.into_parts();
                let bytes = body.collect().await.map_err(|_| "the answer broke off")?.to_bytes();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let id = text.split("<UploadId>").nth(1).and_then(|id| id.split('<').next());
                self.begun.lock().unwrap().extend(id.map(|id| (key, id.to_string())));
                Ok(Response::from_parts(head, s3s::Body::from(text)))
            }
            Ok(response) if query.contains("uploadId=") && method != "PUT" => {
                let mut begun = self.begun.lock().unwrap();
                if method == "DELETE" {
                    let aborted = begun.iter().filter(|begun| ended(begun)).cloned();
                    self.aborted.lock().unwrap().extend(aborted);
                }
                begun.retain(|begun| !ended(begun));
                drop(begun);
                Ok(response)
            }
            answer => answer,
        }
    }

    /// Answers a list of objects with their ETags, which are those of whole objects.
    async fn list_with_tags(&self, request: Request<Incoming>) -> Answer {
        use md5::{Digest, Md5};
        let (mut head, body) = self.answer(request).await?.into_parts();
        let bytes = body.collect().await.map_err(|_| "the answer broke off")?.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (before, items) = text.split_once("<Contents>").unwrap_or((&text, ""));
        let mut tagged = before.to_string();
        for item in items.split("<Contents>").filter(|item| !item.is_empty()) {
            let key = item.split("<Key>").nth(1).and_then(|key| key.split('<').next()).unwrap();
            let file = std::fs::read(self.folder.join("bucket").join(key)).unwrap_or_default();
            let tag =
                Md5::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            tagged += &format!("<Contents><ETag>&quot;{tag}&quot;</ETag>{item}");
        }
        head.headers.remove("content-length");
        Ok(Response::from_parts(head, s3s::Body::from(tagged)))
    }

    /// The files of the parts of an upload.
    fn parts(&self, id: &str) -> Vec<PathBuf> {
        let name = format!(".upload_id-{id}.");
        let files = std::fs::read_dir(&self.folder).unwrap().flatten();
        let of = |file: &std::fs::DirEntry| file.file_name().to_string_lossy().starts_with(&name);
        files.filter(of).map(|file| file.path()).collect()
    }

    fn remove_parts(&self, id: &str) {
        for part in self.parts(id) {
            let _ = std::fs::remove_file(part);
        }
    }

    /// The answer of `ListMultipartUploads`. As at real servers, an aborted upload is there while it has parts: one
    /// that was on its way then may come after the abort.
    fn list(&self, query: &str) -> Response<s3s::Body> {
        let prefix = query.split("prefix=").nth(1).and_then(|p| p.split('&').next()).unwrap();
        let prefix = percent_encoding::percent_decode_str(prefix).decode_utf8_lossy();
        let mut begun = self.begun.lock().unwrap().clone();
        let aborted = self.aborted.lock().unwrap().clone();
        begun.extend(aborted.into_iter().filter(|(_, id)| !self.parts(id).is_empty()));
        let found = begun.iter().filter(|(key, _)| key.starts_with(&*prefix));
        let upload = |(key, id): &(String, String)| {
            format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>")
        };
        let uploads: String = found.map(upload).collect();
        let text = format!(
            "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{uploads}</ListMultipartUploadsResult>"
        );
        Response::new(s3s::Body::from(text))
    }
}

type Answer = Result<Response<s3s::Body>, Box<dyn std::error::Error + Send + Sync>>;

impl Service<Request<Incoming>> for Front {
    type Response = Response<s3s::Body>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // The request counts as at work before it is judged: who learns of the verdict can wait for its end.
        self.busy.fetch_add(1, Ordering::SeqCst);
        let done = Done(Arc::clone(&self.busy));
        if self.client <= self.dead.load(Ordering::SeqCst) {
            return Box::pin(async { Err("the client is dead".into()) });
        }
        let (method, path) = (request.method().to_string(), request.uri().to_string());
        let fate = (self.judge.lock().unwrap())(&method, &path);
        self.asked.lock().unwrap().push(format!("{method} {path}"));
        let (front, folder) = (self.clone(), self.folder.clone());
        // As at real servers, a request that has arrived is served to its end, also when its client is gone.
        let served = async move {
            let _done = done;
            match fate {
                Fate::Pass => {}
                Fate::Late(wait) => tokio::time::sleep(wait).await,
                Fate::Cut => return Err("cut".into()),
                Fate::Status(status, code) => {
                    let text =
                        format!("<Error><Code>{code}</Code><Message>as asked</Message></Error>");
                    let response = Response::builder().status(status);
                    return Ok(response.body(s3s::Body::from(text)).unwrap());
                }
                Fate::Unconditional => {
                    // The header itself is signed.
                    if request.headers().contains_key("if-none-match") {
                        let _ = std::fs::remove_file(
                            folder.join(request.uri().path().trim_matches('/')),
                        );
                    }
                }
                Fate::Tagged => return front.list_with_tags(request).await,
                Fate::Lost => {
                    let _ = front.answer(request).await;
                    return Err("lost".into());
                }
            }
            front.answer(request).await
        };
        Box::pin(async { tokio::spawn(served).await? })
    }
}

/// A request that ends, however it ends.
struct Done(Arc<AtomicUsize>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A web server with some files.
pub(crate) struct Web {
    pub(crate) port: u16,
    /// Requests so far: method, path and range.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    /// Serves a folder; with `plain` it knows neither ranges nor HEAD.
    pub(crate) fn start(folder: PathBuf, plain: bool) -> Self {
        use std::io::{BufRead, BufReader, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let notes = Arc::clone(&asked);
        let serve = move |socket: std::net::TcpStream| {
            let mut lines =
                BufReader::new(socket.try_clone().unwrap()).lines().map_while(Result::ok);
            let mut socket = socket;
            while let Some(first) = lines.next() {
                let head: Vec<String> =
                    lines.by_ref().take_while(|line| !line.is_empty()).collect();
                let range = head.iter().find_map(|line| {
                    let line = line.to_lowercase();
                    let (from, to) = line.strip_prefix("range: bytes=")?.split_once('-')?;
                    Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?))
                });
                let mut words = first.split(' ');
                let (method, path) = (words.next().unwrap(), words.next().unwrap());
                notes.lock().unwrap().push(format!("{method} {path} {range:?}"));
                let name = path.split('?').next().unwrap().trim_matches('/').replace("%20", " ");
                let found = std::fs::read(folder.join(&name));
                // Its ETag is in the file of its name, if there is one.
                let tag = std::fs::read_to_string(folder.join(format!("{name}.etag")));
                let tag = tag.unwrap_or_default();
                let other = head.iter().any(|line| {
                    let line = line
                        .split_once(": ")
                        .filter(|(name, _)| name.eq_ignore_ascii_case("if-match"));
                    line.is_some_and(|(_, condition)| condition != tag)
                });
                let (status, more, body) = match (found, range) {
                    (Ok(_), _) if other => ("412 Precondition Failed", String::new(), Vec::new()),
                    (Err(_), _) => ("404 Not Found", String::new(), Vec::new()),
                    _ if plain && method == "HEAD" => ("405 No", String::new(), Vec::new()),
                    (Ok(bytes), Some((from, _))) if !plain && from >= bytes.len() => {
                        ("416 Range Not Satisfiable", String::new(), Vec::new())
                    }
                    (Ok(bytes), Some((from, to))) if !plain => {
                        let to = to.min(bytes.len() - 1);
                        let more = format!("Content-Range: bytes {from}-{to}/{}\r\n", bytes.len());
                        ("206 Partial Content", more, bytes[from..=to].to_vec())
                    }
                    (Ok(bytes), _) => ("200 OK", String::new(), bytes),
                };
                let length = body.len();
                // As old as the file of its name says, if there is one.
                let age = std::fs::read_to_string(folder.join(format!("{name}.date")))
                    .unwrap_or_default();
                let date = if age.is_empty() { age } else { format!("Last-Modified: {age}\r\n") };
                let tag = if tag.is_empty() { tag } else { format!("ETag: {tag}\r\n") };
                let date = date + &tag;
                let head =
                    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{date}{more}\r\n");
                let body = if method == "HEAD" { Vec::new() } else { body };
                if socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&body)).is_err()
                {
                    return;
                }
            }
        };
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let serve = serve.clone();
                std::thread::spawn(move || serve(socket));
            }
        });
        Self { port, asked }
    }
}
