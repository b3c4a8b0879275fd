//! A table or a query of a PostgreSQL server as a source.
//!
//! All symbols are read in one pass: several connections read sorted ranges of symbols in parallel,
//! all from one snapshot, which is taken when the source is opened. Columns, symbols and times that
//! the query does not need are not sent.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as PlanResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::future::BoxFuture;
use tokio_postgres::types::Type;

use super::{InputState, Source, check_key_columns, project_scan};
use crate::config::{ChangeDetection, Duplicates, SourceConfig};
use crate::error::{Error, Result};
use crate::exec::{CleanExec, CleaningStats, DedupExec, FileNamer, ScannedFiles, period_keys};
use crate::limits::SOURCE_CONNECTIONS;
use crate::scan::postgres::{self, PostgresPartition, ServerColumn, Snapshot};
use crate::scan::{KeyColumns, ORDINAL, canonical_type};
use crate::store::{CallError, PgLocation, RecordInput, Retry, quote_ident};

/// A table or a query of a server.
pub struct PostgresTable {
    name: String,
    config: SourceConfig,
    keys: KeyColumns,
    shown: String,
    /// The SQL behind FROM.
    relation: String,
    schema: SchemaRef,
    /// The SQL expression that selects each column.
    expressions: Vec<String>,
    /// The type that the server sends for each column.
    types: Vec<Type>,
    /// The symbols of each range, and where the ranges begin; None without keys.
    ranges: Option<SymbolRanges>,
    /// The SQL behind the keys in ORDER BY, which gives duplicates one order.
    tie: &'static str,
    snapshot: Arc<Snapshot>,
    /// The answer to the source's `revision`, if it has one.
    revision: Option<String>,
    opening: Duration,
}

struct SymbolRanges {
    /// Conditions that split the rows into disjoint sets.
    conditions: Vec<String>,
    splits: Vec<String>,
}

impl fmt::Debug for PostgresTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTable").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PostgresTable {
    /// Queries a server for the columns of a table or query, and for its symbols.
    ///
    /// # Errors
    /// The server cannot be queried, or the columns do not make a source.
    pub async fn open(
        name: &str,
        config: &SourceConfig,
        workers: usize,
        limit: Option<Duration>,
    ) -> Result<Self> {
        let started = Instant::now();
        let location = PgLocation::parse(&config.location)?;
        if config.inputs == ChangeDetection::Content {
            return Err(Error::usage(format!("{name}: `inputs: content` is for files")).hint(
                "give a query instead: `revision: SELECT max(updated_at), count(*) FROM ...`",
            ));
        }
        let parts = workers.max(4); // The planner repartitions fewer than four ranges anyway.
        // Connections are opened as partitions are read: usually one per thread, and one that holds
        // the snapshot. If a plan reads several partitions at once, none may wait for another.
        let pool = location.create_pool("windrow source", SOURCE_CONNECTIONS)?;
        let retry = Retry::new(location.server(), limit);
        let relation = match location.query() {
            // The last line of the query may end with a comment, so the bracket stands on its own line.
            Some(query) => format!("({}\n) AS source", query.trim().trim_end_matches(';')),
            None => location.table().map(ToString::to_string).unwrap_or_default(),
        };
        let keys = KeyColumns { entity: config.entity.clone(), time: config.time.clone() };
        let shown = location.to_string();
        // All of it comes from one snapshot: if that is lost on the way, a retry takes another one.
        let call = || async {
            let snapshot = Snapshot::export_snapshot(&pool, &location).await?;
            let columns =
                source_columns(&snapshot.describe_relation(&relation).await?, &keys, &shown)?;
            let schema = &columns.0;
            let keyed = config.duplicates != Duplicates::All
                && [&keys.entity, &keys.time].iter().all(|key| schema.index_of(key).is_ok());
            let (mut ranges, mut tie) = (None, "");
            if keyed {
                let (symbols, ty) = snapshot.query_symbols(&relation, &keys).await?;
                ranges = Some(symbol_ranges(&symbols, &ty, parts, &keys));
                tie = snapshot.tie_breaker(&relation, &keys).await?;
            }
            let revision = match &config.revision {
                Some(query) => Some(snapshot.query_revision(query).await?),
                None => None,
            };
            Ok::<_, CallError>((snapshot, columns, ranges, tie, revision))
        };
        let opened = retry.call_with_retries("opening the source", call).await?;
        let (snapshot, (schema, expressions, types), ranges, tie, revision) = opened;
        check_key_columns(&schema, config, name)?;
        Ok(Self {
            name: name.to_string(),
            config: config.clone(),
            keys,
            shown,
            relation,
            schema,
            expressions,
            types,
            ranges,
            tie,
            snapshot: Arc::new(snapshot),
            revision,
            opening: started.elapsed(),
        })
    }

    /// Returns the statement for some columns of the rows that meet the conditions.
    fn copy_statement(&self, columns: &[usize], conditions: &[&str]) -> String {
        let list: Vec<&str> = columns.iter().map(|c| self.expressions[*c].as_str()).collect();
        let list = if list.is_empty() { "NULL::boolean".to_string() } else { list.join(", ") };
        let conditions: Vec<&str> = conditions.iter().copied().filter(|c| !c.is_empty()).collect();
        let condition = match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE ({})", conditions.join(") AND (")),
        };
        let order = match &self.ranges {
            None => String::new(),
            Some(_) => {
                let (entity, time) = (quote_ident(&self.keys.entity), quote_ident(&self.keys.time));
                format!(" ORDER BY {entity}::text COLLATE \"C\", {time}{}", self.tie)
            }
        };
        format!("COPY (SELECT {list} FROM {}{condition}{order}) TO STDOUT BINARY", self.relation)
    }

    /// Returns the filters that the server can evaluate, as SQL.
    fn pushed_conditions(&self, filters: &[Expr]) -> Vec<String> {
        let text = |filter| postgres::filter_to_sql(filter, &self.keys);
        filters.iter().filter_map(text).collect()
    }
}

