//! Finds the files and row groups that can hold rows for which a filter on the key or partition
//! columns is true.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;

/// Least and greatest values of one column, one item per file or row group; None if it proves nothing.
pub(crate) type ColumnRanges = Vec<Option<(ScalarValue, ScalarValue)>>;

/// Returns whether the least and greatest values of one type are also those of another: for numbers
/// as text they are not.
pub(crate) fn are_types_comparable(own: &DataType, other: &DataType) -> bool {
    let text = |ty: &DataType| match ty {
        DataType::Dictionary(_, values) => values.is_string(),
        ty => ty.is_string(),
    };
    text(own) == text(other)
}

/// The statistics of files or row groups for the columns that filters may prune by.
pub(crate) struct ContainerStatistics {
    /// Column names and their ranges, one range per file or row group.
    pub columns: Vec<(String, ColumnRanges)>,
    /// The number of files or row groups.
    pub containers: usize,
}

impl ContainerStatistics {
    /// Returns for each file or row group whether it can hold rows that satisfy `filter`. Without
    /// proof it can.
    pub(crate) fn keep_mask(
        &self,
        filter: &Arc<dyn PhysicalExpr>,
        schema: &SchemaRef,
    ) -> Vec<bool> {
        PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(schema))
            .try_build(Arc::clone(filter))
            .and_then(|predicate| predicate.prune(self))
            .unwrap_or_else(|_| vec![true; self.containers])
    }

    fn bound_array(&self, column: &Column, least: bool) -> Option<ArrayRef> {
        let (_, ranges) = self.columns.iter().find(|(name, _)| *name == column.name)?;
        let known = ranges.iter().flatten().next()?;
        let missing = ScalarValue::try_from(known.0.data_type()).ok()?;
        ScalarValue::iter_to_array(ranges.iter().map(|range| match range {
            Some((min, max)) => {
                if least {
                    min.clone()
                } else {
                    max.clone()
                }
            }
            None => missing.clone(),
        }))
        .ok()
    }
}

impl PruningStatistics for ContainerStatistics {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound_array(column, true)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound_array(column, false)
    }

    fn num_containers(&self) -> usize {
        self.containers
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
