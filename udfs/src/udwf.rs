//! The one adapter from indicators to DataFusion's window functions, and the one NULL policy.
//!
//! Generic until [`entry`], erased after it: the loop over a slice is compiled once per indicator,
//! and the tables are plain data. Nothing here knows a single indicator by name.

use crate::docs;
use crate::indicator::{
    CrossSection, FunctionKind, Indicator, Memory, Param, Params, Spec, display_number,
};
use arrow::array::{Array, ArrayRef, Float64Array, StructArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion_common::{
    Result, ScalarValue, exec_err, internal_datafusion_err, internal_err, plan_err,
};
use datafusion_doc::Documentation;
use datafusion_expr::{
    LimitEffect, PartitionEvaluator, Signature, TypeSignature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion_functions_window_common::expr::ExpressionArgs;
use datafusion_functions_window_common::field::WindowUDFFieldArgs;
use datafusion_functions_window_common::partition::PartitionEvaluatorArgs;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Literal;
use pulp::{Simd, WithSimd};
use std::any::Any;
use std::cell::OnceCell;
use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

/// One row of a table: a description and the code behind it.
pub struct Entry {
    /// What users read about it.
    pub spec: Spec,
    code: FunctionCode,
}

/// The code of one function with its type erased.
enum FunctionCode {
    Indicator {
        lookback: fn(&Params) -> usize,
        warmup: fn(&Params) -> usize,
        memory: fn(&Params) -> Memory,
        kernel: fn(&BoundCall) -> Box<dyn Kernel>,
    },
    CrossSection(fn(&Params, &[f64], &mut [f64])),
}

/// The table row of an indicator; a wrong number of inputs or outputs does not compile.
pub const fn entry<T: Indicator<I, O>, const I: usize, const O: usize>() -> Entry {
    assert!(T::SPEC.inputs.len() == I, "the inputs of SPEC and of the step differ in number");
    assert!(T::SPEC.outputs.len() == O, "the outputs of SPEC and of the step differ in number");
    Entry {
        spec: T::SPEC,
        code: FunctionCode::Indicator {
            lookback: T::lookback,
            warmup: T::warmup,
            memory: T::memory_with,
            kernel: box_kernel::<T, I, O>,
        },
    }
}

/// The table row of a cross-sectional function.
pub(crate) const fn cross_section_entry<T: CrossSection>() -> Entry {
    assert!(T::SPEC.inputs.len() == 1 && T::SPEC.outputs.len() == 1);
    Entry { spec: T::SPEC, code: FunctionCode::CrossSection(T::compute_group) }
}

impl Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec.name)
    }
}

impl Entry {
    /// A call with all its parameters.
    ///
    /// # Errors
    /// If the list is not complete or a number is out of its range:
    /// `rsi: timeperiod is 0, expected a whole number from 2 to 100000`.
    pub fn bind_params(&'static self, params: &[f64]) -> Result<BoundCall> {
        let Spec { name, params: known, .. } = self.spec;
        if params.len() != known.len() {
            return plan_err!("{name}: {} parameters, expected {}", params.len(), known.len());
        }
        for (param, value) in known.iter().zip(params) {
            if let Err(why) = param.check_value(*value) {
                return plan_err!("{name}: {why}");
            }
        }
        Ok(BoundCall { entry: self, params: params.to_vec() })
    }

    /// The window function for a DataFusion session.
    pub fn udwf(&'static self) -> Arc<WindowUDF> {
        Arc::new(WindowUDF::from(EntryUdwf::new(self)))
    }
}

/// One call with its parameters known.
#[derive(Clone, Debug)]
pub struct BoundCall {
    /// The function.
    pub entry: &'static Entry,
    /// All its parameters, in the order of its [`Spec`].
    pub params: Vec<f64>,
}

impl PartialEq for BoundCall {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.entry, other.entry) && self.params == other.params
    }
}

impl BoundCall {
    /// Rows consumed before the first value: exact, and known from the parameters alone.
    pub fn lookback_rows(&self) -> usize {
        match self.entry.code {
            FunctionCode::Indicator { lookback, .. } => lookback(&Params(&self.params)),
            FunctionCode::CrossSection(_) => 0,
        }
    }

