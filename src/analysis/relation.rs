//! The columns and rows of a plan node, computed bottom up: the need of each column and its name in the
//! source, and which rows remain. For a node that is not understood, the answer is the safe one: all history.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Join, LogicalPlan, Operator, Subquery, Union,
};

use super::expr_text::bounded_expr_text;
use super::join_timing::{JoinTiming, TimedColumns, join_timing};
use super::need::union_of_needs;
use super::{LookAhead, Need, PlanNames, RowCounting, RowDependency, RowHistory, StepBack};

/// The columns and rows that a node returns.
pub(super) struct Relation<'a> {
    schema: &'a DFSchema,
    /// The names of the keys and labels of the plan and its tables.
    names: PlanNames<'a>,
    /// The time column.
    pub(super) time: &'a str,
    /// The needs of the columns.
    pub(super) needs: Vec<Need>,
    /// The columns in names of the source.
    texts: Vec<String>,
    /// The filters that removed rows.
    filters: Vec<String>,
    /// The tables that the rows come from.
    tables: Vec<String>,
}

impl TimedColumns for Relation<'_> {
    fn is_time_column(&self, expr: &Expr) -> bool {
        let Expr::Column(column) = expr else { return false };
        column.name == self.time || self.expr_text(expr) == self.time
    }

    fn has_column(&self, column: &Column) -> bool {
        self.schema.has_column(column)
    }

    fn has_time_column(&self) -> bool {
        let named = self.schema.fields().iter().any(|field| field.name() == self.time);
        named || self.texts.iter().any(|text| text == self.time)
    }
}

impl<'a> Relation<'a> {
    /// Returns the columns and rows of a plan.
    ///
    /// # Errors
    /// A call of an indicator has impossible parameters.
    pub(super) fn analyze_node(plan: &'a LogicalPlan, names: PlanNames<'a>) -> Result<Self> {
        let schema: &DFSchema = plan.schema();
        match plan {
            LogicalPlan::Projection(node) => {
                let below = Self::analyze_node(&node.input, names)?;
                let (needs, texts) = (below.expr_needs(&node.expr)?, below.expr_texts(&node.expr));
                Ok(Self { schema, needs, texts, ..below })
            }
            LogicalPlan::Window(node) => {
                let mut below = Self::analyze_node(&node.input, names)?;
                let windows = &node.window_expr;
                let (needs, texts) = (below.expr_needs(windows)?, below.expr_texts(windows));
                below.needs.extend(needs);
                below.texts.extend(texts);
                Ok(Self { schema, ..below })
            }
            LogicalPlan::Filter(node) => {
                let mut below = Self::analyze_node(&node.input, names)?;
                // The condition decides which rows remain, so every column needs what it needs.
                let conditions = split_conjunction(&node.predicate);
                let conditions = conditions.into_iter().filter(|part| !is_always_true(part));
                let conditions: Vec<&Expr> = conditions.collect();
                let mut condition = Need::NONE;
                for part in &conditions {
                    condition = condition.union_need(&below.expr_need(part)?);
                }
                let needs = below.needs.iter().map(|need| need.clone().union_need(&condition));
                let needs = needs.collect();
                let conditions: Vec<String> =
                    conditions.into_iter().map(|part| below.expr_text(part)).collect();
                below.filters.extend(conditions);
                Ok(Self { schema, needs, ..below })
            }
            LogicalPlan::SubqueryAlias(node) => {
                Ok(Self { schema, ..Self::analyze_node(&node.input, names)? })
            }
            LogicalPlan::Sort(node) => {
                Ok(Self { schema, ..Self::analyze_node(&node.input, names)? })
            }
            LogicalPlan::Repartition(node) => {
                Ok(Self { schema, ..Self::analyze_node(&node.input, names)? })
            }
            LogicalPlan::TableScan(node) => {
                let mut scan = Self::new(schema, names);
                let table = node.table_name.table();
                for (need, field) in scan.needs.iter_mut().zip(schema.fields()) {
                    if (names.is_label)(table, field.name()) {
                        let (table, column) = (table.to_string(), field.name().clone());
                        (need.history, need.ahead) = (RowHistory::All, LookAhead::All);
                        need.calls.push(RowDependency::StoredLabel { table, column });
                    }
                }
                scan.tables = vec![node.table_name.to_string()];
                if let Some((entity, time)) = (names.keys)(table) {
                    scan.rename_keys(&[(&entity, names.entity), (&time, names.time)]);
                }
                Ok(scan)
            }
            LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => Ok(Self::new(schema, names)),
            LogicalPlan::Union(node) => Self::analyze_union(node, schema, names),
            LogicalPlan::Join(node) => Self::analyze_join(node, schema, names),
            LogicalPlan::Aggregate(node) => Self::analyze_aggregate(node, schema, names),
            other => {
                let mut found = Self::new(schema, names);
                let groups = vec![Vec::new()];
                let mut all = Need { history: RowHistory::All, groups, ..Need::NONE };
                for input in other.inputs() {
                    let below = Self::analyze_node(input, names)?;
                    all = all.union_need(&union_of_needs(&below.needs));
                    found.filters.extend(below.filters);
                    found.tables.extend(below.tables);
                }
                found.needs.fill(all);
                Ok(found)
            }
        }
    }

