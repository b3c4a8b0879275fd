//! Renders templates: minijinja over the body of a file, strict about unknown names.
//!
//! This module knows the template language and nothing of SQL. A `--` comment is text like any other, so tags
//! in it are evaluated, as in dbt and jinja. `{# #}` leaves text out.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;

use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, Template, UndefinedBehavior, Value};

use super::source_map::{MarkExtent, MarkedTemplate, SourceSpan, source_offset};
use super::swallowed_text::find_swallowed_text;
use super::template_lexer::{LexedTemplate, TemplatePiece, lex_template};
use super::{FeatureSet, place_at_offset};
use crate::error::{
    Error, Result, TextPlace, catch_panic, did_you_mean, group_digits, nearest_name,
};
use crate::limits;

/// Rendered SQL, with a map back to the file that it came from.
#[derive(Clone, Debug)]
pub struct RenderedSql {
    /// The SQL, without the header.
    pub sql: String,
    file: String,
    source: String,
    body: usize,
    spans: Vec<SourceSpan>,
}

impl RenderedSql {
    /// Wraps SQL that was typed and not rendered; messages show `name` as its file.
    pub fn from_plain_sql(name: &str, sql: &str) -> Self {
        Self {
            sql: sql.to_owned(),
            file: name.to_owned(),
            source: sql.to_owned(),
            body: 0,
            spans: vec![SourceSpan { at: 0, source: 0..sql.len() }],
        }
    }

    /// Returns the place in the file as written of a byte offset in `sql`.
    ///
    /// Text that a tag wrote has the place of the tag's start.
    pub fn place(&self, offset: usize) -> TextPlace {
        place_at_offset(&self.file, &self.source, self.body + source_offset(&self.spans, offset))
    }

    /// Returns the place of a line and column of `sql`. Both count from 1; the column counts characters.
    pub fn place_of(&self, line: usize, column: usize) -> TextPlace {
        let start: usize =
            self.sql.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let row = self.sql[start..].split('\n').next().unwrap_or_default();
        let before = row.chars().take(column.saturating_sub(1)).map(char::len_utf8);
        self.place(start + before.sum::<usize>())
    }
}

/// Renders the template of a feature set.
pub(super) fn render_template(
    set: &FeatureSet,
    params: &BTreeMap<String, Value>,
    has: &(dyn Fn(&str) -> bool + Send + Sync),
) -> Result<RenderedSql> {
    let (source, body) = set.template_source();
    let present = set.header.optional.iter().map(|name| (name.clone(), has(name))).collect();
    let context =
        Value::from_pairs(params.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let job = RenderContext {
        environment: template_environment(present),
        file: &set.path,
        source,
        body,
        params,
    };
    let text = &source[body..];
    let found = lex_template(text);
    job.check_tags(&found)?;
    let template = job.compile_template(text)?;
    job.check_template_names(&template, &found)?;
    let rendered = catch_panic(|| template.render(context.clone()));
    let rendered = rendered.map_err(|panic| {
        Error::query(format!("the template cannot be rendered: {panic}"))
            .at_place(job.template_place(0))
    })?;
    let sql = rendered.map_err(|error| job.translate_error(&error))?;
    if sql.trim().is_empty() {
        return Err(Error::query("the template renders to nothing")
            .at_place(job.template_place(0))
            .hint("check the conditions around the SELECT"));
    }
    limits::check_statement_length(&sql).map_err(|error| error.at_place(job.template_place(0)))?;
    let spans = job.source_spans(&found, &context, &sql);
    if let Some(offset) = find_swallowed_text(&sql, &spans, text) {
        return Err(Error::query("text ends up on the other side of a comment or a string")
            .at_place(job.template_place(offset))
            .hint("a tag before it eats the end of a line, or writes a quote or --: take out its dash, or what it writes"));
    }
    Ok(RenderedSql { sql, file: set.path.clone(), source: source.to_owned(), body, spans })
}

/// The state that the steps of one rendering share.
struct RenderContext<'a> {
    environment: Environment<'static>,
    file: &'a str,
    source: &'a str,
    body: usize,
    params: &'a BTreeMap<String, Value>,
}

