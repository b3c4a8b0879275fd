//! The header: YAML in the first comment of a feature set, from a closed list of keys.
//!
//! This module knows the keys and the shape of their values. Only the planned query shows whether a label or
//! an audited column exists, so that is not checked here. [`Header::place_of_key`] and
//! [`Header::place_of_entry`] return the place of such an error.

use std::collections::BTreeMap;

use minijinja::Value;

use super::place_at_offset;
use crate::config::yaml::{self, YamlKey, YamlNode};
use crate::error::{Error, Kind, Result, TextPlace, did_you_mean, nearest_name};

/// The declarations of a feature set.
#[derive(Clone, Debug)]
pub struct Header {
    /// The purpose of the set.
    pub description: Option<String>,
    /// The column that identifies the symbol.
    pub entity: String,
    /// The column that orders the bars of a symbol.
    pub time: String,
    /// The template's parameters and their defaults.
    pub params: BTreeMap<String, Value>,
    /// The outputs that may look ahead.
    pub labels: Vec<String>,
    /// The outputs and their meanings, in the order of the file.
    pub outputs: Vec<(String, String)>,
    /// The columns that the sources must offer.
    pub requires: Vec<String>,
    /// The columns that the template may ask for with `has('column')`.
    pub optional: Vec<String>,
    /// By table, the column with the time at which a row became known. No file can set it yet.
    pub available: BTreeMap<String, String>,
    /// The columns whose values become directories of a target.
    pub partition_by: Vec<String>,
    /// The conditions that the output must meet.
    pub audits: Vec<DeclaredAudit>,
    keys: BTreeMap<String, TextPlace>,
    entries: BTreeMap<(String, String), TextPlace>,
}

/// A condition on the output rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeclaredAudit {
    /// An SQL condition that must not be false in any row.
    Condition {
        /// The condition as written.
        text: String,
        /// The place of the audit.
        place: TextPlace,
    },
    /// No two rows are equal in these columns.
    Unique {
        /// The columns.
        columns: Vec<String>,
        /// The place of the audit.
        place: TextPlace,
    },
    /// No row has NULL in these columns.
    NotNull {
        /// The columns.
        columns: Vec<String>,
        /// The place of the audit.
        place: TextPlace,
    },
}

impl DeclaredAudit {
    /// Returns the audit on one line.
    pub fn display_text(&self) -> String {
        match self {
            Self::Condition { text, .. } => text.clone(),
            Self::Unique { columns, .. } => format!("unique: [{}]", columns.join(", ")),
            Self::NotNull { columns, .. } => format!("not_null: [{}]", columns.join(", ")),
        }
    }
}

/// A function that reads the value of one key.
type KeyParser = fn(&mut Header, &YamlNode) -> Result<()>;

/// Every key of a header, and the function that reads its value.
const KEYS: [(&str, KeyParser); 11] = [
    ("description", |header, node| {
        header.description = Some(node.require_text("description")?.trim().to_owned());
        Ok(())
    }),
    ("entity", |header, node| {
        header.entity = node.require_text("entity")?.to_owned();
        Ok(())
    }),
    ("time", |header, node| {
        header.time = node.require_text("time")?.to_owned();
        Ok(())
    }),
    ("params", take_params),
    ("labels", |header, node| {
        header.labels = header.take_columns("labels", node)?;
        Ok(())
    }),
    ("outputs", take_outputs),
    ("requires", |header, node| {
        header.requires = header.take_columns("requires", node)?;
        Ok(())
    }),
    ("optional", |header, node| {
        header.optional = header.take_columns("optional", node)?;
        Ok(())
    }),
    (
        "available",
        |_, _| Err(Error::query("available is not supported yet").hint("remove the key")),
    ),
    ("partition_by", |header, node| {
        header.partition_by = header.take_columns("partition_by", node)?;
        Ok(())
    }),
    ("audits", take_audits),
];

/// The start and the end of a comment.
const OPEN: &str = "/*";
const CLOSE: &str = "*/";

impl Default for Header {
    fn default() -> Self {
        Self {
            description: None,
            entity: "symbol".to_owned(),
            time: "ts".to_owned(),
            params: BTreeMap::new(),
            labels: Vec::new(),
            outputs: Vec::new(),
            requires: Vec::new(),
            optional: Vec::new(),
            available: BTreeMap::new(),
            partition_by: Vec::new(),
            audits: Vec::new(),
            keys: BTreeMap::new(),
            entries: BTreeMap::new(),
        }
    }
}

impl Header {
    /// Returns the place of a key of the header, if the file has the key.
    pub fn place_of_key(&self, key: &str) -> Option<TextPlace> {
        self.keys.get(key).cloned()
    }

    /// Returns the place of an entry of a key: a label, a column, an output or a parameter.
    pub fn place_of_entry(&self, key: &str, entry: &str) -> Option<TextPlace> {
        self.entries.get(&(key.to_owned(), entry.to_owned())).cloned()
    }

