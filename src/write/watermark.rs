//! First and last time per symbol among the rows that are written.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::compute::partition;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::store::{SymbolRange, TimeColumn};

/// The time ranges per symbol, collected batch by batch.
#[derive(Debug, Default)]
pub struct Watermarks {
    ranges: BTreeMap<String, SymbolRange>,
}

impl From<BTreeMap<String, SymbolRange>> for Watermarks {
    fn from(ranges: BTreeMap<String, SymbolRange>) -> Self {
        Self { ranges }
    }
}

impl Watermarks {
    /// Adds a batch in which the rows of each symbol are in time order; `entity` and `time` are its
    /// columns.
    ///
    /// # Errors
    /// The values of the time column are not times.
    pub fn track_batch(
        &mut self,
        batch: &RecordBatch,
        entity: usize,
        time: usize,
    ) -> Result<(), datafusion::arrow::error::ArrowError> {
        let (symbols, times) = (batch.column(entity), batch.column(time));
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let options = FormatOptions::default();
        let symbol_text = ArrayFormatter::try_new(symbols, &options)?;
        let instants = TimeColumn::from_array(times)?;
        let keys: [ArrayRef; 1] = [ArrayRef::clone(symbols)];
        for run in partition(&keys)?.ranges() {
            if symbols.is_null(run.start) {
                continue;
            }
            // Rows without a time are first or last among the rows of a symbol.
            let known = |row| instants.time_at(row).transpose();
            let first = run.clone().find_map(known).transpose()?;
            let last = run.clone().rev().find_map(known).transpose()?;
            let Some((first, last)) = first.zip(last) else { continue };
            let rows = (run.end - run.start) as u64;
            let symbol = symbol_text.value(run.start).to_string();
            self.widen_symbol_range(symbol, SymbolRange { first, last, rows });
        }
        Ok(())
    }

    fn widen_symbol_range(&mut self, symbol: String, range: SymbolRange) {
        match self.ranges.get_mut(&symbol) {
            None => {
                self.ranges.insert(symbol, range);
            }
            Some(known) => {
                known.first = known.first.min(range.first);
                known.last = known.last.max(range.last);
                known.rows += range.rows;
            }
        }
    }

    /// Merges the ranges that another partition collected.
    pub fn merge_watermarks(&mut self, other: BTreeMap<String, SymbolRange>) {
        for (symbol, range) in other {
            self.widen_symbol_range(symbol, range);
        }
    }

    /// Returns the ranges by symbol.
    pub fn into_ranges(self) -> BTreeMap<String, SymbolRange> {
        self.ranges
    }
}
