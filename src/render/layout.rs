//! Choice of the columns of a table that fit a width, and of the width of each.

use ratatui_core::text::Span;

/// Returns the number of terminal columns that the text takes.
pub(super) fn display_width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { Span::raw(text).width() }
}

/// Cuts the text to at most `width` columns, with `…` at the cut.
pub(super) fn truncate_text(text: &str, width: usize) -> String {
    if display_width(text) <= width {
        return text.to_string();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += display_width(c.encode_utf8(&mut [0; 4]));
        if used > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// Breaks lines that are wider than `width` columns between words. Continuation lines are indented two
/// columns deeper than the line itself; a word that fits no line is not broken and stays where it is.
pub fn wrap_lines(text: &str, width: usize) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let words = line.trim_start_matches(' ');
        let indent = line.len() - words.len();
        out.push_str(&line[..indent]);
        let mut used = indent;
        for (place, word) in words.split_inclusive(' ').enumerate() {
            let needed = display_width(word.trim_end());
            if place > 0 && used + needed > width && indent + 2 + needed <= width {
                out.truncate(out.trim_end_matches(' ').len());
                used = indent + 2;
                out.push('\n');
                out.push_str(&" ".repeat(used));
            }
            out.push_str(word);
            used += display_width(word);
        }
    }
    out
}

/// A slot of the table, from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnSlot {
    /// A column of the result, with its width.
    Column { index: usize, width: usize },
    /// A gap in place of the columns that do not fit.
    Gap,
}

impl ColumnSlot {
    pub(super) fn width(self) -> usize {
        match self {
            ColumnSlot::Column { width, .. } => width,
            ColumnSlot::Gap => 1,
        }
    }
}

/// The width of borders and padding, per column.
const FRAME: usize = 3;
/// The width down to which text columns shrink in favour of others.
const MIN_TEXT_WIDTH: usize = 16;

/// Fits columns of these natural widths into `max_width` terminal columns. Text columns (`may_shrink`) shrink
/// first; then columns in the middle are left out.
pub(super) fn fit_columns(
    natural: &[usize],
    may_shrink: &[bool],
    max_width: usize,
) -> Vec<ColumnSlot> {
    let room = max_width.saturating_sub(1);
    let mut widths: Vec<usize> =
        natural.iter().map(|width| (*width).clamp(1, room.saturating_sub(FRAME).max(1))).collect();
    shrink_text_columns(&mut widths, may_shrink, room);
    let column = |index: usize| ColumnSlot::Column { index, width: widths[index] };
    if framed_width(&widths) <= room || widths.len() < 2 {
        return (0..widths.len()).map(column).collect();
    }
    let (left, right) = visible_ends(&widths, room.saturating_sub(1 + FRAME));
    let tail = widths.len() - right..widths.len();
    (0..left).map(column).chain([ColumnSlot::Gap]).chain(tail.map(column)).collect()
}

fn framed_width(widths: &[usize]) -> usize {
    widths.iter().map(|width| width + FRAME).sum()
}

/// Shrinks the widest text column until all columns fit or no text column can shrink further.
fn shrink_text_columns(widths: &mut [usize], may_shrink: &[bool], room: usize) {
    loop {
        let excess = framed_width(widths).saturating_sub(room);
        let widest = (0..widths.len())
            .filter(|index| may_shrink[*index] && widths[*index] > MIN_TEXT_WIDTH)
            .max_by_key(|index| widths[*index]);
        let (Some(index), true) = (widest, excess > 0) else { return };
        let second = (0..widths.len())
            .filter(|other| *other != index && may_shrink[*other])
            .map(|other| widths[other])
            .max()
            .unwrap_or(0)
            .clamp(MIN_TEXT_WIDTH, widths[index] - 1);
        widths[index] -= excess.min(widths[index] - second);
    }
}

/// Returns the numbers of columns that stay at the left and at the right; the first column always stays.
fn visible_ends(widths: &[usize], room: usize) -> (usize, usize) {
    let (mut left, mut right, mut used) = (1, 0, widths[0] + FRAME);
    while left + right < widths.len() {
        // The left side is filled ahead of the right one, because keys are there.
        let from_left = left <= right + 1;
        let next = if from_left { left } else { widths.len() - 1 - right };
        used += widths[next] + FRAME;
        if used > room {
            break;
        }
        if from_left { left += 1 } else { right += 1 }
    }
    (left, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(natural: &[usize], text: &[bool], width: usize) -> String {
        let slots = fit_columns(natural, text, width);
        let words: Vec<String> = slots
            .iter()
            .map(|slot| match slot {
                ColumnSlot::Column { index, width } => format!("{index}:{width}"),
                ColumnSlot::Gap => "…".to_string(),
            })
            .collect();
        words.join(" ")
    }

    #[test]
    fn lines_are_broken_between_words() {
        let cases = [
            ("one two three\n\nfour", 80, "one two three\n\nfour"),
            ("one two three\n\nfour", 9, "one two\n  three\n\nfour"),
            ("  one two\n", 7, "  one\n    two\n"),
            ("  mountains one\n", 7, "  mountains\n    one\n"),
            ("one mountains two", 6, "one mountains\n  two"),
            ("größer größer", 13, "größer größer"),
            ("", 10, ""),
        ];
        for (text, width, expected) in cases {
            assert_eq!(wrap_lines(text, width), expected);
        }
    }

    #[test]
    fn what_fits() {
        let cases: [(&[usize], &[bool], usize, &str); 6] = [
            (&[4, 10, 8], &[true, false, false], 80, "0:4 1:10 2:8"),
            (&[4, 100, 8], &[true, true, false], 60, "0:4 1:38 2:8"),
            (&[40, 100], &[true, true], 60, "0:27 1:26"),
            (&[10; 8], &[false; 8], 60, "0:10 1:10 2:10 … 7:10"),
            (&[200, 10], &[false, false], 30, "0:26 …"),
            (&[], &[], 30, ""),
        ];
        for (natural, text, width, expected) in cases {
            assert_eq!(shape(natural, text, width), expected);
        }
    }

    #[test]
    fn never_wider_than_the_terminal() {
        for columns in 1..20 {
            for width in [20, 37, 80, 200] {
                let natural: Vec<usize> = (0..columns).map(|i| 3 + i * 7 % 23).collect();
                let text: Vec<bool> = (0..columns).map(|i| i % 3 == 0).collect();
                let used: usize =
                    fit_columns(&natural, &text, width).iter().map(|s| s.width() + FRAME).sum();
                assert!(used < width + 5, "{columns} columns in {width}: {used}");
            }
        }
    }

    #[test]
    fn cutting_text() {
        assert_eq!(truncate_text("abcdef", 6), "abcdef");
        assert_eq!(truncate_text("abcdefg", 6), "abcde…");
        assert_eq!(truncate_text("日本語", 5), "日本…");
        assert_eq!(display_width("日本語"), 6);
    }
}
