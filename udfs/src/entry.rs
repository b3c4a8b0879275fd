//! One row of a table of functions, the call that it is bound into, and the kernel that runs it over columns with the
//! one NULL policy.

use crate::columns::{
    OutputColumns, all_finite, has_null, input_columns, scatter_values, valid_rows,
};
use crate::indicator::{CrossSection, Indicator, Memory, Params, Spec};
use arrow::array::{Array, ArrayRef};
use datafusion_common::{Result, exec_err, internal_datafusion_err, internal_err, plan_err};
use std::cell::OnceCell;
use std::fmt::{self, Debug};
use std::ops::Range;

/// One row of a table: a description and the code behind it.
pub struct Entry {
    /// The description for users.
    pub spec: Spec,
    code: FunctionCode,
}

/// The code of one function with its type erased.
pub(crate) enum FunctionCode {
    Indicator {
        lookback: fn(&Params) -> usize,
        warmup: fn(&Params) -> usize,
        memory: fn(&Params) -> Memory,
        refuse: fn(&Params) -> Option<&'static str>,
        kernel: fn(&BoundCall) -> Box<dyn Kernel>,
    },
    CrossSection(fn(&Params, &[f64], &mut [f64])),
}

/// Returns the table row of an indicator; a wrong number of inputs or outputs does not compile.
pub const fn entry<T: Indicator<I, O>, const I: usize, const O: usize>() -> Entry {
    assert!(T::SPEC.inputs.len() == I, "the inputs of SPEC and of the step differ in number");
    assert!(T::SPEC.outputs.len() == O, "the outputs of SPEC and of the step differ in number");
    Entry {
        spec: T::SPEC,
        code: FunctionCode::Indicator {
            lookback: T::lookback,
            warmup: T::warmup,
            memory: T::memory_with,
            refuse: T::refuse_params,
            kernel: box_kernel::<T, I, O>,
        },
    }
}

/// Returns the table row of a cross-sectional function.
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
    /// Binds a call with all its parameters.
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
        let params: Vec<f64> =
            known.iter().zip(params).map(|(param, value)| param.resolve_value(*value)).collect();
        if let FunctionCode::Indicator { refuse, .. } = self.code
            && let Some(why) = refuse(&Params(&params))
        {
            return plan_err!("{name}: its parameters are {params:?}, {why}");
        }
        Ok(BoundCall { entry: self, params })
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
    /// Returns the rows consumed before the first value: exact, and known from the parameters alone.
    pub fn lookback_rows(&self) -> usize {
        match self.entry.code {
            FunctionCode::Indicator { lookback, .. } => lookback(&Params(&self.params)),
            FunctionCode::CrossSection(_) => 0,
        }
    }

    /// Returns the rows after which a value practically no longer depends on where the series starts.
    ///
    /// For windows it is the lookback. For recursions it is an estimate, never less than the
    /// lookback: about 40 / alpha for each stage, which was enough on every series measured but is
    /// not proven. For cumulative functions it is `usize::MAX`. Show it to users, and do not rely on
    /// it for equality.
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

    /// Returns how much of the past a value of this call depends on; a choice of moving average may
    /// change it.
    pub fn call_memory(&self) -> Memory {
        match self.entry.code {
            FunctionCode::Indicator { memory, .. } => memory(&Params(&self.params)),
            FunctionCode::CrossSection(_) => self.entry.spec.memory,
        }
    }

    /// Creates the state before the first row of one group.
    ///
    /// # Errors
    /// If the function is cross-sectional: it sees whole groups and keeps no state.
    pub fn new_kernel(&self) -> Result<Box<dyn Kernel>> {
        match self.entry.code {
            FunctionCode::Indicator { kernel, .. } => Ok(kernel(self)),
            FunctionCode::CrossSection(_) => {
                internal_err!("{} is cross-sectional and has no kernel", self.entry.spec.name)
            }
        }
    }

    /// Computes a cross-sectional function for all rows of one group, with the NULL policy of
    /// [`Kernel`].
    ///
    /// # Errors
    /// If the function is an indicator, or an input is not Float64.
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
/// is NULL. The results are the same to the bit however the rows are cut into slices, and also if
/// the state was saved and restored between slices.
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

    /// Returns the description of the indicator, which also shapes its [`OutputColumns`].
    fn indicator_spec(&self) -> &'static Spec;

    /// Returns the state as bytes, headed by function, version and parameters.
    ///
    /// # Errors
    /// Only if memory runs out.
    fn save_state(&self) -> Result<Vec<u8>>;

    /// Restores a saved state.
    ///
    /// # Errors
    /// If the bytes are damaged, or belong to another function, version or call.
    fn restore_state(&mut self, bytes: &[u8]) -> Result<()>;

    /// Returns the bytes held in memory, which depend on the parameters and not on the rows seen.
    fn state_bytes(&self) -> usize;

    /// Computes the results for the first `rows` rows of the input columns.
    ///
    /// # Errors
    /// As [`Kernel::append_results`].
    fn compute_rows(&mut self, inputs: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let mut output = OutputColumns::new(self.indicator_spec(), rows);
        self.append_results(inputs, 0..rows, &mut output)?;
        Ok(output.finish())
    }
}

/// Rows that are processed at a time: few enough to stay in the processor's cache.
const SLICE: usize = 4096;

/// An indicator with its parameters and its state within one group.
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
    /// Runs over rows that are all valid.
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

    /// Runs over the valid rows only: gathers them, and scatters their results to their places.
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
        // Rings are allocated in full at the start and stored in full: the stored size is the size
        // on the heap.
        let heap = || postcard::to_allocvec(&self.state).map_or(0, |bytes| bytes.len());
        size_of::<Self>() + self.heap.get_or_init(heap)
    }
}

fn execution_error(message: String) -> datafusion_common::DataFusionError {
    datafusion_common::DataFusionError::Execution(message)
}

/// Computes the FNV-1a checksum, which detects damaged bytes and guards against nothing else.
fn fnv_checksum(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
