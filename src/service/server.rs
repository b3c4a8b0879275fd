//! Connections: bounded in number, in the size of their heads and in the time that these take; with TLS if configured.

use std::future::Future;
use std::io::BufReader;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::access::Peer;
use crate::config::TlsFiles;
use crate::error::{Error, Result};
use crate::limits::{CONNECTIONS, HEAD_BYTES, HEAD_PATIENCE};

/// The interval at which the files of a certificate are looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(10);

/// Opens the address that a service listens on.
///
/// # Errors
/// If the address is none, or another process has it.
pub(super) async fn open_listener(address: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        Error::usage(format!("cannot listen on {address}: {error}"))
            .hint("give another address with --listen, such as 127.0.0.1:8687")
    })
}

/// Returns whether an address is reached from this machine only.
pub(super) fn is_loopback(address: &SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

/// Serves connections until `shutdown` resolves; then lets open ones end within `grace`.
pub(super) async fn serve_connections(
    listener: TcpListener,
    router: Router,
    tls: Option<Certificates>,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let open = GracefulShutdown::new();
    let tls = tls.map(Arc::new);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Such as too many open files: those that end make room.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (router, watcher) = (router.clone(), open.watcher());
        let tls = tls.clone();
        tokio::spawn(async move {
            let _permit = permit;
            match tls {
                None => serve_stream(stream, peer, router, watcher).await,
                Some(tls) => {
                    if let Some(stream) = accept_tls(&tls, stream).await {
                        serve_stream(stream, peer, router, watcher).await;
                    }
                }
            }
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(grace, open.shutdown()).await;
}

/// Completes the handshake of a connection; None if the caller does not.
async fn accept_tls(
    tls: &Certificates,
    stream: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let accept = TlsAcceptor::from(tls.current()).accept(stream);
    match tokio::time::timeout(HEAD_PATIENCE, accept).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!("a connection ended during its handshake: {error}");
            None
        }
        Err(_) => None,
    }
}

async fn serve_stream(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let answer =
        hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(Peer(peer));
            router.clone().oneshot(request)
        });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(HEAD_BYTES);
    let connection = builder.serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!("a connection ended: {error}");
    }
}

/// A certificate that is read again when its files change.
pub(super) struct Certificates {
    files: TlsFiles,
    known: Mutex<KnownCertificate>,
}

struct KnownCertificate {
    config: Arc<ServerConfig>,
    stamps: [Option<SystemTime>; 2],
    looked: Instant,
}

impl Certificates {
    /// Reads a certificate and its key.
    ///
    /// # Errors
    /// If a file cannot be read, or they do not belong together.
    pub(super) fn open(files: TlsFiles) -> Result<Self> {
        let known = KnownCertificate {
            config: read_certificate(&files)?,
            stamps: file_stamps(&files),
            looked: Instant::now(),
        };
        Ok(Self { files, known: Mutex::new(known) })
    }

    fn current(&self) -> Arc<ServerConfig> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() >= CERTIFICATE_LOOK {
            known.looked = Instant::now();
            let stamps = file_stamps(&self.files);
            if stamps != known.stamps {
                match read_certificate(&self.files) {
                    Ok(config) => (known.config, known.stamps) = (config, stamps),
                    // The files may be half written: the old certificate stays until the next look.
                    Err(error) => tracing::warn!("{error}; the old certificate stays"),
                }
            }
        }
        Arc::clone(&known.config)
    }
}

fn file_stamps(files: &TlsFiles) -> [Option<SystemTime>; 2] {
    let stamp = |path: &Path| std::fs::metadata(path).ok()?.modified().ok();
    [stamp(&files.cert), stamp(&files.key)]
}

fn read_certificate(files: &TlsFiles) -> Result<Arc<ServerConfig>> {
    let wrong = |path: &Path, error: &dyn std::fmt::Display| {
        Error::usage(format!("{}: {error}", path.display()))
            .hint("serve.tls names the certificate and its private key, both as PEM")
    };
    let open = |path: &Path| {
        let file = std::fs::File::open(path).map_err(|error| wrong(path, &error))?;
        Ok::<_, Error>(BufReader::new(file))
    };
    let certificates = CertificateDer::pem_reader_iter(open(&files.cert)?);
    let certificates: std::result::Result<Vec<_>, _> = certificates.collect();
    let certificates = certificates.map_err(|error| wrong(&files.cert, &error))?;
    if certificates.is_empty() {
        return Err(wrong(&files.cert, &"it has no certificate"));
    }
    let key = PrivateKeyDer::from_pem_reader(open(&files.key)?)
        .map_err(|error| wrong(&files.key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&files.cert, &error))?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| wrong(&files.key, &error))?;
    Ok(Arc::new(config))
}
