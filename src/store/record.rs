//! The records of committed runs: `_windrow/000001.json` and on in their target.
//!
//! In a directory these files are empty. Their texts lie next to the directory, under the same names in
//! `.NAME.windrow-records`, because polars reads a directory only if all its other files are empty. The
//! records change in the same step as the data, since the empty files are exchanged with it. Targets of
//! earlier builds hold the text in the directory; the next commit moves it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path as Key;
use serde::{Deserialize, Serialize};

use super::bucket::Bucket;
use super::time_point::TimePoint;
use crate::error::{Error, Result};
use crate::outside::files;

/// The directory of records inside a parquet target; readers skip names that begin with `_`.
pub const RECORD_DIR: &str = "_windrow";

/// The key in the metadata of a column that holds the column's role.
pub const COLUMN_ROLE_KEY: &str = "windrow.role";
/// The role of a label: the column uses rows later than its own.
pub const LABEL_ROLE: &str = "label";

/// The format of records. Format 2 has the state of the inputs, and a fingerprint of the whole
/// definition. Earlier records have neither, and no format number.
pub const RECORD_FORMAT: u32 = 2;

/// The description of one committed run and of its output.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Record {
    /// The [`RECORD_FORMAT`] of the writer; 0 for records without one.
    pub format: u32,
    /// The name of the run: time and process id, unique on one machine.
    pub run: String,
    /// The version of windrow that ran.
    pub windrow: String,
    /// The feature set.
    pub set: String,
    /// The identity of what was computed: the digest of its definition.
    pub fingerprint: String,
    /// The entity column, the first part of the key.
    pub entity: String,
    /// The time column, the second part of the key.
    pub time: String,
    /// The time of the commit, RFC 3339 in UTC.
    pub committed: String,
    /// The requested symbols; None for all.
    pub symbols: Option<Vec<String>>,
    /// The first requested time, inclusive; None if unbounded.
    pub from: Option<String>,
    /// The end of the requested time, exclusive; None if unbounded.
    pub until: Option<String>,
    /// The inputs by source name: location, files, bytes, newest modification.
    pub inputs: BTreeMap<String, RecordInput>,
    /// The data files of the target, relative to it.
    pub files: Vec<RecordFile>,
    /// Rows written.
    pub rows: u64,
    /// Output columns with their types.
    pub columns: Vec<(String, String)>,
    /// The identity of the content of each output column, by name.
    pub column_identities: BTreeMap<String, String>,
    /// The compression of the pages of parquet files.
    pub compression: String,
    /// The watermarks: first time, last time and number of rows per symbol.
    pub watermarks: BTreeMap<String, SymbolRange>,
    /// The audits and their results.
    pub audits: Vec<(String, String)>,
    /// Messages for the user: what cleaning did to the inputs, and what the commit reports.
    pub notices: Vec<String>,
    /// Symbols and files that `--keep-going` left out, with the reason.
    pub left_out: Vec<(String, String)>,
    /// The jobs of a queue that the run computed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<String>,
    /// The number of retried calls to servers.
    pub retries: u64,
    /// Wall seconds.
    pub seconds: f64,
    /// Peak resident memory of the process in bytes.
    pub peak_memory: u64,
}

/// One input of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct RecordInput {
    /// Its location.
    pub location: String,
    /// The number of files listed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The newest modification time among them, in seconds since 1970.
    pub modified: u64,
    /// The seconds spent on listing the files and reading their metadata.
    #[serde(default)]
    pub opening: f64,
    /// The identity of its rows; None if it cannot be determined whether they changed.
    #[serde(default)]
    pub state: Option<String>,
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

/// The first and last time of one symbol, and its number of rows.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct SymbolRange {
    /// The first time.
    pub first: TimePoint,
    /// The last time.
    pub last: TimePoint,
    /// Rows.
    pub rows: u64,
}

impl Record {
    /// Reads one record.
    ///
    /// # Errors
    /// The file cannot be read or is not a record.
    pub fn from_path(path: &Path) -> Result<Self> {
        let mut name = path.display().to_string();
        let mut bytes = files::read_bytes(path).map_err(|error| record_error(&name, &error))?;
        if bytes.is_empty()
            && let Some(text) = record_text_path(path)
        {
            bytes = files::read_bytes(&text)
                .map_err(|error| detached_records_error(path, &text, &error))?;
            name = text.display().to_string();
        }
        Self::parse(&name, &bytes)
    }

