//! YAML as a tree in which every value knows its place, for `windrow.yaml` and for headers.
//!
//! It turns whatever the parser says into one sentence with a place. It does not know which keys
//! exist or what they mean: its callers do.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_yaml::{Budget, Spanned};

use crate::error::{self, Error, Place, Result};
use crate::limits::{YAML_DEPTH, YAML_NODES};

/// A value, where it stands, and who must act when it is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
    kind: error::Kind,
}

/// What a YAML value can be.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) place: Place,
    kind: error::Kind,
}

impl Key {
    /// An error at this key.
    pub(crate) fn error(&self, message: impl Into<String>) -> Error {
        Error::new(self.kind, message).at(self.place.clone())
    }
}

/// Reads a document; its first line is line `first_line` of `file`, and its errors are of `kind`.
pub(crate) fn read(kind: error::Kind, file: &str, first_line: usize, text: &str) -> Result<Node> {
    let mut options = serde_yaml::Options::default();
    options.with_snippet = false;
    // Duplicates are told apart below, where the place of the second key is known.
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.merge_keys = MergeKeyPolicy::AsOrdinary;
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    let mut budget = Budget::default();
    (budget.max_depth, budget.max_nodes) = (YAML_DEPTH, YAML_NODES);
    options.budget = Some(budget);
    let document = Document { kind, file, first_line };
    match serde_yaml::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => document.node(raw),
        Err(fault) => Err(document.syntax_error(&fault)),
    }
}

/// What all nodes of one document share.
struct Document<'a> {
    kind: error::Kind,
    file: &'a str,
    first_line: usize,
}

impl Document<'_> {
    fn place(&self, line: u64, column: u64) -> Place {
        let line = usize::try_from(line).unwrap_or(1).max(1);
        Place {
            file: self.file.to_owned(),
            line: line + self.first_line - 1,
            column: usize::try_from(column).unwrap_or(1).max(1),
        }
    }

    fn syntax_error(&self, fault: &serde_yaml::Error) -> Error {
        let text = fault.to_string();
        let mut message = text.lines().next().unwrap_or_default();
        if let Some(end) = message.rfind(" at line ") {
            message = &message[..end];
        }
        let deep = format!("it is nested deeper than the limit of {YAML_DEPTH} levels");
        let (message, hint) = match message.strip_prefix("budget breached: ") {
            Some(what) if what.starts_with("Depth") => (&*deep, "take parts of it apart"),
            Some(_) => (
                "it goes past the limits on its size",
                "leave some of it out; an alias counts as what it stands for",
            ),
            None => explain(message),
        };
        let place = fault.location().map_or_else(|| (1, 1), |at| (at.line(), at.column()));
        Error::new(self.kind, format!("not valid YAML: {message}"))
            .at(self.place(place.0, place.1))
            .hint(hint)
    }

    fn node(&self, raw: Spanned<Raw>) -> Result<Node> {
        let place = self.place(raw.referenced.line(), raw.referenced.column());
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Int(value) => Value::Int(value),
            Raw::Float(value) => Value::Float(value),
            Raw::Text(value) => Value::Text(value),
            Raw::List(items) => {
                Value::List(items.into_iter().map(|item| self.node(item)).collect::<Result<_>>()?)
            }
            Raw::Map(entries) => Value::Map(self.entries(entries)?),
        };
        Ok(Node { value, place, kind: self.kind })
    }

    fn entries(&self, raw: Vec<(Spanned<String>, Spanned<Raw>)>) -> Result<Vec<(Key, Node)>> {
        let mut entries: Vec<(Key, Node)> = Vec::with_capacity(raw.len());
        for (key, value) in raw {
            let place = self.place(key.referenced.line(), key.referenced.column());
            let key = Key { text: key.value, place, kind: self.kind };
            if let Some((first, _)) = entries.iter().find(|(known, _)| known.text == key.text) {
                return Err(key
                    .error(format!("{} is given twice", key.text))
                    .hint(format!("the first one is in line {}", first.place.line)));
            }
            let value = self.node(value)?;
            entries.push((key, value));
        }
        Ok(entries)
    }
}

