//! Plans a feature set: renders it, rewrites it, makes the logical plan, and checks what the header promises.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::view::ViewTable;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, ScalarValue, SchemaError};
use datafusion::functions::core::get_field;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition};
use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};

use super::overlay::{TablesByName, overlay_views};
use super::plan_checks::check_plan;
use super::query::locate_in_file;
use super::{Engine, LookupOrigin, common_subplans};
use crate::analysis::{LookAhead, Need, PlanNames, plan_needs};
use crate::error::{Error, Result, TextPlace, did_you_mean, pluralize_count};
use crate::feature_set::{FeatureSet, Header, RenderedSql, SetText};
use crate::sql::{Sql, diagnose_error, parse};

/// A set that another one reads by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadSet {
    /// The file of the set that reads it; empty for a shipped set.
    pub reader: String,
    /// The name under which it is read.
    pub name: String,
    /// The text of the set that was found.
    pub set: SetText,
}

/// One output column of a feature set, as it is written.
#[derive(Clone, Debug)]
pub struct OutputColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// The rows around its own that it needs.
    pub need: Need,
    /// True if the header declares it as a label.
    pub label: bool,
}

/// The feature sets that a statement reads.
pub(super) struct ResolvedSets {
    pub(super) views: TablesByName,
    /// Their SQL by name, including the sets that they read.
    statements: Vec<(String, String)>,
    /// Their text, including the sets that they read.
    reads: Vec<ReadSet>,
}

/// The result of planning the rendered text of a set.
struct RenderedPlan {
    plan: LogicalPlan,
    statements: Vec<(String, String)>,
    reads: Vec<ReadSet>,
    places: Vec<(String, TextPlace)>,
}

/// A feature set that is ready to run.
pub struct PlannedSet {
    /// The set.
    pub set: FeatureSet,
    /// Its SQL, with the mapping of positions back to the file.
    pub rendered: RenderedSql,
    /// The plan; its columns are the outputs.
    pub plan: LogicalPlan,
    /// The outputs in order.
    pub outputs: Vec<OutputColumn>,
    /// The SQL of the set and of the sets that it reads, by name, with parameters filled in.
    pub(super) statements: Vec<(String, String)>,
    /// The text of the sets that it reads.
    pub(super) reads: Vec<ReadSet>,
    /// The positions of the outputs in the file, by name.
    places: Vec<(String, TextPlace)>,
}

impl PlannedSet {
    /// Returns the position of an output in the file; a flattened output has the position of its struct.
    pub fn output_place(&self, output: &str) -> Option<TextPlace> {
        let of = |name: &str| {
            output == name || output.strip_prefix(name).is_some_and(|rest| rest.starts_with('_'))
        };
        let found = self.places.iter().filter(|(name, _)| of(name));
        found.max_by_key(|(name, _)| name.len()).map(|(_, place)| place.clone())
    }

    /// Returns what the header says about an output. A family of outputs or a struct is described once, by the common
    /// prefix of its names.
    pub fn output_description(&self, output: &str) -> Option<String> {
        let of = |name: &str| {
            let rest = output.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        let described = self.set.header.outputs.iter().filter(|(name, _)| of(name));
        described.max_by_key(|(name, _)| name.len()).map(|(_, text)| text.clone())
    }

    /// Returns the indicators that the plan calls, with the versions of their results.
    pub(super) fn function_versions(&self) -> BTreeMap<String, u32> {
        let mut called = BTreeMap::new();
        let _ = self.plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|part| {
                    if let Expr::WindowFunction(window) = part
                        && let WindowFunctionDefinition::WindowUDF(udf) = &window.fun
                        && let Some(entry) = windrow_udfs::find_function(udf.name())
                    {
                        called.insert(entry.spec.name.to_string(), entry.spec.version);
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        });
        called
    }

    /// Returns the sources that the plan reads.
    pub fn source_names(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        let _ = self.plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                names.insert(scan.table_name.table().to_string());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        names.into_iter().collect()
    }
}

impl Engine {
    /// Plans a feature set, with parameters overridden by `params`.
    ///
    /// # Errors
    /// If the template, the SQL or the header is wrong; positions are those of the file.
    pub async fn plan_set(
        &self,
        set: FeatureSet,
        params: &BTreeMap<String, String>,
    ) -> Result<PlannedSet> {
        let mut reading = vec![set.name.clone()];
        let planned = self.plan_set_body(set, params, &mut reading).await?;
        check_look_ahead(&planned)?;
        Ok(planned)
    }