    /// Returns the values of the parameters: the defaults, overridden by `set`.
    pub(super) fn param_values(
        &self,
        set: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, Value>> {
        let mut values = self.params.clone();
        for (name, text) in set {
            let Some(default) = self.params.get(name) else {
                return Err(Error::usage(format!("--set {name}={text}: unknown parameter {name}"))
                    .hint(did_you_mean(
                        name,
                        "parameters",
                        self.params.keys().map(String::as_str),
                    )));
            };
            values.insert(name.clone(), parse_param_value(name, text, default)?);
        }
        Ok(values)
    }

    /// Reads a list of columns and records the place of each.
    fn take_columns(&mut self, key: &str, node: &YamlNode) -> Result<Vec<String>> {
        let columns = node.require_text_list(key)?;
        if let yaml::YamlValue::List(items) = &node.value {
            for (column, item) in columns.iter().zip(items) {
                self.entries.insert((key.to_owned(), column.clone()), item.place.clone());
            }
        }
        Ok(columns)
    }
}

/// Parses the header of a text. Returns it with the offset at which the template starts.
pub(super) fn parse_header(path: &str, text: &str) -> Result<(Header, usize)> {
    let open = content_start(text);
    if !text[open..].starts_with(OPEN) {
        return Ok((
            Header::default(),
            if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 },
        ));
    }
    let place = place_at_offset(path, text, open);
    let inside = open + OPEN.len();
    let Some(length) = text[inside..].find(CLOSE) else {
        return Err(Error::query("the header's comment is not closed")
            .at_place(place)
            .hint("end the comment with */ above the SELECT"));
    };
    // Blanks replace the text before the comment's content, so that columns are those of the file.
    let blanks = " ".repeat(place.column - 1 + OPEN.len());
    let yaml = format!("{blanks}{}", &text[inside..inside + length]);
    let header = parse_header_yaml(path, &place, &yaml)?;
    Ok((header, inside + length + CLOSE.len()))
}

/// Returns the offset of the first text that is neither blank nor a `--` comment.
pub(super) fn content_start(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        if !rest.starts_with("--") {
            return text.len() - rest.len();
        }
        rest = rest.find('\n').map_or("", |end| &rest[end..]);
    }
}

fn parse_header_yaml(path: &str, comment: &TextPlace, text: &str) -> Result<Header> {
    let not_a_header = || {
        Error::query("the first comment is the header, and this one is not `key: value` lines")
            .at_place(comment.clone())
            .hint("start other comments with --, or put them below a header")
    };
    let root = match yaml::parse_document(Kind::Query, path, comment.line, text) {
        Ok(root) => root,
        Err(error) if mentions_header_key(text) => return Err(error),
        Err(_) => return Err(not_a_header()),
    };
    let entries = match &root.value {
        yaml::YamlValue::Map(entries) => entries.as_slice(),
        yaml::YamlValue::Null => &[],
        _ => return Err(not_a_header()),
    };
    if !entries.is_empty()
        && entries.iter().all(|(key, _)| nearest_name(&key.text, header_keys()).is_none())
    {
        return Err(not_a_header());
    }
    let mut header = Header::default();
    for (key, node) in entries {
        let Some((_, take)) = KEYS.iter().find(|(name, _)| *name == key.text) else {
            return Err(unknown_key_error(key));
        };
        header.keys.insert(key.text.clone(), key.place.clone());
        take(&mut header, node).map_err(|error| error.at_place(key.place.clone()))?;
    }
    check_column_lists(&header)?;
    Ok(header)
}

/// Returns the names of the keys.
fn header_keys() -> impl Iterator<Item = &'static str> + Clone {
    KEYS.iter().map(|(name, _)| *name)
}

fn unknown_key_error(key: &YamlKey) -> Error {
    key.error_here(format!("unknown key {} in the header", key.text)).hint(did_you_mean(
        &key.text,
        "keys",
        header_keys(),
    ))
}

/// Returns whether text that is not YAML was meant as a header: one of its lines starts with a key.
fn mentions_header_key(text: &str) -> bool {
    text.lines().any(|line| {
        line.split_once(':').is_some_and(|(word, _)| header_keys().any(|name| name == word.trim()))
    })
}

/// Checks the header across keys: no column may be both required and optional.
fn check_column_lists(header: &Header) -> Result<()> {
    match header.optional.iter().find(|column| header.requires.contains(column)) {
        Some(column) => {
            let mut error = Error::query(format!("{column} is in requires and in optional"));
            if let Some(place) = header.place_of_entry("optional", column) {
                error = error.at_place(place);
            }
            Err(error.hint("remove it from one of them"))
        }
        None => Ok(()),
    }
}

