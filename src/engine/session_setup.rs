//! The parts of a session: functions, rules, and the settings that plans rely on.

use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use std::sync::Arc;

use super::common_subplans::FILTER_PUSHDOWN;
use super::memory_pool::{self, SharedPool};
use crate::config::Config;
use crate::error::{Error, Result, did_you_mean};
use crate::exec::{
    DisabledRules, REQUIREMENTS, WindrowOptions, physical_rule_names, physical_rules,
};
use crate::guards;
use crate::limits::{SPILL_FAN_IN, SPILLED_BYTES};
use crate::sql::diagnose_error;

/// Adds to a session everything that windrow's plans need: functions, planners, rules, and every setting that its
/// operators rely on, in place of the session's own. The client, scheduler and executors of a cluster all apply it.
///
/// # Errors
/// If `disabled_rules` names an unknown rule; else none with DataFusion's own registry.
pub fn configure_session(mut builder: SessionStateBuilder) -> Result<SessionState> {
    let settings = builder.config().take().unwrap_or_default();
    let settings = guards::guard_settings(with_required_settings(settings));
    let disabled = disabled_rules(&settings)?;
    let is_disabled = |name: &str| disabled.contains(name);
    let builder = builder.with_config(settings).with_default_features();
    let builder = guards::guard_session(builder, &is_disabled);
    let rules = physical_rules(&disabled).map_err(|error| diagnose_error(&error, "", &[]))?;
    let mut state = builder.with_physical_optimizer_rules(rules).build();
    let registered = windrow_udfs::register_all(&mut state)
        .and_then(|()| guards::register_functions(&mut state));
    registered.map_err(|error| diagnose_error(&error, "", &[]))?;
    Ok(state)
}

/// Returns the rules that the settings disable.
fn disabled_rules(settings: &SessionConfig) -> Result<DisabledRules> {
    let options = settings.options().extensions.get::<WindrowOptions>();
    let disabled = DisabledRules::parse(options.map_or("", |options| &options.disabled_rules));
    if disabled.names().next().is_none() {
        return Ok(disabled); // Each session asks: the names are listed only for those that disable some.
    }
    let mut known = guards::logical_rule_names();
    known.extend(physical_rule_names());
    known.retain(|name| name != FILTER_PUSHDOWN);
    let mut required = guards::required_rule_names();
    required.extend([FILTER_PUSHDOWN, REQUIREMENTS].map(str::to_string));
    if let Some(name) = required.iter().find(|name| disabled.contains(name)) {
        return Err(Error::usage(format!("disabled_rules: {name} cannot be switched off"))
            .hint("without it nothing can be planned"));
    }
    let unknown = disabled.names().find(|name| !known.iter().any(|known| known == name));
    match unknown.map(str::to_string) {
        None => Ok(disabled),
        Some(name) => {
            let hint = did_you_mean(&name, "rules", known.iter().map(String::as_str));
            Err(Error::usage(format!("disabled_rules: there is no rule {name}")).hint(hint))
        }
    }
}

/// Adds the settings that values or messages depend on.
fn with_required_settings(settings: SessionConfig) -> SessionConfig {
    let mut settings = settings.with_information_schema(true);
    let options = settings.options_mut();
    options.sql_parser.collect_spans = true;
    options.optimizer.repartition_file_scans = false; // Rows are numbered file by file.
    options.execution.parquet.coerce_int96 = Some("us".to_string()); // As our own readers do.
    // A literal or a function result with a zone is an instant, not a wall clock time.
    options.execution.time_zone = Some("UTC".to_string());
    // In DataFusion 55.2 this rule fails on a struct that one SELECT names twice.
    options.optimizer.enable_leaf_expression_pushdown = false;
    if options.extensions.get::<WindrowOptions>().is_none() {
        options.extensions.insert(WindrowOptions::default());
    }
    settings
}

/// Returns the bytes that operators share, from the memory limit or from the memory of the machine. The rest of a
/// limit is for the program itself and for uncounted memory: pages that are read, files that are being flushed, and
/// memory that the allocator retains.
fn pool_bytes(config: &Config) -> Option<usize> {
    let shared =
        config.memory_limit.map(|limit| limit / 4 * 3).or_else(memory_pool::machine_memory_share);
    shared.map(|shared| usize::try_from(shared).unwrap_or(usize::MAX))
}

/// Returns the settings of a session for a configuration.
pub(super) fn session_settings(config: &Config) -> SessionConfig {
    // Merges hold a few batches of every spilled file.
    let small = |limit: u64| usize::try_from(limit / 131_072).unwrap_or(usize::MAX).max(1024);
    let batch_size =
        config.memory_limit.map_or(config.batch_size, |m| config.batch_size.min(small(m)));
    let mut settings = SessionConfig::new()
        .with_target_partitions(config.parallel_workers)
        .with_batch_size(batch_size);
    let options = settings.options_mut();
    let period_rows = WindrowOptions::period_rows_of(config.batch_size);
    let disabled_rules = config.disabled_rules.clone();
    options.extensions.insert(WindrowOptions { period_rows, disabled_rules });
    // With a memory limit, merge joins and their sorts are preferred, because they stay within it.
    options.optimizer.prefer_hash_join = config.memory_limit.is_none();
    if let Some(shared) = pool_bytes(config) {
        // Each sort reserves this much to merge what it spilled; the default suits large limits. A set that changes
        // the order and back has two sorts for each range, and a source has at least four ranges.
        let sorts = 2 * config.parallel_workers.max(4);
        let spill = &mut options.execution.sort_spill_reservation_bytes;
        *spill = (*spill).min(shared / (8 * sorts));
    }
    with_required_settings(settings)
}

/// Returns a session with its own memory pool.
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
