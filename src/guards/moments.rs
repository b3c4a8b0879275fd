//! SQL's variances, covariances, correlation and least-squares regressions. Their precision depends on how much the
//! values differ, not on how far they are from zero: a mean is kept as the first value and the distance from it.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::functions_aggregate as aggregates;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator,
    Signature,
};

/// A statistic of the values of one column, or of the pairs of two; `regr_slope(y, x)` takes y first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are named as in SQL")]
pub enum MomentKind {
    VarSamp,
    VarPop,
    StddevSamp,
    StddevPop,
    CovarSamp,
    CovarPop,
    Corr,
    RegrSlope,
    RegrIntercept,
    RegrR2,
    RegrAvgX,
    RegrAvgY,
    RegrSxx,
    RegrSyy,
    RegrSxy,
}

/// The moments of rows. In pairs, the first entry is that of the first argument.
#[derive(Clone, Copy, Debug)]
pub struct SampleMoments {
    /// The number of rows.
    pub rows: f64,
    /// The means.
    pub means: [f64; 2],
    /// The sums of squared distances from the means.
    pub squares: [f64; 2],
    /// The sum of products of distances from the means.
    pub products: f64,
}

impl MomentKind {
    /// Computes this statistic of rows; None is NULL, as in PostgreSQL.
    pub fn compute_moment(self, figures: &SampleMoments) -> Option<f64> {
        let SampleMoments { rows, means, squares, products } = *figures;
        let share =
            |sum: f64, less: f64| (rows > less).then(|| nan_unless_finite(sum / (rows - less)));
        let some = |value: f64| (rows > 0.0).then_some(value);
        let line = rows > 1.0 && squares[1] != 0.0;
        match self {
            Self::VarSamp => share(squares[0], 1.0),
            Self::VarPop => share(squares[0], 0.0),
            Self::StddevSamp => share(squares[0], 1.0).map(f64::sqrt),
            Self::StddevPop => share(squares[0], 0.0).map(f64::sqrt),
            Self::CovarSamp => share(products, 1.0),
            Self::CovarPop => share(products, 0.0),
            Self::Corr => sample_correlation(figures),
            Self::RegrSlope => line.then(|| products / squares[1]),
            Self::RegrIntercept => line.then(|| means[0] - products / squares[1] * means[1]),
            Self::RegrR2 if squares[0] == 0.0 => None,
            Self::RegrR2 => line.then(|| products / squares[0] * (products / squares[1])),
            Self::RegrAvgX => some(means[1]),
            Self::RegrAvgY => some(means[0]),
            Self::RegrSxx => some(nan_unless_finite(squares[1])),
            Self::RegrSyy => some(nan_unless_finite(squares[0])),
            Self::RegrSxy => some(nan_unless_finite(products)),
        }
    }
}

/// Returns NaN for a value that is not finite: an infinity among the rows gives NaN wherever it stands.
fn nan_unless_finite(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::NAN }
}

fn sample_correlation(figures: &SampleMoments) -> Option<f64> {
    let SampleMoments { rows, means, squares, products } = figures;
    match means.map(f64::is_nan) {
        [true, true] => return Some(f64::NAN),
        [false, false] if *rows >= 2.0 => {}
        _ => return None,
    }
    let spread = squares[0].sqrt() * squares[1].sqrt();
    (squares[0] != 0.0 && squares[1] != 0.0).then(|| products / spread)
}

/// One of SQL's aggregates that compute a [`MomentKind`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct MomentAggregate {
    /// DataFusion's aggregate, which gives the name, the signature and the documentation.
    inner: Arc<AggregateUDF>,
    /// The statistic that it computes.
    pub moment: MomentKind,
}