    /// Returns columns that need nothing, under their own names.
    fn new(schema: &'a DFSchema, names: PlanNames<'a>) -> Self {
        let texts: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let needs = vec![Need::NONE; texts.len()];
        Self {
            schema,
            names,
            time: names.time,
            needs,
            texts,
            filters: Vec::new(),
            tables: Vec::new(),
        }
    }

    fn analyze_union(node: &'a Union, schema: &'a DFSchema, names: PlanNames<'a>) -> Result<Self> {
        let mut merged = Self::new(schema, names);
        let mut branches = Vec::new();
        for (i, input) in node.inputs.iter().enumerate() {
            let below = Self::analyze_node(input, names)?;
            let needs = merged.needs.into_iter().zip(&below.needs);
            merged.needs = needs.map(|(known, need)| known.union_need(need)).collect();
            if i == 0 {
                merged.texts = below.texts;
            } else {
                for (known, text) in merged.texts.iter_mut().zip(below.texts) {
                    if *known != text {
                        *known = format!("{known} or {text}");
                    }
                }
            }
            branches.push(below.filters);
            merged.tables.extend(below.tables);
        }
        branches.dedup();
        merged.filters = match branches.as_slice() {
            [same] => same.clone(),
            // A row counts if one of the branches lets it through.
            _ => {
                let all = |filters: &Vec<String>| match filters.is_empty() {
                    true => "all rows".to_string(),
                    false => filters.join(" AND "),
                };
                vec![branches.iter().map(all).collect::<Vec<_>>().join(" UNION ALL ")]
            }
        };
        Ok(merged)
    }