/// Returns the schema of a source, the SQL expression for each column, and the types that the server sends.
#[allow(clippy::type_complexity)]
fn source_columns(
    columns: &[ServerColumn],
    keys: &KeyColumns,
    shown: &str,
) -> Result<(SchemaRef, Vec<String>, Vec<Type>)> {
    let (mut fields, mut expressions, mut types) = (Vec::new(), Vec::new(), Vec::new());
    for column in columns {
        let (ty, given) = arrow_type(&column.ty);
        let wanted = canonical_type(&column.name, &ty, keys, shown)?;
        // Measures are 64-bit floats, whatever the table holds.
        let (cast, given) = match wanted {
            DataType::Float64 if given != Type::FLOAT8 => ("::float8", Type::FLOAT8),
            DataType::Utf8View if given != Type::TEXT => ("::text", Type::TEXT),
            _ => (cast_suffix(&column.ty, &given), given),
        };
        fields.push(Field::new(&column.name, wanted, true));
        expressions.push(format!("{}{cast}", quote_ident(&column.name)));
        types.push(given);
    }
    Ok((Arc::new(Schema::new(fields)), expressions, types))
}

/// Returns the Arrow type for a type of the server, and the type that the server is asked to send.
fn arrow_type(ty: &Type) -> (DataType, Type) {
    match *ty {
        Type::BOOL => (DataType::Boolean, Type::BOOL),
        Type::INT2 => (DataType::Int16, Type::INT2),
        Type::INT4 => (DataType::Int32, Type::INT4),
        Type::INT8 => (DataType::Int64, Type::INT8),
        Type::FLOAT4 => (DataType::Float32, Type::FLOAT4),
        Type::FLOAT8 | Type::NUMERIC => (DataType::Float64, Type::FLOAT8),
        Type::DATE => (DataType::Date32, Type::DATE),
        Type::TIME => (DataType::Time64(TimeUnit::Microsecond), Type::TIME),
        Type::TIMESTAMP => (DataType::Timestamp(TimeUnit::Microsecond, None), Type::TIMESTAMP),
        Type::TIMESTAMPTZ => {
            (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), Type::TIMESTAMPTZ)
        }
        Type::BYTEA => (DataType::Binary, Type::BYTEA),
        _ => (DataType::Utf8View, Type::TEXT),
    }
}

/// Returns the cast that makes the server send a type.
fn cast_suffix(ty: &Type, given: &Type) -> &'static str {
    match *given {
        _ if ty == given => "",
        Type::FLOAT8 => "::float8",
        _ => "::text",
    }
}

/// Cuts sorted symbols into ranges with about the same number of symbols.
fn symbol_ranges(symbols: &[String], ty: &str, parts: usize, keys: &KeyColumns) -> SymbolRanges {
    let entity = quote_ident(&keys.entity);
    let share = symbols.len().div_ceil(parts).max(1);
    let mut ranges = SymbolRanges { conditions: Vec::new(), splits: Vec::new() };
    for number in 0..parts {
        let from = (number * share).min(symbols.len());
        let some = &symbols[from..(from + share).min(symbols.len())];
        // An index on the column serves the first condition, whatever its collation. If that
        // collation treats different symbols as equal, the second condition tells them apart.
        let list: Vec<String> = some.iter().map(|symbol| quote_array_element(symbol)).collect();
        let list = list.join(",");
        let list = format!(
            "{entity} = ANY('{{{list}}}'::{ty}[]) AND {entity}::text COLLATE \"C\" = ANY('{{{list}}}'::text[])"
        );
        match (number, some.first()) {
            // Rows without a symbol go to the first range: cleaning counts and removes them.
            (0, _) => ranges.conditions.push(format!("({list}) OR {entity} IS NULL")),
            (_, Some(first)) => {
                ranges.conditions.push(list);
                ranges.splits.push(first.clone());
            }
            (_, None) => {
                ranges.conditions.push("false".to_string());
                // A split behind every symbol.
                let last = ranges.splits.last().or(symbols.last()).cloned().unwrap_or_default();
                ranges.splits.push(last + "\u{10FFFF}");
            }
        }
    }
    ranges
}