    /// Checks a feature set as [`Engine::plan_set`] does, but returns all findings that can be reported together:
    /// look-ahead, mixed symbols, conditions that cut the warm-up.
    ///
    /// # Errors
    /// None; every fault is among the findings.
    pub async fn check_set(
        &self,
        set: FeatureSet,
        params: &BTreeMap<String, String>,
    ) -> Vec<Error> {
        let mut found = Vec::new();
        let written = set.clone();
        let mut reading = vec![set.name.clone()];
        let columns = self.visible_columns(&set, params, &mut reading).await.unwrap_or_default();
        if let Ok(rendered) = set.render(params, &|column| columns.contains(column))
            && let Ok(mut sql) = parse(&rendered.sql)
            && sql.rewrite_statement().is_ok()
        {
            let lint = sql.lint(&set.header.entity, &set.header.time);
            found.extend(lint.into_iter().map(|error| locate_in_file(error, &rendered)));
        }
        match self.plan_set_body(set, params, &mut reading).await {
            Ok(planned) => {
                // Faults that a run would report when it makes its physical plan.
                let physical = self.physical_plan(&planned).await;
                let neighbours = planned.set.header.partition_by.is_empty();
                found.extend(check_look_ahead(&planned).err().or(physical.err()));
                found.extend(self.compile_audits(&planned, neighbours).err());
            }
            Err(error) => found.insert(0, error),
        }
        let placed = |error: Error| match error.place() {
            Some(_) => error,
            None => {
                let place = written.guess_place(error.message());
                error.at_place(place)
            }
        };
        found.into_iter().map(placed).collect()
    }

    /// Returns the physical plan of a feature set as a run would execute it, without a target.
    ///
    /// # Errors
    /// If DataFusion cannot plan it.
    pub async fn physical_plan(&self, planned: &PlannedSet) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = common_subplans::plan_with_sharing(&self.context().state(), &planned.plan).await;
        plan.map_err(|error| {
            locate_in_file(diagnose_error(&error, &planned.rendered.sql, &[]), &planned.rendered)
        })
    }

    pub(super) fn plan_set_body<'a>(
        &'a self,
        set: FeatureSet,
        params: &'a BTreeMap<String, String>,
        reading: &'a mut Vec<String>,
    ) -> Pin<Box<dyn Future<Output = Result<PlannedSet>> + Send + 'a>> {
        Box::pin(async move {
            let columns = self.visible_columns(&set, params, reading).await?;
            let rendered = set.render(params, &|column| columns.contains(column))?;
            check_required_columns(&set, &columns)?;
            let planned = self.plan_rendered(&set, &rendered, reading).await;
            let RenderedPlan { plan, statements, reads, places } =
                planned.map_err(|error| locate_in_file(error, &rendered))?;
            let places = places
                .into_iter()
                .map(|(name, place)| (name, rendered.place_of(place.line, place.column)))
                .collect();
            let opened = self.sources();
            let is_label = |table: &str, column: &str| {
                opened.get(table).is_some_and(|source| source.is_label(column))
            };
            let keys = |table: &str| {
                let keys = opened.get(table)?.key_columns();
                Some((keys.entity.clone(), keys.time.clone()))
            };
            let header = &set.header;
            let (entity, time) = (&header.entity, &header.time);
            let names = PlanNames { entity, time, keys: &keys, is_label: &is_label };
            let outputs = output_columns(&plan, header, names)?;
            check_header_outputs(&set, &plan, &outputs)?;
            Ok(PlannedSet { set, rendered, plan, outputs, statements, reads, places })
        })
    }

    async fn plan_rendered(
        &self,
        set: &FeatureSet,
        rendered: &RenderedSql,
        reading: &mut Vec<String>,
    ) -> Result<RenderedPlan> {
        let text = &rendered.sql;
        let mut sql = parse(text)?;
        let places = check_output_names(&sql)?;
        self.check_statement_forms(&sql)?;
        self.open_statement_sources(&sql).await?;
        let ResolvedSets { views, statements: read, reads } =
            self.resolve_sets(&sql, set.lookup_origin(), reading).await?;
        let renamed = self.alias_source_keys(&sql, &set.header)?;
        sql.rewrite_statement()?;
        let own = (set.name.clone(), sql.normalized_text());
        let statements = std::iter::once(own).chain(read).collect();
        let names: Vec<String> =
            self.list_tables().into_iter().chain(views.keys().cloned()).collect();
        let plan = async {
            let state = overlay_views(self.context().state(), views, renamed)?;
            let plan = state.statement_to_plan(sql.into_statement()).await?;
            check_plan(&plan).map_err(|error| DataFusionError::External(Box::new(error)))?;
            let plan =
                state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
            flatten_structs(plan)
        };
        let plan = plan.await.map_err(|error| diagnose_error(&error, text, &names))?;
        Ok(RenderedPlan { plan, statements, reads, places })
    }

    /// Resolves the feature sets that a statement reads by name, as views. Only names that are no table of the
    /// session are looked up. `reading` is the stack of sets that are being read, outermost first.
    pub(super) async fn resolve_sets(
        &self,
        sql: &Sql,
        reader: LookupOrigin<'_>,
        reading: &mut Vec<String>,
    ) -> Result<ResolvedSets> {
        let tables = self.list_tables();
        let (mut views, mut statements, mut reads) = (TablesByName::new(), Vec::new(), Vec::new());
        for (name, place) in sql.referenced_tables() {
            if tables.contains(&name) || views.contains_key(&name) {
                continue;
            }
            if let Some(start) = reading.iter().position(|n| *n == name) {
                let mut cycle = reading[start..].to_vec();
                cycle.push(name);
                return Err(Error::query(format!(
                    "feature sets read each other: {}",
                    cycle.join(" -> ")
                ))
                .hint("take one of the reads out")
                .at_place(place));
            }
            let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_');
            let found = if plain { self.look_for_set(&name, reader)? } else { None };
            let Some(set) = found else {
                if self.open_raw_source(&name).await? {
                    continue;
                }
                let mut known = tables.clone();
                known.extend(crate::feature_set::shipped_set_names().iter().map(|n| n.to_string()));
                let near = crate::error::nearest_name(&name, known.iter().map(String::as_str));
                let hint = match near {
                    Some(near) if near.to_lowercase() == name => {
                        format!("write \"{near}\" in double quotes, or call the source {name}")
                    }
                    Some(near) => format!("did you mean {near}?"),
                    None => format!(
                        "give --source {name}=LOCATION, name it in windrow.yaml, or put {name}.sql beside this file"
                    ),
                };
                return Err(Error::query(format!("unknown table {name}"))
                    .hint(hint)
                    .at_place(place));
            };
            reads.push(ReadSet {
                reader: reader.to_string(),
                name: name.clone(),
                set: set.to_text(),
            });
            reading.push(name.clone());
            let planned = self.plan_set_body(set, &BTreeMap::new(), reading).await?;
            reading.pop();
            let view = ViewTable::new(planned.plan, Some(planned.rendered.sql.clone()));
            views.insert(name, Arc::new(view));
            statements.extend(planned.statements);
            reads.extend(planned.reads);
        }
        Ok(ResolvedSets { views, statements, reads })
    }
}

