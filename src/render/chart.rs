//! Charts of series over time, drawn as braille lines in text.
//!
//! Series of one scale share a panel; others get panels of their own, stacked over one time axis.
//! This module must not know where the points come from.

use super::cell::format_number;
use super::layout::truncate_text;
use chrono::DateTime;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::{Alignment, Rect};
use ratatui_core::style::{Color, Style};
use ratatui_core::symbols::Marker;
use ratatui_core::widgets::Widget;
use ratatui_widgets::chart::{Axis as ChartAxis, Chart as ChartWidget, Dataset, GraphType};

/// One line of a chart.
#[derive(Clone, Debug)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// The points, in the order of x. The line has a gap where y is missing or not finite.
    pub points: Vec<(f64, Option<f64>)>,
}

/// The unit of x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Seconds since 1970, labelled with dates.
    Time,
    /// Any other number.
    Number,
}

/// A chart of series over one x axis.
#[derive(Clone, Copy, Debug)]
pub struct Chart<'a> {
    /// The first line of the text.
    pub title: &'a str,
    /// The lines to draw.
    pub series: &'a [Series],
    /// The unit of x.
    pub x: Axis,
    /// The width in terminal columns.
    pub width: usize,
    /// The height in terminal lines, title and legend included. A chart with many panels is higher.
    pub height: usize,
    /// True to tell series apart by ANSI colours, false by marks.
    pub color: bool,
}

const COLORS: [Color; 6] =
    [Color::Cyan, Color::Yellow, Color::Magenta, Color::Green, Color::Red, Color::Blue];
/// The marks that tell series apart without colours; a panel then holds at most one series per mark.
const MARKS: [(Marker, &str); 3] =
    [(Marker::Braille, "⠒⠒"), (Marker::Dot, "••"), (Marker::Custom('x'), "xx")];
/// The least height of a graph in lines, without legend and axis.
const MIN_PANEL_LINES: usize = 4;

impl Chart<'_> {
    /// Draws the chart as text; every line ends with a newline.
    pub fn render_text(&self) -> String {
        let width = self.width.clamp(20, 1000);
        let mut text = format!("{}\n", truncate_text(self.title, width));
        let lines: Vec<ChartLine> = self
            .series
            .iter()
            .enumerate()
            .map(|(index, series)| ChartLine::new(index, series))
            .collect();
        let drawn: Vec<&ChartLine> = lines.iter().filter(|line| line.range.is_some()).collect();
        for empty in lines.iter().filter(|line| line.range.is_none()) {
            text.push_str(&format!("{}: no values\n", empty.series.name));
        }
        let Some(x) = merge_ranges(drawn.iter().map(|line| line.x_range())) else { return text };
        let panels = group_by_scale(&drawn, if self.color { COLORS.len() } else { MARKS.len() });
        let labels: Vec<[String; 3]> = panels.iter().map(|panel| y_labels(panel.range)).collect();
        let margin = labels.iter().flatten().map(String::len).max().unwrap_or(0);
        // The lines left for graphs after the title, the legends, the axis and its labels.
        let rest = self.height.saturating_sub(3 + panels.len());
        let each = (rest / panels.len()).clamp(MIN_PANEL_LINES, 60);
        for (index, panel) in panels.iter().enumerate() {
            let last = index + 1 == panels.len();
            text.push_str(&self.render_legend(panel, width));
            let area = Rect::new(0, 0, width as u16, (each + if last { 2 } else { 0 }) as u16);
            let labels = labels[index].each_ref().map(|label| format!("{label:>margin$}"));
            text.push_str(&self.render_panel(panel, x, last, labels, area));
        }
        text
    }

    fn render_legend(&self, panel: &Panel, width: usize) -> String {
        let mut used = 0;
        let mut text = String::new();
        for (place, line) in panel.lines.iter().enumerate() {
            let name = truncate_text(&line.series.name, 40);
            used += name.chars().count() + 5;
            if place > 0 && used > width {
                text.push('…');
                break;
            }
            text.push_str(if place > 0 { "  " } else { "" });
            if self.color {
                text.push_str(&format!(
                    "{}── {name}\u{1b}[0m",
                    ansi_code(COLORS[line.index % COLORS.len()])
                ));
            } else {
                text.push_str(&format!("{} {name}", MARKS[place % MARKS.len()].1));
            }
        }
        text.push('\n');
        text
    }

    fn render_panel(
        &self,
        panel: &Panel,
        x: ValueRange,
        last: bool,
        labels: [String; 3],
        area: Rect,
    ) -> String {
        let pixels = 2 * usize::from(area.width);
        let mut pieces: Vec<LinePiece> = Vec::new();
        for (place, line) in panel.lines.iter().enumerate() {
            pieces.extend(
                thin_segments(&line.series.points, x, pixels).map(|piece| (place, *line, piece)),
            );
        }
        let datasets = pieces.iter().map(|(place, line, points)| {
            let mark = if self.color { Marker::Braille } else { MARKS[place % MARKS.len()].0 };
            let style = match self.color {
                true => Style::new().fg(COLORS[line.index % COLORS.len()]),
                false => Style::new(),
            };
            Dataset::default().marker(mark).graph_type(GraphType::Line).style(style).data(points)
        });
        let y = widen_range(panel.range);
        let mut x_axis =
            ChartAxis::default().bounds(widen_range(x)).labels_alignment(Alignment::Right);
        if last {
            x_axis = x_axis.labels(x_labels(x, self.x));
        }
        let y_axis = ChartAxis::default().bounds(y).labels(labels);
        let mut buffer = Buffer::empty(area);
        ChartWidget::new(datasets.collect())
            .legend_position(None)
            .x_axis(x_axis)
            .y_axis(y_axis)
            .render(area, &mut buffer);
        buffer_text(&buffer)
    }
}

