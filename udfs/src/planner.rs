//! The step from calls in SQL to arguments of the functions: defaults, names of moving averages, and
//! errors that say what to write. It works on logical calls only, and computes no values.

use crate::entry::{BoundCall, Entry};
use crate::indicator::{FunctionKind, Param, Spec, display_number};
use crate::udwf::{EntryUdwf, literal_number};
use datafusion_common::{Result, ScalarValue, plan_err};
use datafusion_expr::expr::{BinaryExpr, Cast, NullTreatment, TryCast};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawWindowExpr};
use datafusion_expr::{
    Expr, Operator, WindowFrame, WindowFrameBound, WindowFunctionDefinition, WindowUDF, lit,
};

/// The planner of calls of our functions; every other call passes unchanged.
#[derive(Debug)]
pub(crate) struct CallPlanner;

impl ExprPlanner for CallPlanner {
    fn plan_window(&self, mut call: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        let Some(entry) = resolve_function(&call.func_def, &call.args) else {
            return Ok(PlannerResult::Original(call));
        };
        let spec = &entry.spec;
        let bound = bind_arguments(entry, &call.args)?;
        call.args.truncate(spec.inputs.len());
        reject_unsupported(spec, &bound.params, &call)?;
        call.args.extend(bound.params.iter().map(|value| lit(*value)));
        // Our functions always ignore NULLs: a call with IGNORE NULLS is the same as one without.
        call.null_treatment = None;
        if let WindowFunctionDefinition::AggregateUDF(_) = call.func_def {
            call.func_def = WindowFunctionDefinition::WindowUDF(entry.udwf());
        }
        Ok(PlannerResult::Original(call))
    }
}

/// Returns our function behind a call. SQL resolves `max(close, 30)` to its own aggregate, which
/// takes one argument; a call with a period is TA-Lib's function.
fn resolve_function(called: &WindowFunctionDefinition, args: &[Expr]) -> Option<&'static Entry> {
    match called {
        WindowFunctionDefinition::WindowUDF(udf) => own_entry(udf),
        WindowFunctionDefinition::AggregateUDF(udf) => {
            crate::find_function(udf.name()).filter(|entry| args.len() > entry.spec.inputs.len())
        }
    }
}

fn own_entry(udf: &WindowUDF) -> Option<&'static Entry> {
    udf.inner().downcast_ref::<EntryUdwf>().map(|function| function.entry)
}

/// Binds a logical call: checks the given parameters and sets the others to their defaults. None if
/// the function is not one of ours.
///
/// It ignores aliases and casts around literals, and computes `+`, `-` and `*` of literals.
pub fn bound_call(udf: &WindowUDF, args: &[Expr]) -> Option<Result<BoundCall>> {
    own_entry(udf).map(|entry| bind_arguments(entry, args))
}

fn bind_arguments(entry: &'static Entry, args: &[Expr]) -> Result<BoundCall> {
    let spec = &entry.spec;
    let most = spec.inputs.len() + spec.params.len();
    if args.len() < spec.inputs.len() || args.len() > most {
        return plan_err!(
            "{}: {} given, expected {}; write {}",
            spec.name,
            pluralize_noun(args.len(), "argument"),
            if spec.params.is_empty() {
                most.to_string()
            } else {
                format!("{} to {most}", spec.inputs.len())
            },
            format_call(spec, None, &spec.default_params())
        );
    }
    let mut params = spec.default_params();
    for ((target, param), arg) in params.iter_mut().zip(spec.params).zip(&args[spec.inputs.len()..])
    {
        *target = evaluate_parameter(spec, param, arg)?;
    }
    entry.bind_params(&params)
}

