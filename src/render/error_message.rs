//! An error -> text: one line, and below it the source line with a caret.

use super::cell::escape_controls;
use super::layout::display_width;
use crate::error::{Error, TextPlace};

/// Formats `error: ...` and, if the error has a place in `source`, that line with a caret:
///
/// ```text
/// error: unknown column clos; did you mean close?
/// LINE 1: SELECT clos FROM bars
///                ^
/// ```
///
/// `source` is the text that the line and the column of the error refer to. For text typed at a
/// prompt (file `SQL`) only the caret shows the place; for other files the message names the file
/// too.
pub fn error_text(error: &Error, source: Option<&str>, width: usize) -> String {
    let whole = error.to_string();
    let Some((place, line)) =
        error.place().and_then(|place| Some((place, source_line(place, source?)?)))
    else {
        return format!("error: {whole}\n");
    };
    let message = match place.file.as_str() {
        "SQL" => whole.strip_prefix(&format!("{place}: ")).unwrap_or(&whole),
        _ => &whole,
    };
    format!("error: {message}\n{}", format_caret(place, line, width))
}

fn source_line<'a>(place: &TextPlace, source: &'a str) -> Option<&'a str> {
    source.lines().nth(place.line.checked_sub(1)?)
}

fn format_caret(place: &TextPlace, line: &str, width: usize) -> String {
    let head = format!("LINE {}: ", place.line);
    let room = width.saturating_sub(head.len() + 6).max(20);
    let chars: Vec<char> = line.chars().collect();
    let at = place.column.saturating_sub(1).min(chars.len());
    let start = if at > room { at - room / 2 } else { 0 };
    let end = chars.len().min(start + room);
    let part = |from: usize, to: usize| {
        escape_controls(&chars[from..to].iter().collect::<String>().replace('\t', " "))
    };
    let (before, after) =
        (if start > 0 { "..." } else { "" }, if end < chars.len() { "..." } else { "" });
    let lead = display_width(&head) + before.len() + display_width(&part(start, at));
    format!("{head}{before}{}{after}\n{:lead$}^\n", part(start, end), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, line: usize, column: usize) -> Error {
        Error::query("unknown column clos")
            .at_place(TextPlace { file: file.into(), line, column })
            .hint("did you mean close?")
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        let sql = "SELECT\n  clos\nFROM bars";
        let expected =
            "error: unknown column clos; did you mean close?\nLINE 2:   clos\n          ^\n";
        assert_eq!(error_text(&at("SQL", 2, 3), Some(sql), 80), expected);
        let named = error_text(&at("m.sql", 2, 3), Some(sql), 80);
        assert!(named.starts_with("error: m.sql:2:3: unknown column clos;"), "{named}");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let sql = format!("SELECT {}clos FROM bars", "close, ".repeat(100));
        let text = error_text(&at("SQL", 1, 708), Some(&sql), 60);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].chars().count() <= 60, "{text}");
        let caret = lines[2].find('^').unwrap();
        assert!(lines[1][caret..].starts_with("clos "), "{text}");
    }

    #[test]
    fn without_a_place_there_is_one_line() {
        assert_eq!(error_text(&Error::data("no"), Some("SELECT 1"), 80), "error: no\n");
        let far = error_text(&at("SQL", 9, 1), Some("SELECT 1"), 80);
        assert_eq!(far, "error: SQL:9:1: unknown column clos; did you mean close?\n");
    }
}
