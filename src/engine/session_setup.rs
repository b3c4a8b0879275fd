//! What a session is made of: functions, rules, and the settings that plans rely on.

use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use std::sync::Arc;

use super::memory_pool::{self, SharedPool};
use crate::config::Config;
use crate::error::Result;
use crate::exec::{WindrowOptions, physical_rules};
use crate::guards;
use crate::limits::{SPILL_FAN_IN, SPILLED_BYTES};
use crate::sql::diagnose_error;

/// Adds to a session what windrow's plans need: functions, planners, rules, and every setting that its
/// operators rely on, whatever the session had. A cluster's client, scheduler and executors apply the
/// same.
///
/// # Errors
/// Never with DataFusion's own registry.
pub fn configure_session(mut builder: SessionStateBuilder) -> Result<SessionState> {
    let settings = builder.config().take().unwrap_or_default();
    let settings = guards::guard_settings(with_required_settings(settings));
    let builder = guards::guard_session(builder.with_config(settings).with_default_features());
    let mut state = builder.with_physical_optimizer_rules(physical_rules()).build();
    let registered = windrow_udfs::register_all(&mut state)
        .and_then(|()| guards::register_functions(&mut state));
    registered.map_err(|error| diagnose_error(&error, "", &[]))?;
    Ok(state)
}

/// Settings with those that values or messages depend on.
fn with_required_settings(settings: SessionConfig) -> SessionConfig {
    let mut settings = settings.with_information_schema(true);
    let options = settings.options_mut();
    options.sql_parser.collect_spans = true;
    options.optimizer.repartition_file_scans = false; // Rows are numbered file by file.
    options.execution.parquet.coerce_int96 = Some("us".to_string()); // As the readers of our own.
    // What a literal or a function says with a zone is an instant, not a wall clock.
    options.execution.time_zone = Some("UTC".to_string());
    // In 55.2 it fails on a struct that stands in one SELECT under two names.
    options.optimizer.enable_leaf_expression_pushdown = false;
    if options.extensions.get::<WindrowOptions>().is_none() {
        options.extensions.insert(WindrowOptions::default());
    }
    settings
}

/// The bytes that operators share, of the machine or of a limit. Of a limit the rest is for the program itself and for
/// what nobody counts: pages that are read, files on their way to the disk, what the allocator holds back.
fn pool_bytes(config: &Config) -> Option<usize> {
    let shared =
        config.memory_limit.map(|limit| limit / 4 * 3).or_else(memory_pool::machine_memory_share);
    shared.map(|shared| usize::try_from(shared).unwrap_or(usize::MAX))
}

/// The settings of a session by the configuration.
pub(super) fn session_settings(config: &Config) -> SessionConfig {
    // Merges hold a few batches of every file that was spilled.
    let small = |limit: u64| usize::try_from(limit / 131_072).unwrap_or(usize::MAX).max(1024);
    let batch_size =
        config.memory_limit.map_or(config.batch_size, |m| config.batch_size.min(small(m)));
    let mut settings = SessionConfig::new()
        .with_target_partitions(config.parallel_workers)
        .with_batch_size(batch_size);
    let options = settings.options_mut();
    let period_rows = WindrowOptions::period_rows_of(config.batch_size);
    options.extensions.insert(WindrowOptions { period_rows });
    // A limit that somebody set is worth the sorts that keep joins within it.
    options.optimizer.prefer_hash_join = config.memory_limit.is_none();
    if let Some(shared) = pool_bytes(config) {
        // Sorts keep this much back to merge what they spilled; the default suits large limits. A
        // set that goes there and back has two sorts for each range, of which a source has four.
        let sorts = 2 * config.parallel_workers.max(4);
        let spill = &mut options.execution.sort_spill_reservation_bytes;
        *spill = (*spill).min(shared / (8 * sorts));
    }
    with_required_settings(settings)
}

/// A session with a memory pool of its own.
pub(super) fn build_session(config: &Config) -> Result<SessionContext> {
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(shared) = pool_bytes(config) {
        runtime = runtime.with_memory_pool(Arc::new(SharedPool::new(shared)));
    }
    if config.memory_limit.is_some() {
        runtime = runtime.with_max_spill_merge_fan_in(SPILL_FAN_IN);
    }
    let runtime = runtime.with_max_temp_directory_size(SPILLED_BYTES);
    let runtime = runtime.build_arc().map_err(|error| diagnose_error(&error, "", &[]))?;
    let builder =
        SessionStateBuilder::new().with_config(session_settings(config)).with_runtime_env(runtime);
    Ok(SessionContext::new_with_state(configure_session(builder)?))
}