impl RenderContext<'_> {
    fn template_place(&self, offset: usize) -> TextPlace {
        place_at_offset(self.file, self.source, self.body + offset)
    }

    fn compile_template<'a>(&'a self, text: &'a str) -> Result<Template<'a, 'a>> {
        self.environment.template_from_str(text).map_err(|error| self.translate_error(&error))
    }

    /// Refuses tags that are too long, because they are parsed recursively.
    fn check_tags(&self, found: &LexedTemplate<'_>) -> Result<()> {
        let text = &self.source[self.body..];
        let tags = found.pieces.iter().filter_map(|piece| match piece {
            TemplatePiece::Text(_) => None,
            TemplatePiece::Output(_, tag) => Some((tag.start, tag.len())),
            TemplatePiece::Block { start, .. } => {
                Some((*start, text[*start..].find("%}").unwrap_or(0)))
            }
        });
        match tags.into_iter().find(|(_, length)| *length > limits::TEMPLATE_TAG) {
            None => self.check_namespaces(found),
            Some((start, length)) => Err(Error::query(format!(
                "a tag of the template has {} bytes, past the limit of {}",
                group_digits(length as u64),
                group_digits(limits::TEMPLATE_TAG as u64)
            ))
            .at_place(self.template_place(start))
            .hint("take it apart with {% set %}")),
        }
    }

    /// Refuses to put a namespace into a namespace: one that contains itself would be written without end.
    fn check_namespaces(&self, found: &LexedTemplate<'_>) -> Result<()> {
        let text = &self.source[self.body..];
        let mut namespaces: BTreeSet<&str> = BTreeSet::new();
        for piece in &found.pieces {
            let TemplatePiece::Block { start, word, .. } = piece else { continue };
            let tag = &text[*start..];
            let tag = &tag[..tag.find("%}").unwrap_or(tag.len())];
            let Some((name, value)) = tag.split_once('=').filter(|_| word == "set") else {
                continue;
            };
            let name =
                name.trim_start_matches(['{', '%', '-', '+', ' ']).trim_start_matches("set").trim();
            let mut words = value.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
            let holds = words.any(|word| word == "namespace" || namespaces.contains(word));
            if holds && name.contains('.') {
                return Err(Error::query(format!("{name} would hold a namespace"))
                    .at_place(self.template_place(*start))
                    .hint("put its values there, such as other.value"));
            }
            if holds {
                namespaces.insert(name);
            }
        }
        Ok(())
    }

    /// Refuses undeclared names, also in branches that the present parameter values do not reach.
    fn check_template_names(
        &self,
        template: &Template<'_, '_>,
        found: &LexedTemplate<'_>,
    ) -> Result<()> {
        let undeclared = template.undeclared_variables(false);
        let known = |name: &str| {
            !undeclared.contains(name)
                || self.params.contains_key(name)
                || found.assigned.contains(name)
                || self.environment.globals().any(|(global, _)| global == name)
        };
        match found.names.iter().find(|(name, _)| !known(name)) {
            Some((name, offset)) => Err(self.unknown_name_error(name, *offset)),
            None => Ok(()),
        }
    }

    fn unknown_name_error(&self, name: &str, offset: usize) -> Error {
        let after = self.source[self.body + offset + name.len()..].trim_start();
        if after.starts_with('(') {
            let globals: Vec<&str> = self.environment.globals().map(|(name, _)| name).collect();
            return Error::query(format!("unknown template function {name}"))
                .at_place(self.template_place(offset))
                .hint(did_you_mean(name, "functions", globals));
        }
        let hint = if self.params.is_empty() {
            format!("declare it in the header, as in `params: {{{name}: 14}}`")
        } else {
            did_you_mean(name, "parameters", self.params.keys().map(String::as_str))
        };
        Error::query(format!("unknown name {name} in the template"))
            .at_place(self.template_place(offset))
            .hint(hint)
    }

    /// Translates an error of minijinja into a sentence of windrow, at its place.
    fn translate_error(&self, error: &minijinja::Error) -> Error {
        let length = self.source.len() - self.body;
        let offset = error.range().map_or(0, |range| range.start.min(length));
        // Errors of the functions defined here are inside those of minijinja.
        if let Some(own) = error.source().and_then(|source| source.downcast_ref::<Error>()) {
            return own.clone().at_place(self.template_place(offset));
        }
        let detail = error.detail().unwrap_or_default().replace('`', "");
        let error = match error.kind() {
            ErrorKind::SyntaxError
                if detail == "unexpected end of input, expected end of block" =>
            {
                return self.unclosed_block_error(offset);
            }
            ErrorKind::SyntaxError if detail.contains("maximum recursion") => {
                Error::query("tags or brackets of the template are nested too deep")
                    .hint("take some apart with {% set %}")
            }
            ErrorKind::SyntaxError => Error::query(format!("template syntax: {detail}")),
            ErrorKind::UnknownFilter => unknown_filter_error(&detail),
            ErrorKind::TemplateNotFound => Error::query("a template cannot take in other files")
                .hint("read another feature set by its name: FROM name"),
            ErrorKind::OutOfFuel => {
                let most = group_digits(limits::TEMPLATE_STEPS);
                Error::query(format!("the template goes past the limit of {most} steps"))
                    .hint("shorten its loops")
            }
            _ if detail.contains("recursion limit") => {
                let most = limits::TEMPLATE_CALLS;
                Error::query(format!(
                    "macros of the template call each other past the limit of {most}"
                ))
                .hint("look for a macro that calls itself without an end")
            }
            _ if detail.contains("too many elements") => {
                Error::query("a range of the template has more than 100,000 values")
                    .hint("make rows of a source, and read it")
            }
            _ if detail.is_empty() => Error::query(format!("template: {}", error.kind())),
            _ => Error::query(format!("template: {detail}")),
        };
        error.at_place(self.template_place(offset))
    }

    /// Returns the error for an unclosed block, placed at the block and not at the end of the file.
    fn unclosed_block_error(&self, end: usize) -> Error {
        match lex_template(&self.source[self.body..]).unclosed_block() {
            Some((word, start)) => Error::query(format!("{{% {word} %}} is not closed"))
                .at_place(self.template_place(start))
                .hint(format!("add {{% end{word} %}}")),
            None => Error::query("a template tag is not closed").at_place(self.template_place(end)),
        }
    }

    /// Returns the map from the rendered text to the source. It uses the largest extent of marks that leaves
    /// the rendered text unchanged; empty if there is none.
    fn source_spans(
        &self,
        found: &LexedTemplate<'_>,
        context: &Value,
        sql: &str,
    ) -> Vec<SourceSpan> {
        let text = &self.source[self.body..];
        for reach in [MarkExtent::Whole, MarkExtent::Uncaptured] {
            let marked = MarkedTemplate::new(text, found, reach);
            if let Ok(rendered) = self.environment.render_str(&marked.text, context.clone()) {
                let (stripped, spans) = marked.strip_marks(&rendered);
                if stripped == sql {
                    return spans;
                }
            }
        }
        Vec::new()
    }
}