    /// Rows after which a value practically no longer depends on where the series starts.
    ///
    /// The lookback for windows; an estimate for recursions (about 40 / alpha for each stage:
    /// enough on every series that was measured, but no theorem), never less than the lookback;
    /// `usize::MAX` for what never forgets. Show it to users, and do not rely on it for equality.
    pub fn warmup_rows(&self) -> usize {
        match self.entry.code {
            FunctionCode::Indicator { .. } if self.call_memory() == Memory::Cumulative => {
                usize::MAX
            }
            FunctionCode::Indicator { warmup, .. } => {
                warmup(&Params(&self.params)).max(self.lookback_rows())
            }
            FunctionCode::CrossSection(_) => 0,
        }
    }

    /// How much of the past a value of this call depends on; a choice of moving average may change
    /// it.
    pub fn call_memory(&self) -> Memory {
        match self.entry.code {
            FunctionCode::Indicator { memory, .. } => memory(&Params(&self.params)),
            FunctionCode::CrossSection(_) => self.entry.spec.memory,
        }
    }

    /// The state before the first row of one group.
    ///
    /// # Errors
    /// For cross-sectional functions, which see whole groups and keep no state.
    pub fn new_kernel(&self) -> Result<Box<dyn Kernel>> {
        match self.entry.code {
            FunctionCode::Indicator { kernel, .. } => Ok(kernel(self)),
            FunctionCode::CrossSection(_) => {
                internal_err!("{} is cross-sectional and has no kernel", self.entry.spec.name)
            }
        }
    }

    /// The results of a cross-sectional function for all rows of one group, with the policy of
    /// [`Kernel`].
    ///
    /// # Errors
    /// For indicators, and for inputs that are not Float64.
    pub fn compute_cross_section(&self, inputs: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let FunctionCode::CrossSection(group) = self.entry.code else {
            return internal_err!("{} is not cross-sectional", self.entry.spec.name);
        };
        let [column] = input_columns::<1>(&self.entry.spec, inputs)?;
        let column = column.slice(0, rows);
        let valid = valid_rows(&[&column], 0..rows);
        let values: Vec<f64> = valid.iter().map(|row| column.value(*row)).collect();
        let mut results = vec![f64::NAN; valid.len()];
        group(&Params(&self.params), &values, &mut results);
        let mut output = OutputColumns::new(&self.entry.spec, rows);
        if let Some([target]) = output.grow_rows::<1>(rows) {
            scatter_values(&valid, &results, target);
        }
        Ok(output.finish())
    }
}

/// A resumable indicator: it takes one slice of a group's rows after another.
///
/// The NULL policy: a row with NULL, NaN or infinity in any input gives NULL and does not move the
/// state; before `lookback_rows` valid rows have passed the result is NULL; a result that is not finite
/// is NULL. How the rows are cut into slices, and whether the state was saved and restored between
/// them, changes no bit.
pub trait Kernel: Debug + Send {
    /// Appends the results for some rows of the input columns, which must be Float64.
    ///
    /// # Errors
    /// If columns are missing or not Float64.
    fn append_results(
        &mut self,
        inputs: &[ArrayRef],
        rows: Range<usize>,
        output: &mut OutputColumns,
    ) -> Result<()>;

    /// The description of the indicator, which also shapes its [`OutputColumns`].
    fn indicator_spec(&self) -> &'static Spec;

    /// The state as bytes, headed by function, version and parameters.
    ///
    /// # Errors
    /// Only if memory runs out.
    fn save_state(&self) -> Result<Vec<u8>>;

    /// Takes up a saved state.
    ///
    /// # Errors
    /// If the bytes are damaged, or are another function's, version's or call's.
    fn restore_state(&mut self, bytes: &[u8]) -> Result<()>;

    /// Bytes held in memory. It depends on the parameters, not on the rows seen.
    fn state_bytes(&self) -> usize;

