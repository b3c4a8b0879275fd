//! Names that one statement sees in addition to those of its session: the feature sets that it reads.
//!
//! They are not registered in the session. There, two statements that read different sets of one name would
//! overwrite each other's views, and both would overwrite tables of the user.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::SessionState;

/// Tables, such as feature sets, by the name under which a statement reads them.
pub(super) type TablesByName = BTreeMap<String, Arc<dyn TableProvider>>;

/// Returns a session state in which `views` add to the tables and `renamed` replace tables. A table takes
/// precedence over a view of the same name.
pub(super) fn overlay_views(
    mut state: SessionState,
    views: TablesByName,
    renamed: TablesByName,
) -> Result<SessionState> {
    if views.is_empty() && renamed.is_empty() {
        return Ok(state);
    }
    let names = &state.config_options().catalog;
    let catalog = state.catalog_list().catalog(&names.default_catalog);
    let below = catalog.and_then(|catalog| catalog.schema(&names.default_schema));
    let below = below.ok_or_else(|| internal_datafusion_err!("the session has no schema"))?;
    replace_schema(&mut state, Arc::new(OverlaySchema { views, renamed, below }))?;
    Ok(state)
}

/// Returns a session state with its own schema, which begins with these tables.
pub(super) fn isolate_tables(
    mut state: SessionState,
    tables: TablesByName,
) -> Result<SessionState> {
    let schema = MemorySchemaProvider::new();
    for (name, table) in tables {
        schema.register_table(name, table)?;
    }
    replace_schema(&mut state, Arc::new(schema))?;
    Ok(state)
}

/// Replaces all catalogs of a state by one in which this schema takes the place of the default one.
fn replace_schema(state: &mut SessionState, schema: Arc<dyn SchemaProvider>) -> Result<()> {
    let names = &state.config_options().catalog;
    let only = MemoryCatalogProvider::new();
    if let Some(catalog) = state.catalog_list().catalog(&names.default_catalog) {
        for name in catalog.schema_names().iter().filter(|name| **name != names.default_schema) {
            if let Some(other) = catalog.schema(name) {
                only.register_schema(name, other)?;
            }
        }
    }
    only.register_schema(&names.default_schema, schema)?;
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(names.default_catalog.clone(), Arc::new(only));
    state.register_catalog_list(Arc::new(list));
    Ok(())
}

/// A schema with views in addition to its tables.
#[derive(Debug)]
struct OverlaySchema {
    views: TablesByName,
    renamed: TablesByName,
    below: Arc<dyn SchemaProvider>,
}

#[async_trait]
impl SchemaProvider for OverlaySchema {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.below.table_names();
        names.extend(self.views.keys().filter(|name| !self.below.table_exist(name)).cloned());
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(table) = self.renamed.get(name) {
            return Ok(Some(Arc::clone(table)));
        }
        match self.below.table(name).await? {
            Some(table) => Ok(Some(table)),
            None => Ok(self.views.get(name).cloned()),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.below.table_exist(name) || self.views.contains_key(name)
    }
}
