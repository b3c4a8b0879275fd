//! The report of a bound.

use serde::{Deserialize, Serialize};

use crate::limits::LimitEntry;

/// One bound: an element of the list of `limits --json`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct LimitReport {
    /// The chapter that it belongs to.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Its value with its unit.
    pub value: String,
    /// The quantity that it bounds.
    pub bounds: String,
    /// The behaviour past the bound.
    pub past: String,
}

impl From<LimitEntry> for LimitReport {
    fn from(limit: LimitEntry) -> Self {
        let LimitEntry { group, name, value, bounds, past } = limit;
        Self {
            group: group.to_string(),
            name: name.to_lowercase(),
            value,
            bounds,
            past: past.to_string(),
        }
    }
}
