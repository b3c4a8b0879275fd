//! Locations that a user names, and the files in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::bucket::RemoteObject;
use super::record::{RECORD_DIR, is_announced, read_latest_record};
use super::url::{ObjectUrl, check_variables_set};
use crate::error::{Error, Result};
use crate::outside::files::{self, LocalFile};

/// The location of a source or a target as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory, file or glob of the local file system.
    Local(PathBuf),
    /// An object, a prefix or a glob of an object store.
    Bucket(ObjectUrl),
    /// Files of web servers.
    Web(Vec<ObjectUrl>),
}

impl Location {
    /// Parses a location: a path, a glob, a `file://` URL, a URL of an object store, or web addresses
    /// separated by commas.
    ///
    /// # Errors
    /// An unsupported scheme, an empty text, a variable that is not set, or an invalid URL.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::usage("the location is empty").hint("name a directory or a file"));
        }
        let scheme = text.split("://").next().unwrap_or_default().to_ascii_lowercase();
        if text.contains("://") && (scheme == "http" || scheme == "https") {
            return parse_web_urls(text).map(Self::Web);
        }
        check_variables_set(text)?;
        if let Some(url) = ObjectUrl::parse(text)? {
            return Ok(Self::Bucket(url));
        }
        match text.split_once("://") {
            None => Ok(Self::Local(PathBuf::from(text))),
            Some(("file", path)) => Ok(Self::Local(PathBuf::from(path))),
            Some((scheme, _)) => Err(Error::usage(format!("{scheme}:// is not supported")).hint(
                "name a local directory, file or glob, or a URL with s3://, gs://, az:// or https://",
            )),
        }
    }
}

impl fmt::Display for Location {
    /// Writes the location as typed, without parts that may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Bucket(url) => url.fmt(f),
            Self::Web(urls) => {
                let urls: Vec<String> = urls.iter().map(ObjectUrl::to_string).collect();
                f.write_str(&urls.join(","))
            }
        }
    }
}

/// Parses web addresses separated by commas.
fn parse_web_urls(text: &str) -> Result<Vec<ObjectUrl>> {
    // A comma within an address does not separate.
    let starts = text.match_indices(['h', 'H']).map(|(at, _)| at);
    let is_http =
        |at: &usize| text.get(*at..at + 4).is_some_and(|word| word.eq_ignore_ascii_case("http"));
    let starts =
        starts.filter(is_http).filter(|at| *at == 0 || text[..*at].trim_end().ends_with(','));
    let mut starts: Vec<usize> = starts.collect();
    starts.push(text.len());
    let parts = starts.windows(2).map(|pair| text[pair[0]..pair[1]].trim().trim_end_matches(','));
    let parse = |part: &str| {
        let url = ObjectUrl::parse(part)?.filter(ObjectUrl::is_web);
        let url =
            url.ok_or_else(|| Error::usage("a list of web addresses holds something else"))?;
        match url.key().contains(['*']) || FileKind::from_file_name(Path::new(url.key())).is_none()
        {
            false => Ok(url),
            true => Err(Error::usage(format!("{url} names no .parquet or .csv file"))
                .hint("name files with commas between them: a web server has no listing")),
        }
    };
    parts.map(parse).collect()
}

/// The formats that a source is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Apache Parquet.
    Parquet,
    /// Text with a header line.
    Csv,
}

impl FileKind {
    /// Returns the kind that the ending of a file name denotes.
    pub fn from_file_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "parquet" | "parq" | "pq" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// The name of the format in messages.
    pub fn format_name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "CSV",
        }
    }
}

/// One file of a source.
#[derive(Clone, Debug)]
pub struct FileRef {
    /// The path, absolute or relative to the working directory as the user named it, or a URL.
    pub path: PathBuf,
    /// The object that holds its bytes; None for a file of the local disk.
    pub object: Option<RemoteObject>,
    /// The open file, if any: its content stays readable after a run has removed its name.
    pub open_file: Option<Arc<LocalFile>>,
    /// Bytes.
    pub size: u64,
    /// The time of its last modification.
    pub modified: SystemTime,
    /// A stamp that distinguishes its bytes from others of the same length; None if there is none.
    pub stamp: Option<String>,
    /// The `key=value` directories between the root and the file, outermost first. A value of None is
    /// hive's default partition, which stands for NULL.
    pub partitions: Vec<(String, Option<String>)>,
}

