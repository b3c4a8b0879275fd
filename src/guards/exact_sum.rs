//! SQL's `sum`, exact for integers and decimals: it adds integers in 128 bits and decimals in 256, and fails if the
//! result does not fit its type.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature,
};

use super::checked_arithmetic::number_type_name;

/// SQL's `sum`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ExactSum {
    inner: Sum,
}

impl ExactSum {
    pub(super) fn new() -> Self {
        Self { inner: Sum::new() }
    }
}

/// Returns the wider type in which values of a type are added: any sum of 2^63 values fits. None if there is none.
fn wide_type(ty: &DataType) -> Option<DataType> {
    match ty {
        DataType::Int64 | DataType::UInt64 => Some(DataType::Decimal128(38, 0)),
        DataType::Decimal128(_, scale) => Some(DataType::Decimal256(76, *scale)),
        _ => None,
    }
}

/// Returns the field with the wider type.
fn wide_field(field: &FieldRef) -> FieldRef {
    match wide_type(field.data_type()) {
        Some(ty) => Arc::new(field.as_ref().clone().with_data_type(ty)),
        None => Arc::clone(field),
    }
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        self.inner.return_type(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        create_wide_accumulator(args, |args| self.inner.accumulator(args), box_wide_sum)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return self.inner.create_sliding_accumulator(args);
        }
        create_wide_accumulator(
            args,
            |args| self.inner.create_sliding_accumulator(args),
            box_wide_sum,
        )
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let start = |args: AccumulatorArgs| self.inner.create_groups_accumulator(args);
        create_wide_accumulator(args, start, |inner, name, narrow| {
            Box::new(WideGroupSums { inner, name, narrow })
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if wide_type(args.return_field.data_type()).is_none() {
            return self.inner.state_fields(args);
        }
        let inputs: Vec<FieldRef> = args.input_fields.iter().map(wide_field).collect();
        self.inner.state_fields(StateFieldsArgs {
            input_fields: &inputs,
            return_field: wide_field(&args.return_field),
            ..args
        })
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn set_monotonicity(&self, ty: &DataType) -> SetMonotonicity {
        self.inner.set_monotonicity(ty)
    }
}

fn box_wide_sum(
    inner: Box<dyn Accumulator>,
    name: String,
    narrow: DataType,
) -> Box<dyn Accumulator> {
    Box::new(WideSum { inner, name, narrow })
}

/// Creates an accumulator. If the result has a wider type to add in, the accumulator has that type and `wrap` narrows
/// its results.
fn create_wide_accumulator<A: ?Sized>(
    args: AccumulatorArgs,
    start: impl FnOnce(AccumulatorArgs) -> Result<Box<A>>,
    wrap: impl FnOnce(Box<A>, String, DataType) -> Box<A>,
) -> Result<Box<A>> {
    let narrow = args.return_field.data_type().clone();
    if wide_type(&narrow).is_none() {
        return start(args);
    }
    let fields: Vec<FieldRef> = args.expr_fields.iter().map(wide_field).collect();
    let (return_field, name) = (wide_field(&args.return_field), args.name.to_string());
    let inner = start(AccumulatorArgs { return_field, expr_fields: &fields, ..args })?;
    Ok(wrap(inner, name, narrow))
}

/// Casts arguments to the wider type.
fn widen_arguments(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let wide = |array: &ArrayRef| match wide_type(array.data_type()) {
        Some(ty) => cast(array, &ty),
        None => Ok(Arc::clone(array)),
    };
    Ok(values.iter().map(wide).collect::<std::result::Result<_, _>>()?)
}

/// Casts sums to the type of the result, and fails if one does not fit.
fn narrow_sums(name: &str, sums: &ArrayRef, narrow: &DataType) -> Result<ArrayRef> {
    // The cast turns a sum that does not fit into NULL.
    let cut = cast(sums, narrow)?;
    if cut.null_count() == sums.null_count() {
        return Ok(cut);
    }
    let row = (0..sums.len()).find(|row| cut.is_null(*row) && sums.is_valid(*row)).unwrap_or(0);
    let sum = ScalarValue::try_from_array(sums, row)?;
    // With DISTINCT, DataFusion generates the name.
    let name = if name.contains("(alias") { "a sum" } else { name };
    let ty = number_type_name(narrow);
    exec_err!(
        "{name} does not fit {ty}: {sum}; sum CAST(... AS DOUBLE) or CAST(... AS DECIMAL(38, 0))"
    )
}

/// The accumulator of one sum.
#[derive(Debug)]
struct WideSum {
    inner: Box<dyn Accumulator>,
    name: String,
    narrow: DataType,
}

impl Accumulator for WideSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&widen_arguments(values)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.inner.evaluate()?.to_array()?;
        ScalarValue::try_from_array(&narrow_sums(&self.name, &sum, &self.narrow)?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&widen_arguments(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

/// The accumulator of the sums of many groups.
struct WideGroupSums {
    inner: Box<dyn GroupsAccumulator>,
    name: String,
    narrow: DataType,
}

impl GroupsAccumulator for WideGroupSums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.inner.update_batch(&widen_arguments(values)?, groups, filter, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        narrow_sums(&self.name, &self.inner.evaluate(emit_to)?, &self.narrow)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(states, groups, total)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&widen_arguments(values)?, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