type ValueRange = (f64, f64);

/// One series, its index in the chart, and the range of its values.
struct ChartLine<'a> {
    index: usize,
    series: &'a Series,
    range: Option<ValueRange>,
}

impl<'a> ChartLine<'a> {
    fn new(index: usize, series: &'a Series) -> Self {
        let values = series.points.iter().filter_map(|(x, y)| finite_point(*x, *y));
        Self { index, series, range: merge_ranges(values.map(|(_, y)| (y, y))) }
    }

    /// Returns the range of x, rows without values included, so that warm-up shows as a gap.
    fn x_range(&self) -> ValueRange {
        let finite = self.series.points.iter().map(|(x, _)| *x).filter(|x| x.is_finite());
        merge_ranges(finite.map(|x| (x, x))).unwrap_or((0.0, 0.0))
    }
}

fn finite_point(x: f64, y: Option<f64>) -> Option<(f64, f64)> {
    y.filter(|y| x.is_finite() && y.is_finite()).map(|y| (x, y))
}

fn merge_ranges(ranges: impl Iterator<Item = ValueRange>) -> Option<ValueRange> {
    ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// An unbroken part of a line: the line's index in its panel, the line, and the points.
type LinePiece<'a> = (usize, &'a ChartLine<'a>, Vec<(f64, f64)>);

/// A panel of lines that share one scale.
struct Panel<'a> {
    lines: Vec<&'a ChartLine<'a>>,
    range: ValueRange,
}

/// Groups lines into panels: each line joins the first panel of its scale that has fewer than `most` lines.
fn group_by_scale<'a>(lines: &[&'a ChartLine<'a>], most: usize) -> Vec<Panel<'a>> {
    let mut panels: Vec<Panel> = Vec::new();
    for &line in lines {
        let Some(range) = line.range else { continue };
        match panels
            .iter_mut()
            .find(|panel| panel.lines.len() < most && fits_one_axis(panel.range, range))
        {
            Some(panel) => {
                panel.lines.push(line);
                panel.range = (panel.range.0.min(range.0), panel.range.1.max(range.1));
            }
            None => panels.push(Panel { lines: vec![line], range }),
        }
    }
    panels
}

/// Returns whether both ranges can be read on one axis: at least half of the narrow range overlaps the wide
/// one, and the narrow one is at least a tenth as wide. A range of a single value fits if the other one
/// contains it.
fn fits_one_axis(a: ValueRange, b: ValueRange) -> bool {
    let overlap = a.1.min(b.1) - a.0.max(b.0);
    let (small, large) = if a.1 - a.0 < b.1 - b.0 { (a, b) } else { (b, a) };
    let (narrow, wide) = (small.1 - small.0, large.1 - large.0);
    if narrow == 0.0 {
        return overlap >= 0.0;
    }
    overlap >= 0.5 * narrow && narrow >= 0.1 * wide
}

/// Returns the range as bounds, widened if it is a single value.
fn widen_range((low, high): ValueRange) -> [f64; 2] {
    if high > low {
        return [low, high];
    }
    let pad = if low == 0.0 { 1.0 } else { low.abs() * 0.01 };
    [low - pad, high + pad]
}

