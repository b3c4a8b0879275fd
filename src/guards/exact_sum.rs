//! SQL's `sum` whose sums of integers are exact: they are added in 128 bits, and fail if the result does
//! not fit 64.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, PrimitiveBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, FieldRef, Int64Type, UInt64Type,
};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature,
};

use super::integers::words;

/// What integers are added as: every sum of 2^63 of them fits.
const WIDE: DataType = DataType::Decimal128(38, 0);

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

/// Whether sums of this type are added in a wider one.
fn is_narrow(ty: &DataType) -> bool {
    matches!(ty, DataType::Int64 | DataType::UInt64)
}

/// The field of the wider type.
fn wide(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(WIDE))
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
        with_wide(args, |args| self.inner.accumulator(args), boxed)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return self.inner.create_sliding_accumulator(args);
        }
        with_wide(args, |args| self.inner.create_sliding_accumulator(args), boxed)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let start = |args: AccumulatorArgs| self.inner.create_groups_accumulator(args);
        with_wide(args, start, |inner, name, narrow| Box::new(WideGroups { inner, name, narrow }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !is_narrow(args.return_field.data_type()) {
            return self.inner.state_fields(args);
        }
        let inputs: Vec<FieldRef> = args.input_fields.iter().map(wide).collect();
        self.inner.state_fields(StateFieldsArgs {
            input_fields: &inputs,
            return_field: wide(&args.return_field),
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

fn boxed(inner: Box<dyn Accumulator>, name: String, narrow: DataType) -> Box<dyn Accumulator> {
    Box::new(Wide { inner, name, narrow })
}

/// Starts an accumulator, of the wider type if this one is narrow, which `wrap` then takes in.
fn with_wide<A: ?Sized>(
    args: AccumulatorArgs,
    start: impl FnOnce(AccumulatorArgs) -> Result<Box<A>>,
    wrap: impl FnOnce(Box<A>, String, DataType) -> Box<A>,
) -> Result<Box<A>> {
    let narrow = args.return_field.data_type().clone();
    if !is_narrow(&narrow) {
        return start(args);
    }
    let fields: Vec<FieldRef> = args.expr_fields.iter().map(wide).collect();
    let (return_field, name) = (wide(&args.return_field), args.name.to_string());
    let inner = start(AccumulatorArgs { return_field, expr_fields: &fields, ..args })?;
    Ok(wrap(inner, name, narrow))
}

/// Arguments in the wider type.
fn widened(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    Ok(values.iter().map(|array| cast(array, &WIDE)).collect::<std::result::Result<_, _>>()?)
}

fn does_not_fit<T>(name: &str, sum: i128, narrow: &DataType) -> Result<T> {
    // DISTINCT makes names of its own.
    let name = if name.contains("(alias") { "a sum" } else { name };
    exec_err!(
        "{name} does not fit {}: {sum}; sum CAST(... AS DOUBLE) or CAST(... AS DECIMAL(38, 0))",
        words(narrow)
    )
}

/// One sum.
#[derive(Debug)]
struct Wide {
    inner: Box<dyn Accumulator>,
    name: String,
    narrow: DataType,
}

impl Accumulator for Wide {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&widened(values)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.inner.evaluate()? {
            ScalarValue::Decimal128(None, ..) => ScalarValue::try_new_null(&self.narrow),
            ScalarValue::Decimal128(Some(sum), ..) if self.narrow == DataType::Int64 => {
                match i64::try_from(sum) {
                    Ok(sum) => Ok(ScalarValue::Int64(Some(sum))),
                    Err(_) => does_not_fit(&self.name, sum, &self.narrow),
                }
            }
            ScalarValue::Decimal128(Some(sum), ..) => match u64::try_from(sum) {
                Ok(sum) => Ok(ScalarValue::UInt64(Some(sum))),
                Err(_) => does_not_fit(&self.name, sum, &self.narrow),
            },
            other => internal_err!("a sum of {} is {}", WIDE, other.data_type()),
        }
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
        self.inner.retract_batch(&widened(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

/// The sums of many groups.
struct WideGroups {
    inner: Box<dyn GroupsAccumulator>,
    name: String,
    narrow: DataType,
}

impl WideGroups {
    fn narrowed<T: ArrowPrimitiveType>(&self, sums: &ArrayRef) -> Result<ArrayRef>
    where
        T::Native: TryFrom<i128>,
    {
        let sums = sums.as_primitive::<Decimal128Type>();
        let narrow = |sum: Option<i128>| match sum {
            None => Ok(None),
            Some(sum) => match T::Native::try_from(sum) {
                Ok(sum) => Ok(Some(sum)),
                Err(_) => does_not_fit(&self.name, sum, &self.narrow),
            },
        };
        let mut narrowed = PrimitiveBuilder::<T>::with_capacity(sums.len());
        for sum in sums {
            narrowed.append_option(narrow(sum)?);
        }
        Ok(Arc::new(narrowed.finish()))
    }
}

impl GroupsAccumulator for WideGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.inner.update_batch(&widened(values)?, groups, filter, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = self.inner.evaluate(emit_to)?;
        match self.narrow {
            DataType::Int64 => self.narrowed::<Int64Type>(&sums),
            _ => self.narrowed::<UInt64Type>(&sums),
        }
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
        self.inner.convert_to_state(&widened(values)?, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