/// Returns the number that a logical argument stands for.
fn evaluate_parameter(spec: &Spec, param: &Param, arg: &Expr) -> Result<f64> {
    match arg {
        Expr::Alias(alias) => evaluate_parameter(spec, param, &alias.expr),
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => {
            evaluate_parameter(spec, param, expr)
        }
        Expr::Negative(inner) => Ok(-evaluate_parameter(spec, param, inner)?),
        Expr::Literal(value, _) => literal_number(spec, param, Some(value)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let both = || {
                Ok((
                    evaluate_parameter(spec, param, left)?,
                    evaluate_parameter(spec, param, right)?,
                ))
            };
            match op {
                Operator::Plus => both().map(|(left, right)| left + right),
                Operator::Minus => both().map(|(left, right)| left - right),
                Operator::Multiply => both().map(|(left, right)| left * right),
                _ => literal_number(spec, param, None),
            }
        }
        _ => literal_number(spec, param, None),
    }
}

/// Refuses clauses that would be ignored or would have no meaning.
fn reject_unsupported(spec: &Spec, params: &[f64], call: &RawWindowExpr) -> Result<()> {
    let name = spec.name;
    let written = || format_call(spec, Some(&call.args), params);
    if call.filter.is_some() {
        return plan_err!(
            "{name}: FILTER is not supported; write CASE WHEN ... THEN {} END as its input: rows \
             that are NULL are skipped",
            format_unqualified(&call.args[0])
        );
    }
    if call.distinct {
        return plan_err!("{name}: DISTINCT is not supported; write {}", written());
    }
    if call.null_treatment == Some(NullTreatment::RespectNulls) {
        return plan_err!("{name}: RESPECT NULLS is not supported: rows that are NULL are skipped");
    }
    match spec.function_kind() {
        FunctionKind::Indicator if call.order_by.is_empty() => plan_err!(
            "{name}: its window has no ORDER BY; write {} OVER (PARTITION BY symbol ORDER BY ts)",
            written()
        ),
        FunctionKind::Indicator if !is_default_frame(&call.window_frame, true) => plan_err!(
            "{name}: its window has a frame ({}), which would be ignored, since its parameters say \
             how many rows it reads; write {} OVER (PARTITION BY symbol ORDER BY ts)",
            call.window_frame,
            written()
        ),
        FunctionKind::CrossSection if !call.order_by.is_empty() => plan_err!(
            "{name}: its window has an ORDER BY, but it looks at all rows of one time; write \
             {} OVER (PARTITION BY ts)",
            written()
        ),
        FunctionKind::CrossSection if !is_default_frame(&call.window_frame, false) => plan_err!(
            "{name}: its window has a frame ({}), but it looks at all rows of one time; write \
             {} OVER (PARTITION BY ts)",
            call.window_frame,
            written()
        ),
        _ => Ok(()),
    }
}

/// Returns whether a frame is SQL's default; a default that is spelled out means the same.
fn is_default_frame(frame: &WindowFrame, ordered: bool) -> bool {
    let unbounded = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::Preceding(rows) | WindowFrameBound::Following(rows) => rows.is_null(),
        WindowFrameBound::CurrentRow => false,
    };
    let end = match frame.end_bound {
        WindowFrameBound::CurrentRow => ordered,
        _ => !ordered && unbounded(&frame.end_bound),
    };
    end && unbounded(&frame.start_bound)
}

/// Formats a call as users write it: `rsi(close, 14)`.
fn format_call(spec: &Spec, inputs: Option<&[Expr]>, params: &[f64]) -> String {
    let inputs: Vec<String> = match inputs {
        Some(inputs) => inputs.iter().map(format_unqualified).collect(),
        None => spec.inputs.iter().map(|input| (*input).to_string()).collect(),
    };
    let params = params.iter().map(|value| display_number(*value));
    format!("{}({})", spec.name, inputs.into_iter().chain(params).collect::<Vec<_>>().join(", "))
}

/// Formats an expression without the table name of a column.
fn format_unqualified(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => format!("'{text}'"),
        other => other.human_display().to_string(),
    }
}

fn pluralize_noun(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
