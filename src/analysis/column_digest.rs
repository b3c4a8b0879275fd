//! Digests of the computation of each output column: equal only where the computations are equal.
//!
//! Digests are computed bottom up. The digest of a column describes how its value comes from columns of
//! tables; names, aliases and places in the text do not count. The digest of the rows describes what removed
//! rows. For a node that is not understood, every column depends on the whole node.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery, WindowFunctionDefinition};

use crate::identity::digest_texts;

/// Returns the digests of the columns of a plan, in their order.
///
/// # Errors
/// An expression cannot be walked, which does not happen for a plan that was analysed.
pub fn column_digests(plan: &LogicalPlan) -> Result<Vec<String>> {
    let digests = NodeDigests::digest_node(plan)?;
    Ok(digests
        .columns
        .iter()
        .map(|column| digest_texts(&["value", column, &digests.rows]))
        .collect())
}

/// The digests of the columns of a node and of its rows.
struct NodeDigests<'a> {
    schema: &'a DFSchema,
    columns: Vec<String>,
    rows: String,
    /// The order of the rows: nodes that cut rows off, such as a LIMIT, depend on it.
    order: String,
}

impl<'a> NodeDigests<'a> {
    fn digest_node(plan: &'a LogicalPlan) -> Result<Self> {
        let schema: &DFSchema = plan.schema();
        match plan {
            LogicalPlan::TableScan(node) => {
                let table = node.table_name.to_string();
                // The arguments of a table function are part of its identity; the provider shows them.
                let provider = source_as_provider(&node.source);
                let table =
                    provider.map_or(table.clone(), |provider| format!("{table} {provider:?}"));
                let filters = format!("{:?} {:?}", node.filters, node.fetch);
                let column =
                    |field: &str, ty: String| digest_texts(&["column", &table, field, &ty]);
                let fields = schema.fields().iter();
                let columns = fields.map(|f| column(f.name(), f.data_type().to_string()));
                let rows = digest_texts(&["scan", &table, &filters]);
                Ok(Self { schema, columns: columns.collect(), rows, order: String::new() })
            }
            LogicalPlan::Projection(node) => {
                let below = Self::digest_node(&node.input)?;
                let columns = node.expr.iter().map(|expr| below.digest_expr(expr));
                Ok(Self { schema, columns: columns.collect::<Result<_>>()?, ..below })
            }
            LogicalPlan::Window(node) => {
                let mut below = Self::digest_node(&node.input)?;
                for expr in &node.window_expr {
                    // A window reads rows besides its own.
                    let window = digest_texts(&["window", &below.digest_expr(expr)?, &below.rows]);
                    below.columns.push(window);
                }
                Ok(Self { schema, ..below })
            }
            LogicalPlan::Filter(node) => {
                let below = Self::digest_node(&node.input)?;
                let rows =
                    digest_texts(&["filter", &below.rows, &below.digest_expr(&node.predicate)?]);
                Ok(Self { schema, rows, ..below })
            }
            LogicalPlan::SubqueryAlias(node) => {
                Ok(Self { schema, ..Self::digest_node(&node.input)? })
            }
            LogicalPlan::Sort(node) if node.fetch.is_none() => {
                let below = Self::digest_node(&node.input)?;
                let mut order = Vec::new();
                for sort in &node.expr {
                    let (asc, nulls_first) = (sort.asc, sort.nulls_first);
                    order.push(format!("{} {asc} {nulls_first}", below.digest_expr(&sort.expr)?));
                }
                Ok(Self { schema, order: order.join(", "), ..below })
            }
            other => Self::digest_opaque_node(other, schema),
        }
    }

    /// Returns the digests of a node of which every column depends on the whole node.
    fn digest_opaque_node(plan: &LogicalPlan, schema: &'a DFSchema) -> Result<Self> {
        let mut parts = vec![plan.display().to_string()];
        for input in plan.inputs() {
            let below = NodeDigests::digest_node(input)?;
            parts.extend(below.columns);
            parts.extend([below.rows, below.order]);
        }
        let mut exprs = Vec::new();
        plan.apply_expressions(|expr| {
            exprs.push(canonical_expr_text(expr, &|column| column.flat_name())?);
            Ok(TreeNodeRecursion::Continue)
        })?;
        parts.extend(exprs);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let rows = digest_texts(&parts);
        let column = |index: usize| digest_texts(&["column of", &rows, &index.to_string()]);
        let columns = (0..schema.fields().len()).map(column).collect();
        Ok(Self { schema, columns, rows, order: String::new() })
    }

    /// Returns the digest of an expression over the columns.
    fn digest_expr(&self, expr: &Expr) -> Result<String> {
        let mut expr = expr;
        while let Expr::Alias(alias) = expr {
            expr = &alias.expr;
        }
        if let Expr::Column(column) = expr {
            return Ok(self.digest_column(column));
        }
        Ok(digest_texts(&[
            "expr",
            &canonical_expr_text(expr, &|column| self.digest_column(column))?,
        ]))
    }

    fn digest_column(&self, column: &Column) -> String {
        let known = self.schema.maybe_index_of_column(column);
        known.and_then(|i| self.columns.get(i).cloned()).unwrap_or_else(|| column.flat_name())
    }
}

/// Returns the full text of an expression without aliases and places. Columns are replaced by their digests.
fn canonical_expr_text(expr: &Expr, column: &dyn Fn(&Column) -> String) -> Result<String> {
    let mut beside = Vec::new();
    let plain = expr.clone().transform_up(|part| {
        Ok(match part {
            Expr::Column(named) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column(&named))))
            }
            Expr::Alias(alias) => Transformed::yes(*alias.expr),
            other => {
                collect_hidden_inputs(&other, &mut beside)?;
                Transformed::no(other)
            }
        })
    })?;
    Ok(format!("{:?} {beside:?}", plain.data))
}

/// Collects inputs that the text of an expression does not show: the plans of its subqueries, and the version
/// of an indicator's computation.
fn collect_hidden_inputs(expr: &Expr, beside: &mut Vec<String>) -> Result<()> {
    let subquery: Option<&Subquery> = match expr {
        Expr::ScalarSubquery(query) => Some(query),
        Expr::Exists(exists) => Some(&exists.subquery),
        Expr::InSubquery(within) => Some(&within.subquery),
        Expr::SetComparison(compared) => Some(&compared.subquery),
        Expr::WindowFunction(window) => {
            if let WindowFunctionDefinition::WindowUDF(udf) = &window.fun
                && let Some(entry) = windrow_udfs::find_function(udf.name())
            {
                beside.push(format!("{} {}", udf.name(), entry.spec.version));
            }
            None
        }
        _ => None,
    };
    if let Some(query) = subquery {
        let below = NodeDigests::digest_node(&query.subquery)?;
        beside.extend(below.columns);
        beside.extend([below.rows, below.order]);
    }
    Ok(())
}
