//! The one adapter from indicators to DataFusion's window functions.
//!
//! Code is generic up to [`entry`](crate::entry()) and type-erased after it: the loop over a slice is
//! compiled once per indicator, and the tables are plain data. Nothing here knows an indicator by name.

use crate::columns::output_type;
use crate::entry::{BoundCall, Entry};
use crate::indicator::{FunctionKind, Param, Spec, display_number};
use crate::spec_docs::function_documentation;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, plan_err};
use datafusion_doc::Documentation;
use datafusion_expr::{
    LimitEffect, PartitionEvaluator, Signature, TypeSignature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion_functions_window_common::expr::ExpressionArgs;
use datafusion_functions_window_common::field::WindowUDFFieldArgs;
use datafusion_functions_window_common::partition::PartitionEvaluatorArgs;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Literal;
use std::any::Any;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

impl Entry {
    /// Returns the window function for a DataFusion session.
    pub fn udwf(&'static self) -> Arc<WindowUDF> {
        Arc::new(WindowUDF::from(EntryUdwf::new(self)))
    }
}

/// One table row as a DataFusion window function.
#[derive(Debug)]
pub(crate) struct EntryUdwf {
    pub(crate) entry: &'static Entry,
    signature: Signature,
    documentation: Documentation,
}

impl PartialEq for EntryUdwf {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.entry, other.entry)
    }
}

impl Eq for EntryUdwf {}

impl Hash for EntryUdwf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.entry.spec.name.hash(state);
    }
}

impl EntryUdwf {
    fn new(entry: &'static Entry) -> Self {
        let spec = &entry.spec;
        let (inputs, all) = (spec.inputs.len(), spec.inputs.len() + spec.params.len());
        let forms =
            (inputs..=all).map(|n| TypeSignature::Exact(vec![DataType::Float64; n])).collect();
        let mut signature = Signature::one_of(forms, Volatility::Immutable);
        let params = spec.params.iter().map(|param| param.name);
        let names = spec.inputs.iter().copied().chain(params);
        signature.parameter_names = Some(names.map(str::to_string).collect());
        EntryUdwf { entry, signature, documentation: function_documentation(spec) }
    }

    /// Binds the call behind physical arguments; parameters that are not given have their defaults.
    fn bind_physical(&self, args: &[Arc<dyn PhysicalExpr>]) -> Result<BoundCall> {
        let spec = &self.entry.spec;
        let mut params = spec.default_params();
        for (i, arg) in args.iter().skip(spec.inputs.len()).enumerate() {
            let (Some(target), Some(param)) = (params.get_mut(i), spec.params.get(i)) else {
                return plan_err!("{}: too many arguments; {}", spec.name, spec.call_signature());
            };
            let value = arg.downcast_ref::<Literal>().map(Literal::value);
            *target = literal_number(spec, param, value)?;
        }
        self.entry.bind_params(&params)
    }
}

/// Returns the number that a parameter's literal stands for.
pub(crate) fn literal_number(
    spec: &Spec,
    param: &Param,
    value: Option<&ScalarValue>,
) -> Result<f64> {
    let text = match value {
        Some(
            ScalarValue::Utf8(Some(text))
            | ScalarValue::Utf8View(Some(text))
            | ScalarValue::LargeUtf8(Some(text)),
        ) => text,
        Some(value) if value.data_type().is_numeric() && !value.is_null() => {
            return match value.cast_to(&DataType::Float64)? {
                ScalarValue::Float64(Some(number)) => Ok(number),
                other => plan_err!("{}: {} is {other}", spec.name, param.name),
            };
        }
        _ => {
            return plan_err!(
                "{}: {} must be a literal number, such as {}",
                spec.name,
                param.name,
                display_number(param.default)
            );
        }
    };
    match param.parse_name(text) {
        Some(value) => Ok(value),
        None => {
            plan_err!("{}: {} is '{text}', {}", spec.name, param.name, param.describe_expected())
        }
    }
}

impl WindowUDFImpl for EntryUdwf {
    fn name(&self) -> &str {
        self.entry.spec.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Returns the data columns only: literals would be expanded to full arrays.
    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        args.input_exprs().iter().take(self.entry.spec.inputs.len()).map(Arc::clone).collect()
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let bound = self.bind_physical(args.input_exprs())?;
        Ok(match self.entry.spec.function_kind() {
            FunctionKind::Indicator => Box::new(IndicatorEvaluator { bound }),
            FunctionKind::CrossSection => Box::new(CrossSectionEvaluator { bound }),
        })
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), output_type(&self.entry.spec), true)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        match self.entry.spec.function_kind() {
            FunctionKind::Indicator => LimitEffect::None,
            FunctionKind::CrossSection => LimitEffect::Unknown,
        }
    }
}

/// The evaluator of an indicator: a fresh kernel runs over each group.
#[derive(Debug)]
struct IndicatorEvaluator {
    bound: BoundCall,
}

impl PartitionEvaluator for IndicatorEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        self.bound.new_kernel()?.compute_rows(values, rows)
    }

    fn is_causal(&self) -> bool {
        true
    }
}

/// The evaluator of a cross-sectional function.
#[derive(Debug)]
struct CrossSectionEvaluator {
    bound: BoundCall,
}

impl PartitionEvaluator for CrossSectionEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        self.bound.compute_cross_section(values, rows)
    }
}

/// Returns the call behind an evaluator of one of our window functions; None for other evaluators.
///
/// An operator that replaces DataFusion's window node finds the call in a physical plan with it.
pub fn evaluator_call(evaluator: &dyn PartitionEvaluator) -> Option<&BoundCall> {
    let any: &dyn Any = evaluator;
    let rows = any.downcast_ref::<IndicatorEvaluator>().map(|rows| &rows.bound);
    rows.or_else(|| any.downcast_ref::<CrossSectionEvaluator>().map(|group| &group.bound))
}
