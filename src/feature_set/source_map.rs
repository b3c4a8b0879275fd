//! Maps rendered text back to its template, by marks that travel with the text.
//!
//! A mark is two private-use characters that encode a number; the number leads to a place in the source.
//! Marks are inserted before rendering and removed after it. Macros, set blocks and filters, which process
//! captured text, carry the marks along. A template can see marks, for instance when it compares captured
//! text. The caller therefore renders without marks too, and uses a map only if both renderings agree.

use std::ops::Range;

use super::template_lexer::{LexedTemplate, TemplatePiece};

/// The extent of a template that is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkExtent {
    /// The whole template.
    Whole,
    /// Only text that no tag of the template can inspect.
    Uncaptured,
}

/// The origin of a stretch of rendered text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceSpan {
    /// The offset in the rendered text at which the stretch starts.
    pub(super) at: usize,
    /// Its range in the source; empty if a tag wrote the text.
    pub(super) source: Range<usize>,
}

/// The first code points of the high and of the low part of a number, and the count of code points for each
/// part.
const HIGH: u32 = 0x10_0000;
const LOW: u32 = 0x10_8000;
const DIGITS: u32 = 0x7ff0;

/// A marked template, with the source range of each mark.
pub(super) struct MarkedTemplate {
    /// The template with marks.
    pub(super) text: String,
    marks: Vec<Range<usize>>,
}

impl MarkedTemplate {
    /// Puts marks into a template.
    pub(super) fn new(source: &str, scan: &LexedTemplate<'_>, reach: MarkExtent) -> Self {
        let mut marked = Self { text: String::with_capacity(source.len() * 2), marks: Vec::new() };
        let mut copied = 0;
        let mut depth = 0_usize;
        for piece in &scan.pieces {
            let hidden = reach == MarkExtent::Uncaptured && depth > 0;
            match piece {
                TemplatePiece::Text(range) if !hidden => {
                    for line in trimmed_lines(source, range) {
                        marked.copy_source(source, &mut copied, line.start);
                        marked.push_mark(line);
                    }
                }
                TemplatePiece::Output(kept, tag) if !hidden => {
                    marked.copy_source(source, &mut copied, *kept);
                    marked.push_mark(tag.start..tag.start);
                }
                TemplatePiece::Block { kept, start, word, captures } => {
                    if *captures && !hidden {
                        marked.copy_source(source, &mut copied, *kept);
                        marked.push_mark(*start..*start);
                    }
                    depth += usize::from(*captures);
                    let ends = matches!(
                        word.as_str(),
                        "endset" | "endmacro" | "endcall" | "endfilter" | "endblock"
                    );
                    depth = depth.saturating_sub(usize::from(ends));
                }
                TemplatePiece::Text(_) | TemplatePiece::Output(..) => {}
            }
        }
        marked.copy_source(source, &mut copied, source.len());
        marked
    }

    fn copy_source(&mut self, source: &str, copied: &mut usize, end: usize) {
        self.text.push_str(source.get(*copied..end).unwrap_or_default());
        *copied = end.max(*copied);
    }

    fn push_mark(&mut self, source: Range<usize>) {
        let number = u32::try_from(self.marks.len()).unwrap_or(u32::MAX);
        let digits = [HIGH + number / DIGITS, LOW + number % DIGITS];
        // If the template needs more marks than there are numbers, the rest of the text belongs to the last
        // mark.
        if number / DIGITS < DIGITS {
            self.text.extend(digits.into_iter().filter_map(char::from_u32));
            self.marks.push(source);
        }
    }

    /// Removes the marks from rendered text, and returns the origin of each stretch.
    pub(super) fn strip_marks(&self, rendered: &str) -> (String, Vec<SourceSpan>) {
        let mut text = String::with_capacity(rendered.len());
        let mut spans: Vec<SourceSpan> = Vec::new();
        let mut high = None;
        for c in rendered.chars() {
            let code = u32::from(c);
            if let Some(digit) = code.checked_sub(LOW).filter(|digit| *digit < DIGITS) {
                let number = high.take().map(|high| (high * DIGITS + digit) as usize);
                if let Some(source) = number.and_then(|number| self.marks.get(number)) {
                    spans.push(SourceSpan { at: text.len(), source: source.clone() });
                }
            } else if let Some(digit) = code.checked_sub(HIGH).filter(|digit| *digit < DIGITS) {
                high = Some(digit);
            } else {
                text.push(c);
            }
        }
        (text, spans)
    }
}

/// Returns the lines of a stretch of text, each without surrounding blanks; blank lines are left out.
///
/// Blanks stay unmarked so that `trim` and similar filters treat marked text like plain text.
fn trimmed_lines(source: &str, range: &Range<usize>) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut start = range.start;
    for line in source[range.clone()].split_inclusive('\n') {
        let first = start + line.len() - line.trim_start().len();
        let last = start + line.trim_end().len();
        if first < last {
            lines.push(first..last);
        }
        start += line.len();
    }
    lines
}

/// Returns the source offset of an offset in the rendered text.
pub(super) fn source_offset(spans: &[SourceSpan], offset: usize) -> usize {
    let after = spans.partition_point(|span| span.at <= offset);
    match after.checked_sub(1).and_then(|index| spans.get(index)) {
        Some(span) => (span.source.start + offset - span.at).min(span.source.end),
        None => spans.first().map_or(0, |span| span.source.start),
    }
}
