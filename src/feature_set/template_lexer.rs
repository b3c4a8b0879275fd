//! Finds the text, the tags and the names of a template in its source.
//!
//! The lexer follows that of minijinja, whose tokens are not public: strings, brackets and raw blocks hide
//! tag ends, and `-` removes the blanks on its side. It does not validate: a template that minijinja refuses
//! is read as far as possible. Its results may steer messages, but never the rendered SQL.

use std::collections::BTreeSet;
use std::ops::Range;

/// A piece of a template that can put text into the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TemplatePiece {
    /// Text that is copied, without the blanks that a tag removes.
    Text(Range<usize>),
    /// `{{ ... }}`: the offset at which the text before the tag ends, without removed blanks, and the range
    /// of the tag.
    Output(usize, Range<usize>),
    /// `{% word ... %}`.
    Block {
        /// The offset at which the text before the tag ends, without removed blanks.
        kept: usize,
        /// The offset at which the tag starts.
        start: usize,
        /// The first word of the tag.
        word: String,
        /// True if the tag opens a block whose text becomes a value.
        captures: bool,
    },
}

/// The pieces and names of a template.
#[derive(Debug, Default)]
pub(super) struct LexedTemplate<'a> {
    /// The pieces in the order of the source.
    pub(super) pieces: Vec<TemplatePiece>,
    /// The names that tags mention, with their offsets.
    pub(super) names: Vec<(&'a str, usize)>,
    /// The names that tags may assign.
    pub(super) assigned: BTreeSet<&'a str>,
}

/// Scans a template.
pub(super) fn lex_template(source: &str) -> LexedTemplate<'_> {
    let mut scanner = TemplateLexer { source, at: 0, trim: false, found: LexedTemplate::default() };
    while scanner.lex_next_tag().is_some() {}
    scanner.found
}

impl LexedTemplate<'_> {
    /// Returns the innermost block that is opened and never closed: its first word and the offset of its tag.
    pub(super) fn unclosed_block(&self) -> Option<(&str, usize)> {
        let mut open: Vec<(&str, usize)> = Vec::new();
        for piece in &self.pieces {
            let TemplatePiece::Block { start, word, captures, .. } = piece else { continue };
            if *captures || matches!(word.as_str(), "if" | "for" | "with" | "autoescape") {
                open.push((word, *start));
            } else if word.starts_with("end") {
                open.pop();
            }
        }
        open.pop()
    }
}

/// The words of a tag and the offset of its end.
struct TemplateTag<'a> {
    words: Vec<(&'a str, usize)>,
    end: usize,
    trims: bool,
    /// The number of words before the first `=` outside brackets.
    before_equals: Option<usize>,
}

struct TemplateLexer<'a> {
    source: &'a str,
    at: usize,
    trim: bool,
    found: LexedTemplate<'a>,
}

