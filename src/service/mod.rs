//! The service: HTTP in front of the queue, the cache and the workers.
//!
//! `server.rs` has the connections, `router.rs` the addresses, `access.rs` what every request passes. A file for each
//! kind of request checks it, asks `queue`, `cache` and `worker`, and forms the answer: `compute.rs`, `jobs.rs`,
//! `events.rs`, `features.rs`, `many_features.rs` and `rows.rs`, `sets.rs`, `health.rs`, `admin.rs`, `page.rs`.
//! `startup.rs` opens the parts.
//!
//! Requests are answered by threads of their own, so that plans on the compute threads never make them wait.

mod access;
mod admin;
mod body;
mod compute;
mod events;
mod features;
mod health;
mod jobs;
mod many_features;
mod page;
mod parts;
mod pending;
mod problem;
mod router;
mod rows;
mod server;
mod sets;
mod startup;
mod state;
mod tokens;
mod warm_up;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::limits::CACHE_PRUNE_INTERVAL;
use server::Certificates;
use state::Service;

pub use startup::{QueuePlace, open_queue_to_read, queue_place, token_path};
pub use state::Reconfigure;
pub use tokens::{StoredToken, TokenScope, create_token, list_tokens, revoke_token};

/// The role of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It answers requests, and works unless it has no workers.
    Serve,
    /// It works; what listens has probes and metrics only.
    Work,
}

/// The options of a service beside its configuration.
pub struct ServeOptions {
    /// The role.
    pub role: Role,
    /// The address to listen on; None for a worker without probes.
    pub listen: Option<String>,
    /// True to serve off loopback without tokens or TLS.
    pub insecure: bool,
    /// Loads the configuration again, with the flags of the command line.
    pub reconfigure: Reconfigure,
}

/// The signals that a running service hears.
pub struct ServeSignals<Ends, Reloads> {
    /// Resolves when the service should end.
    pub end: Ends,
    /// Resolves each time that the configuration should be taken over.
    pub reload: Reloads,
}

/// Opens a service, calls `listening` with its address, and serves until told to end. Running batches then end within
/// the grace time, or go back to the queue.
///
/// # Errors
/// If a part cannot be opened, or the address may not be served like that.
pub async fn run_service<Ends, Reloads, Reload>(
    config: Config,
    options: ServeOptions,
    compute: Handle,
    listening: impl FnOnce(SocketAddr, bool),
    signals: ServeSignals<Ends, Reloads>,
) -> Result<()>
where
    Ends: Future<Output = ()>,
    Reloads: FnMut() -> Reload,
    Reload: Future<Output = ()>,
{
    let serve = config.serve.clone();
    queue_place(&config)?; // A wrong setting is told before the address is taken.
    let listener = match &options.listen {
        Some(address) => Some(server::open_listener(address).await?),
        None => None,
    };
    let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
    let local = address.as_ref().is_none_or(server::is_loopback);
    let tls = serve.tls.clone().filter(|_| options.role == Role::Serve);
    let tls = tls.map(Certificates::open).transpose()?;
    let anonymous = local || options.insecure;
    let service =
        startup::open_service(config, compute.clone(), anonymous, options.reconfigure).await?;
    if options.role == Role::Serve && !local && !options.insecure {
        check_open_address(&service, tls.is_some())?;
    }
    let workers = Arc::clone(&service.workers);
    let working = compute.spawn(Arc::clone(&workers).serve(service.worker_count));
    let pruning = tokio::spawn(prune_again(Arc::clone(&service)));
    let warming = tokio::spawn(warm_up::keep_warm(Arc::clone(&service)));
    if let Some(address) = address {
        listening(address, tls.is_some());
    }
    let router = match options.role {
        Role::Serve => router::service_router(&service),
        Role::Work => router::worker_router(&service),
    };
    let (closes, closed) = tokio::sync::oneshot::channel::<()>();
    let serving = listener.map(|listener| {
        let shutdown = async {
            let _ = closed.await;
        };
        tokio::spawn(server::serve_connections(listener, router, tls, shutdown, serve.grace))
    });
    wait_for_end(&service, signals).await;
    service.ready.store(false, Ordering::SeqCst);
    warming.abort();
    pruning.abort();
    workers.drain(serve.grace).await;
    let _ = closes.send(());
    if let Some(serving) = serving {
        let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
    }
    working.abort();
    Ok(())
}

/// Waits for the end, and reloads the configuration whenever it is told to.
async fn wait_for_end<Ends, Reloads, Reload>(
    service: &Service,
    signals: ServeSignals<Ends, Reloads>,
) where
    Ends: Future<Output = ()>,
    Reloads: FnMut() -> Reload,
    Reload: Future<Output = ()>,
{
    let ServeSignals { end, mut reload } = signals;
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return,
            () = reload() => {
                if let Err(error) = service.reload_settings() {
                    tracing::error!("nothing was reloaded: {error}");
                }
            }
        }
    }
}

/// Refuses an address that others reach, unless callers prove who they are and nobody listens in.
fn check_open_address(service: &Service, tls: bool) -> Result<()> {
    if service.tokens.is_empty() {
        return Err(Error::usage("other machines reach this address, and there is no token")
            .hint("make one: windrow token new NAME --scope admin; --insecure serves everybody"));
    }
    if !tls {
        return Err(Error::usage("other machines reach this address, and there is no TLS")
            .hint("set serve.tls in windrow.yaml; --insecure sends tokens and rows in the clear"));
    }
    Ok(())
}

/// Removes old entries of the cache again and again.
async fn prune_again(service: Arc<Service>) {
    loop {
        tokio::time::sleep(CACHE_PRUNE_INTERVAL).await;
        match service.cache.prune().await {
            Ok(_) => {}
            Err(error) => tracing::warn!("the cache was not tidied: {error}"),
        }
    }
}
