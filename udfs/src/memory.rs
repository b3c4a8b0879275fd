//! The memory of a function: the part of the past that its values depend on.

use std::fmt::{self, Display};

/// The rows that one value depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// Its own row (for cross-sectional functions: its own group).
    Pointwise,
    /// The last `lookback + 1` valid rows and nothing else: the same window gives the same bits.
    Window,
    /// All rows up to its own, with weights that fade: it forgets where the series starts.
    Recursive,
    /// All rows up to its own, with weights that never fade.
    Cumulative,
}

impl Memory {
    /// Returns the memory of a value that is computed from values of both kinds.
    pub(crate) fn join_memory(self, other: Memory) -> Memory {
        if self as u8 >= other as u8 { self } else { other }
    }
}

impl Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Memory::Pointwise => "pointwise: depends on its own moment only",
            Memory::Window => "window: depends on the last lookback + 1 rows only",
            Memory::Recursive => "recursive: depends on all earlier rows, with fading weight",
            Memory::Cumulative => "cumulative: depends on all earlier rows for ever",
        })
    }
}