    /// Parses one record from its text; `name` is its location for messages.
    ///
    /// # Errors
    /// The text is not a record.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self> {
        let record: Self =
            serde_json::from_slice(text).map_err(|error| record_error(name, &error))?;
        match record.files.iter().find(|file| !is_contained_path(&file.path)) {
            None => Ok(record),
            Some(file) => {
                let path = &file.path;
                Err(record_error(
                    name,
                    &format!("it names the file {path:?}, which is no path below the target"),
                ))
            }
        }
    }

    /// Returns whether the run had no scope.
    pub fn is_unscoped(&self) -> bool {
        self.symbols.is_none() && self.from.is_none() && self.until.is_none()
    }

    /// The first time of all symbols; None if there are no rows.
    pub fn first_time(&self) -> Option<TimePoint> {
        self.watermarks.values().map(|range| range.first).min()
    }

    /// The last time of all symbols; None if there are no rows.
    pub fn last_time(&self) -> Option<TimePoint> {
        self.watermarks.values().map(|range| range.last).max()
    }

    /// Returns the record in its stored form.
    ///
    /// # Errors
    /// Never on the values that a run produces.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|error| Error::internal(format!("a record cannot be written: {error}")))
    }
}

/// Returns whether a path leads to a file below a folder, and nowhere else.
fn is_contained_path(path: &str) -> bool {
    let parts = || Path::new(path).components();
    parts().next().is_some()
        && parts().all(|part| matches!(part, Component::Normal(_)))
        && !path.contains('\0')
}

fn record_error(name: &str, why: &dyn std::fmt::Display) -> Error {
    Error::target(format!("cannot read the record {name}: {why}"))
        .hint("move the target away and run again")
}

/// Returns the error for a target that was moved or copied without its records.
fn detached_records_error(path: &Path, text: &Path, why: &std::io::Error) -> Error {
    Error::target(format!(
        "cannot read the record {} beside its target: {why}; {} was moved or copied without it",
        text.display(),
        path.parent().and_then(Path::parent).unwrap_or(path).display()
    ))
    .hint("move the directory of records along with its target, or write to a new directory")
}

/// Returns the path of the text of an empty record.
fn record_text_path(path: &Path) -> Option<PathBuf> {
    let target = path.parent()?.parent()?;
    Some(record_text_dir(target).join(path.file_name()?))
}

/// Returns the directory next to a directory of parquet files that holds the texts of its records.
pub fn record_text_dir(target: &Path) -> PathBuf {
    let target = target.canonicalize().unwrap_or_else(|_| target.to_path_buf());
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = format!(".{}.windrow-records", name.unwrap_or_default());
    target.parent().unwrap_or_else(|| Path::new("")).join(name)
}

/// Returns the name of the file without rows that a commit puts into a folder before the folder has
/// others.
pub fn announced_name(run: &str) -> String {
    format!("part-{run}-announced.parquet")
}

