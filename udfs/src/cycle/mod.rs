//! The dominant cycle of a series, and filters that keep or drop a cycle.

pub(crate) mod filter;
pub(crate) mod hilbert;
