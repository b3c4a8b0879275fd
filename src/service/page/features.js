// Shows the features of one symbol as charts. The address holds every choice, so a link shows the same charts.
import {ask, path, sleep} from './api.js';
import {drawCharts} from './chart.js';
import {empty, field, fill, h, heading, problem, problemOfView, search} from './dom.js';
import {barTime, percent, plural} from './format.js';
import {link, rewrite} from './router.js';
import {readRows, timeOf} from './series.js';
import {loadSets} from './sets.js';

// Without a choice, a set shows its first outputs: a page of thirty charts says nothing at once.
const FIRST = 3;

/** The view at #/features/{set}/{symbol}/{outputs}?from=&until=&zoom= */
export function features([setName = '', symbolName = '', outputs = ''], query, signal) {
  const chosen = {set: setName, symbol: symbolName, from: query.get('from') || '', until: query.get('until') || '',
    zoom: query.get('zoom') || '', outputs: outputs.split(',').filter(Boolean)};
  const symbol = search('AAPL', {required: true});
  const set = h('select', {}, h('option', {value: chosen.set}, chosen.set || 'choose'));
  const from = h('input', {type: 'date', value: chosen.from});
  const until = h('input', {type: 'date', value: chosen.until});
  symbol.value = chosen.symbol;
  const picks = h('div.checks.picks');
  const state = h('div.status', {role: 'status'});
  const place = h('div');
  let known = [];
  let turn = new AbortController();
  let charts = null;

  const outputsOf = name => known.find(item => item.name === name)?.outputs || [];
  const save = () => rewrite(['features', chosen.set, chosen.symbol, chosen.outputs.join(',')],
    {from: chosen.from, until: chosen.until, zoom: chosen.zoom});

  function drawPicks() {
    const all = outputsOf(chosen.set).filter(output => output.name !== 'close');
    if (!chosen.outputs.length) chosen.outputs = all.slice(0, FIRST).map(output => output.name);
    fill(picks, all.map(output => h('label.check', {title: output.description},
      h('input', {type: 'checkbox', value: output.name, checked: chosen.outputs.includes(output.name), onchange: pick}),
      output.name, output.label && h('span.tag', {title: 'A label looks ahead.'}, 'label'))));
  }

  function pick() {
    chosen.outputs = [...picks.querySelectorAll('input:checked')].map(box => box.value);
    save();
    load();
  }

  function clear(...content) {
    charts?.destroy();
    charts = null;
    fill(place, ...content);
  }

  /** Says which job computes the rows. A job that has ended without them is an error. */
  async function tellJob(id, current) {
    const {data} = await ask(path(['jobs', id]), {signal: current});
    const job = h('a', {href: link(['jobs', id])}, `job ${id}`);
    if (['failed', 'dead', 'cancelled'].includes(data.state)) {
      throw Object.assign(new Error(), {title: `The job ${data.state === 'cancelled' ? 'was cancelled' : 'failed'}`,
        kind: data.error?.kind, detail: data.error?.message || `Job ${id} has no rows.`, hint: data.error?.hint, job});
    }
    const share = data.state === 'running' ? `, ${percent(data.progress)}` : '';
    fill(state, h('span.busy', {}, 'The server computes these features: '), job, ` is ${data.state}${share}.`);
  }

  async function rowsOf(name, columns, current) {
    const asked = {from: chosen.from, until: chosen.until, columns: columns.join(','), wait: 5};
    for (;;) {
      const answer = await ask(path(['features', chosen.symbol, name], asked), {signal: current});
      if (answer.status !== 202) return answer.data.rows || [];
      await tellJob(answer.data.job_id, current);
      await sleep(answer.retry * 1000, current);
    }
  }

  const has = (name, ...all) => all.every(one => outputsOf(name).some(output => output.name === one));

  /** The set that has the prices: the chosen one if it has a close, or one that has whole bars. */
  function priceSet() {
    if (has(chosen.set, 'close')) return chosen.set;
    return known.find(({name}) => has(name, 'open', 'high', 'low', 'close'))?.name;
  }

  /** The rows of the chosen outputs, with the close of another set if the chosen one has none. */
  async function pricedRows(columns, current) {
    const other = priceSet();
    if (!other || other === chosen.set) return rowsOf(chosen.set, columns, current);
    const own = columns.filter(name => name !== 'close');
    // Features are shown without the prices if these cannot be had.
    const prices = rowsOf(other, ['close'], current).catch(() => []);
    const rows = await rowsOf(chosen.set, own, current);
    const closes = new Map((await prices).map(row => [timeOf(row, ['close']), row.close]));
    return rows.map(row => ({...row, close: closes.get(timeOf(row, own)) ?? null}));
  }

  async function load() {
    turn.abort();
    turn = new AbortController();
    const current = AbortSignal.any([signal, turn.signal]);
    const hasClose = priceSet() !== undefined;
    const columns = [...hasClose ? ['close'] : [], ...chosen.outputs];
    if (!chosen.set || !chosen.symbol) return clear(empty('Choose a set and a symbol.'));
    if (!chosen.outputs.length && priceSet() !== chosen.set) return clear(empty('Choose one output at least.'));
    fill(state, h('span.busy', {}, 'The features are loading.'));
    try {
      const rows = await pricedRows(columns, current);
      if (rows.length) show(readRows(rows, columns), hasClose);
      else clear(empty(`${chosen.symbol} has no rows in this range.`));
      if (!rows.length) fill(state);
    } catch (error) {
      if (current.aborted) return;
      fill(state);
      const [, named] = /\bjob ([\w]+-\d+)/.exec(error.detail || '') || [];
      const job = error.job || named && h('a', {href: link(['jobs', named])}, `job ${named}`);
      const again = h('button', {type: 'button', onclick: load}, 'Try again');
      clear(problem(error, h('div.actions', {}, again, job)));
    }
  }

  function show(data, hasClose) {
    const {x, daily, gaps} = data;
    const [first, last] = [barTime(x[0], daily), barTime(x.at(-1), daily)];
    const missing = gaps.length ? plural(gaps.length, 'time gap') : 'no time gaps';
    fill(state, `${plural(x.length, 'row')} from ${first} to ${last} UTC · ${missing}`, key());
    const next = drawCharts(data, range => {
      chosen.zoom = range ? [range.min, range.max].map(at => Math.round(at)).join('_') : '';
      save();
    }, hasClose ? 'close' : null);
    const [min, max] = chosen.zoom.split('_').map(Number);
    clear(next.element, gapList(data));
    charts = next;
    if (max > min) next.zoom(min, max);
  }

  function submit(event) {
    event.preventDefault();
    const other = set.value !== chosen.set;
    Object.assign(chosen, {set: set.value, symbol: symbol.value.trim()});
    Object.assign(chosen, {from: from.value, until: until.value, zoom: ''});
    if (other) chosen.outputs = [];
    document.title = `${name(chosen)} · windrow`;
    drawPicks();
    save();
    load();
  }

  loadSets(signal).then(found => {
    known = found;
    const others = found.map(item => item.name).filter(value => value !== chosen.set);
    set.append(...others.map(value => h('option', {value}, value)));
    drawPicks();
    load();
  }).catch(error => signal.aborted || clear(problemOfView(error)));
  set.addEventListener('change', submit);
  signal.addEventListener('abort', () => charts?.destroy());
  const form = h('form.filters', {role: 'search', onsubmit: submit}, field('Symbol', symbol), field('Set', set),
    field('From', from), field('Until', until), h('button.main', {type: 'submit'}, 'Show'));
  return {title: name(chosen), element: h('section', {}, heading('Features'), form, picks, state, place)};
}

