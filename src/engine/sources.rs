//! The sources of an engine: registered by name, opened on first use.

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
use crate::scan::standard_bar_fields;
use crate::sql::{Sql, diagnose_error, parse};
use crate::store::PgLocation;

/// The suffix of the name of a source that reads its rows as stored, without cleaning.
const UNCLEANED: &str = "_raw";

impl Engine {
    /// Opens a source under a name. A `location` that is the name of a configured source means that source, unless
    /// a path of that name exists.
    ///
    /// # Errors
    /// If the location has no data, or its files cannot be read or reconciled.
    pub async fn add_source(&mut self, name: &str, location: &str) -> Result<()> {
        let configured = self.config.sources.get(location);
        let source = match configured.filter(|_| !Path::new(location).exists()) {
            Some(configured) => configured.clone(),
            None => match self.config.sources.get(name) {
                Some(named) => SourceConfig { location: location.to_string(), ..named.clone() },
                None => SourceConfig::new(location),
            },
        };
        self.lazy_sources.remove(name);
        self.open_source(name, source).await
    }

    /// Registers the sources of the configuration that the command line does not give. A source is opened when a
    /// statement reads it, so a broken source stops only its readers.
    pub fn add_configured_sources(&mut self) {
        let opened = self.sources();
        let new = self.config.sources.iter().filter(|(name, _)| !opened.contains_key(*name));
        self.lazy_sources.extend(new.map(|(name, source)| (name.clone(), source.clone())));
    }

    /// Opens a source, and replaces an open source of the same name.
    pub(super) async fn open_source(&self, name: &str, config: SourceConfig) -> Result<()> {
        let source = self.build_source(name, config).await?;
        self.register_source(name, source)
    }

    /// Opens a source under no name yet.
    pub(super) async fn build_source(
        &self,
        name: &str,
        config: SourceConfig,
    ) -> Result<Arc<dyn Source>> {
        let threads = self.config.parallel_workers;
        if PgLocation::is(&config.location) {
            let table = PostgresTable::open(name, &config, threads, self.config.timeout);
            return Ok(Arc::new(table.await?));
        }
        let without = (&self.skip_files, self.keep_going);
        let (access, footers) = (&self.access, &self.footers);
        Ok(Arc::new(FileTable::open(name, &config, access, footers, threads, without).await?))
    }

    /// Registers an open source, and replaces one of the same name.
    pub(super) fn register_source(&self, name: &str, source: Arc<dyn Source>) -> Result<()> {
        self.replace_table(name, Arc::clone(&source) as Arc<dyn TableProvider>)?;
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        opened.insert(name.to_string(), source);
        Ok(())
    }

