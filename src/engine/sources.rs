//! The sources of an engine: known by name, opened on first use.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::empty::EmptyTable;

use super::Engine;
use crate::catalog::{FileTable, PostgresTable, Source};
use crate::config::{Duplicates, SourceConfig};
use crate::error::{Error, Result, did_you_mean};
use crate::feature_set::FeatureSet;
use crate::scan::standard;
use crate::sql::{Sql, blame, parse};
use crate::store::PgLocation;

/// What the name of a source gets where its rows are read as they are stored.
const UNCLEANED: &str = "_raw";

impl Engine {
    /// Opens a source by name. A `location` that is the name of a configured source means that one.
    ///
    /// # Errors
    /// Nothing there, or files that cannot be read or reconciled.
    pub async fn add_source(&mut self, name: &str, location: &str) -> Result<()> {
        let configured = self.config.sources.get(location);
        let source = match configured.filter(|_| !Path::new(location).exists()) {
            Some(configured) => configured.clone(),
            None => match self.config.sources.get(name) {
                Some(named) => SourceConfig { location: location.to_string(), ..named.clone() },
                None => SourceConfig::new(location),
            },
        };
        self.known.remove(name);
        self.open_source(name, source).await
    }

    /// Makes every source known that the configuration names and nobody gave on the command line. It is
    /// opened when a statement reads it: one that is broken stops only those that read it.
    pub fn add_configured_sources(&mut self) {
        let opened = self.sources();
        let new = self.config.sources.iter().filter(|(name, _)| !opened.contains_key(*name));
        self.known.extend(new.map(|(name, source)| (name.clone(), source.clone())));
    }

    /// Opens a source, in place of one that was open under this name.
    pub(super) async fn open_source(&self, name: &str, config: SourceConfig) -> Result<()> {
        let threads = self.config.parallel_workers;
        let source: Arc<dyn Source> = if PgLocation::is(&config.location) {
            Arc::new(PostgresTable::open(name, &config, threads, self.config.timeout).await?)
        } else {
            let without = (&self.skip_files, self.keep_going);
            let (access, footers) = (&self.access, &self.footers);
            Arc::new(FileTable::open(name, &config, access, footers, threads, without).await?)
        };
        self.register(name, Arc::clone(&source) as Arc<dyn TableProvider>)?;
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        opened.insert(name.to_string(), source);
        Ok(())
    }

