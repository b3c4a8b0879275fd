//! The record of each committed run: `_windrow/000001.json` and on in its target.
//!
//! In a directory these are empty files, and what they stand for lies beside it, under the same names in
//! `.NAME.windrow-records`: polars reads a directory whose only other files are empty, and no other. Both
//! change in one step, since the empty files are exchanged with the data. Targets of earlier builds hold
//! the text in the directory; the next commit moves it.

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

/// The key in the metadata of a column that says what it is for.
pub const COLUMN_ROLE_KEY: &str = "windrow.role";
/// What it says of a label: the column uses rows later than its own.
pub const LABEL_ROLE: &str = "label";

/// What records are since 2: with the state of their inputs, and a fingerprint of the whole definition.
/// Those before say nothing of either, and have no number.
pub const RECORD_FORMAT: u32 = 2;

/// What one committed run was, and what it left behind.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Record {
    /// [`RECORD_FORMAT`] of who wrote it; 0 for those that have none.
    pub format: u32,
    /// The name of the run: time and process, unique on one machine.
    pub run: String,
    /// The version of windrow that ran.
    pub windrow: String,
    /// The feature set.
    pub set: String,
    /// The identity of what was computed: the digest of its definition.
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
    pub inputs: BTreeMap<String, RecordInput>,
    /// Data files of the target, relative to it.
    pub files: Vec<RecordFile>,
    /// Rows written.
    pub rows: u64,
    /// Output columns with their types.
    pub columns: Vec<(String, String)>,
    /// The identity of what each output column holds, by name.
    pub column_identities: BTreeMap<String, String>,
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
pub struct RecordInput {
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
    /// The identity of its rows; None where nobody can tell whether they are what they were.
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

/// First and last time of one symbol.
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

    /// Reads one record from its text; `name` is where it was.
    ///
    /// # Errors
    /// It is not a record.
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

    /// Whether the run had no scope.
    pub fn is_unscoped(&self) -> bool {
        self.symbols.is_none() && self.from.is_none() && self.until.is_none()
    }

    /// The first time of all symbols; None without rows.
    pub fn first_time(&self) -> Option<TimePoint> {
        self.watermarks.values().map(|range| range.first).min()
    }

    /// The last time of all symbols; None without rows.
    pub fn last_time(&self) -> Option<TimePoint> {
        self.watermarks.values().map(|range| range.last).max()
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

/// Whether a path leads to a file below a folder, and nowhere else.
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

/// The error for a target whose records stayed where it came from.
fn detached_records_error(path: &Path, text: &Path, why: &std::io::Error) -> Error {
    Error::target(format!(
        "cannot read the record {} beside its target: {why}; {} was moved or copied without it",
        text.display(),
        path.parent().and_then(Path::parent).unwrap_or(path).display()
    ))
    .hint("move the directory of records along with its target, or write to a new directory")
}

/// Where the text of an empty record is.
fn record_text_path(path: &Path) -> Option<PathBuf> {
    let target = path.parent()?.parent()?;
    Some(record_text_dir(target).join(path.file_name()?))
}

/// The directory beside a directory of parquet files in which the texts of its records lie.
pub fn record_text_dir(target: &Path) -> PathBuf {
    let target = target.canonicalize().unwrap_or_else(|_| target.to_path_buf());
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = format!(".{}.windrow-records", name.unwrap_or_default());
    target.parent().unwrap_or_else(|| Path::new("")).join(name)
}

/// What the file without rows is called that a commit puts into a folder before the folder has others.
pub fn announced_name(run: &str) -> String {
    format!("part-{run}-announced.parquet")
}

/// Whether a file is such a one: it is of no state.
pub fn is_announced(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("part-") && name.ends_with("-announced.parquet")
}

/// Whether a directory was moved or copied without the texts of its records.
///
/// # Errors
/// They cannot be listed.
pub fn has_detached_records(target: &Path) -> Result<bool> {
    let empty = |path: &&PathBuf| files::read_metadata(path).is_ok_and(|meta| meta.len() == 0);
    let text = list_records(target)?.last().filter(empty).and_then(|path| record_text_path(path));
    Ok(text.is_some_and(|text| files::path_exists(&text).is_ok_and(|exists| !exists)))
}

/// The records of a target in an object store.
#[derive(Clone, Debug)]
pub struct RemoteRecords {
    objects: Arc<Bucket>,
    /// Their keys, oldest first.
    keys: Vec<Key>,
}

impl RemoteRecords {
    /// The records among the objects of a target; `folder` is where they lie.
    pub fn from_listing(objects: &Arc<Bucket>, folder: &Key, listed: &[ObjectMeta]) -> Self {
        let record = |key: &&Key| {
            let name = key.prefix_match(folder).and_then(|mut parts| parts.next());
            name.is_some_and(|name| record_number(name.as_ref()).is_some())
        };
        let keys = listed.iter().map(|meta| &meta.location).filter(record).cloned().collect();
        Self { objects: Arc::clone(objects), keys }
    }

    /// Whether this is a target: a run began to write here, committed or not.
    pub fn is_target(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Marks a new target, so that files which a run completes are no data before it commits.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn mark_target(&self, folder: &Key) -> Result<()> {
        if self.is_target() {
            return Ok(());
        }
        // Another run may have done the same.
        self.objects
            .put_if_absent(&folder.clone().join("000000.json"), "{}".into())
            .await
            .map(|_| ())
    }

    /// The key of the next one.
    pub fn next_key(&self, folder: &Key) -> Key {
        let last = self.keys.last().and_then(|key| record_number(key.filename()?)).unwrap_or(0);
        folder.clone().join(format!("{:06}.json", last + 1))
    }

    /// The last one.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn read_latest(&self) -> Result<Option<Record>> {
        match self.commit_keys().last() {
            Some(key) => self.read_record(key).await.map(Some),
            None => Ok(None),
        }
    }

    /// All of them, oldest first.
    ///
    /// # Errors
    /// One that cannot be read.
    pub async fn read_records(&self) -> Result<Vec<Record>> {
        let mut reads = Vec::new();
        for key in self.commit_keys() {
            reads.push(self.read_record(key));
        }
        stream::iter(reads).buffered(16).try_collect().await
    }

    /// The keys of records, without the mark of a new target.
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

/// The number of a record, by its name.
fn record_number(name: &str) -> Option<u64> {
    name.strip_suffix(".json")?.parse().ok()
}

/// The records of a parquet target, oldest first; empty if it is none.
///
/// # Errors
/// They cannot be listed.
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
    let mut paths: Vec<PathBuf> = entries
        .iter()
        .map(std::fs::DirEntry::path)
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    // Of a million and more the names are longer.
    paths.sort_by_key(|path| {
        (path.file_name().and_then(|name| record_number(name.to_str()?)), path.clone())
    });
    Ok(paths)
}

/// The record of the last commit into a parquet target; None if windrow never wrote there.
///
/// # Errors
/// The record cannot be read.
pub fn read_latest_record(target: &Path) -> Result<Option<Record>> {
    list_records(target)?.last().map(|path| Record::from_path(path)).transpose()
}
