//! Colours for SQL while it is typed.

use super::complete::{SessionNames, command_start, is_keyword};
use super::lexer::{TokenKind, tokenize_sql};

const RESET: &str = "\u{1b}[0m";

/// Returns the line in colours; `pending` holds the lines above it, which may leave a quote open.
pub(super) fn highlight_line(names: &SessionNames, pending: &str, line: &str) -> String {
    let whole = format!("{pending}{line}");
    let all = tokenize_sql(&whole);
    let commanding = command_start(&whole[..pending.len() + line.trim_end().len()]);
    let mut out = String::with_capacity(line.len() * 2);
    for (place, token) in all.iter().enumerate() {
        if token.end() <= pending.len() {
            continue;
        }
        let text = &whole[token.start.max(pending.len())..token.end()];
        let call = || all.get(place + 1).is_some_and(|next| next.text == "(");
        let color = match token.kind {
            _ if commanding.is_some_and(|start| token.start >= start) => "",
            TokenKind::Comment => "\u{1b}[90m",
            TokenKind::Text => "\u{1b}[32m",
            TokenKind::Number => "\u{1b}[35m",
            TokenKind::Word if call() && names.functions.contains(&token.text.to_lowercase()) => {
                "\u{1b}[33m"
            }
            TokenKind::Word if is_keyword(token.text) => "\u{1b}[1;34m",
            _ => "",
        };
        match color {
            "" => out.push_str(text),
            color => out.extend([color, text, RESET]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::complete::tests::names;
    use super::*;

    #[test]
    fn colours() {
        let plain = |text: &str| {
            let mut out = String::new();
            let mut escape = false;
            for c in text.chars() {
                match c {
                    '\u{1b}' => escape = true,
                    'm' if escape => escape = false,
                    c if !escape => out.push(c),
                    _ => {}
                }
            }
            out
        };
        for line in ["SELECT rsi(close, 14), 'é' -- x", "\\d bars", "", "a /* b", "🙂 $$ x $$;"]
        {
            assert_eq!(plain(&highlight_line(&names(), "", line)), line);
            assert_eq!(plain(&highlight_line(&names(), "SELECT '\n", line)), line);
        }
        let text = highlight_line(&names(), "", "SELECT rsi(1)");
        assert_eq!(
            text,
            "\u{1b}[1;34mSELECT\u{1b}[0m \u{1b}[33mrsi\u{1b}[0m(\u{1b}[35m1\u{1b}[0m)"
        );
        let text = highlight_line(&names(), "SELECT 'a\n", "b' FROM");
        assert_eq!(text, "\u{1b}[32mb'\u{1b}[0m \u{1b}[1;34mFROM\u{1b}[0m");
    }
}