    fn analyze_join(node: &'a Join, schema: &'a DFSchema, names: PlanNames<'a>) -> Result<Self> {
        let time = names.time;
        let mut left = Self::analyze_node(&node.left, names)?;
        let mut right = Self::analyze_node(&node.right, names)?;
        match join_timing(node, &left, &right) {
            JoinTiming::Same => {}
            // The row may lie any number of rows back.
            JoinTiming::Earlier => {
                right.needs.iter_mut().for_each(|need| need.history = RowHistory::All)
            }
            how @ (JoinTiming::Later | JoinTiming::Unknown) => {
                let ahead =
                    if how == JoinTiming::Later { LookAhead::All } else { LookAhead::Unknown };
                for need in &mut right.needs {
                    (need.history, need.ahead) = (RowHistory::All, ahead);
                    need.calls.push(RowDependency::LaterJoin { time: time.to_string() });
                }
            }
        }
        // Rows of one side depend on the rows of the other side that they are paired with.
        let keys: Vec<String> = node.on.iter().map(|(key, _)| left.expr_text(key)).collect();
        for need in left.needs.iter_mut().chain(&mut right.needs) {
            need.add_groups(std::slice::from_ref(&keys));
        }
        let name = right.qualifier_name();
        // A key of the right side is not the same column as that of the left side.
        for text in &mut right.texts {
            while left.texts.contains(text) {
                *text = format!("{name}.{text}");
            }
        }
        let taken = |name: String| format!("JOIN {name}");
        let filters = match node.join_type {
            JoinType::Left | JoinType::LeftMark => left.filters,
            JoinType::Right | JoinType::RightMark => right.filters,
            JoinType::Full => [left.filters, right.filters].concat(),
            JoinType::LeftSemi | JoinType::LeftAnti => [left.filters, vec![taken(name)]].concat(),
            JoinType::RightSemi | JoinType::RightAnti => {
                [right.filters, vec![taken(left.qualifier_name())]].concat()
            }
            JoinType::Inner if node.on.is_empty() && node.filter.is_none() => {
                [left.filters, right.filters].concat()
            }
            JoinType::Inner => [left.filters, right.filters, vec![taken(name)]].concat(),
        };
        left.needs.extend(right.needs);
        left.texts.extend(right.texts);
        left.tables.extend(right.tables);
        let (mut needs, mut texts) = (left.needs, left.texts);
        let own = Self::new(schema, names);
        if needs.len() != own.needs.len() {
            needs = vec![union_of_needs(&needs); own.needs.len()];
            texts = own.texts;
        }
        Ok(Self { schema, names, time, needs, texts, filters, tables: left.tables })
    }

    fn analyze_aggregate(
        node: &'a Aggregate,
        schema: &'a DFSchema,
        names: PlanNames<'a>,
    ) -> Result<Self> {
        let time = names.time;
        let below = Self::analyze_node(&node.input, names)?;
        let per_moment = node.group_expr.iter().any(|expr| below.is_time_column(expr));
        let groups = vec![below.expr_texts(&node.group_expr)];
        let whole = if per_moment {
            Need {
                history: below.step_history(0, RowCounting::Every, &node.group_expr),
                groups,
                ..Need::NONE
            }
        } else {
            let (history, ahead) = (RowHistory::All, LookAhead::Unknown);
            Need {
                history,
                ahead,
                groups,
                calls: vec![RowDependency::GroupWithoutTime],
                ..Need::NONE
            }
        };
        let grouped = |need: Need| {
            if per_moment { need.compose_need(whole.clone()) } else { need.union_need(&whole) }
        };
        let mut needs = below.expr_needs(&node.group_expr)?;
        needs.extend(below.expr_needs(&node.aggr_expr)?.into_iter().map(grouped));
        let mut texts = below.expr_texts(&node.group_expr);
        let mut filters = below.filters.clone();
        filters.push(format!("GROUP BY {}", texts.join(", ")));
        texts.extend(below.expr_texts(&node.aggr_expr));
        let own = Self::new(schema, names);
        if needs.len() != own.needs.len() {
            needs = vec![grouped(union_of_needs(&needs)); own.needs.len()];
            texts = own.texts;
        }
        Ok(Self { schema, names, time, needs, texts, filters, tables: below.tables })
    }

    /// Returns the needs of the columns, and marks those that depend on rows of other entities.
    pub(super) fn into_needs(mut self) -> Vec<Need> {
        let named = self.schema.fields().iter().position(|f| f.name() == self.names.entity);
        let entity = named.and_then(|at| self.texts.get(at));
        for need in &mut self.needs {
            need.crosses =
                need.groups.iter().any(|keys| entity.is_none_or(|entity| !keys.contains(entity)));
        }
        self.needs
    }

    /// Returns the name of the rows where they are joined.
    fn qualifier_name(&self) -> String {
        let qualifier = self.schema.iter().find_map(|(qualifier, _)| qualifier);
        qualifier.map_or_else(|| self.tables.join(", "), ToString::to_string)
    }

