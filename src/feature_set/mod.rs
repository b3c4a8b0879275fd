//! The `.sql` file of a feature set: a header in the first comment and a template below it, as pure text.
//!
//! This module knows neither SQL nor data. It reads the declarations of a file and renders its template into
//! SQL. It also maps a place in the rendered SQL back to the place in the file as written.

mod header;
mod shipped_sets;
mod source_map;
mod swallowed_text;
mod template;
mod template_lexer;

use std::collections::BTreeMap;
use std::path::Path;

pub use header::{DeclaredAudit, Header};
pub use minijinja::Value;
pub use shipped_sets::{load_shipped_set, shipped_set_names};
pub use template::RenderedSql;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, TextPlace, group_digits};
use crate::limits::STATEMENT_BYTES;
use crate::outside::files;

/// A feature set as plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetText {
    /// The name of the set.
    pub name: String,
    /// The path of the file as the user gave it; messages name it.
    pub path: String,
    /// True if the set comes with the program.
    pub shipped: bool,
    /// The text of the file.
    pub text: String,
}

/// One saved feature set.
#[derive(Clone, Debug)]
pub struct FeatureSet {
    /// The name that other feature sets read it by: the file name without `.sql`.
    pub name: String,
    /// The path of the file as the user gave it.
    pub path: String,
    /// True if the set comes with the program.
    pub shipped: bool,
    /// The declarations of the first comment.
    pub header: Header,
    text: String,
    body: usize,
}

impl FeatureSet {
    /// Reads a feature set from a file.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let meta = files::read_metadata(path)
            .map_err(|error| unreadable_set_error(path, &shown, &error))?;
        if !meta.is_file() && !meta.is_dir() {
            return Err(Error::query(format!("{shown} is no file")).hint("name a .sql file"));
        }
        if meta.len() > STATEMENT_BYTES as u64 {
            let (length, most) = (group_digits(meta.len()), group_digits(STATEMENT_BYTES as u64));
            return Err(Error::query(format!(
                "{shown} has {length} bytes, past the limit of {most}"
            ))
            .hint("put values into a source, and read it"));
        }
        let bytes =
            files::read_bytes(path).map_err(|error| unreadable_set_error(path, &shown, &error))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let place = place_at_offset(&shown, &String::from_utf8_lossy(valid), valid.len());
            Error::query("not UTF-8 text").at_place(place).hint("save the file as UTF-8")
        })?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Self::parse(&name.unwrap_or_default(), &shown, &text)
    }

    /// Parses the text of a file that messages call `path`.
    pub fn parse(name: &str, path: &str, text: &str) -> Result<Self> {
        let (header, body) = header::parse_header(path, text)?;
        if header::content_start(&text[body..]) == text.len() - body {
            return Err(Error::query("the file has no SELECT")
                .at_place(place_at_offset(path, text, text.trim_end().len()))
                .hint("write the query below the header"));
        }
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            shipped: false,
            header,
            text: text.to_owned(),
            body,
        })
    }

    /// Rebuilds the set from a text that [`FeatureSet::to_text`] returned.
    ///
    /// # Errors
    /// As [`FeatureSet::parse`].
    pub fn of_text(text: &SetText) -> Result<Self> {
        Ok(Self { shipped: text.shipped, ..Self::parse(&text.name, &text.path, &text.text)? })
    }

    /// Returns the set as text; everything else follows from it.
    pub fn to_text(&self) -> SetText {
        let Self { name, path, shipped, text, header: _, body: _ } = self;
        SetText { name: name.clone(), path: path.clone(), shipped: *shipped, text: text.clone() }
    }

    /// Renders the template with the header's parameters, overridden by `set` (the values of `--set`).
    ///
    /// `has` returns whether the sources offer a column. The template may only ask about columns that the
    /// header lists under `optional`.
    pub fn render(
        &self,
        set: &BTreeMap<String, String>,
        has: &(dyn Fn(&str) -> bool + Send + Sync),
    ) -> Result<RenderedSql> {
        let params = self.header.param_values(set)?;
        template::render_template(self, &params, has)
    }

    /// Returns the most likely place for a message that has none: the first name of the message that occurs
    /// in the body, else the first word of the body.
    pub fn guess_place(&self, message: &str) -> TextPlace {
        let body = &self.text[self.body..];
        let named = indexed_words(message).filter(|(_, word)| !IN_SENTENCES.contains(word));
        let at = named
            .filter_map(|(_, name)| indexed_words(body).find(|(_, word)| *word == name))
            .map(|(at, _)| at)
            .next()
            .unwrap_or_else(|| header::content_start(body));
        place_at_offset(&self.path, &self.text, self.body + at)
    }

    /// Returns the text of the file, and the offset at which the template starts.
    fn template_source(&self) -> (&str, usize) {
        (&self.text, self.body)
    }
}