/// Quotes text as an element of an array literal.
fn quote_array_element(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\'', "''");
    format!("\"{escaped}\"")
}

impl Source for PostgresTable {
    fn config(&self) -> &SourceConfig {
        &self.config
    }

    fn key_columns(&self) -> &KeyColumns {
        &self.keys
    }

    fn input_summary(&self) -> RecordInput {
        let opening = self.opening.as_secs_f64();
        RecordInput { location: self.shown.clone(), opening, ..RecordInput::default() }
    }

    fn input_states(&self) -> BoxFuture<'_, Result<Vec<InputState>>> {
        let state = (self.shown.clone(), 0, self.revision.clone());
        Box::pin(ready(Ok(vec![state])))
    }

    fn summary_line(&self) -> String {
        format!("PostgreSQL, {}", self.shown)
    }
}

#[async_trait]
impl TableProvider for PostgresTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        let decide = |filter: &&Expr| match postgres::filter_to_sql(filter, &self.keys) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(decide).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>, // Operators above may still remove rows.
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let index = |key: &str| self.schema.index_of(key).ok();
        // Keys come first: they clean, order and name the rows even if the query does not select them.
        let mut columns: Vec<usize> = match &self.ranges {
            Some(_) => {
                [&self.keys.entity, &self.keys.time].iter().filter_map(|k| index(k)).collect()
            }
            None => Vec::new(),
        };
        let strict = self.config.duplicates == Duplicates::Error;
        for column in if strict { &all } else { wanted } {
            if !columns.contains(column) {
                columns.push(*column);
            }
        }
        let pushed = self.pushed_conditions(filters);
        let whole = [String::new()];
        let ranges = self.ranges.as_ref().map_or(&whole[..], |ranges| &ranges.conditions);
        let mut fields: Vec<Field> =
            columns.iter().map(|column| self.schema.field(*column).clone()).collect();
        fields.push(Field::new(ORDINAL, DataType::UInt32, false));
        let schema = Arc::new(Schema::new(fields));
        let readers =
            ranges.iter().enumerate().map(|(number, range)| -> Arc<dyn PartitionStream> {
                let mut conditions: Vec<&str> = vec![range];
                conditions.extend(pushed.iter().map(String::as_str));
                Arc::new(PostgresPartition {
                    snapshot: Arc::clone(&self.snapshot),
                    statement: self.copy_statement(&columns, &conditions),
                    types: columns.iter().map(|column| self.types[*column].clone()).collect(),
                    schema: Arc::clone(&schema),
                    ordinal: number as u32,
                })
            });
        let scan = StreamingTableExec::try_new(
            Arc::clone(&schema),
            readers.collect(),
            None,
            [],
            false,
            None,
        )?;
        let report = CleaningStats::new(&self.name);
        let local = self.ranges.as_ref().map(|_| (0, 1));
        let about = match &self.ranges {
            Some(ranges) => format!(
                "source={}, {}, in order, {} ranges of {}",
                self.name,
                self.shown,
                ranges.conditions.len(),
                self.keys.entity
            ),
            None => format!("source={}, {}", self.name, self.shown),
        };
        let splits = self.ranges.as_ref().map(|ranges| ranges.splits.clone());
        let mut plan: Arc<dyn ExecutionPlan> = Arc::new(CleanExec::try_new(
            Arc::new(scan),
            local,
            splits,
            about,
            Arc::clone(&report),
            ScannedFiles::none(),
        )?);
        if local.is_some() {
            let shown = self.shown.clone();
            let name: FileNamer = Arc::new(move |range| format!("{shown}, range {}", range + 1));
            plan = Arc::new(DedupExec::try_new(
                plan,
                0,
                1,
                self.config.duplicates,
                report,
                name,
                period_keys,
            )?);
        }
        project_scan(plan, &self.schema, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cut_symbols() {
        let keys = KeyColumns { entity: "symbol".into(), time: "ts".into() };
        let symbols: Vec<String> = ["A", "B\"'\\", "C"].map(str::to_string).to_vec();
        let ranges = symbol_ranges(&symbols, "text", 4, &keys);
        assert_eq!(ranges.splits, ["B\"'\\", "C", "C\u{10FFFF}"]);
        assert_eq!(
            ranges.conditions,
            [
                "(\"symbol\" = ANY('{\"A\"}'::text[]) AND \"symbol\"::text COLLATE \"C\" = \
                 ANY('{\"A\"}'::text[])) OR \"symbol\" IS NULL",
                "\"symbol\" = ANY('{\"B\\\"''\\\\\"}'::text[]) AND \"symbol\"::text COLLATE \"C\" = \
                 ANY('{\"B\\\"''\\\\\"}'::text[])",
                "\"symbol\" = ANY('{\"C\"}'::text[]) AND \"symbol\"::text COLLATE \"C\" = \
                 ANY('{\"C\"}'::text[])",
                "false",
            ]
        );
        let empty = symbol_ranges(&[], "text", 4, &keys);
        assert_eq!(empty.conditions.len(), 4);
        assert!(empty.splits.is_sorted());
    }
}