    /// The results for the first `rows` rows of the input columns.
    ///
    /// # Errors
    /// As [`Kernel::append_results`].
    fn compute_rows(&mut self, inputs: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let mut output = OutputColumns::new(self.indicator_spec(), rows);
        self.append_results(inputs, 0..rows, &mut output)?;
        Ok(output.finish())
    }
}

/// The results of one indicator while they grow: one column of numbers per output, NaN for NULL.
#[derive(Debug)]
pub struct OutputColumns {
    fields: Option<Fields>,
    values: Vec<Vec<f64>>,
}

impl OutputColumns {
    /// Empty columns for the outputs of a function, with room for `capacity` rows.
    pub fn new(spec: &Spec, capacity: usize) -> Self {
        let fields = match output_type(spec) {
            DataType::Struct(fields) => Some(fields),
            _ => None,
        };
        OutputColumns { fields, values: vec![Vec::with_capacity(capacity); spec.outputs.len()] }
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.values.first().map_or(0, Vec::len)
    }

    /// Whether there is no row yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The array of all rows: Float64, or a struct that is NULL where all its fields are.
    pub fn finish(self) -> ArrayRef {
        let arrays: Vec<ArrayRef> = self.values.into_iter().map(nullable_array).collect();
        let Some(fields) = self.fields else {
            return arrays.into_iter().next().unwrap_or_else(|| nullable_array(Vec::new()));
        };
        // NULL where all are; None if one of them never is.
        let known = |array: &ArrayRef| array.nulls().map(|nulls| nulls.inner().clone());
        let known: Option<Vec<BooleanBuffer>> = arrays.iter().map(known).collect();
        let any = known.and_then(|known| known.into_iter().reduce(|a, b| &a | &b));
        let nulls = any.map(NullBuffer::new).filter(|nulls| nulls.null_count() > 0);
        Arc::new(StructArray::new(fields, arrays, nulls))
    }

    /// Adds rows of NULL and gives them for writing; None if there are not `O` outputs.
    fn grow_rows<const O: usize>(&mut self, rows: usize) -> Option<[&mut [f64]; O]> {
        let values: &mut [Vec<f64>; O] = self.values.as_mut_slice().try_into().ok()?;
        Some(values.each_mut().map(|column| {
            let start = column.len();
            column.resize(start + rows, f64::NAN);
            &mut column[start..]
        }))
    }
}

/// Numbers as an array: what is not finite is NULL.
fn nullable_array(values: Vec<f64>) -> ArrayRef {
    let mut words = Vec::with_capacity(values.len().div_ceil(64));
    let missing = pulp::Arch::new().dispatch(ValidityScan { values: &values, words: &mut words });
    let finite = || BooleanBuffer::new(words.into(), 0, values.len());
    let nulls = (missing > 0).then(|| NullBuffer::new(finite()));
    Arc::new(Float64Array::new(values.into(), nulls))
}

/// Counts what is not finite, and sets the bits of what is.
struct ValidityScan<'a> {
    values: &'a [f64],
    words: &'a mut Vec<u64>,
}

impl WithSimd for ValidityScan<'_> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let mut missing = 0;
        for values in self.values.chunks(64) {
            // Most words are full, which is seen faster than bits are put together.
            let mut word = u64::MAX >> (64 - values.len());
            let count = values.iter().filter(|value| !value.is_finite()).count();
            if count > 0 {
                missing += count;
                for (bit, value) in values.iter().enumerate() {
                    word &= !(u64::from(!value.is_finite()) << bit);
                }
            }
            self.words.push(word);
        }
        missing
    }
}

/// The SQL type of a function's result.
fn output_type(spec: &Spec) -> DataType {
    match spec.outputs {
        [_] => DataType::Float64,
        many => DataType::Struct(
            many.iter().map(|name| Field::new(*name, DataType::Float64, true)).collect(),
        ),
    }
}

/// The input columns, checked.
fn input_columns<'a, const I: usize>(
    spec: &Spec,
    inputs: &'a [ArrayRef],
) -> Result<[&'a Float64Array; I]> {
    let name = spec.name;
    let mut columns = Vec::with_capacity(I);
    for input in inputs {
        match input.as_any().downcast_ref::<Float64Array>() {
            Some(column) => columns.push(column),
            None => return internal_err!("{name}: an input is {}, not Float64", input.data_type()),
        }
    }
    columns.try_into().map_err(|_| internal_datafusion_err!("{name}: {} inputs", inputs.len()))
}