/// The way out of most errors: YAML reads such text as its own signs.
const QUOTE: &str = "put text that contains `: `, ` #`, quotes or brackets in double quotes";
const INDENT: &str = "indent with blanks, and all entries of one list or mapping alike";

/// A part of the parser's words, our words for it, and the way out.
const WORDS: [(&str, &str, &str); 8] = [
    ("mapping values are not allowed", "a second `: ` in one value, or a wrong indentation", QUOTE),
    ("tabs disallowed", "a tab in front of a key", INDENT),
    ("did not find expected key", "wrong indentation", INDENT),
    ("in multiline quoted scalar", "a quoted value is not closed", "close the quotes"),
    ("multiple YAML documents", "a second document starts here", "remove the line `---`"),
    ("expected string scalar", "a key is not a word", QUOTE),
    ("null into string", "a key is empty", QUOTE),
    ("scanning an anchor or alias", "a value cannot start with * or &", QUOTE),
];

/// Our words and the way out for what the parser says.
fn explain(message: &str) -> (&str, &'static str) {
    WORDS
        .iter()
        .find(|(theirs, ..)| message.contains(theirs))
        .map_or((message, QUOTE), |(_, ours, hint)| (*ours, *hint))
}

impl Node {
    /// An error at this value.
    pub(crate) fn error(&self, message: impl Into<String>) -> Error {
        Error::new(self.kind, message).at(self.place.clone())
    }

    /// What stands here, with its article.
    pub(crate) fn describe(&self) -> &'static str {
        match self.value {
            Value::Null => "empty",
            Value::Bool(_) => "true or false",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The text that stands here; `what` names it in the error.
    pub(crate) fn text(&self, what: &str) -> Result<&str> {
        match &self.value {
            Value::Text(text) if !text.trim().is_empty() => Ok(text),
            Value::Text(_) => Err(self.error(format!("{what} is empty, expected text"))),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => Err(self
                .error(format!("{what} is {}, expected text", self.describe()))
                .hint("put it in quotes")),
            _ => Err(self.error(format!("{what} is {}, expected text", self.describe()))),
        }
    }

    /// The list of different texts that stands here.
    pub(crate) fn texts(&self, what: &str) -> Result<Vec<String>> {
        let Value::List(items) = &self.value else {
            return Err(self
                .error(format!("{what} is {}, expected a list such as [a, b]", self.describe())));
        };
        let mut texts: Vec<String> = Vec::with_capacity(items.len());
        for item in items {
            let text = item.text(&format!("an entry of {what}"))?;
            if texts.iter().any(|known| known == text) {
                return Err(item.error(format!("{what} names {text} twice")));
            }
            texts.push(text.to_owned());
        }
        Ok(texts)
    }

    /// The mapping that stands here; an empty value is an empty mapping.
    pub(crate) fn entries(&self, what: &str) -> Result<&[(Key, Node)]> {
        match &self.value {
            Value::Map(entries) => Ok(entries),
            Value::Null => Ok(&[]),
            _ => Err(self.error(format!(
                "{what} is {}, expected a mapping such as name: value",
                self.describe()
            ))),
        }
    }

    /// The single value that stands here, as it would be typed on a command line.
    pub(crate) fn scalar(&self, what: &str) -> Result<String> {
        match &self.value {
            Value::Bool(value) => Ok(value.to_string()),
            Value::Int(value) => Ok(value.to_string()),
            Value::Float(value) => Ok(value.to_string()),
            Value::Text(value) => Ok(value.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => {
                Err(self.error(format!("{what} is {}, expected one value", self.describe())))
            }
        }
    }
}

/// What the parser delivers, before places are ours.
enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(i64::try_from(value).map_or_else(|_| Raw::Text(value.to_string()), Raw::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
