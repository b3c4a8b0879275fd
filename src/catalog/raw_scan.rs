//! Scans the rows of files as they are stored, neither cleaned nor ordered: a commit keeps such
//! rows of a target.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::Result as PlanResult;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;

use super::file_table::FileTable;
use super::project_scan;
use crate::scan::RowSlice;
use crate::store::display_path;

impl FileTable {
    /// Returns the names of the files: their paths or URLs.
    pub fn file_names(&self) -> BTreeSet<String> {
        self.files.iter().map(|info| display_path(&info.file.path)).collect()
    }

    /// Returns the names of the files that may hold rows for which a condition on the columns of
    /// the source is true, as far as their statistics show.
    pub fn file_names_matching(&self, condition: &Arc<dyn PhysicalExpr>) -> BTreeSet<String> {
        let kept = self.prune_files(Some(condition)).into_iter();
        kept.map(|ordinal| display_path(&self.files[ordinal as usize].file.path)).collect()
    }

    /// Scans some columns of the named files: one partition per file, rows in the order of the file.
    ///
    /// # Errors
    /// DataFusion's operators refuse the columns.
    pub fn scan_raw_files(
        &self,
        names: &BTreeSet<String>,
        columns: &[usize],
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let named = self.files.iter().enumerate();
        let named = named.filter(|(_, info)| names.contains(&display_path(&info.file.path)));
        let groups: Vec<Vec<RowSlice>> = named
            .map(|(ordinal, _)| vec![RowSlice { ordinal: ordinal as u32, rows: None }])
            .collect();
        let remote = self.files.first().is_some_and(|info| info.file.object.is_some());
        let rows = self.scan_file_slices(remote, columns, &groups, None)?;
        project_scan(rows, &self.schema, columns)
    }
}