    /// Opens those of some names that are known sources and not open yet.
    pub(super) async fn open_named(&self, names: impl IntoIterator<Item = String>) -> Result<()> {
        for name in names {
            let opened = self.sources().contains_key(&name);
            if let Some(config) = self.known.get(&name).filter(|_| !opened) {
                let opened = self.open_source(&name, config.clone()).await;
                opened.map_err(|error| {
                    match error.message().starts_with(&format!("{name}: ")) {
                        true => error,
                        false => error.within(&format!("source {name}")),
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Opens `bars_raw`: all rows of the source `bars` before cleaning, with those that have no keys or
    /// the keys of others. False if there is no such source.
    pub(super) async fn open_uncleaned(&self, name: &str) -> Result<bool> {
        let Some(base) = name.strip_suffix(UNCLEANED) else { return Ok(false) };
        self.open_named([base.to_string()]).await?;
        let Some(source) = self.sources().get(base).cloned() else { return Ok(false) };
        let config = SourceConfig { duplicates: Duplicates::All, ..source.config().clone() };
        self.open_source(name, config).await?;
        Ok(true)
    }

    /// Opens the sources that a statement reads by name.
    pub(super) async fn open_read(&self, sql: &Sql) -> Result<()> {
        self.open_named(sql.tables().into_iter().map(|(name, _)| name)).await
    }

    /// Opens the sources that a set reads itself, before anybody asks for its plan.
    ///
    /// # Errors
    /// A source that cannot be opened, or a set that cannot be rendered or parsed.
    pub async fn open_sources_of(&self, set: &FeatureSet) -> Result<()> {
        let (params, mut reading) = (BTreeMap::new(), vec![set.name.clone()]);
        let columns = self.columns_of(set, &params, &mut reading).await?;
        let rendered = set.render(&params, &|column| columns.contains(column))?;
        self.open_read(&parse(&rendered.sql)?).await
    }

    /// Opens the sources again that are open: files and rows are those that are there now. What is known
    /// of files that are what they were is not read again.
    ///
    /// # Errors
    /// As [`Engine::add_source`].
    pub async fn reopen_sources(&self) -> Result<()> {
        for (name, source) in self.sources() {
            self.open_source(&name, source.config().clone()).await?;
        }
        Ok(())
    }

    pub(super) fn register(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
        let reference = TableReference::bare(name);
        let replaced = self.context.deregister_table(reference.clone());
        replaced
            .and_then(|_| self.context.register_table(reference, table))
            .map(|_| ())
            .map_err(|error| blame(&error, "", &[]))
    }

    /// The sources that are open, by name.
    pub fn sources(&self) -> BTreeMap<String, Arc<dyn Source>> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Names of sources and views, sorted.
    pub fn tables(&self) -> Vec<String> {
        let mut names = self.registered();
        names.extend(self.known.keys().cloned());
        names.sort();
        names.dedup();
        names
    }

    /// Names of what is open in the session.
    pub(super) fn registered(&self) -> Vec<String> {
        let schema = self.context.catalog("datafusion").and_then(|c| c.schema("public"));
        schema.map(|schema| schema.table_names()).unwrap_or_default()
    }

    /// Columns of a table: name, type, whether it may be NULL.
    ///
    /// # Errors
    /// No table of that name, or a source that cannot be opened.
    pub async fn columns(&self, table: &str) -> Result<Vec<(String, DataType, bool)>> {
        let names = self.tables();
        if !names.iter().any(|name| name == table) {
            return Err(Error::query(format!("unknown table {table}")).hint(did_you_mean(
                table,
                "tables",
                names.iter().map(String::as_str),
            )));
        }
        self.open_named([table.to_string()]).await?;
        let provider = self.context.table_provider(TableReference::bare(table));
        let schema = provider.await.map_err(|error| blame(&error, "", &names))?.schema();
        let column = |f: &Arc<Field>| (f.name().clone(), f.data_type().clone(), f.is_nullable());
        Ok(schema.fields().iter().map(column).collect())
    }

    /// Whether the columns of a table can be told without asking a server.
    pub fn is_near(&self, table: &str) -> bool {
        let far = |config: &SourceConfig| config.location.contains("://");
        self.sources().contains_key(table) || !self.known.get(table).is_some_and(far)
    }

    /// One line on where a source is; None if the name is no source.
    pub fn describe_table(&self, table: &str) -> Option<String> {
        let opened = self.sources().get(table).map(|source| source.describe());
        opened.or_else(|| {
            let location = &self.known.get(table)?.location;
            Some(format!("{}, not opened yet", crate::store::without_secrets(location)))
        })
    }

    /// Binds `bars`, unless it is a source, to an empty table with the standard columns and those
    /// that a feature set names in its header: for `check` and `explain` without data.
    ///
    /// # Errors
    /// Never with DataFusion's own catalog.
    pub fn bind_standard_bars(&self, set: &FeatureSet) -> Result<()> {
        if self.known.contains_key("bars") || self.sources().contains_key("bars") {
            return Ok(());
        }
        let mut fields = standard();
        for name in set.header.requires.iter().chain(&set.header.optional) {
            if !fields.iter().any(|f| f.name() == name) {
                let text = ["sector", "industry", "exchange", "currency"].contains(&name.as_str());
                let ty = if text { DataType::Utf8View } else { DataType::Float64 };
                fields.push(Field::new(name, ty, true));
            }
        }
        self.register("bars", Arc::new(EmptyTable::new(Arc::new(Schema::new(fields)))))
    }
}