    /// Returns a step back in these rows. A step of 0 rows is a step aside, see [`StepBack::rows`].
    pub(super) fn step_history(
        &self,
        rows: usize,
        counted: RowCounting,
        keys: &[Expr],
    ) -> RowHistory {
        let mut keys = self.expr_texts(keys);
        keys.sort();
        keys.dedup();
        let (filters, tables) = (self.filters.clone(), self.tables.clone());
        RowHistory::single_step(StepBack { rows, counted, keys, filters, tables })
    }

    /// Renames the keys of a source to their names in the outputs.
    fn rename_keys(&mut self, keys: &[(&String, &str)]) {
        let at = |name: &str| self.schema.fields().iter().position(|f| f.name() == name);
        let places: Vec<_> = keys.iter().map(|(name, called)| (at(name), *called)).collect();
        for (place, called) in places {
            for (i, text) in self.texts.iter_mut().enumerate() {
                if Some(i) == place {
                    *text = called.to_string();
                } else if place.is_some() && text == called {
                    *text = format!("{}.{text}", self.tables.join(", "));
                }
            }
        }
    }

    fn expr_text(&self, expr: &Expr) -> String {
        bounded_expr_text(expr, &|column: &Column| {
            let index = self.schema.maybe_index_of_column(column);
            let known = index.and_then(|index| self.texts.get(index));
            known.unwrap_or(&column.name).clone()
        })
    }

    pub(super) fn expr_texts(&self, exprs: &[Expr]) -> Vec<String> {
        exprs.iter().map(|expr| self.expr_text(expr)).collect()
    }

    fn expr_needs(&self, exprs: &[Expr]) -> Result<Vec<Need>> {
        exprs.iter().map(|expr| self.expr_need(expr)).collect()
    }

    fn column_need(&self, column: &Column) -> Need {
        let index = self.schema.maybe_index_of_column(column);
        index.and_then(|index| self.needs.get(index)).cloned().unwrap_or(Need::NONE)
    }

    /// Returns the need of an expression over the columns.
    fn expr_need(&self, expr: &Expr) -> Result<Need> {
        let mut all = Need::NONE;
        expr.apply(|part| {
            let need = match part {
                Expr::Column(column) => self.column_need(column),
                Expr::WindowFunction(window) => {
                    let params = &window.params;
                    let order = params.order_by.iter().map(|sort| &sort.expr);
                    let keys = params.partition_by.iter().chain(order);
                    let mut inside = Need::NONE;
                    for arg in params.args.iter().chain(keys).chain(params.filter.as_deref()) {
                        inside = inside.union_need(&self.expr_need(arg)?);
                    }
                    let need = inside.compose_need(self.window_need(window)?);
                    all = std::mem::replace(&mut all, Need::NONE).union_need(&need);
                    return Ok(TreeNodeRecursion::Jump);
                }
                Expr::ScalarSubquery(query) => subquery_need(query, self.names)?,
                Expr::Exists(exists) => subquery_need(&exists.subquery, self.names)?,
                Expr::InSubquery(within) => subquery_need(&within.subquery, self.names)?,
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            all = std::mem::replace(&mut all, Need::NONE).union_need(&need);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(all)
    }
}

/// Returns the need of a subquery. A subquery that reads the row of the outer query may read any row from
/// there.
fn subquery_need(query: &Subquery, names: PlanNames<'_>) -> Result<Need> {
    let mut need = union_of_needs(&Relation::analyze_node(&query.subquery, names)?.needs);
    need.add_groups(&[Vec::new()]);
    if !query.outer_ref_columns.is_empty() {
        (need.history, need.ahead) = (RowHistory::All, LookAhead::Unknown);
        need.calls.push(RowDependency::OuterSubquery);
    }
    Ok(need)
}

/// Returns whether a condition is `x IS NULL OR x IS NOT NULL`.
fn is_always_true(condition: &Expr) -> bool {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            matches!((left.as_ref(), right.as_ref()), (Expr::IsNull(a), Expr::IsNotNull(b)) if a == b)
        }
        _ => false,
    }
}
