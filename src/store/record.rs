//! The record that each committed run leaves in its target: `_windrow/000001.json` and on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The directory of records inside a parquet target; readers skip names that begin with `_`.
pub const RECORD_DIR: &str = "_windrow";

/// What one committed run was, and what it left behind.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Record {
    /// The name of the run: time and process, unique on one machine.
    pub run: String,
    /// The version of windrow that ran.
    pub windrow: String,
    /// The feature set.
    pub set: String,
    /// Hash of the normalised plan and of the versions of the indicators in it.
    pub fingerprint: String,
    /// The key columns: entity first, then time.
    pub entity: String,
    /// The time column.
    pub time: String,
    /// When the commit was made, RFC 3339 in UTC.
    pub committed: String,
    /// The symbols that were asked for; None is all.
    pub symbols: Option<Vec<String>>,
    /// The first time asked for, inclusive; None is all.
    pub from: Option<String>,
    /// The end of the time asked for, exclusive; None is all.
    pub until: Option<String>,
    /// The inputs by source name: location, files, bytes, newest modification.
    pub inputs: BTreeMap<String, Input>,
    /// Data files of the target, relative to it.
    pub files: Vec<RecordFile>,
    /// Rows written.
    pub rows: u64,
    /// Output columns with their types.
    pub columns: Vec<(String, String)>,
    /// How the pages of parquet files are compressed.
    pub compression: String,
    /// First and last time per symbol: the watermarks.
    pub watermarks: BTreeMap<String, SymbolRange>,
    /// Audits and what they found.
    pub audits: Vec<(String, String)>,
    /// What cleaning did to the inputs.
    pub notices: Vec<String>,
    /// Symbols and files that `--keep-going` left out, with the reason.
    pub left_out: Vec<(String, String)>,
    /// Calls to servers that were tried again.
    pub retries: u64,
    /// Wall seconds.
    pub seconds: f64,
    /// Peak resident memory of the process in bytes.
    pub peak_memory: u64,
}

/// One input of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct Input {
    /// Where it is.
    pub location: String,
    /// How many files were listed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The newest modification among them, seconds since 1970.
    pub modified: u64,
    /// Seconds that it took to list the files and to read what each says about itself.
    #[serde(default)]
    pub opening: f64,
}

/// One data file of a target.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct RecordFile {
    /// The path relative to the target.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// First and last time of one symbol, as text that sorts (ISO 8601).
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct SymbolRange {
    /// The first time.
    pub first: String,
    /// The last time.
    pub last: String,
    /// Rows.
    pub rows: u64,
}

impl Record {
    /// Reads one record.
    ///
    /// # Errors
    /// The file cannot be read or is not a record.
    pub fn read(path: &Path) -> Result<Self> {
        let broken = |why: String| {
            Error::target(format!("cannot read the record {}: {why}", path.display()))
                .hint("move the target away and run again")
        };
        let text = std::fs::read_to_string(path).map_err(|error| broken(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| broken(error.to_string()))
    }

    /// The first time of all symbols; None without rows.
    pub fn first(&self) -> Option<&str> {
        self.watermarks.values().map(|range| range.first.as_str()).min()
    }

    /// The last time of all symbols; None without rows.
    pub fn last(&self) -> Option<&str> {
        self.watermarks.values().map(|range| range.last.as_str()).max()
    }

    /// The record as it is stored.
    ///
    /// # Errors
    /// Never on the values that a run produces.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|error| Error::internal(format!("a record cannot be written: {error}")))
    }
}

/// The records of a parquet target, oldest first; empty if it is none.
pub fn records(target: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(target.join(RECORD_DIR)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    paths
}

/// The record of the last commit into a parquet target; None if windrow never wrote there.
///
/// # Errors
/// The record cannot be read.
pub fn latest(target: &Path) -> Result<Option<Record>> {
    records(target).last().map(|path| Record::read(path)).transpose()
}