/// Common English words that are also words of SQL, and therefore do not locate a message.
const IN_SENTENCES: [&str; 16] = [
    "a", "all", "and", "as", "by", "from", "has", "in", "is", "no", "not", "of", "on", "or", "the",
    "to",
];

/// Returns the words of a text (letters, digits and underscores) with their byte offsets.
fn indexed_words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let parts = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let offset = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
    parts.filter(|part| !part.is_empty()).map(move |part| (offset(part), part))
}

/// Returns the error for a file that cannot be read.
fn unreadable_set_error(path: &Path, shown: &str, error: &std::io::Error) -> Error {
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

/// Returns the place of a byte offset in a text; a byte order mark does not count as a column.
fn place_at_offset(file: &str, text: &str, offset: usize) -> TextPlace {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before[start..].chars().filter(|c| *c != '\u{feff}').count() + 1;
    TextPlace { file: file.to_owned(), line: before.matches('\n').count() + 1, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_without_a_place_gets_one() {
        let text = "/*\nentity: symbol\n*/\nSELECT symbol,\n  median(close) OVER w AS m FROM bars";
        let set = FeatureSet::parse("a", "a.sql", text).unwrap();
        let cases = [
            ("median takes no frame", "a.sql:5:3"),
            ("the column m is NULL", "a.sql:5:27"),
            ("a subquery stands there", "a.sql:4:1"),
        ];
        for (message, place) in cases {
            assert_eq!(set.guess_place(message).to_string(), place, "{message}");
        }
    }

    fn render(text: &str, set: &[(&str, &str)]) -> Result<RenderedSql> {
        let set = set.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        FeatureSet::parse("momentum", "momentum.sql", text)?.render(&set, &|_| false)
    }

    #[test]
    fn reads_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("momentum.sql");
        std::fs::write(&path, "\u{feff}/* time: day */\r\nSELECT 1 AS one").unwrap();
        let set = FeatureSet::read(&path).unwrap();
        assert_eq!((set.name.as_str(), set.header.time.as_str()), ("momentum", "day"));
        assert_eq!(set.path, path.display().to_string());
        let rendered = set.render(&BTreeMap::new(), &|_| false).unwrap();
        assert_eq!(rendered.sql, "\r\nSELECT 1 AS one");
        assert_eq!(rendered.place(2).line, 2);
    }

    #[test]
    fn a_file_that_cannot_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("latin.sql"), b"SELECT 1,\n  'caf\xe9'").unwrap();
        let cases = [
            (
                at("none.sql"),
                ": no such file; give the path of a .sql file, or the name of a shipped feature set",
            ),
            (directory.path().to_owned(), " is a directory; give the path of one .sql file"),
            (at("latin.sql"), ":2:7: not UTF-8 text; save the file as UTF-8"),
        ];
        for (path, expected) in cases {
            let error = FeatureSet::read(&path).unwrap_err();
            assert_eq!(error.to_string(), format!("{}{expected}", path.display()));
            assert_eq!(error.exit_code(), 1);
        }
    }

    #[test]
    fn a_file_without_a_query() {
        let cases = [
            ("", "1:1"),
            ("/* time: t */", "1:14"),
            ("/*\n*/\n\n -- nothing\n", "4:12"),
            ("SELECT 1 AS one", ""),
        ];
        for (text, expected) in cases {
            let shown = FeatureSet::parse("m", "m.sql", text).err().map(|error| error.to_string());
            let expected = (!expected.is_empty()).then(|| {
                format!(
                    "m.sql:{expected}: the file has no SELECT; write the query below the header"
                )
            });
            assert_eq!(shown, expected, "{text}");
        }
    }

    #[test]
    fn parameters_are_set_from_text() {
        let text = "/* params: {fast: 12, name: a, up: true, lags: [1], any: } */\
                    {{ fast }} {{ name }} {{ up }} {{ lags }} {{ any or '-' }}";
        let cases: [(&[(&str, &str)], &str); 8] = [
            (&[], "12 a True [1] -"),
            (&[("fast", "3")], "3 a True [1] -"),
            (&[("fast", "2.5"), ("name", "7")], "2.5 7 True [1] -"),
            (&[("up", "false"), ("lags", "[5, 9]"), ("any", "x")], "12 a False [5, 9] x"),
            (&[("fats", "3")], "--set fats=3: unknown parameter fats; did you mean fast?"),
            (
                &[("window", "3")],
                "--set window=3: unknown parameter window; parameters: any, fast, lags, name, up",
            ),
            (
                &[("fast", "abc")],
                "--set fast=abc: fast is abc, expected a number; its default is 12",
            ),
            (&[("lags", "[1")], "--set lags=[1: not valid YAML: unclosed bracket '['"),
        ];
        for (set, expected) in cases {
            match render(text, set) {
                Ok(rendered) => assert_eq!(rendered.sql, expected),
                Err(error) => {
                    assert_eq!(error.to_string(), expected);
                    assert_eq!(error.exit_code(), 2);
                }
            }
        }
    }
}
