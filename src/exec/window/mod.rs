//! Window functions over sorted rows, batch by batch.
//!
//! DataFusion's operators hold all rows of a partition and give one batch at the end, or work row
//! by row. Here a batch is cut where groups begin, and each function takes the slice of its group:
//! memory is a batch and the states of one group, and the rows of a group that a function must see
//! before it can tell its results.
//!
//! [`Function`] says how a window expression is computed; one file per kind computes it.

mod anew;
mod frame;
mod function;
mod groups;
mod place;
mod results;
mod shift;
mod stream;
mod summary;
mod whole;

pub(super) use function::served;
pub use stream::StreamWindowExec;
