//! The engine turns a configuration into sessions, plans and streams of batches. It contains no user interface:
//! nothing here prints, parses a command line or reads a key press.

mod audits;
mod committed_rows;
mod common_subplans;
mod compact;
mod definition;
pub mod executor;
mod export;
mod failing_symbols;
mod job;
mod materialize;
mod memory_pool;
mod merge;
mod mixed_type_checks;
mod overlay;
mod plan;
mod plan_checks;
mod plan_messages;
mod planned_run;
mod prepare_run;
mod query;
mod range_repartition;
mod run;
mod run_options;
mod scope;
mod session_setup;
mod set_columns;
mod sources;
mod subquery_checks;
mod symbol_rows;
mod watched_sources;
mod write_access;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use datafusion::prelude::SessionContext;

use crate::catalog::{FooterCache, Source};
use crate::commit::{Target, TargetBackend};
use crate::config::{Config, SourceConfig};
use crate::error::{Error, Result, did_you_mean};
use crate::feature_set::{FeatureSet, load_shipped_set, shipped_set_names};
use crate::sql::diagnose_error;
use crate::store::{RemoteFileCache, StoreRegistry};

pub use committed_rows::CommittedRows;
pub use compact::CompactOptions;
pub use export::{Export, ExportOptions, ExportOutcome, export_feature_sets};
pub use job::{JOB_FORMAT, Job, JobSettings};
pub use plan::{OutputColumn, PlannedSet, ReadSet};
pub use query::Query;
pub use run_options::{CommitPermit, RunOptions, RunOutcome};
pub use scope::{Scope, TimeRange};
pub use session_setup::configure_session;
use session_setup::{build_session, session_settings};
pub use symbol_rows::ComputedRows;
pub use watched_sources::SourceState;

/// The reader of a feature set by name, which decides where the set is looked up first.
#[derive(Clone, Copy, Debug)]
enum LookupOrigin<'a> {
    /// A person who names the set.
    Nobody,
    /// A file: the sets next to it are looked up first.
    File(&'a Path),
    /// A shipped set: other shipped sets are looked up first.
    Shipped,
}

impl std::fmt::Display for LookupOrigin<'_> {
    /// Writes the path of the file; writes nothing for the other origins.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nobody | Self::Shipped => Ok(()),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Configuration, sources and one memory pool. Jobs share an engine: each runs in its own session, which adds its
/// own names to the tables of the engine.
pub struct Engine {
    config: Config,
    access: Arc<StoreRegistry>,
    /// Cached footers and proofs of order; all sessions share them.
    footers: Arc<FooterCache>,
    context: SessionContext,
    /// Sources that are opened when a statement reads them.
    lazy_sources: BTreeMap<String, SourceConfig>,
    opened: RwLock<BTreeMap<String, Arc<dyn Source>>>,
    skip_files: BTreeSet<String>,
    keep_going: bool,
    /// The sets that a job carries; if given, no others are looked up.
    carried_sets: Option<Vec<ReadSet>>,
    /// True if COPY may write.
    writes: bool,
}

/// Opens the stores and servers of a configuration.
fn open_registry(
    config: &Config,
    cache: Option<Arc<RemoteFileCache>>,
) -> Result<Arc<StoreRegistry>> {
    let registry =
        StoreRegistry::from_config(config).with_control_runtime(executor::control_handle()?);
    Ok(Arc::new(registry.with_file_cache(cache)))
}

impl Engine {
    /// Creates an engine without sources.
    ///
    /// # Errors
    /// If DataFusion refuses a setting.
    pub fn new(config: Config) -> Result<Self> {
        Ok(Self {
            context: build_session(&config)?,
            access: open_registry(&config, None)?,
            config,
            footers: Arc::default(),
            lazy_sources: BTreeMap::new(),
            opened: RwLock::default(),
            skip_files: BTreeSet::new(),
            keep_going: false,
            carried_sets: None,
            writes: false,
        })
    }

    /// Keeps the bytes of remote files that are read from now on in a cache.
    ///
    /// # Errors
    /// If there is no thread for requests.
    pub fn use_file_cache(&mut self, cache: Arc<RemoteFileCache>) -> Result<()> {
        self.access = open_registry(&self.config, Some(cache))?;
        Ok(())
    }

    /// Returns a session for one job. It has the functions, settings, tables and memory pool of this engine; tables
    /// that the job registers and files that it leaves out affect only this session.
    async fn fork_session(&self) -> Result<Self> {
        let tables = self.registered_providers().await?;
        let state = overlay::isolate_tables(self.context.state(), tables);
        let state = state.map_err(|error| diagnose_error(&error, "", &[]))?;
        Ok(Self {
            config: self.config.clone(),
            access: Arc::clone(&self.access),
            context: SessionContext::new_with_state(state),
            footers: Arc::clone(&self.footers),
            lazy_sources: self.lazy_sources.clone(),
            opened: RwLock::new(self.sources()),
            skip_files: self.skip_files.clone(),
            keep_going: self.keep_going,
            carried_sets: self.carried_sets.clone(),
            writes: self.writes,
        })
    }

