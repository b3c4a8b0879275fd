//! Window functions over sorted rows, batch by batch.
//!
//! DataFusion's operators hold all rows of a partition and emit one batch at the end, or work row
//! by row. Here a batch is cut where groups begin, and each function takes the slice of its group.
//! Memory holds a batch, the states of one group, and the rows of a group that a function must see
//! before it can emit its results.
//!
//! `function::StreamedFunction` describes how a window expression is computed; one file per kind
//! computes it.

mod frame_aggregate;
mod function;
mod groups;
mod position;
mod recompute;
mod results;
mod shift;
mod state;
mod stream_exec;
mod summary;
mod whole_group;

pub(super) use function::streamed_function;
pub use stream_exec::StreamWindowExec;