/// The files that a location holds, sorted by path.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The directory that hive partitions are relative to.
    pub root: PathBuf,
    /// The format of the files.
    pub kind: FileKind,
    /// The files, sorted by path.
    pub files: Vec<FileRef>,
}

/// Lists the parquet or CSV files of a local directory, file or glob.
///
/// Names that begin with `.` are not data, nor are those that begin with `_`, except `_key=value`
/// folders. Directories are searched recursively.
///
/// # Errors
/// The location holds nothing, nothing readable, or both parquet and CSV files.
pub fn list_local_files(path: &Path) -> Result<Listing> {
    let text = path.to_string_lossy();
    let (root, files) = if path.is_dir() {
        let mut found = DirectoryWalk::default();
        walk_directory(path, path, &mut found)?;
        let DirectoryWalk { files, targets, .. } = found;
        let targets: Vec<String> = targets.iter().map(|target| display_path(target)).collect();
        check_single_target(&text, targets)?;
        (path.to_path_buf(), files)
    } else if path.is_file() {
        if FileKind::from_file_name(path).is_none() {
            return Err(Error::data(format!("{text} is neither parquet nor CSV by its name"))
                .hint("name a .parquet or .csv file, or a directory of them"));
        }
        let root = path.parent().unwrap_or(Path::new("")).to_path_buf();
        (root, vec![local_file_ref(Path::new(""), path)?])
    } else if text.contains(['*', '?', '[']) {
        expand_glob(&text)?
    } else {
        let near = nearest_sibling(path);
        let error = Error::data(format!("{text} does not exist"));
        return Err(match near {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint("name a directory, a file or a glob in quotes"),
        });
    };
    Listing::from_files(&text, root, files)
}

impl Listing {
    /// Creates a listing of files sorted by path, all of one kind. `place` is the location that was
    /// searched.
    ///
    /// # Errors
    /// There are no files, or both parquet and CSV files.
    pub(super) fn from_files(place: &str, root: PathBuf, mut files: Vec<FileRef>) -> Result<Self> {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let kinds: Vec<FileKind> =
            files.iter().filter_map(|f| FileKind::from_file_name(&f.path)).collect();
        let parquet = kinds.iter().filter(|k| **k == FileKind::Parquet).count();
        if parquet > 0 && parquet < kinds.len() {
            let hint = match place.starts_with("http") {
                true => "name files of one kind".to_string(),
                false => format!(
                    "name one kind with a glob, such as '{}/**/*.parquet'",
                    place.trim_end_matches('/')
                ),
            };
            return Err(Error::data(format!("{place} holds both parquet and CSV files")).hint(hint));
        }
        let Some(kind) = kinds.first().copied() else {
            return Err(Error::data(format!("{place} holds no parquet or CSV file"))
                .hint("name a directory with .parquet or .csv files in it"));
        };
        Ok(Self { root, kind, files })
    }
}

/// Returns the name of a file in messages: the path as text.
pub fn display_path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Refuses a place that holds several targets: their rows belong to different sets.
pub(super) fn check_single_target(place: &str, mut targets: Vec<String>) -> Result<()> {
    if targets.len() < 2 {
        return Ok(());
    }
    targets.sort();
    const TARGETS_SHOWN: usize = 5;
    let count = targets.len();
    let more = if count > TARGETS_SHOWN {
        format!(" and {} more", count - TARGETS_SHOWN)
    } else {
        String::new()
    };
    targets.truncate(TARGETS_SHOWN);
    Err(Error::data(format!("{place} holds {count} targets: {}{more}", targets.join(", ")))
        .hint("name one of them, or a glob if their rows belong together"))
}

/// The state of a walk through a directory.
#[derive(Default)]
struct DirectoryWalk {
    files: Vec<FileRef>,
    /// The targets of runs that were found.
    targets: Vec<PathBuf>,
    /// The visited directories, by device and inode: links may lead to one again.
    seen: BTreeSet<(u64, u64)>,
    /// True if a glob selects files by name: a file that it does not select is then skipped silently.
    by_name: bool,
}

/// Collects the files below a directory; visits each directory once.
fn walk_directory(root: &Path, dir: &Path, found: &mut DirectoryWalk) -> Result<()> {
    let unreadable = |error: std::io::Error| {
        Error::data(format!("cannot list {}: {error}", dir.display()))
            .hint("check that the directory exists and may be read")
    };
    let entries = files::list_unvisited(dir, &mut found.seen).map_err(unreadable)?;
    for entry in entries {
        let path = entry.path();
        if dir != root && entry.file_name() == RECORD_DIR {
            found.targets.push(dir.to_path_buf());
        }
        if is_hidden_name(&path) {
            continue;
        }
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_dir() || (kind.is_symlink() && path.is_dir()) {
            walk_directory(root, &path, found)?;
        } else if is_announced(&path) {
            // A commit is about to add the folder of this file: skip it.
        } else if FileKind::from_file_name(&path).is_some() {
            found.files.push(local_file_ref(root, &path)?);
        } else if !found.by_name {
            refuse_skipped_data(&path)?;
        }
    }
    Ok(())
}

