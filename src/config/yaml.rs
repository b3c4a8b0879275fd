//! YAML as a tree in which every value has its place, for `windrow.yaml` and for headers.
//!
//! This module turns every message of the parser into one sentence with a place. It does not know which keys
//! exist or what they mean: its callers do.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_yaml::{Budget, Spanned};

use crate::error::{self, Error, Result, TextPlace};
use crate::limits::{YAML_DEPTH, YAML_NODES};

/// A value, its place, and the kind of error to report if it is wrong.
#[derive(Clone, Debug)]
pub(crate) struct YamlNode {
    pub(crate) value: YamlValue,
    pub(crate) place: TextPlace,
    kind: error::Kind,
}

/// The value of a YAML node.
#[derive(Clone, Debug)]
pub(crate) enum YamlValue {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<YamlNode>),
    Map(Vec<(YamlKey, YamlNode)>),
}

/// A key of a mapping and its place.
#[derive(Clone, Debug)]
pub(crate) struct YamlKey {
    pub(crate) text: String,
    pub(crate) place: TextPlace,
    kind: error::Kind,
}

impl YamlKey {
    /// Returns an error at this key.
    pub(crate) fn error_here(&self, message: impl Into<String>) -> Error {
        Error::new(self.kind, message).at_place(self.place.clone())
    }
}

/// Parses a document. Its first line is line `first_line` of `file`, and its errors are of `kind`.
pub(crate) fn parse_document(
    kind: error::Kind,
    file: &str,
    first_line: usize,
    text: &str,
) -> Result<YamlNode> {
    let mut options = serde_yaml::Options::default();
    options.with_snippet = false;
    // Duplicate keys are refused below, where the place of the second key is known.
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.merge_keys = MergeKeyPolicy::AsOrdinary;
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    let mut budget = Budget::default();
    (budget.max_depth, budget.max_nodes) = (YAML_DEPTH, YAML_NODES);
    options.budget = Some(budget);
    let document = YamlDocument { kind, file, first_line };
    match serde_yaml::from_str_with_options::<Spanned<RawYaml>>(text, options) {
        Ok(raw) => document.convert_node(raw),
        Err(fault) => Err(document.yaml_syntax_error(&fault)),
    }
}

/// The data that all nodes of one document share.
struct YamlDocument<'a> {
    kind: error::Kind,
    file: &'a str,
    first_line: usize,
}

impl YamlDocument<'_> {
    fn file_place(&self, line: u64, column: u64) -> TextPlace {
        let line = usize::try_from(line).unwrap_or(1).max(1);
        TextPlace {
            file: self.file.to_owned(),
            line: line + self.first_line - 1,
            column: usize::try_from(column).unwrap_or(1).max(1),
        }
    }

    fn yaml_syntax_error(&self, fault: &serde_yaml::Error) -> Error {
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
            None => explain_parser_message(message),
        };
        let place = fault.location().map_or_else(|| (1, 1), |at| (at.line(), at.column()));
        Error::new(self.kind, format!("not valid YAML: {message}"))
            .at_place(self.file_place(place.0, place.1))
            .hint(hint)
    }

    fn convert_node(&self, raw: Spanned<RawYaml>) -> Result<YamlNode> {
        let place = self.file_place(raw.referenced.line(), raw.referenced.column());
        let value = match raw.value {
            RawYaml::Null => YamlValue::Null,
            RawYaml::Bool(value) => YamlValue::Bool(value),
            RawYaml::Int(value) => YamlValue::Int(value),
            RawYaml::Float(value) => YamlValue::Float(value),
            RawYaml::Text(value) => YamlValue::Text(value),
            RawYaml::List(items) => YamlValue::List(
                items.into_iter().map(|item| self.convert_node(item)).collect::<Result<_>>()?,
            ),
            RawYaml::Map(entries) => YamlValue::Map(self.convert_entries(entries)?),
        };
        Ok(YamlNode { value, place, kind: self.kind })
    }

    fn convert_entries(
        &self,
        raw: Vec<(Spanned<String>, Spanned<RawYaml>)>,
    ) -> Result<Vec<(YamlKey, YamlNode)>> {
        let mut entries: Vec<(YamlKey, YamlNode)> = Vec::with_capacity(raw.len());
        for (key, value) in raw {
            let place = self.file_place(key.referenced.line(), key.referenced.column());
            let key = YamlKey { text: key.value, place, kind: self.kind };
            if let Some((first, _)) = entries.iter().find(|(known, _)| known.text == key.text) {
                return Err(key
                    .error_here(format!("{} is given twice", key.text))
                    .hint(format!("the first one is in line {}", first.place.line)));
            }
            let value = self.convert_node(value)?;
            entries.push((key, value));
        }
        Ok(entries)
    }
}