/// Checks that no two outputs share a name. Returns the positions of the outputs.
fn check_output_names(sql: &Sql) -> Result<Vec<(String, TextPlace)>> {
    let mut seen: Vec<(String, TextPlace)> = Vec::new();
    for output in sql.select_outputs()? {
        let Some(name) = output.name else { continue };
        if seen.iter().any(|(known, _)| *known == name) {
            return Err(Error::query(format!("output column {name} is there twice"))
                .hint("give each a name of its own with AS")
                .at_place(output.place));
        }
        seen.push((name, output.place));
    }
    Ok(seen)
}

fn check_required_columns(set: &FeatureSet, columns: &BTreeSet<String>) -> Result<()> {
    // Without any column no source is open, which the planner reports.
    for column in set.header.requires.iter().filter(|_| !columns.is_empty()) {
        if !columns.contains(column) {
            let error = Error::query(format!("{} requires the column {column}", set.name))
                .hint("the source does not have it: add it there, or use another set");
            return Err(at_optional_place(error, set.header.place_of_entry("requires", column)));
        }
    }
    Ok(())
}

fn at_optional_place(error: Error, place: Option<TextPlace>) -> Error {
    match place {
        Some(place) => error.at_place(place),
        None => error,
    }
}

/// Turns struct outputs into one column per field: `macd` becomes `macd_macd`, `macd_macdsignal`, ...
fn flatten_structs(plan: LogicalPlan) -> datafusion::common::Result<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    let mut columns: Vec<Expr> = Vec::new();
    for (qualifier, field) in schema.iter() {
        let column = Expr::Column(Column::from((qualifier, field.as_ref())));
        match field.data_type() {
            DataType::Struct(fields) => columns.extend(fields.iter().map(|part| {
                let name = Expr::Literal(ScalarValue::Utf8(Some(part.name().clone())), None);
                get_field().call(vec![column.clone(), name]).alias(format!(
                    "{}_{}",
                    field.name(),
                    part.name()
                ))
            })),
            _ => columns.push(column.alias(field.name())),
        }
    }
    let mut seen = BTreeSet::new();
    for column in &columns {
        let name = column.schema_name().to_string();
        if !seen.insert(name.clone()) {
            let error = SchemaError::DuplicateUnqualifiedField { name };
            return Err(DataFusionError::SchemaError(Box::new(error), Box::new(None)));
        }
    }
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