/// Returns the template environment of feature sets.
fn template_environment(present: BTreeMap<String, bool>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(true); // Errors carry their place.
    environment.remove_global("debug");
    environment.set_fuel(Some(limits::TEMPLATE_STEPS));
    environment.set_recursion_limit(limits::TEMPLATE_CALLS);
    environment.add_function("has", move |column: &str| -> Result<bool, minijinja::Error> {
        present.get(column).copied().ok_or_else(|| {
            let error = Error::query(format!("has('{column}'): {column} is not in optional"))
                .hint(format!("list it in the header, as in `optional: [{column}]`"));
            minijinja::Error::new(ErrorKind::InvalidOperation, "has").with_source(error)
        })
    });
    environment.set_formatter(|output, state, value| {
        if is_deeper_than(value, limits::TEMPLATE_DEPTH) {
            let most = limits::TEMPLATE_DEPTH;
            let error =
                Error::query(format!("a value is nested deeper than the limit of {most} levels"))
                    .hint("write one of its items");
            return Err(
                minijinja::Error::new(ErrorKind::InvalidOperation, "deep").with_source(error)
            );
        }
        if value.is_none() {
            let error = Error::query("an empty value would be written into the SQL")
                .hint("give the parameter a value in the header or with --set");
            return Err(
                minijinja::Error::new(ErrorKind::InvalidOperation, "none").with_source(error)
            );
        }
        minijinja::escape_formatter(output, state, value)
    });
    environment
}

/// Returns whether a value contains lists or mappings nested deeper than `most`. The bound also stops at a
/// value that contains itself.
fn is_deeper_than(value: &Value, most: usize) -> bool {
    if !matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Plain
    ) {
        return false;
    }
    if most == 0 {
        return true;
    }
    let Ok(keys) = value.try_iter() else { return false };
    let item = |key: Value| match value.kind() {
        ValueKind::Map | ValueKind::Plain => value.get_item(&key).unwrap_or(key),
        _ => key,
    };
    keys.map(item).any(|item| is_deeper_than(&item, most - 1))
}

/// The known filters, for the hint on a misspelt one; minijinja does not list its own.
const FILTERS: [&str; 28] = [
    "abs",
    "batch",
    "capitalize",
    "default",
    "dictsort",
    "first",
    "float",
    "format",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "replace",
    "reverse",
    "round",
    "select",
    "sort",
    "sum",
    "trim",
    "upper",
];

fn unknown_filter_error(detail: &str) -> Error {
    let name = detail.split_whitespace().nth(1).unwrap_or_default();
    let error = Error::query(format!("unknown filter {name} in the template"));
    match nearest_name(name, FILTERS) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint("filters are those of jinja, such as join, upper or round"),
    }
}

#[cfg(test)]
mod tests;
