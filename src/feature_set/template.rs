//! The template: minijinja over the body of a file, and the map from what it renders to its source.
//!
//! It knows the template language and nothing of SQL.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior, Value};

use super::{FeatureSet, place_in};
use crate::error::{Error, Place, Result};

/// SQL, and the way back to the file that it came from.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The SQL, without the header.
    pub sql: String,
    file: String,
    source: String,
    body: usize,
}

impl Rendered {
    /// SQL that was typed and not rendered; `name` stands for the file in messages.
    pub fn plain(name: &str, sql: &str) -> Self {
        Self { sql: sql.to_owned(), file: name.to_owned(), source: sql.to_owned(), body: 0 }
    }

    /// The place in the file as written of a byte offset in `sql`.
    pub fn place(&self, offset: usize) -> Place {
        place_in(&self.file, &self.source, self.body + offset)
    }

    /// The same for a line and column of `sql`, both from 1, the column in characters.
    pub fn place_of(&self, line: usize, column: usize) -> Place {
        let start: usize =
            self.sql.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let row = self.sql[start..].lines().next().unwrap_or_default();
        let column: usize = row.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
        self.place(start + column)
    }
}

/// Renders the template of a feature set.
pub(super) fn render(
    set: &FeatureSet,
    params: &BTreeMap<String, Value>,
    has: &(dyn Fn(&str) -> bool + Send + Sync),
) -> Result<Rendered> {
    let (text, body) = set.source();
    let present: BTreeMap<String, bool> =
        set.header.optional.iter().map(|name| (name.clone(), has(name))).collect();
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(true);
    environment.add_function("has", move |name: &str| present.get(name).copied().unwrap_or(false));
    let sql = environment
        .render_str(&text[body..], params)
        .map_err(|error| Error::query(error.to_string()))?;
    Ok(Rendered { sql, file: set.path.clone(), source: text.to_owned(), body })
}