impl<'a> TemplateLexer<'a> {
    fn remaining_source(&self) -> &'a str {
        &self.source[self.at..]
    }

    /// Reads the text up to the next tag, and the tag.
    fn lex_next_tag(&mut self) -> Option<()> {
        if std::mem::take(&mut self.trim) {
            self.at += self.remaining_source().len() - self.remaining_source().trim_start().len();
        }
        let Some((open, kind)) = find_tag(self.remaining_source()) else {
            self.push_text(self.at, self.source.len());
            return None;
        };
        let (start, open) = (self.at, self.at + open);
        let sign = self.source.as_bytes().get(open + 2).copied();
        let before = &self.source[start..open];
        let kept = start + if sign == Some(b'-') { before.trim_end().len() } else { before.len() };
        self.push_text(start, kept);
        let inside = open + 2 + usize::from(matches!(sign, Some(b'-' | b'+')));
        match kind {
            b'#' => self.skip_comment(inside),
            b'{' => self.lex_output(kept, open, inside),
            _ => self.lex_block(kept, open, inside),
        }
    }

    fn push_text(&mut self, start: usize, end: usize) {
        if start < end {
            self.found.pieces.push(TemplatePiece::Text(start..end));
        }
    }

    fn skip_comment(&mut self, inside: usize) -> Option<()> {
        let end = inside + self.source[inside..].find("#}")?;
        self.trim = self.source.as_bytes().get(end.wrapping_sub(1)) == Some(&b'-');
        self.at = end + 2;
        Some(())
    }

    fn lex_output(&mut self, kept: usize, open: usize, inside: usize) -> Option<()> {
        let tag = lex_tag_words(self.source, inside, "}}")?;
        self.found.pieces.push(TemplatePiece::Output(kept, open..tag.end));
        self.found.names.extend(tag.words);
        (self.at, self.trim) = (tag.end, tag.trims);
        Some(())
    }

    fn lex_block(&mut self, kept: usize, start: usize, inside: usize) -> Option<()> {
        if let Some((length, trims)) = match_bare_tag(&self.source[inside..], "raw") {
            return self.lex_raw_block(inside + length, trims);
        }
        let tag = lex_tag_words(self.source, inside, "%}")?;
        let (word, words) = tag.words.split_first().map_or(("", &[][..]), |(w, ws)| (w.0, ws));
        let captures = match word {
            "set" => tag.before_equals.is_none(),
            "macro" | "call" | "filter" | "block" => true,
            _ => false,
        };
        self.found.pieces.push(TemplatePiece::Block {
            kept,
            start,
            word: word.to_owned(),
            captures,
        });
        let targets = match word {
            "set" => tag.before_equals.map_or(1, |count| count.saturating_sub(1)),
            "for" => words.iter().position(|(name, _)| *name == "in").unwrap_or(0),
            "with" | "macro" | "call" | "import" | "from" => words.len(),
            _ => 0,
        };
        self.found.assigned.extend(words.iter().take(targets).map(|(name, _)| *name));
        self.found.names.extend(words);
        (self.at, self.trim) = (tag.end, tag.trims);
        Some(())
    }

    /// Reads a raw block: everything up to `{% endraw %}` is text.
    fn lex_raw_block(&mut self, inside: usize, trims: bool) -> Option<()> {
        let mut at = inside;
        loop {
            let open = at + self.source[at..].find("{%")?;
            let sign = self.source.as_bytes().get(open + 2).copied();
            let word = open + 2 + usize::from(matches!(sign, Some(b'-' | b'+')));
            if let Some((length, tail)) = match_bare_tag(&self.source[word..], "endraw") {
                let mut text = &self.source[inside..open];
                let skipped = if trims { text.len() - text.trim_start().len() } else { 0 };
                text = &text[skipped..];
                text = if sign == Some(b'-') { text.trim_end() } else { text };
                self.push_text(inside + skipped, inside + skipped + text.len());
                (self.at, self.trim) = (word + length, tail);
                return Some(());
            }
            at = open + 2;
        }
    }
}

/// Returns the offset of the next `{{`, `{%` or `{#`, and its second byte.
fn find_tag(text: &str) -> Option<(usize, u8)> {
    let bytes = text.as_bytes();
    let at = bytes.windows(2).position(|two| matches!(two, b"{{" | b"{%" | b"{#"))?;
    Some((at, bytes[at + 1]))
}

/// Returns the length of `word %}` or `word -%}` at the start of a text, and whether it removes the blanks
/// after it.
fn match_bare_tag(text: &str, word: &str) -> Option<(usize, bool)> {
    let rest = text.trim_ascii_start().strip_prefix(word)?.trim_ascii_start();
    let bare = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    let after = bare.strip_prefix("%}")?;
    Some((text.len() - after.len(), rest.starts_with('-')))
}

