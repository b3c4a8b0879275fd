//! Statements that write, and files that a statement opens by itself: reading is the default.

use std::path::Path;

use super::Engine;
use crate::error::{Error, Result};
use crate::sql::{Sql, parse};
use crate::store::Location;

impl Engine {
    /// Lets COPY write files that are not there yet.
    pub fn allow_writing(&mut self, writes: bool) {
        self.writes = writes;
    }

    /// Whether COPY may write.
    pub fn writes(&self) -> bool {
        self.writes
    }

    /// The file that a statement would write and may not; None of others.
    pub fn wants_to_write(&self, text: &str) -> Option<String> {
        let sql = parse(text).ok()?;
        sql.copies_to().filter(|_| !self.writes).map(str::to_string)
    }

    /// Refuses COPY where it may not write, or over something; and an external table of other places than the
    /// sources have.
    pub(super) fn check_writing(&self, sql: &Sql) -> Result<()> {
        if let Some(target) = sql.copies_to() {
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
            if Path::new(target).exists() {
                return Err(Error::target(format!("{target} is there already"))
                    .hint("name a new file: COPY takes nothing's place"));
            }
        }
        let elsewhere = |place: &&String| !self.is_below_a_source(place);
        match sql.external_locations().iter().find(elsewhere) {
            Some(place) => Err(Error::query(format!("{place} lies in no source of this session"))
                .hint("give --source NAME=LOCATION, or name it in windrow.yaml")),
            None => Ok(()),
        }
    }

    fn is_below_a_source(&self, location: &str) -> bool {
        let Ok(path) = Path::new(location).canonicalize() else { return false };
        let known = self.known.values().map(|source| source.location.clone());
        let opened = self.sources().into_values().map(|source| source.config().location.clone());
        known.chain(opened).any(|place| match Location::parse(&place) {
            Ok(Location::Local(folder)) => {
                folder.canonicalize().is_ok_and(|folder| path.starts_with(folder))
            }
            _ => false,
        })
    }
}