/** The title of the view, which names the entry in the history of the browser. */
function name({symbol, set}) {
  return [symbol, set].filter(Boolean).join(' · ') || 'Features';
}

/** What the marks of the charts mean. */
function key() {
  const item = (kind, text) => h('span.key', {}, h(`i.${kind}`), text);
  return h('span.keys', {}, item('warm', 'warm-up, or no value yet'), item('null', 'NULL'), item('gap', 'missing rows'));
}

/** The marks of the charts as text. */
function gapList({x, daily, gaps, panels}) {
  const at = row => barTime(x[row], daily);
  const missing = gaps.map(([a, b]) => ['missing rows', `between ${at(a)} and ${at(b)}`]);
  const lacks = panels.flatMap(({name, first, holes}) => [
    ...first > 0 ? [[name, `warm-up of ${plural(first, 'row')}, until ${at(first - 1)}`]] : [],
    ...holes.map(([a, b]) => [name, `NULL in ${plural(b - a + 1, 'row')}, ${at(a)} to ${at(b)}`]),
  ]);
  const items = [...missing, ...lacks];
  return items.length > 0 && h('details', {}, h('summary', {}, 'Warm-up and gaps as a list'),
    h('ul.gaps', {}, items.map(([name, text]) => h('li', {}, h('b', {}, name), ' ', text))));
}