/// The hint for most errors: YAML reads such text as its own syntax.
const QUOTE: &str = "put text that contains `: `, ` #`, quotes or brackets in double quotes";
const INDENT: &str = "indent with blanks, and all entries of one list or mapping alike";

/// A part of a parser message, the sentence that replaces it, and the hint.
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

/// Returns the sentence and the hint for a message of the parser.
fn explain_parser_message(message: &str) -> (&str, &'static str) {
    WORDS
        .iter()
        .find(|(theirs, ..)| message.contains(theirs))
        .map_or((message, QUOTE), |(_, ours, hint)| (*ours, *hint))
}

impl YamlNode {
    /// Returns an error at this value.
    pub(crate) fn error_here(&self, message: impl Into<String>) -> Error {
        Error::new(self.kind, message).at_place(self.place.clone())
    }

    /// Returns the kind of the value, with its article.
    pub(crate) fn describe_kind(&self) -> &'static str {
        match self.value {
            YamlValue::Null => "empty",
            YamlValue::Bool(_) => "true or false",
            YamlValue::Int(_) | YamlValue::Float(_) => "a number",
            YamlValue::Text(_) => "text",
            YamlValue::List(_) => "a list",
            YamlValue::Map(_) => "a mapping",
        }
    }

    /// Returns the text of this node; `what` names the node in errors.
    pub(crate) fn require_text(&self, what: &str) -> Result<&str> {
        match &self.value {
            YamlValue::Text(text) if !text.trim().is_empty() => Ok(text),
            YamlValue::Text(_) => Err(self.error_here(format!("{what} is empty, expected text"))),
            YamlValue::Bool(_) | YamlValue::Int(_) | YamlValue::Float(_) => Err(self
                .error_here(format!("{what} is {}, expected text", self.describe_kind()))
                .hint("put it in quotes")),
            _ => Err(self.error_here(format!("{what} is {}, expected text", self.describe_kind()))),
        }
    }

    /// Returns the list of texts of this node; no text may occur twice.
    pub(crate) fn require_text_list(&self, what: &str) -> Result<Vec<String>> {
        let YamlValue::List(items) = &self.value else {
            return Err(self.error_here(format!(
                "{what} is {}, expected a list such as [a, b]",
                self.describe_kind()
            )));
        };
        let mut texts: Vec<String> = Vec::with_capacity(items.len());
        for item in items {
            let text = item.require_text(&format!("an entry of {what}"))?;
            if texts.iter().any(|known| known == text) {
                return Err(item.error_here(format!("{what} names {text} twice")));
            }
            texts.push(text.to_owned());
        }
        Ok(texts)
    }

    /// Returns the mapping of this node; an empty value is an empty mapping.
    pub(crate) fn require_entries(&self, what: &str) -> Result<&[(YamlKey, YamlNode)]> {
        match &self.value {
            YamlValue::Map(entries) => Ok(entries),
            YamlValue::Null => Ok(&[]),
            _ => Err(self.error_here(format!(
                "{what} is {}, expected a mapping such as name: value",
                self.describe_kind()
            ))),
        }
    }

    /// Returns the single value of this node, as it would be typed on a command line.
    pub(crate) fn require_scalar(&self, what: &str) -> Result<String> {
        match &self.value {
            YamlValue::Bool(value) => Ok(value.to_string()),
            YamlValue::Int(value) => Ok(value.to_string()),
            YamlValue::Float(value) => Ok(value.to_string()),
            YamlValue::Text(value) => Ok(value.clone()),
            YamlValue::Null | YamlValue::List(_) | YamlValue::Map(_) => {
                Err(self
                    .error_here(format!("{what} is {}, expected one value", self.describe_kind())))
            }
        }
    }
}

/// A value from the parser, before its place is converted.
enum RawYaml {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<RawYaml>>),
    Map(Vec<(Spanned<String>, Spanned<RawYaml>)>),
}

impl<'de> Deserialize<'de> for RawYaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawYamlVisitor)
    }
}

struct RawYamlVisitor;

impl<'de> Visitor<'de> for RawYamlVisitor {
    type Value = RawYaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<RawYaml, E> {
        Ok(RawYaml::Null)
    }

    fn visit_none<E>(self) -> Result<RawYaml, E> {
        Ok(RawYaml::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawYaml, D::Error> {
        RawYaml::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawYaml, E> {
        Ok(RawYaml::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawYaml, E> {
        Ok(RawYaml::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawYaml, E> {
        Ok(i64::try_from(value).map_or_else(|_| RawYaml::Text(value.to_string()), RawYaml::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawYaml, E> {
        Ok(RawYaml::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawYaml, E> {
        Ok(RawYaml::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<RawYaml, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(RawYaml::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<RawYaml, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(RawYaml::Map(entries))
    }
}
