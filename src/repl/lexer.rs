//! SQL text to tokens, as far as a line editor needs them: where a statement ends, what to colour,
//! what to complete. It must not know what a statement means.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Space,
    Comment,
    /// A keyword or an unquoted name.
    Word,
    Number,
    /// `'text'` or `$$text$$`.
    Text,
    /// `"name"`.
    Name,
    Semicolon,
    Backslash,
    Symbol,
}

/// A piece of the text; tokens cover it without holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// Where it starts, in bytes.
    pub(super) start: usize,
    pub(super) text: &'a str,
    /// Whether its closing mark is there.
    pub(super) closed: bool,
}

impl Token<'_> {
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is this keyword.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Whether it says nothing to the engine.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.kind, Kind::Space | Kind::Comment)
    }
}

/// The tokens of the text.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let rest = &text[start..];
        let (kind, length, closed) = next(first, rest);
        tokens.push(Token { kind, start, text: &rest[..length], closed });
        start += length;
    }
    tokens
}

fn next(first: char, rest: &str) -> (Kind, usize, bool) {
    if first.is_whitespace() {
        return (Kind::Space, run(rest, char::is_whitespace), true);
    }
    if rest.starts_with("--") {
        return (Kind::Comment, run(rest, |c| c != '\n'), true);
    }
    if rest.starts_with("/*") {
        let (length, closed) = block_comment(rest);
        return (Kind::Comment, length, closed);
    }
    match first {
        '\'' => quoted(Kind::Text, rest, 0, false),
        'e' | 'E' if rest[1..].starts_with('\'') => quoted(Kind::Text, rest, 1, true),
        '"' => quoted(Kind::Name, rest, 0, false),
        '$' => dollar(rest).unwrap_or((Kind::Symbol, run(rest, is_word), true)),
        ';' => (Kind::Semicolon, 1, true),
        '\\' => (Kind::Backslash, 1, true),
        c if c.is_ascii_digit() => (Kind::Number, number(rest), true),
        '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            (Kind::Number, number(rest), true)
        }
        c if is_word(c) => (Kind::Word, run(rest, is_word), true),
        c => (Kind::Symbol, c.len_utf8(), true),
    }
}

/// Whether a name may hold the character.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn run(text: &str, within: impl Fn(char) -> bool) -> usize {
    text.find(|c| !within(c)).unwrap_or(text.len())
}

/// Comments nest, as they do for the parser.
fn block_comment(text: &str) -> (usize, bool) {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (1, 2);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return (at, true);
        }
    }
    (text.len(), false)
}

/// A quoted token; a doubled quote stands for itself, and a backslash escapes where it may.
fn quoted(kind: Kind, text: &str, prefix: usize, escapes: bool) -> (Kind, usize, bool) {
    let bytes = text.as_bytes();
    let quote = bytes[prefix];
    let mut at = prefix + 1;
    while at < bytes.len() {
        if escapes && bytes[at] == b'\\' {
            at += 2;
        } else if bytes[at] != quote {
            at += 1;
        } else if bytes.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return (kind, at + 1, true);
        }
    }
    (kind, text.len(), false)
}

/// `$$text$$` or `$tag$text$tag$`; `$1` is something else.
fn dollar(text: &str) -> Option<(Kind, usize, bool)> {
    let end = text[1..].find('$')? + 2;
    let tag = &text[..end];
    let name = &tag[1..end - 1];
    if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(is_word) {
        return None;
    }
    Some(match text[end..].find(tag) {
        Some(close) => (Kind::Text, end + close + tag.len(), true),
        None => (Kind::Text, text.len(), false),
    })
}

fn number(text: &str) -> usize {
    let mut length = run(text, |c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
    if text[..length].ends_with(['e', 'E']) && text[length..].starts_with(['+', '-']) {
        length += 1 + run(&text[length + 1..], |c| c.is_ascii_digit());
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_tokens() {
        let cases: [(&str, &[(Kind, &str)]); 9] = [
            ("a1 b", &[(Kind::Word, "a1"), (Kind::Space, " "), (Kind::Word, "b")]),
            ("1.5e-3+.5", &[(Kind::Number, "1.5e-3"), (Kind::Symbol, "+"), (Kind::Number, ".5")]),
            ("'it''s';", &[(Kind::Text, "'it''s'"), (Kind::Semicolon, ";")]),
            (r"e'\';'", &[(Kind::Text, r"e'\';'")]),
            ("\"a;\"\"b\"", &[(Kind::Name, "\"a;\"\"b\"")]),
            ("-- x;\n;", &[(Kind::Comment, "-- x;"), (Kind::Space, "\n"), (Kind::Semicolon, ";")]),
            ("/* a /* ; */ b */;", &[(Kind::Comment, "/* a /* ; */ b */"), (Kind::Semicolon, ";")]),
            ("$$a;b$$ $1", &[(Kind::Text, "$$a;b$$"), (Kind::Space, " "), (Kind::Symbol, "$1")]),
            ("$t$a$$b;$t$é", &[(Kind::Text, "$t$a$$b;$t$"), (Kind::Word, "é")]),
        ];
        for (text, expected) in cases {
            let found: Vec<_> = tokens(text).iter().map(|token| (token.kind, token.text)).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn open_ends() {
        for text in ["'a", "e'\\", "\"a", "/* a", "/*/", "$$a", "$t$ $$", "'a''"] {
            let all = tokens(text);
            assert!(!all.last().unwrap().closed, "{text}");
            assert_eq!(all.last().unwrap().end(), text.len(), "{text}");
        }
    }
}
