//! The target of a run as the user typed it: the only module that distinguishes the kinds of targets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bucket::BucketTarget;
use super::csv_file::CsvFileTarget;
use super::directory::DirectoryTarget;
use super::table::{TableTarget, TableUrl};
use super::{TargetBackend, TargetContents};
use crate::error::{Error, Result};
use crate::store::{FileKind, Location, ObjectUrl, PgLocation, StoreRegistry, list_records};
use crate::write::unwritable_error;

/// The place that a run writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A directory of parquet files.
    Directory(PathBuf),
    /// One CSV file.
    CsvFile(PathBuf),
    /// A table of a PostgreSQL server.
    Table(Box<TableUrl>),
    /// Parquet files below a prefix of an object store.
    Bucket(ObjectUrl),
}

impl fmt::Display for Target {
    /// Writes the location without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) | Self::CsvFile(path) => path.display().fmt(f),
            Self::Table(table) => table.location.fmt(f),
            Self::Bucket(url) => url.fmt(f),
        }
    }
}

impl Target {
    /// Parses a target: `postgres://...?table=t` is a table, `s3://bucket/prefix/` parquet in an object
    /// store, `out.csv` a CSV file, everything else a parquet directory.
    ///
    /// # Errors
    /// An unsupported scheme, a whole bucket, a glob, a web address, or the name of a single parquet
    /// file or object.
    pub fn parse(text: &str) -> Result<Self> {
        if PgLocation::is(text.trim()) {
            return Ok(Self::Table(Box::new(TableUrl::parse(text.trim())?)));
        }
        let path = match Location::parse(text)? {
            Location::Local(path) => path,
            Location::Bucket(url) if url.key().is_empty() => {
                return Err(Error::usage(format!("{url} is a whole bucket"))
                    .hint(format!("name a prefix, such as {url}features/")));
            }
            Location::Bucket(url) if url.is_glob() => {
                return Err(Error::usage(format!("{url} is a glob"))
                    .hint("name a prefix without *, ? and ["));
            }
            Location::Bucket(url) if FileKind::from_file_name(Path::new(url.key())).is_some() => {
                return Err(Error::usage(format!("{url} is one file"))
                    .hint("name a prefix: parquet targets hold one file per worker"));
            }
            Location::Bucket(url) => {
                url.path()?;
                return Ok(Self::Bucket(url));
            }
            web @ Location::Web(_) => {
                return Err(Error::usage(format!(
                    "{web} is on a web server, which takes no files"
                ))
                .hint("name a directory, or a prefix with s3://, gs:// or az://"));
            }
        };
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
        match extension.as_deref() {
            Some("csv") => Ok(Self::CsvFile(path)),
            Some("parquet") => Err(Error::usage(format!("{text} is one file")).hint(
                "name a directory: parquet targets hold one file per worker, or a .csv file",
            )),
            _ => Ok(Self::Directory(path)),
        }
    }

    /// Resolves the links of the target's path: a commit exchanges the directory itself, not the link.
    ///
    /// # Errors
    /// A link leads nowhere, or the path lies within another target that a run committed.
    pub fn resolved(self) -> Result<Self> {
        let Some(path) = self.path() else { return Ok(self) };
        let mut real = std::path::absolute(path).map_err(|error| unwritable_error(path, &error))?;
        // Resolve the part that exists; append the part that is yet to be created.
        let mut below = Vec::new();
        while !real.exists() {
            if real.is_symlink() {
                return Err(Error::target(format!("{} is a link to nothing", real.display()))
                    .hint("remove the link, or make what it leads to"));
            }
            let Some(name) = real.file_name().map(std::ffi::OsStr::to_os_string) else { break };
            below.push(name);
            real.pop();
        }
        let mut real = real.canonicalize().map_err(|error| unwritable_error(path, &error))?;
        real.extend(below.iter().rev());
        for outer in real.ancestors().skip(1) {
            if list_records(outer)?.is_empty() {
                continue;
            }
            return Err(Error::target(format!(
                "{} lies within the target {}, whose next run would remove it",
                path.display(),
                outer.display()
            ))
            .hint("write to a directory of its own"));
        }
        // Messages keep the name as given if it denotes the same path.
        let same = path.file_name().is_some()
            && std::path::absolute(path).is_ok_and(|absolute| absolute == real);
        Ok(match self {
            Self::Directory(_) if !same => Self::Directory(real),
            Self::CsvFile(_) if !same => Self::CsvFile(real),
            _ => self,
        })
    }

    /// Returns the location with its password, in the form that [`Target::parse`] accepts.
    pub fn location(&self) -> String {
        match self {
            Self::Directory(path) | Self::CsvFile(path) => path.to_string_lossy().into_owned(),
            Self::Table(table) => table.text.clone(),
            Self::Bucket(url) => url.to_string(),
        }
    }

    /// Refuses the working directory and its ancestors: a commit puts another directory in their place,
    /// and a shell there would be left in a removed directory.
    ///
    /// # Errors
    /// The target is one of them.
    pub fn check_elsewhere(&self) -> Result<()> {
        let real = self.path().and_then(|path| path.canonicalize().ok());
        let here = std::env::current_dir().and_then(|here| here.canonicalize());
        match real.zip(here.ok()).filter(|(real, here)| here.starts_with(real)) {
            None => Ok(()),
            Some(_) => Err(Error::target(format!(
                "{self} is the working directory, or holds it: a commit puts another one in its place"
            ))
            .hint("name a directory in it, or run from elsewhere")),
        }
    }

    /// The path of a target on the local file system; None for other targets.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) | Self::CsvFile(path) => Some(path),
            Self::Table(_) | Self::Bucket(_) => None,
        }
    }

    /// The kind of its contents.
    pub fn contents(&self) -> TargetContents {
        match self {
            Self::Directory(_) | Self::Bucket(_) => TargetContents::Parquet,
            Self::CsvFile(_) => TargetContents::CsvFile,
            Self::Table(_) => TargetContents::Table,
        }
    }

    /// Creates the backend that reads and writes the target.
    pub fn to_backend(&self, access: &Arc<StoreRegistry>) -> Box<dyn TargetBackend> {
        let access = Arc::clone(access);
        match self {
            Self::Directory(path) => Box::new(DirectoryTarget::new(path)),
            Self::CsvFile(path) => Box::new(CsvFileTarget::new(path)),
            Self::Table(url) => Box::new(TableTarget::new(url, access)),
            Self::Bucket(url) => Box::new(BucketTarget::new(url, access)),
        }
    }
}
