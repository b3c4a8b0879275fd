// Draws one output: its lines, their values at the pointer, and the axes.
import {h, setText} from './dom.js';
import {number, plural} from './format.js';
import {colour, drawMarks} from './marks.js';

const uPlot = window.uPlot;
const DAY = 86400;
const KEYS = 'Arrow keys point at a row, with Shift they move the range, plus and minus zoom, Escape shows all.';

/** A value on the axis: short, because the axis is narrow. */
function tick(value) {
  const size = Math.abs(value);
  if (size >= 1e5) return value.toLocaleString('en-US', {notation: 'compact', maximumFractionDigits: 2});
  if (size !== 0 && size < 1e-4) return value.toExponential(1);
  return String(Number(value.toPrecision(6)));
}

/** The names of 0 and 1 on the axis of an output that is true or false. */
function flag(value) {
  return value === 0 ? 'false' : value === 1 ? 'true' : '';
}

/** Times on the axis, as fine as the step between them. A second line has the day or year where it changes. */
function times(chart, splits, axis, space, step) {
  let last = '';
  return splits.map(at => {
    const text = new Date(at * 1000).toISOString();
    if (step >= 28 * DAY) return text.slice(0, step >= 360 * DAY ? 4 : 7);
    const [fine, coarse] = step >= DAY ? [text.slice(5, 10), text.slice(0, 4)] : [text.slice(11, 16), text.slice(0, 10)];
    const changed = coarse !== last;
    last = coarse;
    return changed ? `${fine}\n${coarse}` : fine;
  });
}

/** The value of a line in one row. */
function written(panel, line, row) {
  const value = line.values[row];
  if (value === null) return 'NULL';
  return panel.isFlag ? String(value === 1) : number(value, line.isWhole);
}

/** What a panel says about its missing values. */
function lacks(panel, rows) {
  if (panel.isText) return 'text is not drawn';
  if (panel.first < 0) return 'NULL in all rows';
  const inside = panel.holes.reduce((sum, [from, to]) => sum + to - from + 1, 0);
  return [
    panel.first > 0 && `warm-up ${plural(panel.first, 'row')}`,
    inside > 0 && `NULL ${plural(inside, 'row')}`,
    panel.last < rows - 1 && `no value yet in ${plural(rows - 1 - panel.last, 'row')}`,
  ].filter(Boolean).join(' · ');
}

/** What uPlot has to know about a panel: its lines break at NULL and at missing rows. */
function options(panel, breaks, height, hooks, reset) {
  const axis = {
    stroke: () => colour('faint'), font: '11px system-ui, sans-serif',
    grid: {stroke: () => colour('grid'), width: 1}, ticks: {show: false},
  };
  const cut = (chart, series, from, to, nulls) => {
    const missing = breaks.filter(([row]) => row >= from && row < to);
    const places = missing.map(pair => pair.map(row => chart.valToPos(chart.data[0][row], 'x', true)));
    return [...nulls, ...places].sort((a, b) => a[0] - b[0]);
  };
  const line = (_, at) => ({
    stroke: () => colour(`ink-${at % 6 + 1}`), width: 1.25, gaps: cut, points: {size: 4},
    paths: panel.isFlag ? uPlot.paths.stepped({align: 1}) : undefined,
  });
  return {
    width: 300, height, padding: [6, 24, 0, 0], legend: {show: false}, hooks,
    tzDate: at => uPlot.tzDate(new Date(at * 1000), 'Etc/UTC'),
    scales: {x: {range: (chart, min, max) => [min, max]}},
    axes: [
      {...axis, size: (chart, texts) => texts?.some(text => text.includes('\n')) ? 38 : 24, gap: 5, space: 76, values: times},
      {...axis, size: 62, gap: 6, space: 28, values: (chart, splits) => splits.map(panel.isFlag ? flag : tick)},
    ],
    series: [{}, ...panel.lines.map(line)],
    cursor: {
      sync: {key: 'windrow'}, y: false, points: {size: 7},
      drag: {x: true, y: false, setScale: false}, bind: {dblclick: () => reset},
    },
  };
}

/** Draws a panel. `acts` are what a drag, a double click, a key and the pointer do. */
export function drawPanel(panel, {x, gaps, pauses}, height, acts) {
  const missing = lacks(panel, x.length);
  const values = panel.lines.map(() => h('b.num'));
  const legend = panel.lines.map((line, at) => h('span.line-name', {}, h(`i.ink-${at % 6 + 1}`), line.name, values[at]));
  const caption = h('figcaption', {}, panel.isText ? panel.name : legend, h('span.lacks', {}, missing));
  if (panel.isText) return {element: h('figure.panel', {}, caption)};

  const box = h('div.plot', {tabindex: '0', role: 'img', 'aria-label': `Chart of ${panel.name}. ${missing} ${KEYS}`});
  const point = chart => {
    const row = chart.cursor.idx ?? x.length - 1;
    values.forEach((value, at) => setText(value, written(panel, panel.lines[at], row)));
    acts.point(row);
  };
  const select = chart => {
    const {left, width} = chart.select;
    if (width < 4) return;
    acts.zoom(chart.posToVal(left, 'x'), chart.posToVal(left + width, 'x'));
    chart.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
  };
  const hooks = {drawClear: [chart => drawMarks(chart, panel, gaps)], setCursor: [point], ready: [point], setSelect: [select]};
  const lines = panel.lines.map(line => line.values);
  const chart = new uPlot(options(panel, [...gaps, ...pauses], height, hooks, acts.reset), [x, ...lines], box);
  box.addEventListener('keydown', event => acts.press(event, chart));
  return {element: h('figure.panel', {}, caption, box), chart};
}