/// Returns the unbroken pieces of a line, thinned to what `pixels` columns can show: the first, lowest,
/// highest and last point of each column. A gap within one column cannot be seen and is not kept.
fn thin_segments(
    points: &[(f64, Option<f64>)],
    (low, high): ValueRange,
    pixels: usize,
) -> impl Iterator<Item = Vec<(f64, f64)>> {
    let scale = if high > low { pixels as f64 / (high - low) } else { 0.0 };
    let column = |x: f64| ((x - low) * scale) as usize;
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut bucket: Vec<(f64, f64)> = Vec::new();
    let mut broken = true;
    for &(x, y) in points {
        let Some(point) = finite_point(x, y) else {
            broken = true;
            continue;
        };
        let same = bucket.last().is_some_and(|last| column(last.0) == column(x));
        if !same {
            flush_bucket(&mut pieces, &mut bucket);
            if broken || pieces.is_empty() {
                pieces.push(Vec::new());
            }
        }
        broken = false;
        bucket.push(point);
        if bucket.len() > 64 {
            bucket = extreme_points(&bucket);
        }
    }
    flush_bucket(&mut pieces, &mut bucket);
    pieces.into_iter().filter(|piece| !piece.is_empty())
}

fn flush_bucket(pieces: &mut [Vec<(f64, f64)>], bucket: &mut Vec<(f64, f64)>) {
    if let Some(piece) = pieces.last_mut() {
        piece.extend(extreme_points(bucket));
    }
    bucket.clear();
}

/// Returns the first, lowest, highest and last point, in the order of the line.
fn extreme_points(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= 4 {
        return points.to_vec();
    }
    let by_y = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
    let lowest = (0..points.len()).min_by(by_y).unwrap_or(0);
    let highest = (0..points.len()).max_by(by_y).unwrap_or(0);
    let mut places = [0, lowest.min(highest), lowest.max(highest), points.len() - 1].to_vec();
    places.dedup();
    places.into_iter().map(|place| points[place]).collect()
}

/// Returns the labels of the lowest, middle and highest value, with enough decimals to tell them apart.
fn y_labels((low, high): ValueRange) -> [String; 3] {
    let [bottom, top] = widen_range((low, high));
    [bottom, (bottom + top) / 2.0, top].map(|value| format_tick(value, top - bottom))
}

fn format_tick(value: f64, range: f64) -> String {
    let size = range.max(value.abs());
    let (scale, unit) = match size {
        size if size >= 1e12 => return format!("{value:.2e}"),
        size if size >= 1e9 => (1e9, "B"),
        size if size >= 1e6 => (1e6, "M"),
        _ => (1.0, ""),
    };
    let decimals = (2 - (range / scale).log10().floor() as i32).clamp(0, 8);
    if size < 1e-6 {
        return format!("{value:.2e}");
    }
    format!("{:.*}{unit}", decimals as usize, value / scale)
}

fn x_labels((low, high): ValueRange, axis: Axis) -> Vec<String> {
    let middle = low + (high - low) / 2.0;
    [low, middle, high].map(|x| x_label(x, (low, high), axis)).to_vec()
}

fn x_label(x: f64, (low, high): ValueRange, axis: Axis) -> String {
    if axis == Axis::Number {
        return format_number(x).trim_end_matches(".0").to_string();
    }
    const DAY: f64 = 86_400.0;
    let days = low % DAY == 0.0 && high % DAY == 0.0;
    let format = match high - low {
        _ if days => "%Y-%m-%d",
        span if span >= 5.0 * DAY => "%Y-%m-%d",
        span if span >= 600.0 => "%Y-%m-%d %H:%M",
        _ => "%H:%M:%S%.3f",
    };
    let whole = x.floor();
    let nanos = ((x - whole) * 1e9) as u32;
    DateTime::from_timestamp(whole as i64, nanos)
        .map_or_else(|| format_number(x), |time| time.format(format).to_string())
}

/// Converts the buffer to lines of text, with ANSI codes for coloured cells.
fn buffer_text(buffer: &Buffer) -> String {
    let area = buffer.area();
    let mut text = String::new();
    for y in 0..area.height {
        let cells: Vec<_> = (0..area.width).filter_map(|x| buffer.cell((x, y))).collect();
        let end = cells
            .iter()
            .rposition(|cell| blank_symbol(cell.symbol()).is_none())
            .map_or(0, |at| at + 1);
        let mut color = Color::Reset;
        for cell in &cells[..end] {
            let symbol = blank_symbol(cell.symbol()).unwrap_or(cell.symbol());
            if cell.fg != color && symbol != " " {
                text.push_str(ansi_code(cell.fg));
                color = cell.fg;
            }
            text.push_str(symbol);
        }
        text.push_str(if color == Color::Reset { "\n" } else { "\u{1b}[0m\n" });
    }
    text
}

/// Returns a space for a symbol that shows nothing; None for any other symbol.
fn blank_symbol(symbol: &str) -> Option<&'static str> {
    matches!(symbol, "" | " " | "\u{2800}").then_some(" ")
}