fn has_null(column: &Float64Array, rows: &Range<usize>) -> bool {
    column.nulls().is_some_and(|nulls| nulls.slice(rows.start, rows.len()).null_count() > 0)
}

/// The rows, counted from the start of the range, in which every input is a finite number.
fn valid_rows(columns: &[&Float64Array], rows: Range<usize>) -> Vec<usize> {
    let start = rows.start;
    let valid = |row: &usize| {
        columns.iter().all(|c| c.is_valid(row + start) && c.value(row + start).is_finite())
    };
    (0..rows.len()).filter(valid).collect()
}

fn scatter_values(rows: &[usize], values: &[f64], target: &mut [f64]) {
    for (row, value) in rows.iter().zip(values) {
        target[*row] = *value;
    }
}

/// Rows that are worked on at a time: few enough to stay in the processor's cache.
const SLICE: usize = 4096;

/// An indicator with its parameters and what it has seen of one group.
struct KernelRunner<T, const I: usize, const O: usize> {
    bound: BoundCall,
    lookback: u64,
    seen: u64,
    state: T,
    heap: OnceCell<usize>,
}

fn box_kernel<T: Indicator<I, O>, const I: usize, const O: usize>(
    bound: &BoundCall,
) -> Box<dyn Kernel> {
    let params = Params(&bound.params);
    Box::new(KernelRunner::<T, I, O> {
        bound: bound.clone(),
        lookback: T::lookback(&params) as u64,
        seen: 0,
        state: T::new(&params),
        heap: OnceCell::new(),
    })
}

impl<T: Indicator<I, O>, const I: usize, const O: usize> KernelRunner<T, I, O> {
    /// Rows that are all valid.
    fn run_all_rows(&mut self, inputs: [&[f64]; I], mut outputs: [&mut [f64]; O]) {
        let rows = outputs.first().map_or(0, |output| output.len());
        self.state.next_rows(inputs, outputs.each_mut().map(|output| &mut **output));
        if self.seen < self.lookback {
            let early = (self.lookback - self.seen).min(rows as u64) as usize;
            for output in &mut outputs {
                output[..early].fill(f64::NAN);
            }
        }
        self.seen += rows as u64;
    }

    /// Rows some of which are not valid: the others move together, and their results apart again.
    fn run_valid_rows(&mut self, inputs: [&[f64]; I], valid: &[usize], outputs: [&mut [f64]; O]) {
        let dense = inputs.map(|input| valid.iter().map(|row| input[*row]).collect::<Vec<f64>>());
        let mut results: [Vec<f64>; O] = std::array::from_fn(|_| vec![f64::NAN; valid.len()]);
        self.run_all_rows(
            dense.each_ref().map(|column| column.as_slice()),
            results.each_mut().map(|column| column.as_mut_slice()),
        );
        for (result, output) in results.iter().zip(outputs) {
            scatter_values(valid, result, output);
        }
    }
}

impl<T: Debug, const I: usize, const O: usize> Debug for KernelRunner<T, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} after {} rows: {:?}", self.bound, self.seen, self.state)
    }
}

impl<T: Indicator<I, O>, const I: usize, const O: usize> Kernel for KernelRunner<T, I, O> {
    fn append_results(
        &mut self,
        inputs: &[ArrayRef],
        rows: Range<usize>,
        output: &mut OutputColumns,
    ) -> Result<()> {
        let columns = input_columns::<I>(&self.bound.entry.spec, inputs)?;
        if columns.iter().any(|column| column.len() < rows.end) {
            return internal_err!("{:?}: a column ends before row {}", self.bound, rows.end);
        }
        let mut start = rows.start;
        while start < rows.end {
            let slice = start..rows.end.min(start + SLICE);
            start = slice.end;
            let values = columns.map(|column| &column.values()[slice.clone()]);
            let Some(target) = output.grow_rows::<O>(slice.len()) else {
                return internal_err!("{:?}: the output has other columns", self.bound);
            };
            if columns.iter().any(|column| has_null(column, &slice))
                || values.iter().any(|values| !all_finite(values))
            {
                let valid = valid_rows(&columns, slice);
                self.run_valid_rows(values, &valid, target);
            } else {
                self.run_all_rows(values, target);
            }
        }
        Ok(())
    }

