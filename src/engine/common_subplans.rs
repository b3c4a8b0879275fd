//! Common subplan elimination: a plan that a statement reads twice is computed once.
//!
//! DataFusion inlines the plan of a set, a view or a CTE wherever its name is read. Here, plans that occur more
//! than once and do some work become a table that is computed once. Filters are pushed down first. Readers of
//! different symbols then have different plans and each reads its own files, while a scope that both have moves
//! below the shared plan.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Column, Result, internal_err};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::optimizer::Optimizer;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

use crate::exec::{SharedPlan, ensure_order, period_keys};

/// Returns the physical plan of a logical one, in which repeated subplans are computed once.
pub(super) async fn plan_with_sharing(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (plan, tables) = match plan {
        LogicalPlan::Explain(explain) => {
            let (inner, tables) = extract_repeated(state, &explain.plan)?;
            let explain =
                datafusion::logical_expr::Explain { plan: Arc::new(inner), ..explain.clone() };
            (LogicalPlan::Explain(explain), tables)
        }
        plan => extract_repeated(state, plan)?,
    };
    if tables.is_empty() {
        return state.create_physical_plan(&plan).await;
    }
    let plan = state.optimize(&plan)?;
    // A table reads only tables that come after it: needed columns are collected in this order, and plans are made
    // in reverse.
    let mut wanted = HashMap::new();
    collect_read_columns(&plan, &mut wanted)?;
    let mut plans = Vec::new();
    for (table, definition) in &tables {
        let columns: Vec<usize> = match wanted.remove(&table.number) {
            // A reader of no columns counts rows, which needs some column.
            Some(columns) if columns.is_empty() => vec![0],
            Some(columns) => columns.into_iter().collect(),
            None => continue,
        };
        let definition = state.optimize(&table.project_definition(definition, &columns)?)?;
        collect_read_columns(&definition, &mut wanted)?;
        plans.push((table, columns, definition));
    }
    for (table, columns, definition) in plans.into_iter().rev() {
        let plan = state.query_planner().create_physical_plan(&definition, state).await?;
        table.set_plan(columns, plan, state)?;
    }
    state.query_planner().create_physical_plan(&plan, state).await
}

/// DataFusion's name of the rule after which repeated parts of a plan are equal.
pub(super) const FILTER_PUSHDOWN: &str = "push_down_filter";

/// The shared tables of a plan and their definitions; a table reads only later ones.
type SharedTables = Vec<(Arc<SharedTable>, LogicalPlan)>;