/// Refuses a file that looks like data and would be skipped.
pub(super) fn refuse_skipped_data(path: &Path) -> Result<()> {
    const DATA_EXTENSIONS: [&str; 14] = [
        "gz", "zst", "bz2", "xz", "zip", "lz4", "tsv", "jsonl", "ndjson", "arrow", "feather",
        "ipc", "orc", "avro",
    ];
    let of_rows = match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) => DATA_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()),
        // Many text files have no extension. Part files of Spark may have none, and a parquet file
        // begins with its magic number.
        None => {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("part-"))
                || has_parquet_magic(path)
        }
    };
    if !of_rows {
        return Ok(());
    }
    Err(Error::data(format!(
        "{} would not be read: it is neither parquet nor CSV by its name",
        path.display()
    ))
    .hint("make it one, move it out, or name the files to read with a glob, such as 'bars/*.csv'"))
}

fn expand_glob(pattern: &str) -> Result<(PathBuf, Vec<FileRef>)> {
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
    let wrong = |error: glob::PatternError| {
        Error::usage(format!("the glob {pattern} is wrong: {}", error.msg))
    };
    let mut root = PathBuf::new();
    for part in Path::new(pattern).components() {
        if part.as_os_str().to_string_lossy().contains(['*', '?', '[']) {
            break;
        }
        root.push(part);
    }
    let mut found = DirectoryWalk::default();
    if let Some((above, _)) = pattern.split_once("**") {
        // Links may form cycles, which a recursive glob would follow forever.
        let folders = match above.trim_end_matches('/') {
            "" if pattern.starts_with('/') => vec![PathBuf::from("/")],
            "" => vec![PathBuf::from(".")],
            above => {
                glob::glob_with(above, options).map_err(wrong)?.filter_map(Result::ok).collect()
            }
        };
        let wanted = glob::Pattern::new(pattern).map_err(wrong)?;
        found.by_name = true;
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            walk_directory(Path::new(""), folder, &mut found)?;
        }
        found.files.retain(|file| {
            let path = file.path.strip_prefix(".").unwrap_or(&file.path);
            path.ancestors().any(|path| wanted.matches_path_with(path, options))
        });
    } else {
        for path in glob::glob_with(pattern, options).map_err(wrong)? {
            let path = path.map_err(|error| {
                Error::data(format!("cannot list {pattern}: {}", error.error()))
            })?;
            if path.is_dir() {
                walk_directory(&path, &path, &mut found)?;
                found.targets.extend(path.join(RECORD_DIR).is_dir().then(|| path.clone()));
            } else if !is_hidden_name(&path) && FileKind::from_file_name(&path).is_some() {
                found.files.push(local_file_ref(Path::new(""), &path)?);
            } else if !is_hidden_name(&path) {
                refuse_skipped_data(&path)?;
            }
        }
    }
    let DirectoryWalk { files, targets, .. } = found;
    if files.is_empty() {
        return Err(Error::data(format!("no parquet or CSV file matches {pattern}")));
    }
    check_single_set(pattern, &targets, &files)?;
    Ok((root, files))
}

/// Returns whether a local file begins with parquet's magic number.
fn has_parquet_magic(path: &Path) -> bool {
    let mut mark = [0; 4];
    let begins = files::open_file(path).and_then(|mut file| file.read_exact(&mut mark));
    begins.is_ok() && mark == *b"PAR1"
}

/// Refuses files of targets that hold different sets: rows with the same key would count as duplicates.
fn check_single_set(pattern: &str, targets: &[PathBuf], files: &[FileRef]) -> Result<()> {
    let folders = files.iter().flat_map(|file| file.path.ancestors().skip(1));
    let within: BTreeSet<&Path> = folders.chain(targets.iter().map(PathBuf::as_path)).collect();
    let mut sets: BTreeMap<String, String> = BTreeMap::new();
    for target in within.into_iter().filter(|folder| folder.join(RECORD_DIR).is_dir()) {
        if let Some(record) = read_latest_record(target)? {
            sets.entry(record.set).or_insert_with(|| display_path(target));
        }
    }
    if sets.len() < 2 {
        return Ok(());
    }
    let told: Vec<String> = sets.iter().map(|(set, target)| format!("{set} ({target})")).collect();
    Err(Error::data(format!("{pattern} holds targets of different sets: {}", told.join(", ")))
        .hint("name each as a source of its own, and join them"))
}

