//! A job: a run as plain data, which can be stored, sent, and run anywhere with the same plan and bit-identical
//! results.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::definition::program_versions;
use super::plan::ReadSet;
use super::run_options::RunOptions;
use super::{Engine, Scope};
use crate::commit::Target;
use crate::config::{Compression, Config, SourceConfig};
use crate::error::{Error, Result};
use crate::feature_set::{FeatureSet, SetText};
use crate::stop::Stop;
use crate::store::{anywhere, withheld, without_secrets};
use crate::write::Progress;

/// The version of the format of jobs; jobs of other versions are refused.
pub const JOB_FORMAT: u32 = 1;

/// A feature set with everything that a run of it depends on, except for rows and secrets. It keeps the text as
/// written, so that messages name file, line and column wherever the job runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The [`JOB_FORMAT`] of the program that created it.
    pub format: u32,
    /// The required versions of the programs that compute, by program name.
    pub versions: BTreeMap<String, String>,
    /// The set.
    pub set: SetText,
    /// The sets that it reads by name, directly or through other sets.
    pub reads: Vec<ReadSet>,
    /// Parameters, as `--set` gives them.
    pub params: BTreeMap<String, String>,
    /// The symbols and the time range to compute.
    pub scope: Scope,
    /// The location of the target, without secrets.
    pub target: String,
    /// True if the run may replace another set that the target holds.
    pub replace: bool,
    /// True if the run replaces just the rows of the scope.
    pub merge: bool,
    /// True if the run leaves out symbols and files that cannot be computed, instead of failing.
    pub keep_going: bool,
    /// The sources by name, without secrets.
    pub sources: BTreeMap<String, SourceConfig>,
    /// The limits of the job, and how it writes.
    pub settings: JobSettings,
}

/// Settings of a job: those of `windrow.yaml` that affect plans, limits and files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSettings {
    /// Rows per batch.
    pub batch_size: usize,
    /// Threads that compute.
    pub parallel_workers: usize,
    /// The time limit in seconds; None for no limit.
    pub timeout_seconds: Option<f64>,
    /// The memory limit of the engine in bytes; None for the memory of the machine.
    pub memory_limit: Option<u64>,
    /// The compression of parquet targets.
    pub compression: Compression,
    /// True if 64-bit floats are written as 32-bit floats.
    pub float32: bool,
}

impl Engine {
    /// Builds a job from a run of this engine.
    ///
    /// # Errors
    /// If the set cannot be planned.
    pub async fn build_job(&self, set: &FeatureSet, options: &RunOptions) -> Result<Job> {
        let planned = self.plan_set(set.clone(), &options.params).await?;
        let source = |(name, source): (&String, &Arc<dyn crate::catalog::Source>)| {
            let config = source.config().clone();
            let location = without_secrets(&anywhere(&config.location));
            (name.clone(), SourceConfig { location, ..config })
        };
        let config = self.config();
        Ok(Job {
            format: JOB_FORMAT,
            versions: to_owned_versions(program_versions()),
            set: set.to_text(),
            reads: planned.reads,
            params: options.params.clone(),
            scope: options.scope.clone(),
            target: without_secrets(&anywhere(&options.target.location())),
            replace: options.replace,
            merge: options.merge,
            keep_going: options.keep_going,
            sources: self.sources().iter().map(source).collect(),
            settings: JobSettings {
                batch_size: config.batch_size,
                parallel_workers: config.parallel_workers,
                timeout_seconds: config.timeout.map(|limit| limit.as_secs_f64()),
                memory_limit: config.memory_limit,
                compression: config.compression,
                float32: config.float32,
            },
        })
    }

    /// Opens an engine for a job, with its sources. Secrets come from `local`: the settings of object stores, and
    /// those locations of `local` that equal a location of the job except for a secret.
    ///
    /// # Errors
    /// If the job has another version, if `local` lacks a secret, or as [`Engine::add_source`].
    pub async fn open_for_job(job: &Job, local: &Config) -> Result<Self> {
        job.check_versions()?;
        let settings = &job.settings;
        let config = Config {
            file: local.file.clone(),
            stores: local.stores.clone(),
            targets: local.targets.clone(),
            sources: BTreeMap::new(),
            batch_size: settings.batch_size,
            parallel_workers: settings.parallel_workers,
            timeout: settings.timeout_seconds.map(Duration::from_secs_f64),
            memory_limit: settings.memory_limit,
            compression: settings.compression,
            float32: settings.float32,
            cache_ttl: local.cache_ttl,
            serve: local.serve.clone(),
            disabled_rules: String::new(),
        };
        let mut engine = Self::new(config)?;
        engine.set_keep_going(job.keep_going);
        engine.carried_sets = Some(job.reads.clone());
        let known: Vec<&str> = local.sources.values().map(|s| s.location.as_str()).collect();
        for (name, source) in &job.sources {
            let location = restore_secrets(&format!("source {name}"), &source.location, &known)?;
            engine.open_source(name, SourceConfig { location, ..source.clone() }).await?;
        }
        Ok(engine)
    }
}

impl Job {
    /// The set.
    ///
    /// # Errors
    /// If the header is wrong.
    pub fn feature_set(&self) -> Result<FeatureSet> {
        FeatureSet::of_text(&self.set)
    }

    /// Returns the options of its run; the secrets of the target come from `local`.
    ///
    /// # Errors
    /// If the target is malformed, or `local` lacks a secret.
    pub fn run_options(
        &self,
        local: &Config,
        progress: Arc<Progress>,
        stop: Stop,
    ) -> Result<RunOptions> {
        let known: Vec<&str> = local.targets.values().map(String::as_str).collect();
        let target = Target::parse(&restore_secrets("the target", &self.target, &known)?)?;
        Ok(RunOptions {
            scope: self.scope.clone(),
            params: self.params.clone(),
            replace: self.replace,
            merge: self.merge,
            keep_going: self.keep_going,
            progress,
            ..RunOptions::new(target, stop)
        })
    }

    /// Refuses a job whose results this program might not reproduce bit by bit.
    fn check_versions(&self) -> Result<()> {
        let own = to_owned_versions(program_versions());
        if self.format != JOB_FORMAT {
            return Err(Error::usage(format!(
                "the job has format {}, expected {JOB_FORMAT}",
                self.format
            ))
            .hint("run it by the version of windrow that made it"));
        }
        let other = |(name, version): (&String, &String)| {
            let here = own.get(name).map_or("none", String::as_str);
            (here != version).then(|| format!("{name} {version}, and here is {here}"))
        };
        match self.versions.iter().find_map(other) {
            None => Ok(()),
            Some(other) => Err(Error::usage(format!("the job was made for {other}"))
                .hint("run it by the version that made it, or make it again")),
        }
    }
}

/// Returns a location of a job with its secrets, taken from the locations that are known here.
fn restore_secrets(what: &str, location: &str, known: &[&str]) -> Result<String> {
    if let Some(same) = known.iter().find(|known| without_secrets(&anywhere(known)) == location) {
        return Ok(anywhere(same));
    }
    if withheld(location) {
        return Err(Error::usage(format!(
            "{what}: a job carries no secrets, and nothing here is configured for {location}"
        ))
        .hint("name it in windrow.yaml where the job runs"));
    }
    Ok(location.to_string())
}

fn to_owned_versions(versions: BTreeMap<&'static str, String>) -> BTreeMap<String, String> {
    versions.into_iter().map(|(name, version)| (name.to_string(), version)).collect()
}
