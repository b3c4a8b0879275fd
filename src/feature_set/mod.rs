//! The `.sql` file: a header in the first comment, a template below it; pure text.
//!
//! This room knows neither SQL nor data. It says what a file declares, renders its template into
//! SQL, and keeps the way back: from a place in the rendered SQL to the place in the file as
//! written.

mod header;
mod template;

use std::collections::BTreeMap;
use std::path::Path;

pub use header::{Audit, Header};
pub use minijinja::Value;
pub use template::Rendered;

use crate::error::{Error, Place, Result};

/// One saved feature set.
#[derive(Clone, Debug)]
pub struct FeatureSet {
    /// The name that other feature sets read it by: the file name without `.sql`.
    pub name: String,
    /// The file as the user named it.
    pub path: String,
    /// What the first comment declares.
    pub header: Header,
    text: String,
    body: usize,
}

impl FeatureSet {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, &shown, &error))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let place = place_in(&shown, &String::from_utf8_lossy(valid), valid.len());
            Error::query("not UTF-8 text").at(place).hint("save the file as UTF-8")
        })?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Self::parse(&name.unwrap_or_default(), &shown, &text)
    }

    /// Reads the text of a file that is called `path` in messages.
    pub fn parse(name: &str, path: &str, text: &str) -> Result<Self> {
        let (header, body) = header::parse(path, text)?;
        if text[body..].trim().is_empty() {
            return Err(Error::query("the file has no SELECT")
                .at(place_in(path, text, text.trim_end().len()))
                .hint("write the query below the header"));
        }
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            header,
            text: text.to_owned(),
            body,
        })
    }

    /// Renders the template: the header's parameters, overridden by `set` (as `--set` gives them).
    ///
    /// `has` says whether the sources offer a column; the template may only ask about the columns
    /// that the header lists under `optional`.
    pub fn render(
        &self,
        set: &BTreeMap<String, String>,
        has: &(dyn Fn(&str) -> bool + Send + Sync),
    ) -> Result<Rendered> {
        let params = self.header.values(set)?;
        template::render(self, &params, has)
    }

    /// The text of the file, and where the template starts in it.
    fn source(&self) -> (&str, usize) {
        (&self.text, self.body)
    }
}

/// The error for a file that cannot be read.
fn unreadable(path: &Path, shown: &str, error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        Error::query(format!("{shown}: no such file"))
            .hint("give the path of a .sql file, or the name of a shipped feature set")
    } else if path.is_dir() {
        Error::query(format!("{shown} is a directory")).hint("give the path of one .sql file")
    } else {
        Error::query(format!("{shown}: cannot be read: {error}"))
            .hint("check the file's permissions")
    }
}

/// The place of a byte offset in a text; a byte order mark takes no column.
fn place_in(file: &str, text: &str, offset: usize) -> Place {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before[start..].chars().filter(|c| *c != '\u{feff}').count() + 1;
    Place { file: file.to_owned(), line: before.matches('\n').count() + 1, column }
}