/// Reads the inside of a tag from `at` up to `close`.
fn lex_tag_words<'a>(source: &'a str, mut at: usize, close: &str) -> Option<TemplateTag<'a>> {
    let bytes = source.as_bytes();
    let mut tag = TemplateTag { words: Vec::new(), end: 0, trims: false, before_equals: None };
    let mut depth = 0_i32;
    let mut previous = b' ';
    loop {
        let byte = *bytes.get(at)?;
        if depth == 0 {
            let signed = matches!(byte, b'-' | b'+');
            let end = at + usize::from(signed);
            if bytes.get(end..)?.starts_with(close.as_bytes()) {
                tag.end = end + close.len();
                tag.trims = byte == b'-';
                return Some(tag);
            }
        }
        let start = at;
        match byte {
            b'\'' | b'"' => at = string_end(bytes, at)?,
            b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                at += bytes[at..]
                    .iter()
                    .take_while(|b| **b == b'_' || b.is_ascii_alphanumeric())
                    .count();
                if !byte.is_ascii_digit() && !matches!(previous, b'.' | b'|') {
                    tag.words.push((&source[start..at], start));
                }
            }
            b'=' if matches!(bytes.get(at + 1), Some(b'=')) => at += 2,
            b'!' | b'<' | b'>' if matches!(bytes.get(at + 1), Some(b'=')) => at += 2,
            _ => {
                depth += match byte {
                    b'(' | b'[' | b'{' => 1,
                    b')' | b']' | b'}' => -1,
                    _ => 0,
                };
                if byte == b'=' && depth == 0 {
                    tag.before_equals.get_or_insert(tag.words.len());
                }
                at += 1;
            }
        }
        if !byte.is_ascii_whitespace() {
            previous = byte;
        }
    }
}

/// Returns the offset after the string that starts at `at`.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let quote = *bytes.get(at)?;
    let mut end = at + 1;
    while *bytes.get(end)? != quote {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    Some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows text pieces as text, and outputs and blocks in angle brackets.
    fn show(source: &str) -> String {
        let pieces = lex_template(source).pieces;
        let shown = pieces.into_iter().map(|piece| match piece {
            TemplatePiece::Text(range) => source[range].to_owned(),
            TemplatePiece::Output(_, range) => format!("<{}>", &source[range]),
            TemplatePiece::Block { word, captures, .. } => {
                format!("<{word}{}>", if captures { "*" } else { "" })
            }
        });
        shown.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn pieces() {
        let cases = [
            ("", ""),
            ("a { b } {c", "a { b } {c"),
            ("a {{ x }} b", "a |<{{ x }}>| b"),
            ("a  {{- x -}}\n b", "a|<{{- x -}}>|b"),
            ("a {{+ x +}} b", "a |<{{+ x +}}>| b"),
            ("{{ '}}' }}b", "<{{ '}}' }}>|b"),
            (r#"{{ "\"}}" }}b"#, r#"<{{ "\"}}" }}>|b"#),
            ("{{ {'a': {'b': 1}} }}b", "<{{ {'a': {'b': 1}} }}>|b"),
            ("{% if x == '%}' %}b{% endif %}", "<if>|b|<endif>"),
            ("a{# {{ x }} #}b", "a|b"),
            ("a {#- c -#} b", "a|b"),
            ("{% raw %}{{ x }} {% if %}{% endraw %}b", "{{ x }} {% if %}|b"),
            ("a {%- raw -%} x {%- endraw -%} b", "a|x|b"),
            ("{% set x = 1 %}{% set y %}z{% endset %}", "<set>|<set*>|z|<endset>"),
            ("{% set x = a == b %}{% set y | f(a=1) %}z{% endset %}", "<set>|<set*>|z|<endset>"),
            ("{%- for a in\n  [1, 2] -%}\n x {% endfor %}", "<for>|x |<endfor>"),
            ("é {{ ü }}", "é |<{{ ü }}>"),
        ];
        for (source, expected) in cases {
            assert_eq!(show(source), expected, "{source}");
        }
    }

    #[test]
    fn names_and_assignments() {
        let found =
            lex_template("{{ a.b | c(d) }}{% for e in f %}{% set g = h %}{{ 'i' }}{% endfor %}");
        let names: Vec<&str> = found.names.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["a", "d", "e", "in", "f", "g", "h"]);
        assert_eq!(found.names[0].1, 3);
        assert!(found.assigned.contains("e") && found.assigned.contains("g"));
        assert!(
            !found.assigned.contains("h")
                && !found.assigned.contains("f")
                && !found.assigned.contains("a")
        );
    }
}