    /// Returns one of several sessions that share the machine. It opens again the sources that may change while
    /// other sessions run: targets, which those sessions may write, and tables, because a plan must not wait for
    /// the connections of another session.
    async fn fork_concurrent_session(&self, side_by_side: usize) -> Result<Self> {
        let mut session = self.fork_session().await?;
        let config = &mut session.config;
        config.parallel_workers = (config.parallel_workers / side_by_side).max(1);
        config.memory_limit = config.memory_limit.map(|limit| limit / side_by_side as u64);
        session.access = open_registry(config, self.access.file_cache())?;
        *session.context.state_ref().write().config_mut() = session_settings(config);
        for (name, source) in self.sources() {
            if source.may_change() {
                session.open_source(&name, source.config().clone()).await?;
            }
        }
        Ok(session)
    }

    /// Returns the registered tables by name.
    async fn registered_providers(&self) -> Result<overlay::TablesByName> {
        let mut tables = overlay::TablesByName::new();
        for name in self.registered_names() {
            let reference = datafusion::common::TableReference::bare(name.as_str());
            let table = self.context.table_provider(reference).await;
            tables.insert(name, table.map_err(|error| diagnose_error(&error, "", &[]))?);
        }
        Ok(tables)
    }

    /// Returns the settings in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the backend that commits into a target.
    pub fn commit(&self, target: &Target) -> Box<dyn TargetBackend> {
        target.to_backend(&self.access)
    }

    /// Returns the DataFusion session, for operations that this type does not offer.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Leaves out files that cannot be read instead of failing; the outcome names them.
    pub fn set_keep_going(&mut self, keep_going: bool) {
        self.keep_going = keep_going;
    }

    /// Finds a feature set by the path of a `.sql` file or by name. A name is looked up in the working directory,
    /// in its `queries/`, next to `windrow.yaml`, in `queries/` there, and among the shipped sets.
    ///
    /// # Errors
    /// If there is no such feature set, or its header is wrong.
    pub fn find_set(&self, name: &str) -> Result<FeatureSet> {
        match self.look_for_set(name, LookupOrigin::Nobody)? {
            Some(set) => Ok(set),
            None => {
                let known = shipped_set_names();
                Err(Error::query(format!("no feature set {name}")).hint(did_you_mean(
                    name,
                    "shipped sets",
                    known,
                )))
            }
        }
    }

    /// Returns the sets that [`Engine::find_set`] finds by name, in the order of their names. A set whose header is
    /// wrong is returned as its error.
    pub fn list_sets(&self) -> BTreeMap<String, Result<FeatureSet>> {
        let mut names: BTreeSet<String> =
            shipped_set_names().iter().map(|name| name.to_string()).collect();
        for folder in self.set_folders() {
            let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
            let Ok(entries) = crate::outside::files::list_directory(&folder) else { continue };
            let paths = entries.iter().map(std::fs::DirEntry::path);
            let sets = paths.filter(|path| path.extension().is_some_and(|e| e == "sql"));
            names.extend(sets.filter_map(|path| Some(path.file_stem()?.to_str()?.to_string())));
        }
        names.into_iter().map(|name| (name.clone(), self.find_set(&name))).collect()
    }

    /// Returns the folders in which sets are looked up by name.
    fn set_folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![PathBuf::new(), PathBuf::from("queries")];
        if let Some(folder) = self.config.file.as_deref().and_then(Path::parent) {
            folders.extend([folder.to_path_buf(), folder.join("queries")]);
        }
        folders
    }

    /// Returns a shipped feature set; files of the working directory do not override it.
    ///
    /// # Errors
    /// If no shipped set has that name.
    pub fn find_set_shipped(&self, name: &str) -> Result<FeatureSet> {
        load_shipped_set(name)?
            .ok_or_else(|| Error::query(format!("no shipped feature set {name}")))
    }

    fn look_for_set(&self, name: &str, reader: LookupOrigin<'_>) -> Result<Option<FeatureSet>> {
        if let Some(carried) = &self.carried_sets {
            let reader = reader.to_string();
            let found = carried.iter().find(|read| read.reader == reader && read.name == name);
            return found.map(|read| FeatureSet::of_text(&read.set)).transpose();
        }
        // Messages name a shipped set `queries/NAME.sql`, so that name finds it too.
        let of_program = name.strip_prefix("queries/").and_then(|name| name.strip_suffix(".sql"));
        if let Some(of_program) = of_program
            && !Path::new(name).exists()
            && let Some(set) = load_shipped_set(of_program)?
        {
            return Ok(Some(set));
        }
        if name.ends_with(".sql") || name.contains('/') {
            return FeatureSet::read(Path::new(name)).map(Some);
        }
        let file = format!("{name}.sql");
        let mut folders: Vec<PathBuf> = Vec::new();
        match reader {
            LookupOrigin::Nobody => {}
            LookupOrigin::File(path) => folders.extend(path.parent().map(Path::to_path_buf)),
            // Shipped sets fit together: files of the working directory must not override them.
            LookupOrigin::Shipped => {
                if let Some(set) = load_shipped_set(name)? {
                    return Ok(Some(set));
                }
            }
        }
        folders.extend(self.set_folders());
        match folders.iter().map(|folder| folder.join(&file)).find(|path| path.is_file()) {
            Some(path) => FeatureSet::read(&path).map(Some),
            None => load_shipped_set(name),
        }
    }
}
