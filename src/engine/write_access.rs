//! Write access of statements, and files that a statement opens on its own: statements only read by default.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Engine;
use crate::error::{Error, Result};
use crate::outside::{self, files};
use crate::sql::{Sql, parse};
use crate::store::{Location, RECORD_DIR, list_records};

/// The prefix of the staged files of COPY; the id of the process follows.
const ASIDE: &str = ".windrow-copy-";

/// The staged output of COPY. It gets its final name when it is complete; dropped before that, it is removed.
#[derive(Debug)]
pub(super) struct StagedCopy {
    aside: PathBuf,
    target: PathBuf,
}

impl StagedCopy {
    /// Reserves a name next to the target, and removes what ended processes left there.
    fn reserve_beside(target: &Path) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = containing_folder(target);
        for (process, path) in list_staged_copies(folder) {
            if outside::is_process_gone(process) {
                let _ = files::remove_all(&path);
            }
        }
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
        let name =
            format!("{ASIDE}{}-{number}-{}", outside::process_id(), name.unwrap_or_default());
        Self { aside: folder.join(name), target: target.to_path_buf() }
    }

    /// Renames the staged output to the target.
    ///
    /// # Errors
    /// If the name is taken by now, or the target cannot be written.
    pub(super) fn publish_file(&self) -> Result<()> {
        match files::rename_noreplace(&self.aside, &self.target) {
            Ok(()) => Ok(()),
            // EXPLAIN COPY writes nothing.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(already_exists_error(&self.target))
            }
            Err(error) => {
                Err(Error::target(format!("cannot write {}: {error}", self.target.display())))
            }
        }
    }
}

impl Drop for StagedCopy {
    fn drop(&mut self) {
        let name = self.aside.file_name().map(|name| name.to_string_lossy().into_owned());
        let mine = |path: &PathBuf| {
            let found = path.file_name().map(|found| found.to_string_lossy().into_owned());
            name.as_ref().zip(found).is_some_and(|(name, found)| found.starts_with(name.as_str()))
        };
        for (_, path) in list_staged_copies(containing_folder(&self.target))
            .into_iter()
            .filter(|(_, path)| mine(path))
        {
            let _ = files::remove_all(&path);
        }
    }
}

fn containing_folder(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Lists the staged outputs of COPY in a directory, with the ids of their processes.
fn list_staged_copies(folder: &Path) -> Vec<(u32, PathBuf)> {
    let entries = files::list_directory(folder).unwrap_or_default();
    let aside = |entry: &std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(ASIDE)?.split('-').next()?.parse().ok()?;
        Some((process, entry.path()))
    };
    entries.iter().filter_map(aside).collect()
}

fn already_exists_error(path: &Path) -> Error {
    Error::target(format!("{} is there already", path.display()))
        .hint("name a new file: COPY takes nothing's place")
}

impl Engine {
    /// Sets whether COPY may write files that do not exist yet.
    pub fn allow_writing(&mut self, writes: bool) {
        self.writes = writes;
    }

    /// Returns whether COPY may write.
    pub fn allows_writing(&self) -> bool {
        self.writes
    }

    /// Returns the file that a COPY statement would write but may not; None if there is none.
    pub fn forbidden_copy_target(&self, text: &str) -> Option<String> {
        let sql = parse(text).ok()?;
        sql.copy_target().filter(|_| !self.writes).map(str::to_string)
    }

    /// Refuses to write values that were computed without some rules of the optimizer.
    ///
    /// # Errors
    /// If `disabled_rules` is set.
    pub(super) fn check_all_rules(&self, target: &dyn fmt::Display) -> Result<()> {
        match self.config().disabled_rules.as_str() {
            "" => Ok(()),
            rules => Err(Error::usage(format!(
                "disabled_rules is {rules}: without a rule, values may differ, and {target} would keep them"
            ))
            .hint("unset disabled_rules to write; `windrow sql` shows the values without a rule")),
        }
    }

    /// Refuses COPY without write access or onto an existing file, and external tables outside of the sources.
    pub(super) fn check_writing(&self, sql: &Sql) -> Result<()> {
        if let Some(target) = sql.copy_target() {
            self.check_all_rules(&target)?;
            if !self.writes {
                return Err(Error::query(format!(
                    "COPY writes {target}, and statements only read here"
                ))
                .hint(
                    "allow it by --write; `windrow run` writes targets, with a record of each run",
                ));
            }
            if target.contains("://") {
                return Err(Error::query(format!("COPY writes local files, and {target} is none"))
                    .hint("`windrow run` writes to object stores and tables"));
            }
            if target.contains(['*', '?', '[']) {
                return Err(Error::query(format!(
                    "COPY to {target}: a name with *, ? or [ is a glob"
                ))
                .hint("name one new file"));
            }
            let path = Path::new(target);
            if path.symlink_metadata().is_ok() {
                return Err(already_exists_error(path));
            }
            self.check_apart_from_targets(path)?;
        }
        let elsewhere = |place: &&String| !self.is_below_a_source(place);
        match sql.external_locations().iter().find(elsewhere) {
            Some(place) => Err(Error::query(format!("{place} lies in no source of this session"))
                .hint("give --source NAME=LOCATION, or name it in windrow.yaml")),
            None => Ok(()),
        }
    }

    /// Refuses to write into a target, into its records, or into a source: their readers would read the file as
    /// theirs.
    fn check_apart_from_targets(&self, path: &Path) -> Result<()> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let folder = absolute.ancestors().skip(1).find_map(|folder| folder.canonicalize().ok());
        let folder = folder.unwrap_or_default();
        let of_windrow =
            |name: &str| name == RECORD_DIR || (name.starts_with('.') && name.contains(".windrow"));
        let hidden = folder.iter().any(|part| part.to_str().is_some_and(of_windrow));
        for outer in folder.ancestors() {
            if hidden || !list_records(outer)?.is_empty() {
                return Err(Error::target(format!(
                    "{} lies in a target of windrow",
                    path.display()
                ))
                .hint("name a file elsewhere: `windrow run` writes targets"));
            }
        }
        match self.is_below_a_source(&folder.to_string_lossy()) {
            false => Ok(()),
            true => {
                Err(Error::target(format!("{} lies in a source of this session", path.display()))
                    .hint("name a file elsewhere: the source would read it the next time"))
            }
        }
    }

    /// Redirects COPY to a staged output; returns None for other statements.
    pub(super) fn stage_copy(&self, sql: &mut Sql) -> Option<StagedCopy> {
        let target = sql.copy_target()?.to_string();
        let copy = StagedCopy::reserve_beside(Path::new(&target));
        let slash = if target.ends_with('/') { "/" } else { "" };
        sql.set_copy_target(copy.aside.to_string_lossy().into_owned() + slash);
        Some(copy)
    }

    fn is_below_a_source(&self, location: &str) -> bool {
        let Ok(path) = Path::new(location).canonicalize() else { return false };
        let known = self.lazy_sources.values().map(|source| source.location.clone());
        let opened = self.sources().into_values().map(|source| source.config().location.clone());
        known.chain(opened).any(|place| match Location::parse(&place) {
            Ok(Location::Local(folder)) => {
                folder.canonicalize().is_ok_and(|folder| path.starts_with(folder))
            }
            _ => false,
        })
    }
}
