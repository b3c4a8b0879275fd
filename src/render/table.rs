//! Rows in a box or as Markdown: the first and the last ones, and how many there were.

use super::cell;
use super::layout::{Slot, fit, slots, width_of};
use super::{Limit, from_io};
use crate::error::{Result, counted, grouped};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::collections::VecDeque;
use std::io::Write;

/// The rows of a result that will be shown.
pub(super) struct Table {
    schema: SchemaRef,
    limit: Limit,
    rows: usize,
    held: usize,
    head: Vec<RecordBatch>,
    tail: VecDeque<RecordBatch>,
}

impl Table {
    pub(super) fn new(schema: &SchemaRef, limit: Limit) -> Self {
        let schema = SchemaRef::clone(schema);
        Self { schema, limit, rows: 0, held: 0, head: Vec::new(), tail: VecDeque::new() }
    }

    /// Takes rows: the head fills up first, then the tail slides along.
    pub(super) fn push(&mut self, batch: &RecordBatch) {
        let max = self.limit.max_rows().unwrap_or(usize::MAX);
        let head = max.div_ceil(2).saturating_sub(self.rows).min(batch.num_rows());
        self.rows += batch.num_rows();
        if head > 0 {
            self.head.push(batch.slice(0, head));
        }
        let room = max / 2;
        let rest = (batch.num_rows() - head).min(room);
        if rest == 0 {
            return;
        }
        self.tail.push_back(batch.slice(batch.num_rows() - rest, rest));
        self.held += rest;
        while let Some(first) = self.tail.front_mut() {
            let excess = self.held.saturating_sub(room);
            if excess == 0 {
                break;
            }
            let gone = excess.min(first.num_rows());
            *first = first.slice(gone, first.num_rows() - gone);
            self.held -= gone;
            if first.num_rows() == 0 {
                self.tail.pop_front();
            }
        }
    }

    pub(super) fn write_box<W: Write>(&self, out: &mut W) -> Result<()> {
        let grid = self.grid();
        let width = match self.limit {
            Limit::All => usize::MAX,
            Limit::Rows { max_width, .. } => max_width,
        };
        let text: Vec<bool> = grid.numbers.iter().map(|number| !number).collect();
        let slots = slots(&grid.widths(), &text, width);
        let mut lines = String::new();
        if !slots.is_empty() {
            lines.push_str(&rule(&slots, ["┌", "┬", "┐"]));
            lines.push_str(&line(&slots, "│", |index, width| centre(&grid.names[index], width)));
            lines.push_str(&rule(&slots, ["├", "┼", "┤"]));
        }
        for (row, cells) in grid.rows.iter().enumerate() {
            if grid.gap == Some(row) {
                lines.push_str(&line(&slots, "│", |index, width| {
                    pad("…", width, grid.numbers[index])
                }));
            }
            lines.push_str(&line(&slots, "│", |index, width| {
                pad(&cells[index], width, grid.numbers[index])
            }));
            // Long tables leave in pieces.
            if lines.len() > 1 << 16 {
                out.write_all(lines.as_bytes()).map_err(from_io)?;
                lines.clear();
            }
        }
        if !slots.is_empty() {
            lines.push_str(&rule(&slots, ["└", "┴", "┘"]));
        }
        let columns = slots.iter().filter(|slot| **slot != Slot::Gap).count();
        lines.push_str(&self.footer(grid.rows.len(), columns));
        out.write_all(lines.as_bytes()).map_err(from_io)
    }

    pub(super) fn write_markdown<W: Write>(&self, out: &mut W) -> Result<()> {
        let mut grid = self.grid();
        for text in grid.names.iter_mut().chain(grid.rows.iter_mut().flatten()) {
            *text = text.replace('|', "\\|");
        }
        let slots = slots(&grid.widths(), &vec![false; grid.names.len()], usize::MAX);
        let mut lines =
            line(&slots, "|", |index, width| pad(&grid.names[index], width, grid.numbers[index]));
        lines.push('|');
        for slot in &slots {
            let Slot::Column { index, width } = *slot else { continue };
            let end = if grid.numbers[index] { ":" } else { "-" };
            lines.push_str(&format!("{}{end}|", "-".repeat(width + 1)));
        }
        lines.push('\n');
        for (row, cells) in grid.rows.iter().enumerate() {
            if grid.gap == Some(row) {
                lines.push_str(&line(&slots, "|", |index, width| {
                    pad("…", width, grid.numbers[index])
                }));
            }
            lines.push_str(&line(&slots, "|", |index, width| {
                pad(&cells[index], width, grid.numbers[index])
            }));
        }
        if grid.rows.len() < self.rows {
            lines.push('\n');
            lines.push_str(&self.footer(grid.rows.len(), grid.names.len()));
        }
        out.write_all(lines.as_bytes()).map_err(from_io)
    }

    fn grid(&self) -> Grid {
        let names =
            self.schema.fields().iter().map(|field| cell::printable(field.name())).collect();
        let numbers =
            self.schema.fields().iter().map(|field| cell::is_number(field.data_type())).collect();
        let mut rows = Vec::new();
        for batch in self.head.iter().chain(&self.tail) {
            for row in 0..batch.num_rows() {
                rows.push(batch.columns().iter().map(|column| cell::text(column, row)).collect());
            }
        }
        let head: usize = self.head.iter().map(RecordBatch::num_rows).sum();
        let gap = (rows.len() < self.rows).then_some(head);
        Grid { names, numbers, rows, gap }
    }

    /// `(1,234 rows, 40 shown; 60 columns, 9 shown)`.
    fn footer(&self, rows: usize, columns: usize) -> String {
        let mut text = format!("({}", count(self.rows, "row"));
        if rows < self.rows {
            text.push_str(&format!(", {} shown", grouped(rows as u64)));
        }
        let all = self.schema.fields().len();
        if columns < all {
            text.push_str(&format!("; {}, {columns} shown", count(all, "column")));
        }
        text.push_str(")\n");
        text
    }
}

/// The text of every cell that is shown.
struct Grid {
    names: Vec<String>,
    numbers: Vec<bool>,
    rows: Vec<Vec<String>>,
    /// The row before which rows are missing.
    gap: Option<usize>,
}

impl Grid {
    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.names.iter().map(|name| width_of(name)).collect();
        for row in &self.rows {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = (*width).max(width_of(text));
            }
        }
        widths
    }
}

fn line(slots: &[Slot], bar: &str, cell: impl Fn(usize, usize) -> String) -> String {
    let mut text = bar.to_string();
    for slot in slots {
        let inner = match *slot {
            Slot::Column { index, width } => cell(index, width),
            Slot::Gap => "…".to_string(),
        };
        text.push_str(&format!(" {inner} {bar}"));
    }
    text.push('\n');
    text
}

fn rule(slots: &[Slot], [left, middle, right]: [&str; 3]) -> String {
    let parts: Vec<String> = slots.iter().map(|slot| "─".repeat(slot.width() + 2)).collect();
    format!("{left}{}{right}\n", parts.join(middle))
}

fn pad(text: &str, width: usize, right: bool) -> String {
    let text = fit(text, width);
    let space = " ".repeat(width.saturating_sub(width_of(&text)));
    if right { space + &text } else { text + &space }
}

fn centre(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let space = width.saturating_sub(width_of(&text));
    format!("{}{text}{}", " ".repeat(space / 2), " ".repeat(space - space / 2))
}

/// `1 row`, `1,234 rows`.
pub(super) fn count(number: usize, noun: &str) -> String {
    counted(number as u64, noun)
}
