//! Splits SQL text into tokens, as far as a line editor needs them: to find the end of a statement,
//! to colour, to complete. It must not know what a statement means.

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
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

/// A piece of the text; the tokens cover the text without holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    /// The byte offset of its start.
    pub(super) start: usize,
    pub(super) text: &'a str,
    /// True unless its closing mark is missing.
    pub(super) closed: bool,
}

impl Token<'_> {
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Returns whether the token is this keyword, in any case.
    pub(super) fn matches_keyword(&self, keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Returns whether the token is white space or a comment.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.kind, TokenKind::Space | TokenKind::Comment)
    }
}

/// Splits the text into tokens.
pub(super) fn tokenize_sql(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let rest = &text[start..];
        let (kind, length, closed) = scan_token(first, rest);
        tokens.push(Token { kind, start, text: &rest[..length], closed });
        start += length;
    }
    tokens
}

fn scan_token(first: char, rest: &str) -> (TokenKind, usize, bool) {
    if first.is_whitespace() {
        return (TokenKind::Space, prefix_length(rest, char::is_whitespace), true);
    }
    if rest.starts_with("--") {
        return (TokenKind::Comment, prefix_length(rest, |c| c != '\n'), true);
    }
    if rest.starts_with("/*") {
        let (length, closed) = scan_block_comment(rest);
        return (TokenKind::Comment, length, closed);
    }
    match first {
        '\'' => scan_quoted(TokenKind::Text, rest, 0, false),
        'e' | 'E' if rest[1..].starts_with('\'') => scan_quoted(TokenKind::Text, rest, 1, true),
        '"' => scan_quoted(TokenKind::Name, rest, 0, false),
        '$' => scan_dollar_quoted(rest).unwrap_or((
            TokenKind::Symbol,
            prefix_length(rest, is_word_char),
            true,
        )),
        ';' => (TokenKind::Semicolon, 1, true),
        '\\' => (TokenKind::Backslash, 1, true),
        c if c.is_ascii_digit() => (TokenKind::Number, number_length(rest), true),
        '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            (TokenKind::Number, number_length(rest), true)
        }
        c if is_word_char(c) => (TokenKind::Word, prefix_length(rest, is_word_char), true),
        c => (TokenKind::Symbol, c.len_utf8(), true),
    }
}

/// Returns whether a name may contain the character.
pub(super) fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn prefix_length(text: &str, within: impl Fn(char) -> bool) -> usize {
    text.find(|c| !within(c)).unwrap_or(text.len())
}

/// Scans a block comment. Comments nest, as they do for the parser.
fn scan_block_comment(text: &str) -> (usize, bool) {
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

/// Scans a quoted token. A doubled quote stands for one quote, and a backslash escapes if `escapes` is set.
fn scan_quoted(
    kind: TokenKind,
    text: &str,
    prefix: usize,
    escapes: bool,
) -> (TokenKind, usize, bool) {
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

/// Scans `$$text$$` or `$tag$text$tag$`; returns None for anything else, such as the placeholder `$1`.
fn scan_dollar_quoted(text: &str) -> Option<(TokenKind, usize, bool)> {
    let end = text[1..].find('$')? + 2;
    let tag = &text[..end];
    let name = &tag[1..end - 1];
    if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(is_word_char) {
        return None;
    }
    Some(match text[end..].find(tag) {
        Some(close) => (TokenKind::Text, end + close + tag.len(), true),
        None => (TokenKind::Text, text.len(), false),
    })
}

fn number_length(text: &str) -> usize {
    let mut length = prefix_length(text, |c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
    if text[..length].ends_with(['e', 'E']) && text[length..].starts_with(['+', '-']) {
        length += 1 + prefix_length(&text[length + 1..], |c| c.is_ascii_digit());
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_tokens() {
        let cases: [(&str, &[(TokenKind, &str)]); 9] = [
            ("a1 b", &[(TokenKind::Word, "a1"), (TokenKind::Space, " "), (TokenKind::Word, "b")]),
            (
                "1.5e-3+.5",
                &[
                    (TokenKind::Number, "1.5e-3"),
                    (TokenKind::Symbol, "+"),
                    (TokenKind::Number, ".5"),
                ],
            ),
            ("'it''s';", &[(TokenKind::Text, "'it''s'"), (TokenKind::Semicolon, ";")]),
            (r"e'\';'", &[(TokenKind::Text, r"e'\';'")]),
            ("\"a;\"\"b\"", &[(TokenKind::Name, "\"a;\"\"b\"")]),
            (
                "-- x;\n;",
                &[
                    (TokenKind::Comment, "-- x;"),
                    (TokenKind::Space, "\n"),
                    (TokenKind::Semicolon, ";"),
                ],
            ),
            (
                "/* a /* ; */ b */;",
                &[(TokenKind::Comment, "/* a /* ; */ b */"), (TokenKind::Semicolon, ";")],
            ),
            (
                "$$a;b$$ $1",
                &[(TokenKind::Text, "$$a;b$$"), (TokenKind::Space, " "), (TokenKind::Symbol, "$1")],
            ),
            ("$t$a$$b;$t$é", &[(TokenKind::Text, "$t$a$$b;$t$"), (TokenKind::Word, "é")]),
        ];
        for (text, expected) in cases {
            let found: Vec<_> =
                tokenize_sql(text).iter().map(|token| (token.kind, token.text)).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn open_ends() {
        for text in ["'a", "e'\\", "\"a", "/* a", "/*/", "$$a", "$t$ $$", "'a''"] {
            let all = tokenize_sql(text);
            assert!(!all.last().unwrap().closed, "{text}");
            assert_eq!(all.last().unwrap().end(), text.len(), "{text}");
        }
    }
}
