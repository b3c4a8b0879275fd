//! What a logical plan needs and leaks: lookback, warm-up, look-ahead. Reads plans, runs nothing.

mod joins;
mod need;

pub use need::{Ahead, History, Need, needs};