    /// Opens the registered sources among some names, unless they are open already.
    pub(super) async fn open_known_sources(
        &self,
        names: impl IntoIterator<Item = String>,
    ) -> Result<()> {
        for name in names {
            let opened = self.sources().contains_key(&name);
            if let Some(config) = self.lazy_sources.get(&name).filter(|_| !opened) {
                let opened = self.open_source(&name, config.clone()).await;
                opened.map_err(|error| {
                    match error.message().starts_with(&format!("{name}: ")) {
                        true => error,
                        false => error.with_context(&format!("source {name}")),
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Opens `bars_raw`: all rows of the source `bars` before cleaning, including rows without keys or with
    /// duplicate keys. Returns false if there is no such source.
    pub(super) async fn open_raw_source(&self, name: &str) -> Result<bool> {
        let Some(base) = name.strip_suffix(UNCLEANED) else { return Ok(false) };
        self.open_known_sources([base.to_string()]).await?;
        let Some(source) = self.sources().get(base).cloned() else { return Ok(false) };
        let config = SourceConfig { duplicates: Duplicates::All, ..source.config().clone() };
        self.open_source(name, config).await?;
        Ok(true)
    }

    /// Opens the sources that a statement reads by name.
    pub(super) async fn open_statement_sources(&self, sql: &Sql) -> Result<()> {
        self.open_known_sources(sql.referenced_tables().into_iter().map(|(name, _)| name)).await
    }

    /// Opens the sources that a set reads directly, before the set is planned.
    ///
    /// # Errors
    /// If a source cannot be opened, or the set cannot be rendered or parsed.
    pub async fn open_set_sources(&self, set: &FeatureSet) -> Result<()> {
        let (params, mut reading) = (BTreeMap::new(), vec![set.name.clone()]);
        let columns = self.visible_columns(set, &params, &mut reading).await?;
        let rendered = set.render(&params, &|column| columns.contains(column))?;
        self.open_statement_sources(&parse(&rendered.sql)?).await
    }

    /// Opens all open sources again, to see the present files and rows. The footers of unchanged files are not read
    /// again.
    ///
    /// # Errors
    /// As [`Engine::add_source`].
    pub async fn reopen_sources(&self) -> Result<()> {
        for (name, source) in self.sources() {
            self.open_source(&name, source.config().clone()).await?;
        }
        Ok(())
    }

    pub(super) fn replace_table(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
        let reference = TableReference::bare(name);
        let replaced = self.context.deregister_table(reference.clone());
        replaced
            .and_then(|_| self.context.register_table(reference, table))
            .map(|_| ())
            .map_err(|error| diagnose_error(&error, "", &[]))
    }

    /// Returns the open sources by name.
    pub fn sources(&self) -> BTreeMap<String, Arc<dyn Source>> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the names of sources and views, sorted.
    pub fn list_tables(&self) -> Vec<String> {
        let mut names = self.registered_names();
        names.extend(self.lazy_sources.keys().cloned());
        names.sort();
        names.dedup();
        names
    }

    /// Returns the names of all tables that are registered in the session.
    pub(super) fn registered_names(&self) -> Vec<String> {
        let schema = self.context.catalog("datafusion").and_then(|c| c.schema("public"));
        schema.map(|schema| schema.table_names()).unwrap_or_default()
    }

    /// Returns the columns of a table: name, type, and whether it may be NULL.
    ///
    /// # Errors
    /// If there is no table of that name, or a source cannot be opened.
    pub async fn table_columns(&self, table: &str) -> Result<Vec<(String, DataType, bool)>> {
        let names = self.list_tables();
        if !names.iter().any(|name| name == table) {
            return Err(Error::query(format!("unknown table {table}")).hint(did_you_mean(
                table,
                "tables",
                names.iter().map(String::as_str),
            )));
        }
        self.open_known_sources([table.to_string()]).await?;
        let provider = self.context.table_provider(TableReference::bare(table));
        let schema = provider.await.map_err(|error| diagnose_error(&error, "", &names))?.schema();
        let column = |f: &Arc<Field>| (f.name().clone(), f.data_type().clone(), f.is_nullable());
        Ok(schema.fields().iter().map(column).collect())
    }

    /// Returns whether the columns of a table are known without a request to a server.
    pub fn has_local_columns(&self, table: &str) -> bool {
        let far = |config: &SourceConfig| config.location.contains("://");
        self.sources().contains_key(table) || !self.lazy_sources.get(table).is_some_and(far)
    }

    /// Returns one line on the location of a source; None if the name is no source.
    pub fn describe_table(&self, table: &str) -> Option<String> {
        let opened = self.sources().get(table).map(|source| source.summary_line());
        opened.or_else(|| {
            let location = &self.lazy_sources.get(table)?.location;
            Some(format!("{}, not opened yet", crate::store::without_secrets(location)))
        })
    }

    /// Binds `bars`, unless it is a source, to an empty table with the standard columns and those that a feature
    /// set names in its header. `check` and `explain` then work without data.
    ///
    /// # Errors
    /// None with DataFusion's own catalog.
    pub fn bind_standard_bars(&self, set: &FeatureSet) -> Result<()> {
        if self.lazy_sources.contains_key("bars") || self.sources().contains_key("bars") {
            return Ok(());
        }
        let mut fields = standard_bar_fields();
        for name in set.header.requires.iter().chain(&set.header.optional) {
            if !fields.iter().any(|f| f.name() == name) {
                let text = ["sector", "industry", "exchange", "currency"].contains(&name.as_str());
                let ty = if text { DataType::Utf8View } else { DataType::Float64 };
                fields.push(Field::new(name, ty, true));
            }
        }
        self.replace_table("bars", Arc::new(EmptyTable::new(Arc::new(Schema::new(fields)))))
    }
}