/// Returns whether a file is an announced file, which belongs to no state. The name of the run in its name tells it
/// from a file of somebody else: the time in microseconds and a process id, such as `20260131T235959123456-4711`.
pub fn is_announced(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let run = name.strip_prefix("part-").and_then(|rest| rest.strip_suffix("-announced.parquet"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    run.and_then(|run| {
        let (time, process) = run.split_once('-')?;
        let (day, clock) = time.split_once('T')?;
        let is_time = day.len() == 8 && clock.len() == 12 && is_number(day) && is_number(clock);
        Some(is_time && is_number(process))
    })
    .unwrap_or(false)
}

/// Returns whether a directory was moved or copied without the texts of its records.
///
/// # Errors
/// The records cannot be listed.
pub fn has_detached_records(target: &Path) -> Result<bool> {
    let empty = |path: &&PathBuf| files::read_metadata(path).is_ok_and(|meta| meta.len() == 0);
    let text = list_records(target)?.last().filter(empty).and_then(|path| record_text_path(path));
    Ok(text.is_some_and(|text| files::path_exists(&text).is_ok_and(|exists| !exists)))
}

/// The records of a target in an object store.
#[derive(Clone, Debug)]
pub struct RemoteRecords {
    objects: Arc<Bucket>,
    /// The keys of the records, oldest first.
    keys: Vec<Key>,
}

impl RemoteRecords {
    /// Selects the records among the objects of a target; `folder` is the folder of records.
    pub fn from_listing(objects: &Arc<Bucket>, folder: &Key, listed: &[ObjectMeta]) -> Self {
        let record = |key: &&Key| {
            let name = key.prefix_match(folder).and_then(|mut parts| parts.next());
            name.is_some_and(|name| record_number(name.as_ref()).is_some())
        };
        let keys = listed.iter().map(|meta| &meta.location).filter(record).cloned().collect();
        Self { objects: Arc::clone(objects), keys }
    }

    /// Returns whether this is a target: a run began to write here, committed or not.
    pub fn is_target(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Marks a new target, so that files which a run completes are not data before its commit.
    ///
    /// # Errors
    /// The server refuses the request.
    pub async fn mark_target(&self, folder: &Key) -> Result<()> {
        if self.is_target() {
            return Ok(());
        }
        // Another run may have marked it at the same time.
        self.objects
            .put_if_absent(&folder.clone().join("000000.json"), "{}".into())
            .await
            .map(|_| ())
    }

    /// Returns the key of the next record.
    pub fn next_key(&self, folder: &Key) -> Key {
        let last = self.keys.last().and_then(|key| record_number(key.filename()?)).unwrap_or(0);
        folder.clone().join(format!("{:06}.json", last + 1))
    }

    /// Reads the last record; None if there is none.
    ///
    /// # Errors
    /// The record cannot be read.
    pub async fn read_latest(&self) -> Result<Option<Record>> {
        match self.commit_keys().last() {
            Some(key) => self.read_record(key).await.map(Some),
            None => Ok(None),
        }
    }

    /// Reads all records, oldest first.
    ///
    /// # Errors
    /// A record cannot be read.
    pub async fn read_records(&self) -> Result<Vec<Record>> {
        let mut reads = Vec::new();
        for key in self.commit_keys() {
            reads.push(self.read_record(key));
        }
        stream::iter(reads).buffered(16).try_collect().await
    }

    /// Returns the keys of records, without the marker of a new target.
    fn commit_keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| key.filename().and_then(record_number) != Some(0))
    }

    async fn read_record(&self, key: &Key) -> Result<Record> {
        let gone = || Error::target(format!("the record {key} was removed while it was read"));
        let bytes = self.objects.get_object(key).await?.ok_or_else(gone)?;
        let record = Record::parse(key.as_ref(), &bytes)?;
        match record.run.is_empty() {
            false => Ok(record),
            true => Err(record_error(key.as_ref(), &"it names no run")),
        }
    }
}

/// Returns the number of a record, taken from its name.
fn record_number(name: &str) -> Option<u64> {
    name.strip_suffix(".json")?.parse().ok()
}

/// Returns whether a file has the name of a record: a number of at least six digits, and `.json`.
pub fn is_record_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() >= "000001.json".len() && record_number(name).is_some()
}

/// Lists the records of a parquet target, oldest first; empty if it is no target.
///
/// # Errors
/// The records cannot be listed.
pub fn list_records(target: &Path) -> Result<Vec<PathBuf>> {
    let folder = target.join(RECORD_DIR);
    let entries = match files::list_directory(&folder) {
        Ok(entries) => entries,
        // A file, or nothing: no target.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => {
            return Err(Error::target(format!("cannot list {}: {error}", folder.display()))
                .hint("check that it may be read"));
        }
    };
    let mut paths: Vec<PathBuf> =
        entries.iter().map(std::fs::DirEntry::path).filter(|path| is_record_name(path)).collect();
    // From a million on, names are longer: sort by number.
    paths.sort_by_key(|path| {
        (path.file_name().and_then(|name| record_number(name.to_str()?)), path.clone())
    });
    Ok(paths)
}

/// Reads the record of the last commit into a parquet target; None if windrow never wrote there.
///
/// # Errors
/// The record cannot be read.
pub fn read_latest_record(target: &Path) -> Result<Option<Record>> {
    list_records(target)?.last().map(|path| Record::from_path(path)).transpose()
}
