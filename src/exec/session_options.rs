//! Settings of a session on which windrow's operators and tables rely.

use std::collections::BTreeSet;

use datafusion::common::config::ConfigExtension;
use datafusion::common::extensions_options;

extensions_options! {
    /// Settings under `windrow.` in a session. They travel wherever a session's settings do.
    pub struct WindrowOptions {
        /// Rows of a period in files that are sorted period by period; 0 for ten batches. Set it if
        /// a memory limit makes batches small: periods of a few rows per entity are slow.
        pub period_rows: u64, default = 0
        /// Rules of the optimizer that are switched off, separated by commas.
        pub disabled_rules: String, default = String::new()
    }
}

impl ConfigExtension for WindrowOptions {
    const PREFIX: &'static str = "windrow";
}

impl WindrowOptions {
    /// Returns the rows of a period for a batch size: few enough that three periods fit in memory,
    /// and enough that an entity has many of them.
    pub const fn period_rows_of(batch_size: usize) -> u64 {
        10 * batch_size as u64
    }
}

/// The rules of the optimizer that a session disables, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisabledRules(BTreeSet<String>);

impl DisabledRules {
    /// Parses names that are separated by commas.
    pub fn parse(text: &str) -> Self {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        Self(names.map(str::to_string).collect())
    }

    /// Returns whether a rule is switched off.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// Returns the names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}