fn ansi_code(color: Color) -> &'static str {
    match color {
        Color::Red => "\u{1b}[31m",
        Color::Green => "\u{1b}[32m",
        Color::Yellow => "\u{1b}[33m",
        Color::Blue => "\u{1b}[34m",
        Color::Magenta => "\u{1b}[35m",
        Color::Cyan => "\u{1b}[36m",
        _ => "\u{1b}[0m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, y: impl Fn(usize) -> Option<f64>) -> Series {
        let points = (0..100).map(|i| (1_704_153_600.0 + 86_400.0 * i as f64, y(i))).collect();
        Series { name: name.into(), points }
    }

    fn draw(series: &[Series], color: bool) -> String {
        Chart { title: "AAPL", series, x: Axis::Time, width: 60, height: 14, color }.render_text()
    }

    #[test]
    fn a_line_with_axes_and_a_gap() {
        let text = draw(
            &[series("close", |i| (!(40..=60).contains(&i)).then_some(100.0 + i as f64))],
            false,
        );
        assert!(text.starts_with("AAPL\n⠒⠒ close\n"), "{text}");
        assert!(text.contains("2024-01-02"), "{text}");
        assert!(text.contains("2024-04-10"), "{text}");
        assert!(text.contains("100"), "{text}");
        assert!(text.contains("199"), "{text}");
        assert_eq!(text.lines().count(), 14, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    }

    #[test]
    fn a_small_chart() {
        let series =
            series("close", |i| (!(60..=70).contains(&i)).then_some((i as f64 - 50.0).abs()));
        let chart = Chart {
            title: "AAPL",
            series: &[series],
            x: Axis::Time,
            width: 48,
            height: 10,
            color: false,
        };
        let expected = "\
AAPL
⠒⠒ close
50.0│⠉⠲⢄⡀                                    ⣀⠔⠊
    │   ⠈⠑⠤⢄⡀                            ⣀⠤⠖⠉
    │       ⠈⠒⠤⣀                     ⢀⡠⠔⠋
25.0│          ⠈⠉⠒⢤⡀               ⠐⠊⠁
    │              ⠈⠑⠲⢄⡀      ⣀
 0.0│                  ⠈⠑⠤⣀⡠⠖⠉
    └───────────────────────────────────────────
    2024-01-02       2024-02-20       2024-04-10
";
        assert_eq!(chart.render_text(), expected);
    }

    #[test]
    fn scales_apart_get_panels_of_their_own() {
        let close = series("close", |i| Some(1000.0 + i as f64));
        let sma = series("sma_20", |i| (i >= 19).then_some(990.0 + i as f64));
        let rsi = series("rsi_14", |i| Some(50.0 + 20.0 * (i as f64 / 9.0).sin()));
        let text = draw(&[close, sma, rsi], true);
        let legends: Vec<&str> = text.lines().filter(|line| line.contains("──")).take(2).collect();
        assert!(legends[0].contains("close") && legends[0].contains("sma_20"), "{text}");
        assert!(legends[1].contains("rsi_14"), "{text}");
        assert!(legends[0].contains("\u{1b}[36m── close\u{1b}[0m"), "{text:?}");
    }

    #[test]
    fn no_colour_means_no_escapes() {
        let text =
            draw(&[series("a", |i| Some(i as f64)), series("b", |i| Some(99.0 - i as f64))], false);
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.contains("⠒⠒ a  •• b"), "{text}");
    }

    #[test]
    fn odd_input_draws_something() {
        let cases = [
            vec![],
            vec![series("none", |_| None)],
            vec![series("nan", |_| Some(f64::NAN))],
            vec![series("flat", |_| Some(5.0))],
            vec![series("zero", |_| Some(0.0))],
            vec![series("holes", |i| (i % 2 == 0).then_some(i as f64))],
            vec![series("huge", |i| Some(1e300 * i as f64))],
            vec![series("tiny", |i| Some(1e-12 * i as f64))],
            vec![Series { name: "one".into(), points: vec![(0.0, Some(1.0))] }],
            vec![Series { name: "empty".into(), points: vec![] }],
        ];
        for case in cases {
            for (width, height) in [(0, 0), (20, 5), (80, 24), (100_000, 9)] {
                let chart = Chart {
                    title: "t",
                    series: &case,
                    x: Axis::Number,
                    width,
                    height,
                    color: true,
                };
                assert!(chart.render_text().starts_with("t\n"));
            }
        }
    }

    #[test]
    fn many_points_are_thinned_but_extremes_stay() {
        let mut points: Vec<(f64, Option<f64>)> =
            (0..1_000_000).map(|i| (f64::from(i), Some(0.0))).collect();
        points[777_777].1 = Some(9.0);
        let pieces: Vec<_> = thin_segments(&points, (0.0, 999_999.0), 160).collect();
        assert_eq!(pieces.len(), 1);
        assert!(pieces[0].len() <= 161 * 4);
        assert!(pieces[0].contains(&(777_777.0, 9.0)));
    }
}