/// Returns all aggregates of this kind.
pub(super) fn moment_aggregates() -> Vec<MomentAggregate> {
    let of = |inner, moment| MomentAggregate { inner, moment };
    vec![
        of(aggregates::variance::var_samp_udaf(), MomentKind::VarSamp),
        of(aggregates::variance::var_pop_udaf(), MomentKind::VarPop),
        of(aggregates::stddev::stddev_udaf(), MomentKind::StddevSamp),
        of(aggregates::stddev::stddev_pop_udaf(), MomentKind::StddevPop),
        of(aggregates::covariance::covar_samp_udaf(), MomentKind::CovarSamp),
        of(aggregates::covariance::covar_pop_udaf(), MomentKind::CovarPop),
        of(aggregates::correlation::corr_udaf(), MomentKind::Corr),
        of(aggregates::regr::regr_slope_udaf(), MomentKind::RegrSlope),
        of(aggregates::regr::regr_intercept_udaf(), MomentKind::RegrIntercept),
        of(aggregates::regr::regr_r2_udaf(), MomentKind::RegrR2),
        of(aggregates::regr::regr_avgx_udaf(), MomentKind::RegrAvgX),
        of(aggregates::regr::regr_avgy_udaf(), MomentKind::RegrAvgY),
        of(aggregates::regr::regr_sxx_udaf(), MomentKind::RegrSxx),
        of(aggregates::regr::regr_syy_udaf(), MomentKind::RegrSyy),
        of(aggregates::regr::regr_sxy_udaf(), MomentKind::RegrSxy),
    ]
}

impl AggregateUDFImpl for MomentAggregate {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return self.inner.accumulator(args);
        }
        Ok(Box::new(MomentAccumulator { moment: self.moment, state: MomentState::default() }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(MomentGroups { moment: self.moment, states: Vec::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            return self.inner.state_fields(args);
        }
        let field = |part: &&str| {
            Arc::new(Field::new(format!("{}[{part}]", args.name), DataType::Float64, false))
        };
        Ok(MomentState::STATE_FIELDS.iter().map(field).collect())
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// The moments of one argument: its first value, the distance of the mean from that value, and the sum of squared
/// distances from the mean.
#[derive(Clone, Copy, Debug, Default)]
struct ArgumentMoments {
    first: f64,
    way: f64,
    squares: f64,
}

/// The moments of the rows so far.
#[derive(Clone, Copy, Debug, Default)]
struct MomentState {
    rows: f64,
    sides: [ArgumentMoments; 2],
    products: f64,
}

impl MomentState {
    const STATE_FIELDS: [&'static str; 8] =
        ["rows", "first", "way", "squares", "first_2", "way_2", "squares_2", "products"];

    fn add_pair(&mut self, row: [f64; 2]) {
        if self.rows == 0.0 {
            self.sides = row.map(|first| ArgumentMoments { first, ..ArgumentMoments::default() });
        }
        self.rows += 1.0;
        let before = [0, 1].map(|i| (row[i] - self.sides[i].first) - self.sides[i].way);
        for (i, side) in self.sides.iter_mut().enumerate() {
            side.way += before[i] / self.rows;
            side.squares += before[i] * ((row[i] - side.first) - side.way);
        }
        let after = (row[1] - self.sides[1].first) - self.sides[1].way;
        self.products += before[0] * after;
    }

    fn merge_state(&mut self, other: &Self) {
        if other.rows == 0.0 {
            return;
        }
        if self.rows == 0.0 {
            *self = *other;
            return;
        }
        let rows = self.rows + other.rows;
        let cross = self.rows * other.rows / rows;
        let steps = [0, 1].map(|i| {
            let (mine, others) = (self.sides[i], other.sides[i]);
            (others.first - mine.first) + (others.way - mine.way)
        });
        for (i, side) in self.sides.iter_mut().enumerate() {
            side.way += steps[i] * (other.rows / rows);
            side.squares += other.sides[i].squares + steps[i] * steps[i] * cross;
        }
        self.products += other.products + steps[0] * steps[1] * cross;
        self.rows = rows;
    }

    fn sample_moments(&self) -> SampleMoments {
        SampleMoments {
            rows: self.rows,
            means: self.sides.map(|side| side.first + side.way),
            squares: self.sides.map(|side| side.squares),
            products: self.products,
        }
    }

    fn field_values(&self) -> [f64; 8] {
        let [x, y] = self.sides;
        [self.rows, x.first, x.way, x.squares, y.first, y.way, y.squares, self.products]
    }

    /// Writes states as arrays, one for each field.
    fn write_states(states: &[Self]) -> Vec<ArrayRef> {
        let parts: Vec<_> = states.iter().map(Self::field_values).collect();
        let column = |part: usize| parts.iter().map(move |parts| parts[part]);
        (0..Self::STATE_FIELDS.len())
            .map(|part| Arc::new(Float64Array::from_iter_values(column(part))) as ArrayRef)
            .collect()
    }

    /// Reads states from arrays of their fields.
    fn read_states(parts: &[ArrayRef]) -> Result<impl Iterator<Item = Self>> {
        let columns: Vec<&Float64Array> =
            parts.iter().filter_map(|part| part.as_primitive_opt::<Float64Type>()).collect();
        let Ok(columns) = <[&Float64Array; 8]>::try_from(columns) else {
            return internal_err!("a state of {} parts", parts.len());
        };
        Ok((0..columns[0].len()).map(move |row| {
            let [rows, first, way, squares, first_2, way_2, squares_2, products] =
                columns.map(|column| column.value(row));
            let sides = [
                ArgumentMoments { first, way, squares },
                ArgumentMoments { first: first_2, way: way_2, squares: squares_2 },
            ];
            Self { rows, sides, products }
        }))
    }
}

/// Returns the rows in which no argument is NULL. With a single argument, the second value is 0.
fn complete_rows(values: &[ArrayRef]) -> Result<impl Iterator<Item = (usize, [f64; 2])>> {
    let columns: Vec<Float64Array> = values
        .iter()
        .filter_map(|column| column.as_primitive_opt::<Float64Type>().cloned())
        .collect();
    if columns.is_empty() || columns.len() != values.len() || columns.len() > 2 {
        return internal_err!("an aggregate of one or two columns of numbers got others");
    }
    let nulls = columns
        .iter()
        .fold(None, |nulls: Option<NullBuffer>, c| NullBuffer::union(nulls.as_ref(), c.nulls()));
    let rows = 0..columns[0].len();
    Ok(rows.filter(move |row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row))).map(
        move |row| (row, [columns[0].value(row), columns.get(1).map_or(0.0, |y| y.value(row))]),
    ))
}

/// The accumulator of a statistic of all rows.
#[derive(Debug)]
struct MomentAccumulator {
    moment: MomentKind,
    state: MomentState,
}

impl Accumulator for MomentAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        complete_rows(values)?.for_each(|(_, row)| self.state.add_pair(row));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.moment.compute_moment(&self.state.sample_moments())))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.state.field_values().map(ScalarValue::from).to_vec())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        MomentState::read_states(states)?.for_each(|other| self.state.merge_state(&other));
        Ok(())
    }
}