/// Returns whether a listing of `root` would include `folder`.
pub fn is_listed_below(root: &Path, folder: &Path) -> bool {
    let Ok(rest) = folder.strip_prefix(root) else { return false };
    let mut parts = rest.components().peekable();
    parts.peek().is_some() && !parts.any(|part| is_hidden_name(Path::new(&part)))
}

/// Returns whether a name marks no data: it begins with `.`, or with `_` unless it is `_key=value`.
pub(super) fn is_hidden_name(path: &Path) -> bool {
    path.file_name().is_some_and(|n| {
        let name = n.to_string_lossy();
        name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
    })
}

/// Returns a file with its hive partitions: the `key=value` directories of its path below `root`.
fn local_file_ref(root: &Path, path: &Path) -> Result<FileRef> {
    let meta = files::read_metadata(path)
        .map_err(|error| Error::data(format!("cannot read {}: {error}", path.display())))?;
    let partitions = hive_partitions(path.strip_prefix(root).unwrap_or(path));
    let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let (path, size) = (path.to_path_buf(), meta.len());
    Ok(FileRef {
        path,
        object: None,
        open_file: None,
        size,
        modified,
        stamp: Some(metadata_stamp(&meta)),
        partitions,
    })
}

/// Returns the time of the last write in nanoseconds, and the time at which the system last changed the
/// file. The second cannot be set back, not even by a copy that preserves times.
pub fn metadata_stamp(meta: &std::fs::Metadata) -> String {
    let [written, changed] = [(meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec())];
    format!("{}.{:09} {}.{:09}", written.0, written.1, changed.0, changed.1)
}

/// Returns the `key=value` directories of a path below the root.
pub(super) fn hive_partitions(below: &Path) -> Vec<(String, Option<String>)> {
    below
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .filter_map(|part| match part {
            Component::Normal(name) => name.to_str()?.split_once('='),
            _ => None,
        })
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (unescape_hive(key), partition_value(value)))
        .collect()
}

/// Undoes hive's escaping: `%3A` becomes a colon, and the default partition becomes None.
fn partition_value(text: &str) -> Option<String> {
    (text != "__HIVE_DEFAULT_PARTITION__").then(|| unescape_hive(text))
}

fn unescape_hive(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()).filter(|_| byte == b'%') {
            Some(value) => {
                bytes.push(value);
                rest = &tail[2..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the nearest name next to a path that does not exist.
fn nearest_sibling(path: &Path) -> Option<String> {
    let parent = path.parent()?;
    let listed = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let names = files::list_directory(listed).ok()?;
    let names: Vec<String> =
        names.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let name = path.file_name()?.to_string_lossy().into_owned();
    let near = crate::error::nearest_name(&name, names.iter().map(String::as_str))?;
    Some(parent.join(near).to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hive_values_are_unescaped() {
        let cases = [
            ("AAPL", Some("AAPL")),
            ("2024-01-02 09%3A30", Some("2024-01-02 09:30")),
            ("100%", Some("100%")),
            ("__HIVE_DEFAULT_PARTITION__", None),
        ];
        for (text, value) in cases {
            assert_eq!(partition_value(text).as_deref(), value, "{text}");
        }
    }

    #[test]
    fn locations() {
        let local = |path: &str| Location::Local(path.into());
        assert_eq!(Location::parse("bars").unwrap(), local("bars"));
        assert_eq!(Location::parse("file:///a/b").unwrap(), local("/a/b"));
        let shown = |text| Location::parse(text).unwrap().to_string();
        assert_eq!(shown("s3://b/bars/"), "s3://b/bars");
        assert_eq!(
            shown("https://h/a.parquet?key=1,2, http://h:8/b.parquet"),
            "https://h/a.parquet,http://h:8/b.parquet"
        );
        let told = |text| Location::parse(text).unwrap_err().to_string();
        assert!(told("ftp://a/b").starts_with("ftp:// is not supported; name a local directory"));
        assert!(told("https://h/bars/").contains("a web server has no listing"));
        assert!(told("https://h/a.csv,bars").contains("no .parquet or .csv file"));
    }
}
