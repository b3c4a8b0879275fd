//! The template: minijinja over the body of a file, strict about names it does not know.
//!
//! It knows the template language and nothing of SQL; a `--` comment is text like any other, so
//! tags in it are read, as dbt and jinja do. `{# #}` leaves text out.

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

/// SQL, and the way back to the file that it came from.
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
    /// SQL that was typed and not rendered; `name` stands for the file in messages.
    pub fn from_plain_sql(name: &str, sql: &str) -> Self {
        Self {
            sql: sql.to_owned(),
            file: name.to_owned(),
            source: sql.to_owned(),
            body: 0,
            spans: vec![SourceSpan { at: 0, source: 0..sql.len() }],
        }
    }

    /// The place in the file as written of a byte offset in `sql`.
    ///
    /// Text that a tag wrote is placed at the start of the tag.
    pub fn place(&self, offset: usize) -> TextPlace {
        place_at_offset(&self.file, &self.source, self.body + source_offset(&self.spans, offset))
    }

    /// The same for a line and column of `sql`, both from 1, the column in characters.
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

/// What the steps of one rendering share.
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

    /// Refuses tags that are too long: they are parsed recursively.
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

    /// Refuses to put a namespace into a namespace: one that holds itself is written without an end.
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

    /// Refuses names that nothing declares, also where no parameter value leads this time.
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

    /// minijinja's error in our words, at its place.
    fn translate_error(&self, error: &minijinja::Error) -> Error {
        let length = self.source.len() - self.body;
        let offset = error.range().map_or(0, |range| range.start.min(length));
        // Our own functions put their error inside minijinja's.
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

    /// The error for a block without its end, at the block and not at the end of the file.
    fn unclosed_block_error(&self, end: usize) -> Error {
        match lex_template(&self.source[self.body..]).unclosed_block() {
            Some((word, start)) => Error::query(format!("{{% {word} %}} is not closed"))
                .at_place(self.template_place(start))
                .hint(format!("add {{% end{word} %}}")),
            None => Error::query("a template tag is not closed").at_place(self.template_place(end)),
        }
    }

    /// The way back from the rendered text, by the marks that reach furthest and change nothing.
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

/// The template language as feature sets have it.
fn template_environment(present: BTreeMap<String, bool>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(true); // Errors tell their place.
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

/// Whether a list or mapping holds others deeper than a bound; one that holds itself has no end.
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

/// The filters that a misspelt one is held against; minijinja does not list its own.
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
mod tests {
    use super::*;

    const HEADER: &str = "/*\nparams: {fast: 12, slow: 26, lags: [1, 5], none: , up: true}\n\
                          optional: [sector, factor]\n*/\n";

    fn set(body: &str) -> FeatureSet {
        FeatureSet::parse("t", "t.sql", &format!("{}{body}", HEADER.replace("none:", "nil:")))
            .unwrap()
    }

    fn rendered(body: &str) -> RenderedSql {
        set(body).render(&BTreeMap::new(), &|column| column == "sector").unwrap()
    }

    #[test]
    fn renders() {
        let cases = [
            ("SELECT {{ fast }}", "SELECT 12"),
            ("{% for n in lags %}a{{ n }}, {% endfor %}b", "a1, a5, b"),
            ("{% if has('sector') %}s{% else %}n{% endif %}", "s"),
            ("{% if has('factor') %}f{% else %}n{% endif %}", "n"),
            ("{% if nil %}x{% else %}y{% endif %}", "y"),
            ("{{ up }} {{ lags }} {{ 1.5 }}", "True [1, 5] 1.5"),
            ("-- {{ fast }}\n{# gone #}x", "-- 12\nx"),
            ("{% if up %}{% set y = 1 %}{% else %}{% set y = 2 %}{% endif %}{{ y }}", "1"),
            ("{% set x %}a{% endset %}{{ x == 'a' }}{{ x|length }}", "True1"),
            ("{% macro m(a, b=fast) %} ({{ a }}-{{ b }}) {% endmacro %}{{ m(1)|trim }}", "(1-12)"),
            ("{% with z = slow %}{{ z }}{% endwith %}", "26"),
            (
                "{% set ns = namespace(x=1) %}{% for n in lags %}{% set ns.x = n %}{{ loop.index }}\
                 {% endfor %}{{ ns.x }}",
                "125",
            ),
            (
                "{% macro m(a) %}{{ caller(a) }}{% endmacro %}{% call(b) m(7) %}b{{ b }}{% endcall %}",
                "b7",
            ),
            (
                "{% for k, v in {'a': 1}|items if v > 0 %}{{ k }}{{ v }}{% else %}-{% endfor %}",
                "a1",
            ),
            ("{{ lags|map('abs')|join('+') }} {{ [1, 2][0] }} {{ fast in lags }}", "1+5 1 False"),
            (
                "{% set a, b = lags %}{{ a + b }} {{ 'y' if up else 'n' }} {{ lags is sequence }}",
                "6 y True",
            ),
            ("{{ 'a' ~ fast }}{{ lags|join(', ') }}", "a121, 5"),
        ];
        for (body, expected) in cases {
            assert_eq!(rendered(body).sql.trim_start(), expected, "{body}");
        }
    }

    const ERRORS: &[(&str, &str)] = &[
        ("{{ fats }}", "5:4: unknown name fats in the template; did you mean fast?"),
        (
            "a\n  é {{ 'ü' ~ window }}",
            "6:14: unknown name window in the template; parameters: fast, lags, nil, slow, up",
        ),
        (
            "{% if not up %}{{ slwo + 1 }}{% endif %}",
            "5:19: unknown name slwo in the template; did you mean slow?",
        ),
        ("{{ f(1) }}", "5:4: unknown template function f; functions: dict, has, namespace, range"),
        (
            "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
            "5:27: ns.a would hold a namespace; put its values there, such as other.value",
        ),
        (
            "{{ 1 is divisibleby(0) }}",
            "4:3: the template cannot be rendered: attempt to calculate the remainder with a divisor of zero",
        ),
        ("{{ hass('x') }}", "5:4: unknown template function hass; did you mean has?"),
        ("a {{ fast|uper }}", "5:11: unknown filter uper in the template; did you mean upper?"),
        (
            "{{ fast|zz }}",
            "5:9: unknown filter zz in the template; filters are those of jinja, such as join, upper or round",
        ),
        ("{{ fast is zz }}", "5:12: template: test zz is unknown"),
        (
            "{{ has('volume') }}",
            "5:4: has('volume'): volume is not in optional; list it in the header, as in `optional: [volume]`",
        ),
        (
            "{{ nil }}",
            "5:4: an empty value would be written into the SQL; give the parameter a value in the header or with --set",
        ),
        (
            "{{ fast",
            "5:4: template syntax: unexpected end of input, expected end of variable block",
        ),
        (
            "{{ fast slow }}",
            "5:9: template syntax: unexpected identifier, expected end of variable block",
        ),
        ("a\n{% if up %}\nb", "6:1: {% if %} is not closed; add {% endif %}"),
        ("{% endif %}", "5:4: template syntax: unknown statement endif"),
        ("{{ lags[9] }}", "5:4: template: lags[9] is undefined"),
        ("{{ 1 / 0 }}", "5:4: template: unable to calculate 1 / 0"),
        (
            "{{ 'a' + 1 }}",
            "5:4: template: tried to use + operator on unsupported types string and number",
        ),
        ("{{ has() }}", "5:4: template: missing argument"),
        (
            "{% include 'x' %}",
            "5:4: a template cannot take in other files; read another feature set by its name: FROM name",
        ),
    ];

    #[test]
    fn every_error_has_its_place_and_way_out() {
        for (body, expected) in ERRORS {
            let error = set(body).render(&BTreeMap::new(), &|_| true).unwrap_err();
            assert_eq!(error.to_string(), format!("t.sql:{expected}"), "{body}");
            assert_eq!(error.exit_code(), 1);
        }
    }

    #[test]
    fn filters_that_are_proposed_exist() {
        let environment = template_environment(BTreeMap::new());
        for filter in FILTERS {
            let known = environment.render_str(&format!("{{{{ '{filter}' is filter }}}}"), ());
            assert_eq!(known.unwrap(), "True", "{filter}");
        }
    }

    /// Every `@` of the rendered text must come from the line and column given.
    #[test]
    fn the_way_back() {
        let cases: [(&str, &[(usize, usize)]); 17] = [
            ("a @", &[(5, 3)]),
            ("\n\n  é @", &[(7, 5)]),
            ("{{ fast }} @", &[(5, 12)]),
            ("{{ fast }}{{ slow }}@", &[(5, 21)]),
            ("x {{ '@' }}", &[(5, 3)]),
            ("x {{ '%}' ~ '}}@' }} @", &[(5, 3), (5, 22)]),
            (
                "{% for n in lags %}\n  @{{ n }} @{% endfor %} @",
                &[(6, 3), (6, 12), (6, 3), (6, 12), (6, 26)],
            ),
            ("{% if up %}@{% else %}@{% endif %}@", &[(5, 12), (5, 35)]),
            ("a  {{- fast -}}  @ {%- if up %} @{% endif -%}\n @", &[(5, 18), (5, 33), (6, 2)]),
            ("{# @ #}@", &[(5, 8)]),
            ("{% raw %}{{ @ }}{% endraw %} @", &[(5, 13), (5, 30)]),
            ("{% set x %}a\n @{% endset %}\n{{ x }} @", &[(6, 2), (7, 9)]),
            (
                "{% macro m(a) %}{{ a }} @ {% endmacro %}\n{{ m('@') }} @",
                &[(5, 17), (5, 25), (6, 14)],
            ),
            ("{% set x %}@{% endset %}{{ x == '@' }} {{ x }} @", &[(5, 40), (5, 48)]),
            ("{% filter upper %}@{% endfilter %}\n@", &[(5, 19), (6, 1)]),
            ("{% for n in\n  lags\n%}@{% endfor %}@", &[(7, 3), (7, 3), (7, 16)]),
            ("a,\r\n  {{ fast }} @\r\n@", &[(6, 14), (7, 1)]),
        ];
        for (body, expected) in cases {
            let rendered = rendered(body);
            let found: Vec<(usize, usize)> = rendered
                .sql
                .match_indices('@')
                .map(|(offset, _)| rendered.place(offset))
                .map(|place| (place.line, place.column))
                .collect();
            assert_eq!(found, expected, "{body} gave {}", rendered.sql);
        }
    }

    #[test]
    fn private_use_characters_stay() {
        let body = "'\u{10fffd}\u{100000}\u{108000}' @";
        let rendered = rendered(body);
        assert_eq!(rendered.sql.trim_start(), body);
    }

    #[test]
    fn lines_and_columns_of_a_parser() {
        let rendered = rendered("SELECT 'é{{ fast }}',\n  {{ slow }}, clos");
        assert_eq!(rendered.sql, "\nSELECT 'é12',\n  26, clos");
        let place = rendered.place_of(3, 7);
        assert_eq!((place.line, place.column), (6, 15));
        let place = rendered.place_of(2, 10);
        assert_eq!((place.line, place.column), (5, 10));
        for (line, column) in [(0, 0), (9, 9), (3, 99)] {
            assert_eq!(rendered.place_of(line, column).file, "t.sql");
        }
        let plain = RenderedSql::from_plain_sql("SQL", "SELECT\n  clos");
        assert_eq!(plain.place_of(2, 3).to_string(), "SQL:2:3");
        assert_eq!(plain.place(9).to_string(), "SQL:2:3");
    }

    /// Pieces of templates; every `@` becomes a character of its own.
    const PIECES: [&str; 17] = [
        "@",
        " ",
        "\n",
        "\r\n",
        "é'{ ",
        "{{ fast }}",
        "{{- slow -}}",
        "{{+ '}}%}' +}}",
        "{# @ #}",
        "{#- x -#}",
        "{% raw -%} @ {{ @ {%- endraw %}",
        "{% for n in lags %}@ {{ n }}\n{% endfor %}",
        "{%- if up -%} @ {%- else %}@{% endif -%}",
        "{% set x %} @\n @ {% endset %}{{ x|trim }}",
        "{% set x %}@{% endset %}{{ x|length }}{{ x }}",
        "{% macro m(a) %} @{{ a }}@ {% endmacro %}{{ m('') }}{{ m(1)|trim }}",
        "{% filter upper %} @ {% endfilter %}",
    ];

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        #[test]
        fn the_way_back_from_any_template(picks in proptest::collection::vec(0..PIECES.len(), 1..12)) {
            let mut next = 0x4e00_u32..;
            let pieces: String = picks.iter().map(|pick| PIECES[*pick]).collect();
            let body: String = pieces
                .chars()
                .map(|c| if c == '@' { next.next().and_then(char::from_u32).unwrap() } else { c })
                .collect();
            let body = format!("SELECT{body}");
            let rendered = rendered(&body);
            let lines: Vec<&str> = body.split('\n').collect();
            let captured = picks.contains(&14);
            for (offset, c) in rendered.sql.char_indices().filter(|(_, c)| *c >= '\u{4e00}') {
                let place = rendered.place(offset);
                let found = lines[place.line - 5].chars().nth(place.column - 1);
                // Where a template measures captured text, its places are those of the tag.
                proptest::prop_assert!(found == Some(c) || captured, "{body:?} {place}");
            }
        }
    }
}
