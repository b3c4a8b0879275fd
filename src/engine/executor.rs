//! The threads of the program: all runtimes are created here.
//!
//! The *compute pool* runs plans; its workers may compute for a long time without yielding. Work that must not wait
//! for them runs on the *control runtime*, one thread that never computes: signals, time limits, and the renewals
//! of a lease.

use std::any::Any;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use datafusion::common::runtime::{JoinSetTracer, set_join_set_tracer};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument, Span};

use crate::error::{Error, Kind, Result};
use crate::limits::{FILE_THREADS, PLAN_STACK};
use crate::stop::{Stop, Stopper};

/// Creates a compute pool of `workers` threads.
///
/// # Errors
/// If the system starts no threads.
pub fn compute(workers: usize) -> Result<Runtime> {
    Builder::new_multi_thread()
        .thread_name("compute")
        .worker_threads(workers.max(1))
        .max_blocking_threads(workers.max(1) + FILE_THREADS)
        .thread_stack_size(PLAN_STACK)
        .enable_all()
        .build()
        .map_err(thread_start_error)
}

/// Creates the threads that answer requests of a service, apart from those that compute.
///
/// # Errors
/// If the system starts no threads.
pub fn answer(threads: usize) -> Result<Runtime> {
    Builder::new_multi_thread()
        .thread_name("answer")
        .worker_threads(threads.max(2))
        .max_blocking_threads(threads.max(2) + FILE_THREADS)
        .thread_stack_size(PLAN_STACK)
        .enable_all()
        .build()
        .map_err(thread_start_error)
}

/// Lets the tasks that plans start belong to the spans that they were started in, so that the lines of the log on the
/// way to a row name the batch that it belongs to.
pub fn carry_spans() {
    // The only error is that it was done before.
    let _ = set_join_set_tracer(&SpanCarrier);
}

/// Carries the current span into tasks of DataFusion.
struct SpanCarrier;

impl JoinSetTracer for SpanCarrier {
    fn trace_future(
        &self,
        task: BoxFuture<'static, Box<dyn Any + Send>>,
    ) -> BoxFuture<'static, Box<dyn Any + Send>> {
        task.in_current_span().boxed()
    }

    fn trace_block(
        &self,
        block: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
    ) -> Box<dyn FnOnce() -> Box<dyn Any + Send> + Send> {
        let span = Span::current();
        Box::new(move || span.in_scope(block))
    }
}

/// Returns the control runtime, which is created on first use and lives as long as the process.
///
/// # Errors
/// If the system starts no thread.
pub fn control_handle() -> Result<Handle> {
    static CONTROL: Mutex<Option<Runtime>> = Mutex::new(None);
    let mut made = CONTROL.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = match made.take() {
        Some(runtime) => runtime,
        None => {
            let mut builder = Builder::new_multi_thread();
            let builder = builder.thread_name("control").worker_threads(1);
            builder.max_blocking_threads(1).enable_all().build().map_err(thread_start_error)?
        }
    };
    let handle = runtime.handle().clone();
    *made = Some(runtime);
    Ok(handle)
}

/// Returns the error of a system that starts no thread.
pub fn thread_start_error(error: std::io::Error) -> Error {
    Error::new(Kind::Data, format!("cannot start threads: {error}"))
        .hint("raise the limits of this user (ulimit -u, -n, -v), or lower --threads")
}

/// Watches for Ctrl-C, SIGTERM and the time limit. The returned [`Stop`] then stops the work, which has `grace` to
/// leave everything as it was. After that the receiver resolves with the reason.
///
/// # Errors
/// If the system starts no thread.
pub fn spawn_stop_watcher(
    limit: Option<Duration>,
    grace: Duration,
) -> Result<(Stop, oneshot::Receiver<Kind>)> {
    let (stopper, stop) = Stopper::new();
    let (ends, over) = oneshot::channel();
    control_handle()?.spawn(async move {
        let deadline = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            () = wait_for_signal() => Kind::Interrupted,
            () = deadline => Kind::Timeout,
        };
        stopper.stop(why);
        tokio::time::sleep(grace).await;
        let _ = ends.send(why);
    });
    Ok((stop, over))
}

/// Resolves on Ctrl-C or SIGTERM; never resolves if neither can be caught.
async fn wait_for_signal() {
    let heard = |kind| async move {
        match signal(kind) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = heard(SignalKind::interrupt()) => {}
        () = heard(SignalKind::terminate()) => {}
    }
}

/// Lets a write past the file size limit fail with a readable error instead of ending the process.
pub fn ignore_file_size_signal() {
    const SIGXFSZ: i32 = 25;
    let Ok(control) = control_handle() else { return };
    let _inside = control.enter();
    // A handler that was registered once stays in place of the default action for good.
    let _ = signal(SignalKind::from_raw(SIGXFSZ));
}

/// Returns a channel that receives every Ctrl-C from now on; Ctrl-C no longer ends the program.
///
/// # Errors
/// If the signal cannot be caught.
pub fn listen_for_interrupts() -> Result<mpsc::UnboundedReceiver<()>> {
    listen_for_signals(&[SignalKind::interrupt()])
}

/// Returns a channel that receives every Ctrl-C and SIGTERM from now on; neither ends the program any more.
///
/// # Errors
/// If a signal cannot be caught.
pub fn listen_for_ends() -> Result<mpsc::UnboundedReceiver<()>> {
    listen_for_signals(&[SignalKind::interrupt(), SignalKind::terminate()])
}

/// Returns a channel that receives every SIGHUP from now on.
///
/// # Errors
/// If the signal cannot be caught.
pub fn listen_for_hangups() -> Result<mpsc::UnboundedReceiver<()>> {
    listen_for_signals(&[SignalKind::hangup()])
}

fn listen_for_signals(kinds: &[SignalKind]) -> Result<mpsc::UnboundedReceiver<()>> {
    let control = control_handle()?;
    let (sender, receiver) = mpsc::unbounded_channel();
    let _inside = control.enter();
    let fail = |error: std::io::Error| Error::internal(format!("cannot catch a signal: {error}"));
    for kind in kinds {
        let (mut signals, sender) = (signal(*kind).map_err(fail)?, sender.clone());
        control.spawn(
            async move { while signals.recv().await.is_some() && sender.send(()).is_ok() {} },
        );
    }
    Ok(receiver)
}