fn output_columns(
    plan: &LogicalPlan,
    header: &Header,
    names: PlanNames<'_>,
) -> Result<Vec<OutputColumn>> {
    let needs = plan_needs(plan, names).map_err(|error| diagnose_error(&error, "", &[]))?;
    let column = |(field, need): (&Arc<datafusion::arrow::datatypes::Field>, Need)| {
        let name = field.name().clone();
        // A label may name a struct output before it is flattened.
        let label = header.labels.iter().any(|label| {
            *label == name || name.strip_prefix(label.as_str()).is_some_and(|r| r.starts_with('_'))
        });
        OutputColumn { name, data_type: field.data_type().clone(), need, label }
    };
    Ok(plan.schema().fields().iter().zip(needs).map(column).collect())
}

/// Checks that the header matches the outputs.
fn check_header_outputs(
    set: &FeatureSet,
    plan: &LogicalPlan,
    outputs: &[OutputColumn],
) -> Result<()> {
    let header = &set.header;
    let names: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(**name)) {
        return Err(Error::query(format!("{}: output column {twice} is there twice", set.path))
            .hint("give each a name of its own with AS"));
    }
    for (key, column) in [("entity", &header.entity), ("time", &header.time)] {
        if !names.contains(&column.as_str()) {
            let error = Error::query(format!("{}: the output has no column {column}", set.path))
                .hint(format!("select it, or name the {key} column in the header: `{key}: NAME`"));
            return Err(at_optional_place(error, header.place_of_key(key)));
        }
    }
    let known = |name: &str| {
        names.contains(&name)
            || names.iter().any(|n| n.strip_prefix(name).is_some_and(|r| r.starts_with('_')))
    };
    let declared = [("labels", &header.labels), ("partition_by", &header.partition_by)];
    for (key, entries) in declared {
        if let Some(entry) = entries.iter().find(|entry| !known(entry)) {
            let error = Error::query(format!("{key}: there is no output {entry}"))
                .hint(did_you_mean(entry, "outputs", names.iter().copied()));
            return Err(at_optional_place(error, header.place_of_entry(key, entry)));
        }
    }
    if let Some(entry) = header.partition_by.iter().find(|name| name.starts_with(['_', '.'])) {
        let error = Error::query(format!(
            "partition_by: readers pass over directories that begin as {entry} does"
        ))
        .hint("give the output a name that begins with a letter");
        return Err(at_optional_place(error, header.place_of_entry("partition_by", entry)));
    }
    for (name, _) in &header.outputs {
        if !known(name) {
            let error = Error::query(format!("outputs: there is no output {name}"))
                .hint(did_you_mean(name, "outputs", names.iter().copied()));
            return Err(at_optional_place(error, header.place_of_entry("outputs", name)));
        }
    }
    let time = plan.schema().fields().iter().find(|f| *f.name() == header.time);
    match time.map(|f| f.data_type()) {
        Some(DataType::Date32 | DataType::Timestamp(..)) | None => Ok(()),
        Some(other) => {
            let error =
                Error::query(format!("{} is {other}, expected a date or a timestamp", header.time));
            Err(at_optional_place(
                error.hint("name the time column in the header: `time: NAME`"),
                header.place_of_key("time"),
            ))
        }
    }
}

/// Refuses outputs that use later rows and are not declared as labels.
fn check_look_ahead(planned: &PlannedSet) -> Result<()> {
    for output in planned.outputs.iter().filter(|o| !o.label) {
        let (name, need) = (&output.name, &output.need);
        let by = need.describe_calls().join(", ");
        let uses = |how: String| {
            Error::query(format!("output {name} looks ahead: it uses {how} ({by})"))
                .hint(format!("declare it in the header, `labels: [{name}]`, or take it out"))
        };
        let error = match need.ahead {
            LookAhead::None => continue,
            LookAhead::Rows(rows) => {
                uses(format!("{} later than its own", pluralize_count(rows as u64, "row")))
            }
            LookAhead::All => uses("rows later than its own".to_string()),
            LookAhead::Unknown => Error::query(format!(
                "output {name} may look ahead: nothing keeps it from rows later than its own ({by})"
            ))
            .hint(format!(
                "group, join and order by {time}, and join only rows at or before it",
                time = planned.set.header.time
            )),
        };
        return Err(at_optional_place(error, planned.output_place(name)));
    }
    Ok(())
}
