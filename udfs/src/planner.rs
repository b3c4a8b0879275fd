//! What SQL says and what the functions take: defaults, names of moving averages, and errors that
//! say what to write. It works on logical calls only, and computes nothing.

use crate::indicator::{Kind, Param, Spec, number};
use crate::udwf::{Bound, Entry, Function, literal};
use datafusion_common::{Result, ScalarValue, plan_err};
use datafusion_expr::expr::{BinaryExpr, Cast, NullTreatment, TryCast};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawWindowExpr};
use datafusion_expr::{
    Expr, Operator, WindowFrame, WindowFrameBound, WindowFunctionDefinition, WindowUDF, lit,
};

/// Plans calls of our functions; every other call passes unchanged.
#[derive(Debug)]
pub(crate) struct Planner;

impl ExprPlanner for Planner {
    fn plan_window(&self, mut call: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        let Some(entry) = function(&call.func_def, &call.args) else {
            return Ok(PlannerResult::Original(call));
        };
        let spec = &entry.spec;
        let bound = bind(entry, &call.args)?;
        call.args.truncate(spec.inputs.len());
        refuse(spec, &bound.params, &call)?;
        call.args.extend(bound.params.iter().map(|value| lit(*value)));
        // IGNORE NULLS is what we do: both spellings are one computation.
        call.null_treatment = None;
        if let WindowFunctionDefinition::AggregateUDF(_) = call.func_def {
            call.func_def = WindowFunctionDefinition::WindowUDF(entry.udwf());
        }
        Ok(PlannerResult::Original(call))
    }
}

/// Our function behind a call. SQL resolves `max(close, 30)` to its own aggregate, which takes one
/// argument; with a period it is TA-Lib's.
fn function(called: &WindowFunctionDefinition, args: &[Expr]) -> Option<&'static Entry> {
    match called {
        WindowFunctionDefinition::WindowUDF(udf) => ours(udf),
        WindowFunctionDefinition::AggregateUDF(udf) => {
            crate::find(udf.name()).filter(|entry| args.len() > entry.spec.inputs.len())
        }
    }
}

fn ours(udf: &WindowUDF) -> Option<&'static Entry> {
    udf.inner().downcast_ref::<Function>().map(|function| function.entry)
}

/// A logical call with its parameters known: given ones checked, others at their defaults. None if
/// the function is not one of ours.
///
/// Aliases and casts around literals are looked through, and `+`, `-` and `*` of literals are
/// computed.
pub fn bound_call(udf: &WindowUDF, args: &[Expr]) -> Option<Result<Bound>> {
    ours(udf).map(|entry| bind(entry, args))
}

fn bind(entry: &'static Entry, args: &[Expr]) -> Result<Bound> {
    let spec = &entry.spec;
    let most = spec.inputs.len() + spec.params.len();
    if args.len() < spec.inputs.len() || args.len() > most {
        return plan_err!(
            "{}: {} given, expected {}; write {}",
            spec.name,
            count(args.len(), "argument"),
            if spec.params.is_empty() {
                most.to_string()
            } else {
                format!("{} to {most}", spec.inputs.len())
            },
            written(spec, None, &spec.defaults())
        );
    }
    let mut params = spec.defaults();
    for ((target, param), arg) in params.iter_mut().zip(spec.params).zip(&args[spec.inputs.len()..])
    {
        *target = parameter(spec, param, arg)?;
    }
    entry.bind(&params)
}

/// The number that a logical argument stands for.
fn parameter(spec: &Spec, param: &Param, arg: &Expr) -> Result<f64> {
    match arg {
        Expr::Alias(alias) => parameter(spec, param, &alias.expr),
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => {
            parameter(spec, param, expr)
        }
        Expr::Negative(inner) => Ok(-parameter(spec, param, inner)?),
        Expr::Literal(value, _) => literal(spec, param, Some(value)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let both = || Ok((parameter(spec, param, left)?, parameter(spec, param, right)?));
            match op {
                Operator::Plus => both().map(|(left, right)| left + right),
                Operator::Minus => both().map(|(left, right)| left - right),
                Operator::Multiply => both().map(|(left, right)| left * right),
                _ => literal(spec, param, None),
            }
        }
        _ => literal(spec, param, None),
    }
}

/// Refuses what would be ignored or would have no meaning.
fn refuse(spec: &Spec, params: &[f64], call: &RawWindowExpr) -> Result<()> {
    let name = spec.name;
    let written = || written(spec, Some(&call.args), params);
    if call.filter.is_some() {
        return plan_err!(
            "{name}: FILTER is not supported; write CASE WHEN ... THEN {} END as its input: rows \
             that are NULL are skipped",
            plain(&call.args[0])
        );
    }
    if call.distinct {
        return plan_err!("{name}: DISTINCT is not supported; write {}", written());
    }
    if call.null_treatment == Some(NullTreatment::RespectNulls) {
        return plan_err!("{name}: RESPECT NULLS is not supported: rows that are NULL are skipped");
    }
    match spec.kind() {
        Kind::Indicator if call.order_by.is_empty() => plan_err!(
            "{name}: its window has no ORDER BY; write {} OVER (PARTITION BY symbol ORDER BY ts)",
            written()
        ),
        Kind::Indicator if !is_default(&call.window_frame, true) => plan_err!(
            "{name}: its window has a frame ({}), which would be ignored, since its parameters say \
             how many rows it reads; write {} OVER (PARTITION BY symbol ORDER BY ts)",
            call.window_frame,
            written()
        ),
        Kind::CrossSection if !call.order_by.is_empty() => plan_err!(
            "{name}: its window has an ORDER BY, but it looks at all rows of one time; write \
             {} OVER (PARTITION BY ts)",
            written()
        ),
        Kind::CrossSection if !is_default(&call.window_frame, false) => plan_err!(
            "{name}: its window has a frame ({}), but it looks at all rows of one time; write \
             {} OVER (PARTITION BY ts)",
            call.window_frame,
            written()
        ),
        _ => Ok(()),
    }
}

/// Whether a frame is the one that SQL takes where none is written. Spelled out it means the same.
fn is_default(frame: &WindowFrame, ordered: bool) -> bool {
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

/// A call as users write it: `rsi(close, 14)`.
fn written(spec: &Spec, inputs: Option<&[Expr]>, params: &[f64]) -> String {
    let inputs: Vec<String> = match inputs {
        Some(inputs) => inputs.iter().map(plain).collect(),
        None => spec.inputs.iter().map(|input| (*input).to_string()).collect(),
    };
    let params = params.iter().map(|value| number(*value));
    format!("{}({})", spec.name, inputs.into_iter().chain(params).collect::<Vec<_>>().join(", "))
}

/// An expression without the table names before its columns.
fn plain(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => format!("'{text}'"),
        other => other.human_display().to_string(),
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
