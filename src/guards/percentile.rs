//! `percentile_cont` and `median`: exact, with the arithmetic of numpy and DuckDB, in doubles for every numeric type.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::types::{NativeType, logical_float64};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Coercion, Documentation, Signature, TypeSignatureClass,
    Volatility,
};
use datafusion::physical_expr::expressions::Literal;

/// An aggregate that interpolates a percentile between the values of a group.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Percentile {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
}

impl Percentile {
    /// Creates `percentile_cont(p) WITHIN GROUP (ORDER BY x)`, also written `percentile_cont(x, p)`.
    pub(super) fn new_continuous() -> Result<Self> {
        let signature =
            Signature::coercible(vec![number_coercion(), number_coercion()], Volatility::Immutable)
                .with_parameter_names(vec!["expr", "percentile"])?;
        let aliases = vec!["quantile_cont".to_string()];
        Ok(Self { name: "percentile_cont", aliases, signature })
    }

    /// Creates `median(x)`.
    pub(super) fn new_median() -> Result<Self> {
        let signature = Signature::coercible(vec![number_coercion()], Volatility::Immutable)
            .with_parameter_names(vec!["expression"])?;
        Ok(Self { name: "median", aliases: Vec::new(), signature })
    }

    fn is_continuous(&self) -> bool {
        self.name == "percentile_cont"
    }

    /// Returns the share of the values below the percentile, from 0 to 1.
    fn requested_share(&self, args: &AccumulatorArgs) -> Result<f64> {
        if !self.is_continuous() {
            return Ok(0.5);
        }
        let [_, percentile] = take_function_args(self.name, args.exprs)?;
        let share = match percentile.downcast_ref::<Literal>().map(Literal::value) {
            Some(ScalarValue::Float64(Some(share))) => *share,
            _ => {
                return plan_err!(
                    "the percentile of percentile_cont is no number; write 0.5 or the like"
                );
            }
        };
        if !(0.0..=1.0).contains(&share) {
            return plan_err!("the percentile of percentile_cont is {share}, expected 0 to 1");
        }
        let falls = args.order_bys.first().is_some_and(|sort| sort.options.descending);
        Ok(if falls { 1.0 - share } else { share })
    }
}

fn number_coercion() -> Coercion {
    Coercion::new_implicit(
        TypeSignatureClass::Native(logical_float64()),
        vec![TypeSignatureClass::Numeric],
        NativeType::Float64,
    )
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (share, distinct) = (self.requested_share(&args)?, args.is_distinct);
        Ok(Box::new(PercentileAccumulator { values: Vec::new(), sorted: false, share, distinct }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (share, distinct) = (self.requested_share(&args)?, args.is_distinct);
        Ok(Box::new(PercentileAccumulator { values: Vec::new(), sorted: true, share, distinct }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = Field::new_list(
            format_state_name(args.name, self.name),
            Field::new_list_field(DataType::Float64, true),
            true,
        );
        Ok(vec![Arc::new(list)])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn supports_within_group_clause(&self) -> bool {
        self.is_continuous()
    }

    fn documentation(&self) -> Option<&Documentation> {
        None
    }
}

/// The accumulator of the values of a group or of a frame.
#[derive(Debug)]
struct PercentileAccumulator {
    values: Vec<f64>,
    /// True if the values are always sorted, as moving frames need them.
    sorted: bool,
    share: f64,
    distinct: bool,
}

impl PercentileAccumulator {
    fn insert_value(&mut self, value: f64) {
        if self.sorted {
            let at = self.values.partition_point(|known| known.total_cmp(&value).is_lt());
            self.values.insert(at, value);
        } else {
            self.values.push(value);
        }
    }
}

/// Returns the value at a share of sorted values, interpolated where the share falls between two.
fn interpolate_percentile(values: &[f64], share: f64) -> Option<f64> {
    let at = share * (values.len().checked_sub(1)? as f64);
    let (low, high) = (values.get(at.floor() as usize)?, values.get(at.ceil() as usize)?);
    let weight = at - at.floor();
    Some(match low == high || weight == 0.0 {
        true => *low,
        // Interpolates from the nearer end, as numpy does.
        false if weight < 0.5 => low + (high - low) * weight,
        false => high - (high - low) * (1.0 - weight),
    })
}

impl Accumulator for PercentileAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return internal_err!("a percentile of nothing") };
        values
            .as_primitive::<Float64Type>()
            .iter()
            .flatten()
            .for_each(|value| self.insert_value(value));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return internal_err!("a percentile of nothing") };
        for value in values.as_primitive::<Float64Type>().iter().flatten() {
            if let Ok(at) = self.values.binary_search_by(|known| known.total_cmp(&value)) {
                self.values.remove(at);
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.sorted
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if !self.sorted {
            self.values.sort_unstable_by(f64::total_cmp);
        }
        let found = if self.distinct {
            let mut values = self.values.clone();
            values.dedup();
            interpolate_percentile(&values, self.share)
        } else {
            interpolate_percentile(&self.values, self.share)
        };
        Ok(ScalarValue::Float64(found))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = Float64Array::from(std::mem::take(&mut self.values));
        let list = ListArray::try_new(
            Arc::new(Field::new_list_field(DataType::Float64, true)),
            OffsetBuffer::from_lengths([values.len()]),
            Arc::new(values),
            None,
        )?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(states) = states.first() else { return internal_err!("a percentile of nothing") };
        for state in states.as_list::<i32>().iter().flatten() {
            self.update_batch(&[state])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.capacity() * size_of::<f64>()
    }
}