/// The accumulator of a statistic of each group.
#[derive(Debug)]
struct MomentGroups {
    moment: MomentKind,
    states: Vec<MomentState>,
}

impl GroupsAccumulator for MomentGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.states.resize(total, MomentState::default());
        let kept = |row: usize| filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        for (row, pair) in complete_rows(values)?.filter(|(row, _)| kept(*row)) {
            self.states[groups[row]].add_pair(pair);
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let states = emit.take_needed(&mut self.states);
        let moments =
            states.iter().map(|state| self.moment.compute_moment(&state.sample_moments()));
        Ok(Arc::new(moments.collect::<Float64Array>()))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(MomentState::write_states(&emit.take_needed(&mut self.states)))
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |column| column.len());
        let mut each = Self { moment: self.moment, states: Vec::new() };
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        Ok(MomentState::write_states(&each.states))
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.states.resize(total, MomentState::default());
        for (group, other) in groups.iter().zip(MomentState::read_states(states)?) {
            self.states[*group].merge_state(&other);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.states.capacity() * size_of::<MomentState>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows far from zero, merged from three pieces, give what the same rows near zero give.
    #[test]
    fn levels_change_nothing() {
        let rows: Vec<[f64; 2]> = (0..90)
            .map(|i| [f64::from(i * 37 % 11) * 0.25, f64::from(i * 17 % 13) * 0.5])
            .collect();
        let of = |level: f64, moment: MomentKind| {
            let mut all = MomentState::default();
            for piece in rows.chunks(31) {
                let mut state = MomentState::default();
                piece.iter().for_each(|row| state.add_pair(row.map(|value| value + level)));
                all.merge_state(&state);
            }
            moment.compute_moment(&all.sample_moments()).unwrap()
        };
        use MomentKind::{Corr, CovarSamp, RegrR2, RegrSlope, RegrSxx, StddevSamp, VarPop};
        for moment in [VarPop, StddevSamp, CovarSamp, Corr, RegrSlope, RegrR2, RegrSxx] {
            let near = of(0.0, moment);
            for level in [1e6, 1e9, 1e12] {
                let error = (of(level, moment) / near - 1.0).abs();
                assert!(error < 1e-12, "{moment:?} at {level:e}: {error:e}");
            }
        }
    }
}
