//! Columns that a set sees in its tables: those that `has('factor')` looks up, and the key columns under the names
//! of the header.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::{Column, Result as PlanResult, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};

use super::overlay::TablesByName;
use super::{Engine, LookupOrigin};
use crate::error::Result;
use crate::feature_set::{FeatureSet, Header};
use crate::sql::{Sql, diagnose_error, parse};

impl FeatureSet {
    /// Returns the origin of lookups of the sets that this set reads.
    pub(super) fn lookup_origin(&self) -> LookupOrigin<'_> {
        if self.shipped { LookupOrigin::Shipped } else { LookupOrigin::File(Path::new(&self.path)) }
    }
}

impl Engine {
    /// Returns the columns that `has('factor')` finds in a set: those of `bars` if the set reads it, else those of
    /// all sources and sets that it reads. `reading` is the stack of sets that are being read, outermost first.
    ///
    /// # Errors
    /// If a source cannot be opened, or a set cannot be planned.
    pub(super) async fn visible_columns(
        &self,
        set: &FeatureSet,
        params: &BTreeMap<String, String>,
        reading: &mut Vec<String>,
    ) -> Result<BTreeSet<String>> {
        let header = &set.header;
        if header.requires.is_empty() && header.optional.is_empty() {
            return Ok(BTreeSet::new());
        }
        // The branches of has() may read more tables, but hardly fewer.
        let without = set.render(params, &|_| false).and_then(|rendered| parse(&rendered.sql));
        let mut tables: Vec<String> = match &without {
            Ok(sql) => sql.referenced_tables().into_iter().map(|(name, _)| name).collect(),
            Err(_) => Vec::new(),
        };
        if tables.is_empty() || tables.iter().any(|name| name == "bars") {
            tables = vec!["bars".to_string()];
        }
        let mut columns = BTreeSet::new();
        for table in tables {
            columns.extend(self.visible_table_columns(set, &table, reading).await?);
        }
        Ok(columns)
    }

    async fn visible_table_columns(
        &self,
        set: &FeatureSet,
        table: &str,
        reading: &mut Vec<String>,
    ) -> Result<Vec<String>> {
        self.open_known_sources([table.to_string()]).await?;
        let reference = TableReference::bare(table);
        if let Ok(provider) = self.context().table_provider(reference).await {
            return Ok(provider.schema().fields().iter().map(|f| f.name().clone()).collect());
        }
        let plain = table.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !plain || reading.iter().any(|name| name == table) {
            return Ok(Vec::new());
        }
        let Some(read) = self.look_for_set(table, set.lookup_origin())? else {
            return Ok(Vec::new());
        };
        reading.push(table.to_string());
        let planned = self.plan_set_body(read, &BTreeMap::new(), reading).await;
        reading.pop();
        Ok(planned?.outputs.into_iter().map(|output| output.name).collect())
    }

    /// Returns views of those sources of a statement whose key columns have other names than in the header. In a
    /// view, the names of the header, such as `symbol` and `ts`, mean the keys, whatever the source calls them. A
    /// name of the source remains if the statement uses it.
    ///
    /// # Errors
    /// If DataFusion cannot plan a view.
    pub(super) fn alias_source_keys(&self, sql: &Sql, header: &Header) -> Result<TablesByName> {
        let mut views = TablesByName::new();
        for (name, _) in sql.referenced_tables() {
            let sources = self.sources();
            let Some(source) = sources.get(&name) else { continue };
            let keys = source.key_columns();
            let wanted = [(&keys.entity, &header.entity), (&keys.time, &header.time)];
            let table = Arc::clone(source) as Arc<dyn TableProvider>;
            let view = alias_columns(&name, table, &wanted, &|word| sql.mentions_word(word));
            let view = view.map_err(|error| diagnose_error(&error, "", &[]))?;
            views.extend(view.map(|view| (name, view)));
        }
        Ok(views)
    }
}

/// Returns a view of a table with renamed columns; None if no column is renamed.
fn alias_columns(
    name: &str,
    table: Arc<dyn TableProvider>,
    wanted: &[(&String, &String)],
    mentioned: &dyn Fn(&str) -> bool,
) -> PlanResult<Option<Arc<dyn TableProvider>>> {
    let schema = table.schema();
    let has = |column: &str| schema.field_with_name(column).is_ok();
    let scan = LogicalPlanBuilder::scan(name, provider_as_source(Arc::clone(&table)), None)?;
    let mut outputs: Vec<Expr> = Vec::new();
    let mut changed = false;
    for field in schema.fields() {
        let own = Expr::Column(Column::new(Some(name), field.name()));
        let new = wanted.iter().find(|(old, new)| *old == field.name() && old != new && !has(new));
        match new {
            None => outputs.push(own),
            Some((old, new)) => {
                let keep = mentioned(old);
                if keep {
                    outputs.push(own.clone());
                }
                if !keep || mentioned(new) {
                    outputs.push(own.alias(new.as_str()));
                    changed = true;
                }
            }
        }
    }
    if !changed {
        return Ok(None);
    }
    let plan = scan.project(outputs)?.build()?;
    Ok(Some(Arc::new(ViewTable::new(plan, None))))
}