/// Returns the plan with repeated subplans replaced by shared tables, and those tables.
fn extract_repeated(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<(LogicalPlan, SharedTables)> {
    let options = state.config_options();
    let analyzed = state.analyzer().execute_and_check(plan.clone(), options, |_, _| {})?;
    if !may_repeat(&analyzed)? {
        return Ok((plan.clone(), SharedTables::new()));
    }
    let rules = &state.optimizer().rules;
    let last = rules.iter().position(|rule| rule.name() == FILTER_PUSHDOWN);
    let Some(last) = last else {
        return internal_err!("DataFusion has no rule {FILTER_PUSHDOWN} any more");
    };
    let rules = rules[..=last].to_vec();
    let filtered = Optimizer::with_rules(rules).optimize(analyzed, state, |_, _| {})?;
    let (mut plans, mut tables) = (vec![filtered], Vec::new());
    while let Some(repeated) = largest_repeated(&plans)? {
        let table = Arc::new(SharedTable::new(tables.len() + 1, &repeated));
        let reader = table.reader_plan(&repeated)?;
        for plan in &mut plans {
            *plan = replace_subplan(plan, &repeated, &reader)?;
        }
        plans.push(repeated);
        tables.push(table);
    }
    if tables.is_empty() {
        return Ok((plan.clone(), SharedTables::new()));
    }
    let main = plans.remove(0);
    Ok((main, tables.into_iter().zip(plans).collect()))
}

/// Returns whether some table is read twice and sharing is safe. A recursive query prevents it, because it reads
/// its own rows repeatedly. So do two tables of one name, because plans are compared by the names of their tables.
fn may_repeat(plan: &LogicalPlan) -> Result<bool> {
    let mut tables = HashMap::new();
    let (mut repeated, mut hindered) = (false, false);
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(scan) => {
                let table = source_as_provider(&scan.source)?;
                match tables.entry(scan.table_name.clone()) {
                    Entry::Occupied(known) if Arc::ptr_eq(known.get(), &table) => repeated = true,
                    Entry::Occupied(_) => hindered = true,
                    Entry::Vacant(place) => _ = place.insert(table),
                }
            }
            LogicalPlan::RecursiveQuery(_) => hindered = true,
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(repeated && !hindered)
}

/// Returns the largest subplan that occurs twice and is worth sharing.
fn largest_repeated(plans: &[LogicalPlan]) -> Result<Option<LogicalPlan>> {
    let mut counts: HashMap<LogicalPlan, usize> = HashMap::new();
    let mut largest: Option<(usize, LogicalPlan)> = None;
    for plan in plans {
        plan.apply_with_subqueries(|node| {
            let count = counts.entry(node.clone()).or_default();
            *count += 1;
            if *count == 2
                && let Some(size) = shareable_size(node)?
                && largest.as_ref().is_none_or(|(known, _)| size > *known)
            {
                largest = Some((size, node.clone()));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(largest.map(|(_, plan)| plan))
}

/// Returns the size of a plan, if it does some work and its rows are the same wherever it occurs.
fn shareable_size(plan: &LogicalPlan) -> Result<Option<usize>> {
    let (mut size, mut works) = (0, false);
    let mut fixed = !matches!(plan, LogicalPlan::Subquery(_))
        && !plan.schema().fields().is_empty()
        && !plan.contains_outer_reference();
    plan.apply_with_subqueries(|node| {
        size += 1;
        works |= matches!(
            node,
            LogicalPlan::Window(_)
                | LogicalPlan::Aggregate(_)
                | LogicalPlan::Join(_)
                | LogicalPlan::Distinct(_)
                | LogicalPlan::Sort(_)
        );
        fixed &= !node.expressions().iter().any(|expr| expr.is_volatile() || expr.contains_outer());
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(Some(size).filter(|_| works && fixed))
}

fn replace_subplan(
    plan: &LogicalPlan,
    old: &LogicalPlan,
    new: &LogicalPlan,
) -> Result<LogicalPlan> {
    let replaced = plan.clone().transform_down_with_subqueries(|node| {
        Ok(match node == *old {
            true => Transformed::new(new.clone(), true, TreeNodeRecursion::Jump),
            false => Transformed::no(node),
        })
    });
    replaced.data()
}

/// Collects the columns that a plan reads of each shared table, by the number of the table.
fn collect_read_columns(
    plan: &LogicalPlan,
    wanted: &mut HashMap<usize, BTreeSet<usize>>,
) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(table) = provider.downcast_ref::<SharedTable>()
        {
            let columns = wanted.entry(table.number).or_default();
            match &scan.projection {
                Some(projection) => columns.extend(projection),
                None => columns.extend(0..table.schema.fields().len()),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// A subplan that is read as a table. All scans of it read one computation.
#[derive(Debug)]
struct SharedTable {
    number: usize,
    schema: SchemaRef,
    /// The computation, and the columns of the schema that it has.
    shared: OnceLock<(Arc<SharedPlan>, Vec<usize>)>,
}

impl SharedTable {
    fn new(number: usize, plan: &LogicalPlan) -> Self {
        let schema = plan.schema();
        let mut seen = HashSet::new();
        let field = |(place, field): (usize, &Arc<Field>)| {
            // Columns of two tables may have the same name.
            match seen.insert(field.name().clone()) {
                true => Arc::clone(field),
                false => {
                    let name = format!("{}:{place}", field.name());
                    Arc::new(field.as_ref().clone().with_name(name))
                }
            }
        };
        let fields: Vec<_> = schema.fields().iter().enumerate().map(field).collect();
        Self { number, schema: Arc::new(Schema::new(fields)), shared: OnceLock::new() }
    }

    /// Returns a scan of this table, with the column names of the plan.
    fn reader_plan(self: &Arc<Self>, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let name = format!("__shared_{}", self.number);
        let provider = Arc::clone(self) as Arc<dyn TableProvider>;
        let scan = LogicalPlanBuilder::scan(&name, provider_as_source(provider), None)?;
        let columns = plan.schema().iter().zip(self.schema.fields());
        let columns = columns.map(|((qualifier, field), own)| {
            let column = Expr::Column(Column::new(Some(name.as_str()), own.name()));
            column.alias_qualified(qualifier.cloned(), field.name())
        });
        scan.project(columns.collect::<Vec<_>>())?.build()
    }

    /// Returns some columns of the plan, under their names in this table.
    fn project_definition(&self, plan: &LogicalPlan, columns: &[usize]) -> Result<LogicalPlan> {
        let schema = plan.schema();
        let columns = columns.iter().map(|at| {
            let column = Expr::Column(Column::from(schema.qualified_field(*at)));
            column.alias(self.schema.field(*at).name())
        });
        LogicalPlanBuilder::from(plan.clone()).project(columns.collect::<Vec<_>>())?.build()
    }

    /// Sets the plan that computes these columns.
    fn set_plan(
        &self,
        columns: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        state: &SessionState,
    ) -> Result<()> {
        // `period_keys` cannot look through a reader, so readers get rows that come period by period in full
        // order.
        let plan = match period_keys(&plan) {
            Some((entity, time)) => {
                ensure_order(plan, Some(entity), &[entity, time], state.config_options())?
            }
            None => plan,
        };
        let shared = SharedPlan::new(self.number, plan);
        match self.shared.set((shared, columns)) {
            Ok(()) => Ok(()),
            Err(_) => internal_err!("a shared table is planned twice"),
        }
    }
}

#[async_trait]
impl TableProvider for SharedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some((shared, columns)) = self.shared.get() else {
            return internal_err!("a shared table is read before it is planned");
        };
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let reader = Arc::new(shared.add_reader());
        if wanted == columns {
            return Ok(reader);
        }
        let column = |wanted: &usize| {
            let name = self.schema.field(*wanted).name();
            let Some(at) = columns.iter().position(|column| column == wanted) else {
                return internal_err!("a shared table does not compute {name}");
            };
            let column: Arc<dyn PhysicalExpr> = Arc::new(expressions::Column::new(name, at));
            Ok((column, name.clone()))
        };
        let columns = wanted.iter().map(column).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(columns, reader)?))
    }
}
