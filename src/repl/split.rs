//! Splits input into statements and commands: a statement ends with `;`, a command with its line.

use super::lexer::{Token, TokenKind, tokenize_sql};

/// One statement or command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputPiece<'a> {
    /// SQL without its semicolon.
    Statement(&'a str),
    /// A command from its backslash to the end of the line.
    Command(&'a str),
}

/// Returns the pieces that are complete, and the rest of the text, which waits for more lines.
pub(super) fn split_input(text: &str) -> (Vec<InputPiece<'_>>, &str) {
    let mut pieces = Vec::new();
    let mut start = 0;
    // A command ends with its line even if a quote is open there: tokenize again after it.
    while let Some(end) = take_statements(text, &mut start, &mut pieces) {
        start = end;
    }
    (pieces, &text[start..])
}

/// Takes statements from `start` on, up to and including the first command. Returns the end of that command;
/// None if there was none.
fn take_statements<'a>(
    text: &'a str,
    start: &mut usize,
    pieces: &mut Vec<InputPiece<'a>>,
) -> Option<usize> {
    let base = *start;
    let mut said = false;
    for token in tokenize_sql(&text[base..]) {
        let (from, to) = (base + token.start, base + token.end());
        match token.kind {
            TokenKind::Semicolon => {
                if said {
                    pieces.push(InputPiece::Statement(text[*start..from].trim()));
                }
                (*start, said) = (to, false);
            }
            TokenKind::Backslash if !said => {
                let end = text[from..].find('\n').map_or(text.len(), |at| from + at);
                pieces.push(InputPiece::Command(text[from..end].trim_end()));
                return Some(end);
            }
            _ => said |= !token.is_blank(),
        }
    }
    None
}

/// Returns whether the text is only white space and line comments. A block comment does not count as idle,
/// since it may be the header of a feature set.
pub(super) fn is_idle_text(text: &str) -> bool {
    tokenize_sql(text).iter().all(|token| token.is_blank() && !token.text.starts_with("/*"))
}

/// Returns whether the text has nothing to run: only white space and comments of both kinds.
pub(super) fn is_blank_text(text: &str) -> bool {
    tokenize_sql(text).iter().all(Token::is_blank)
}

/// Returns whether a line after this text starts within a quote or a block comment.
pub(super) fn has_open_token(text: &str) -> bool {
    tokenize_sql(text).last().is_some_and(|token| !token.closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use InputPiece::{Command, Statement};

    #[test]
    fn pieces_and_rest() {
        let cases: [(&str, &[InputPiece], &str); 14] = [
            ("SELECT 1;", &[Statement("SELECT 1")], ""),
            ("SELECT 1", &[], "SELECT 1"),
            ("SELECT 1; SELECT 2 ;\n", &[Statement("SELECT 1"), Statement("SELECT 2")], "\n"),
            ("SELECT ';' -- ;\n;", &[Statement("SELECT ';' -- ;")], ""),
            ("SELECT $$;$$;", &[Statement("SELECT $$;$$")], ""),
            ("SELECT \"a;b\" /* ; */;", &[Statement("SELECT \"a;b\" /* ; */")], ""),
            (";; ;", &[], ""),
            ("\\d bars", &[Command("\\d bars")], ""),
            ("\\d\nSELECT 1;\\q", &[Command("\\d"), Statement("SELECT 1"), Command("\\q")], ""),
            ("SELECT 1; \\d bars; x", &[Statement("SELECT 1"), Command("\\d bars; x")], ""),
            ("SELECT 'a\n;b", &[], "SELECT 'a\n;b"),
            ("SELECT \\d;", &[Statement("SELECT \\d")], ""),
            ("-- note\n\\d", &[Command("\\d")], ""),
            ("\\i it's.sql\nSELECT 1;", &[Command("\\i it's.sql"), Statement("SELECT 1")], ""),
        ];
        for (text, pieces, rest) in cases {
            assert_eq!(split_input(text), (pieces.to_vec(), rest), "{text}");
        }
    }

    #[test]
    fn idle_blank_within() {
        assert!(is_idle_text(" \n-- note\n"));
        assert!(!is_idle_text("/* header */"));
        assert!(is_blank_text("/* header */ -- x"));
        assert!(!is_blank_text("x"));
        for (text, within) in [("SELECT '", true), ("/* a", true), ("SELECT 1", false), ("", false)]
        {
            assert_eq!(has_open_token(text), within, "{text}");
        }
    }
}
