//! A bar on long work: at a terminal only, on standard error, gone when the work is done.

use std::future::Future;
use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::target::Progress;

/// Shows rows, rate and remaining time while `work` runs; `total` is the rows to come, if known.
pub(super) async fn shown<T>(
    title: &str,
    progress: &Arc<Progress>,
    total: Option<u64>,
    work: impl Future<Output = T>,
) -> T {
    if !stderr().is_terminal() {
        return work.await;
    }
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::new_spinner(),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => "{msg} {bar:24} {human_pos} of {human_len} rows, {per_sec:.0}, {eta} left",
        None => "{msg} {spinner} {human_pos} rows, {per_sec:.0}, {elapsed}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(title.to_string());
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = tick.tick() => bar.set_position(progress.rows()),
        }
    };
    bar.finish_and_clear();
    done
}