fn take_params(header: &mut Header, node: &YamlNode) -> Result<()> {
    for (key, value) in node.require_entries("params")? {
        if !is_param_name(&key.text) {
            return Err(key
                .error_here(format!("parameter {} is not a name", key.text))
                .hint("use letters, digits and _, and start with a letter"));
        }
        if RESERVED.contains(&key.text.as_str()) {
            return Err(key
                .error_here(format!("{} is a word of the template language", key.text))
                .hint("choose another name for the parameter"));
        }
        header.entries.insert(("params".to_owned(), key.text.clone()), key.place.clone());
        header.params.insert(key.text.clone(), template_value(value));
    }
    Ok(())
}

/// Words with a meaning in templates, which therefore cannot name a parameter.
const RESERVED: [&str; 24] = [
    "has",
    "range",
    "dict",
    "debug",
    "namespace",
    "loop",
    "caller",
    "varargs",
    "kwargs",
    "self",
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "recursive",
];

fn is_param_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn take_outputs(header: &mut Header, node: &YamlNode) -> Result<()> {
    for (key, value) in node.require_entries("outputs")? {
        let text =
            value.require_text(&format!("the text of output {}", key.text))?.trim().to_owned();
        header.entries.insert(("outputs".to_owned(), key.text.clone()), key.place.clone());
        header.outputs.push((key.text.clone(), text));
    }
    Ok(())
}

fn take_audits(header: &mut Header, node: &YamlNode) -> Result<()> {
    let yaml::YamlValue::List(items) = &node.value else {
        return Err(node
            .error_here(format!("audits is {}, expected a list", node.describe_kind()))
            .hint("start each audit with `- `"));
    };
    for item in items {
        header.audits.push(parse_audit(item)?);
    }
    Ok(())
}

fn parse_audit(node: &YamlNode) -> Result<DeclaredAudit> {
    let place = node.place.clone();
    let entries = match &node.value {
        yaml::YamlValue::Text(text) if !text.trim().is_empty() => {
            return Ok(DeclaredAudit::Condition { text: text.trim().to_owned(), place });
        }
        yaml::YamlValue::Map(entries) => entries,
        _ => {
            return Err(node
                .error_here(format!("an audit is {}, expected a condition", node.describe_kind()))
                .hint("write it as `- rsi BETWEEN 0 AND 100` or `- unique: [symbol, ts]`"));
        }
    };
    let [(key, value)] = entries.as_slice() else {
        return Err(node
            .error_here("an audit has two keys, expected one")
            .hint("start each audit with `- `"));
    };
    match key.text.as_str() {
        "unique" => {
            Ok(DeclaredAudit::Unique { columns: nonempty_columns(value, "unique")?, place })
        }
        "not_null" => {
            Ok(DeclaredAudit::NotNull { columns: nonempty_columns(value, "not_null")?, place })
        }
        other => Err(match nearest_name(other, ["unique", "not_null"]) {
            Some(near) => key
                .error_here(format!("unknown audit {other}"))
                .hint(format!("did you mean {near}?")),
            None => key
                .error_here(format!(
                    "unknown audit {other}, expected unique, not_null or a condition"
                ))
                .hint("put a condition that contains `: ` in double quotes"),
        }),
    }
}

/// Reads the columns of an audit: at least one.
fn nonempty_columns(node: &YamlNode, what: &str) -> Result<Vec<String>> {
    let columns = node.require_text_list(what)?;
    if columns.is_empty() {
        return Err(node.error_here(format!("{what} names no column")));
    }
    Ok(columns)
}

/// Converts a YAML value to a value of the template.
fn template_value(node: &YamlNode) -> Value {
    match &node.value {
        yaml::YamlValue::Null => Value::from(()),
        yaml::YamlValue::Bool(value) => Value::from(*value),
        yaml::YamlValue::Int(value) => Value::from(*value),
        yaml::YamlValue::Float(value) => Value::from(*value),
        yaml::YamlValue::Text(value) => Value::from(value.as_str()),
        yaml::YamlValue::List(items) => items.iter().map(template_value).collect(),
        yaml::YamlValue::Map(entries) => Value::from_pairs(
            entries.iter().map(|(key, value)| (key.text.as_str(), template_value(value))),
        ),
    }
}

/// Parses the value of `--set name=text`. It must have the kind of the default, if there is a default.
fn parse_param_value(name: &str, text: &str, default: &Value) -> Result<Value> {
    use minijinja::value::ValueKind;
    if default.kind() == ValueKind::String {
        return Ok(Value::from(text));
    }
    let origin = format!("--set {name}={text}");
    let value = yaml::parse_document(Kind::Usage, &origin, 1, text)
        .map(|node| template_value(&node))
        .map_err(|error| Error::usage(format!("{origin}: {}", error.message())))?;
    if default.is_none() || default.kind() == value.kind() {
        return Ok(value);
    }
    let expected = match default.kind() {
        ValueKind::Bool => "true or false",
        ValueKind::Number => "a number",
        ValueKind::Seq => "a list such as [5, 20]",
        _ => "a mapping such as {a: 1}",
    };
    Err(Error::usage(format!("{origin}: {name} is {text}, expected {expected}"))
        .hint(format!("its default is {default}")))
}

#[cfg(test)]
mod tests;
