//! Features that are computed before anybody asks: at the start, or at the times of a cron line.

use std::sync::Arc;
use std::time::Duration;

use croner::Cron;

use super::compute::enqueue;
use super::state::Service;
use crate::config::WarmUp;
use crate::error::{Error, Result};
use crate::outside;
use crate::queue::{JobRequest, NewGroup, NewJob, Priority};
use crate::worker::SetParams;

/// The client of jobs that nobody asked for.
const CLIENT: &str = "warm-up";

/// Checks the cron lines of a configuration.
///
/// # Errors
/// If one of them cannot be read.
pub(super) fn check_cron_lines(list: &[WarmUp]) -> Result<()> {
    for cron in list.iter().filter_map(|warm| warm.cron.as_deref()) {
        parse_cron(cron)?;
    }
    Ok(())
}

fn parse_cron(text: &str) -> Result<Cron> {
    text.parse().map_err(|error| {
        Error::usage(format!("serve.warm_up: {text} is no cron line: {error}")).hint(
            "write minute, hour, day, month and weekday: \"0 6 * * 1-5\" is 06:00 UTC on weekdays",
        )
    })
}

/// Queues the jobs of the warm-up list whenever they are due.
pub(super) async fn keep_warm(service: Arc<Service>) {
    let list = service.settings().config.serve.warm_up.clone();
    let each = list.into_iter().map(|warm| {
        let service = Arc::clone(&service);
        async move { keep_one_warm(&service, &warm).await }
    });
    futures::future::join_all(each).await;
}

async fn keep_one_warm(service: &Service, warm: &WarmUp) {
    let Some(cron) = warm.cron.as_deref().and_then(|text| parse_cron(text).ok()) else {
        return queue_warm_up(service, warm).await;
    };
    loop {
        let now = outside::utc_now();
        let Ok(next) = cron.find_next_occurrence(&now, false) else { return };
        let wait = (next - now).to_std().unwrap_or(Duration::ZERO);
        tokio::time::sleep(wait).await;
        queue_warm_up(service, warm).await;
    }
}

async fn queue_warm_up(service: &Service, warm: &WarmUp) {
    for set in &warm.sets {
        match warm_group(service, set, warm).await {
            Ok(group) if group.jobs.is_empty() => {}
            Ok(group) => {
                if let Err(problem) = enqueue(service, group).await {
                    tracing::warn!("{set} was not warmed up: {}", problem.message());
                }
            }
            Err(error) => tracing::warn!("{set} was not warmed up: {error}"),
        }
    }
}

async fn warm_group(service: &Service, set: &str, warm: &WarmUp) -> Result<NewGroup> {
    let view = service.views.loaded().view(set, &SetParams::new()).await?;
    let outputs = view.planned.outputs.len() as u64;
    let known = service.symbols(&view).await?;
    let chosen = known
        .iter()
        .filter(|(symbol, _)| warm.symbols.as_ref().is_none_or(|symbols| symbols.contains(symbol)));
    let job = |(symbol, rows): (&String, &u64)| NewJob {
        set: set.to_string(),
        symbol: symbol.clone(),
        cost: rows.saturating_mul(outputs),
    };
    Ok(NewGroup {
        client: CLIENT.to_string(),
        idempotency: None,
        shares: true,
        priority: Priority::Low,
        request: JobRequest::default(),
        trace: None,
        request_id: None,
        jobs: chosen.map(job).collect(),
    })
}
