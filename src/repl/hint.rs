//! The grey text behind the cursor: the rest of the signature of a call.

use super::complete::SessionNames;
use super::lexer::{Token, TokenKind, tokenize_sql};

/// Returns the rest of the signature of the call around the cursor: `close, timeperiod => 14) -> double`.
pub(super) fn signature_hint(names: &SessionNames, text: &str) -> Option<String> {
    let all = tokenize_sql(text);
    if all.last().is_some_and(|token| !token.closed || token.kind == TokenKind::Comment) {
        return None;
    }
    let mut calls: Vec<(Option<&str>, usize, bool)> = Vec::new();
    let mut previous: Option<&Token> = None;
    for token in all.iter().filter(|token| !token.is_blank()) {
        match token.text {
            "(" => {
                let name =
                    previous.filter(|token| token.kind == TokenKind::Word).map(|token| token.text);
                if let Some((_, _, started)) = calls.last_mut() {
                    *started = true;
                }
                calls.push((name, 0, false));
            }
            ")" => drop(calls.pop()),
            ";" => calls.clear(),
            "," => {
                if let Some((_, commas, started)) = calls.last_mut() {
                    (*commas, *started) = (*commas + 1, false);
                }
            }
            _ => {
                if let Some((_, _, started)) = calls.last_mut() {
                    *started = true;
                }
            }
        }
        previous = Some(token);
    }
    let (Some(name), commas, started) = calls.pop()? else { return None };
    let signature = names.functions.find_signature(&name.to_lowercase())?;
    let signature = signature.lines().next()?;
    let (arguments, end) = signature_arguments(signature)?;
    let given = commas + usize::from(started);
    if given >= arguments.len() {
        return None;
    }
    let lead = match (started, commas) {
        (true, _) => ", ",
        (false, 0) => "",
        (false, _) if text.ends_with(',') => " ",
        (false, _) => "",
    };
    Some(format!("{lead}{}{end}", arguments[given..].join(", ")))
}

/// Splits a signature into its arguments and the text after them, closing bracket included.
fn signature_arguments(signature: &str) -> Option<(Vec<&str>, &str)> {
    let open = signature.find('(')? + 1;
    let (mut depth, mut from, mut parts) = (0, open, Vec::new());
    for (at, c) in signature.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '(' | '[' => depth += 1,
            ')' if depth == 0 => {
                parts.push(signature[from..at].trim());
                parts.retain(|part| !part.is_empty());
                return Some((parts, &signature[at..]));
            }
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(signature[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::complete::tests::names;
    use super::*;

    #[test]
    fn hints() {
        let cases = [
            ("SELECT rsi(", Some("close, timeperiod => 14) -> double")),
            ("SELECT rsi(close", Some(", timeperiod => 14) -> double")),
            ("SELECT rsi(close,", Some(" timeperiod => 14) -> double")),
            ("SELECT rsi(close, ", Some("timeperiod => 14) -> double")),
            ("SELECT rsi((open + close) / 2, ", Some("timeperiod => 14) -> double")),
            ("SELECT rsi(close, 14", None),
            ("SELECT rsi(close, 14)", None),
            ("SELECT RSI(", Some("close, timeperiod => 14) -> double")),
            ("SELECT nothing(", None),
            ("SELECT '(rsi(", None),
            ("SELECT (", None),
        ];
        for (text, expected) in cases {
            assert_eq!(signature_hint(&names(), text).as_deref(), expected, "{text}");
        }
        assert!(signature_hint(&names(), "SELECT abs(").is_some());
    }
}
