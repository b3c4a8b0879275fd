// Stacks the panels of a symbol. They share the range of times: a zoom or a pointer in one is in all.
import {h, setText} from './dom.js';
import {barTime, count} from './format.js';
import {drawPanel} from './panel.js';

/** The moves of a range of times over `charts`. `zoomed` hears each new range, or null for all rows. */
function ranges(x, charts, zoomed) {
  const all = {min: x[0], max: x.at(-1)};
  const now = () => charts[0]?.scales.x ?? all;
  const zoom = (min, max) => {
    const span = Math.max(max - min, (all.max - all.min) / x.length * 3);
    const from = Math.max(all.min, Math.min(min, all.max - span));
    const range = {min: from, max: Math.min(all.max, from + span)};
    for (const chart of charts) chart.setScale('x', range);
    zoomed(range.min <= all.min && range.max >= all.max ? null : range);
  };
  const scale = factor => {
    const {min, max} = now();
    const [middle, half] = [(min + max) / 2, (max - min) / 2 * factor];
    zoom(middle - half, middle + half);
  };
  const move = share => {
    const {min, max} = now();
    zoom(min + (max - min) * share, max + (max - min) * share);
  };
  /** Points at the next row, and brings it into the range. */
  const step = (chart, by) => {
    const {min, max} = now();
    const from = chart.cursor.idx ?? x.findLastIndex(at => at <= max) + (by < 0 ? 1 : 0);
    const at = x[Math.min(Math.max(from + by, 0), x.length - 1)];
    if (at < min || at > max) zoom(at - (max - min) / 2, at + (max - min) / 2);
    requestAnimationFrame(() => chart.setCursor({left: chart.valToPos(at, 'x'), top: 10}, true, true));
  };
  return {zoom, scale, move, step, reset: () => zoom(all.min, all.max)};
}

/** What a key does while a panel has the focus. */
function press(event, chart, range) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (by && event.shiftKey) range.move(by / 4);
  else if (by) range.step(chart, by);
  else if (event.key === '+' || event.key === '=') range.scale(0.5);
  else if (event.key === '-') range.scale(2);
  else if (event.key === 'Escape') range.reset();
  else return;
  event.preventDefault();
}

function buttons(range) {
  const button = (text, label, onclick) => h('button.small', {type: 'button', 'aria-label': label, title: label, onclick}, text);
  return h('span.buttons', {},
    button('←', 'Earlier', () => range.move(-0.25)), button('→', 'Later', () => range.move(0.25)),
    button('+', 'Zoom in', () => range.scale(0.5)), button('−', 'Zoom out', () => range.scale(2)),
    button('All', 'Show all rows', range.reset));
}

/** Draws `data` of readRows, the panel named `tall` higher than the others. */
export function drawCharts(data, zoomed, tall) {
  const {x, panels, daily} = data;
  const clock = h('output.num-left', {}, ' ');
  const charts = [];
  const range = ranges(x, charts, zoomed);
  const acts = {
    ...range,
    press: (event, chart) => press(event, chart, range),
    point: row => setText(clock, `${barTime(x[row], daily)} · row ${count(row + 1)} of ${count(x.length)}`),
  };
  const figures = panels.map(panel => {
    const {element, chart} = drawPanel(panel, data, panel.name === tall ? 250 : 172, acts);
    if (chart) charts.push(chart);
    return element;
  });
  const element = h('div.charts', {}, h('div.chartbar', {}, clock, buttons(range)), figures);

  const fit = () => {
    const width = element.clientWidth;
    for (const chart of charts) if (width > 0 && chart.width !== width) chart.setSize({width, height: chart.height});
  };
  const sizer = new ResizeObserver(fit);
  sizer.observe(element);
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  const redraw = () => charts.forEach(chart => chart.redraw(false));
  scheme.addEventListener('change', redraw);
  const destroy = () => {
    sizer.disconnect();
    scheme.removeEventListener('change', redraw);
    charts.forEach(chart => chart.destroy());
  };
  return {element, zoom: range.zoom, destroy};
}
