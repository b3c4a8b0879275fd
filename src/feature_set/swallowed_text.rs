//! Finds text that is outside comments and strings in the file but inside one after rendering, or the other
//! way round. Such a set would silently compute something else.
//!
//! The rendered SQL is read twice at once. The first reading takes it literally. The second reading follows
//! the file: text that a tag writes opens and closes nothing, and a line ends where it ends in the file, even
//! if a tag with a dash removed the line break. Text that is code in one reading only was swallowed or set
//! free.

use super::source_map::SourceSpan;

/// The lexical state of a place in SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LexicalState {
    Code,
    /// Behind `--`.
    Line,
    /// Between `/*` and `*/`, with the nesting depth.
    Block(usize),
    /// Within quotes of this character.
    Quoted(char),
}

impl LexicalState {
    /// Returns the state after the next token of one or two characters, and the length of that token in
    /// bytes.
    fn next_state(self, text: &str) -> (Self, usize) {
        let mut chars = text.chars();
        let Some(first) = chars.next() else { return (self, 1) };
        let pair = |two: &str| text.starts_with(two);
        match self {
            Self::Code if pair("--") => (Self::Line, 2),
            Self::Code if pair("/*") => (Self::Block(1), 2),
            Self::Block(deep) if pair("/*") => (Self::Block(deep + 1), 2),
            Self::Block(1) if pair("*/") => (Self::Code, 2),
            Self::Block(deep) if pair("*/") => (Self::Block(deep - 1), 2),
            Self::Code if matches!(first, '\'' | '"') => (Self::Quoted(first), 1),
            Self::Quoted(quote) if first == quote => (Self::Code, 1),
            Self::Line if first == '\n' => (Self::Code, 1),
            other => (other, first.len_utf8()),
        }
    }

    fn is_code(self) -> bool {
        self == Self::Code
    }
}

/// Returns the offset in the source of the first text that rendering swallowed or set free; None if there is
/// none. `spans` give the origin of each stretch of `sql`.
pub(super) fn find_swallowed_text(sql: &str, spans: &[SourceSpan], source: &str) -> Option<usize> {
    let (mut real, mut meant) = (LexicalState::Code, LexicalState::Code);
    let mut end: Option<usize> = None;
    for (number, span) in spans.iter().enumerate() {
        let stop = spans.get(number + 1).map_or(sql.len(), |next| next.at);
        let text = sql.get(span.at..stop)?;
        let of_file = !span.source.is_empty();
        if let Some(end) = end
            && meant == LexicalState::Line
            && line_index(source, end) != line_index(source, span.source.start)
        {
            meant = LexicalState::Code;
        }
        let (mut at, mut first) = (0, true);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let blank = rest.starts_with(char::is_whitespace);
            // The text of a tag may open and close comments and strings itself, so only its first non-blank
            // character is compared.
            let counts = !blank && (of_file || std::mem::take(&mut first));
            if counts && real.is_code() != meant.is_code() {
                return Some(span.source.start + if of_file { at } else { 0 });
            }
            let (next, length) = real.next_state(rest);
            real = next;
            // Line breaks of the file may be part of a stretch that a tag wrote.
            let ends = meant == LexicalState::Line && rest.starts_with('\n');
            if of_file || ends {
                meant = meant.next_state(rest).0;
            }
            at += length;
        }
        end = Some(if of_file { span.source.start + text.len() } else { span.source.start });
    }
    None
}

/// Returns the number of the line at an offset, from 0.
fn line_index(source: &str, offset: usize) -> usize {
    let before = source.get(..offset.min(source.len())).unwrap_or(source);
    before.bytes().filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::FeatureSet;

    #[test]
    fn text_stays_on_its_side_of_comments_and_strings() {
        let cases = [
            ("SELECT a -- one {% if true %}\n, b {% endif %}\nFROM t", None),
            ("SELECT a -- one {% if true -%}\n, b {% endif %}\nFROM t", Some("m.sql:2:1")),
            ("SELECT a -- one {{ n -}}\n, b FROM t", Some("m.sql:2:1")),
            ("SELECT a -- one {# no #}\n, b FROM t", None),
            ("SELECT a -- one {# no -#}\n, b FROM t", Some("m.sql:2:1")),
            ("SELECT a -- one\n{%- if true %}\n, b {% endif %} FROM t", None),
            ("SELECT a -- one\n{%- if true -%}\n, b {% endif %} FROM t", Some("m.sql:3:1")),
            ("SELECT a -- one\n{{- ', b' }}\nFROM t", Some("m.sql:2:1")),
            ("SELECT a -- one\n{{ ', b' }}\nFROM t", None),
            ("SELECT a -- one {{- ', b' }}\nFROM t", None),
            ("SELECT '{{ who }}' AS a, b FROM t", Some("m.sql:1:25")),
            ("SELECT {{ dash }} a, b FROM t", Some("m.sql:1:48")),
            ("SELECT '{{ n }}' AS a, {{ n }} AS b FROM t", None),
            ("SELECT {{ n }} -- {{ n }} of them\n, 'it''s' AS b /* {{ n }} */ FROM t", None),
            (
                "SELECT {% for i in [1, 2] %} {{ i }} AS c{{ i }}, -- {{ i }}\n{% endfor %} a FROM t",
                None,
            ),
            (
                "{% macro m(x) -%}\n{{ x }} + 1 -- more\n{%- endmacro %}SELECT {{ m('a') }} AS a\nFROM t",
                None,
            ),
            ("SELECT {% if n == 5 %}'x'{% else %}'y'{% endif %} AS a FROM t", None),
        ];
        let header = "/* params: {n: 5, who: \"O'Neill\", dash: \"1 --\"} */ ";
        for (text, expected) in cases {
            let set = FeatureSet::parse("m", "m.sql", &format!("{header}{text}")).unwrap();
            let found = set.render(&BTreeMap::new(), &|_| false).err().map(|e| e.to_string());
            match expected {
                None => assert_eq!(found, None, "{text}"),
                Some(place) => {
                    let found = found.unwrap_or_default();
                    assert!(found.contains("ends up"), "{text}: {found}");
                    let line = place.split(':').nth(1).unwrap();
                    assert!(found.starts_with(&format!("m.sql:{line}:")), "{text}: {found}");
                }
            }
        }
    }
}