    fn indicator_spec(&self) -> &'static Spec {
        &self.bound.entry.spec
    }

    fn save_state(&self) -> Result<Vec<u8>> {
        let Spec { name, version, .. } = self.bound.entry.spec;
        let saved = (name, version, &self.bound.params, self.seen, &self.state);
        let mut bytes = postcard::to_allocvec(&saved)
            .map_err(|e| internal_datafusion_err!("{name}: its state cannot be saved: {e}"))?;
        bytes.extend(fnv_checksum(&bytes).to_le_bytes());
        Ok(bytes)
    }

    fn restore_state(&mut self, bytes: &[u8]) -> Result<()> {
        let Spec { name, version, .. } = self.bound.entry.spec;
        let damaged = || execution_error(format!("{name}: the saved state is damaged"));
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or_else(damaged)?;
        if fnv_checksum(body) != u64::from_le_bytes(*sum) {
            return Err(damaged());
        }
        let (header, body): ((&str, u32, Vec<f64>), _) =
            postcard::take_from_bytes(body).map_err(|_| damaged())?;
        if header != (name, version, self.bound.params.clone()) {
            return exec_err!(
                "{name}: the saved state is of {} version {} with parameters {:?}, expected \
                 version {version} with {:?}",
                header.0,
                header.1,
                header.2,
                self.bound.params
            );
        }
        let (seen, state) = postcard::from_bytes(body).map_err(|_| damaged())?;
        (self.seen, self.state) = (seen, state);
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        // Rings are taken in full at the start and stored in full: the stored size is the size on
        // the heap.
        let heap = || postcard::to_allocvec(&self.state).map_or(0, |bytes| bytes.len());
        size_of::<Self>() + self.heap.get_or_init(heap)
    }
}

/// Whether all are finite: counted without leaving early, which compiles to vector instructions.
fn all_finite(values: &[f64]) -> bool {
    values.iter().map(|value| usize::from(!value.is_finite())).sum::<usize>() == 0
}

fn execution_error(message: String) -> datafusion_common::DataFusionError {
    datafusion_common::DataFusionError::Execution(message)
}

/// FNV-1a: it tells damaged bytes from whole ones, and guards against nothing else.
fn fnv_checksum(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
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
        EntryUdwf { entry, signature, documentation: docs::function_documentation(spec) }
    }

    /// The call behind physical arguments; parameters that are not given have their defaults.
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

/// The number that a parameter's literal stands for.
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
        None => plan_err!(
            "{}: {} is '{text}', {}",
            spec.name,
            param.name,
            param.describe_expected(text)
        ),
    }
}

impl WindowUDFImpl for EntryUdwf {
    fn name(&self) -> &str {
        self.entry.spec.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Only the data columns: literals would be expanded to full arrays.
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

/// The window function's view of an indicator: a fresh kernel runs over each group.
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

/// The window function's view of a cross-sectional function.
#[derive(Debug)]
struct CrossSectionEvaluator {
    bound: BoundCall,
}

impl PartitionEvaluator for CrossSectionEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        self.bound.compute_cross_section(values, rows)
    }
}

/// The call behind an evaluator that one of our window functions made; None for other evaluators.
///
/// An operator that takes the place of DataFusion's window node finds the call in a physical plan
/// with it.
pub fn evaluator_call(evaluator: &dyn PartitionEvaluator) -> Option<&BoundCall> {
    let any: &dyn Any = evaluator;
    let rows = any.downcast_ref::<IndicatorEvaluator>().map(|rows| &rows.bound);
    rows.or_else(|| any.downcast_ref::<CrossSectionEvaluator>().map(|group| &group.bound))
}
