// Lists the feature sets, and shows one set: its outputs and its SQL.
import {ask, path} from './api.js';
import {empty, field, fill, h, heading, problem, problemOfView, search, setText, table} from './dom.js';
import {count, plural} from './format.js';
import {link} from './router.js';
import {colourSql} from './sql.js';

// The columns that tell the rows of a set apart. They are among its outputs, and nothing draws them.
const KEYS = ['symbol', 'ts'];

function withoutKeys(set) {
  const keys = [set.entity ?? KEYS[0], set.time ?? KEYS[1]];
  return {...set, keys, outputs: (set.outputs || []).filter(output => !keys.includes(output.name))};
}

/** All sets by name, each with the outputs that are no key. */
export async function loadSets(signal) {
  const {data} = await ask('sets', {signal});
  return (data.sets || []).map(withoutKeys).sort((a, b) => a.name.localeCompare(b.name));
}

/** The views at #/sets and #/sets/{name} */
export function sets([name], query, signal) {
  return name ? oneSet(name, signal) : allSets(signal);
}

function allSets(signal) {
  const words = search('name, output or description', {size: 28});
  const body = h('tbody');
  const list = table('Sets', [['Set', 'c-name'], ['Outputs', 'c-count num'], ['Labels', 'c-count num wide'],
    ['Longest lookback, rows', 'c-count num wide'], ['Description', 'c-text'], ['', 'wide']], body);
  const place = h('div', {}, empty('The sets are loading.'));
  const summary = h('p.summary', {}, ' ');
  let found = [];

  function draw() {
    const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const names = set => set.outputs.map(output => output.name);
    const text = set => [set.name, set.description, ...names(set)].join(' ').toLowerCase();
    const kept = found.filter(set => asked.every(word => text(set).includes(word)));
    setText(summary, (asked.length ? `${count(kept.length)} of ` : '') + plural(found.length, 'set'));
    fill(body, kept.map(setRow));
    fill(place, kept.length ? list : empty(found.length ? 'No set has all of these words.' : 'The server has no sets.'));
  }

  words.addEventListener('input', draw);
  loadSets(signal).then(all => {
    found = all;
    draw();
  }).catch(error => signal.aborted || fill(place, problemOfView(error)));
  const filters = h('div.filters', {role: 'search'}, field('Search', words));
  return {title: 'Sets', element: h('section', {}, heading('Sets'), filters, summary, place)};
}

function setRow(set) {
  const {outputs} = set;
  const labels = outputs.filter(output => output.label).length;
  const lookbacks = outputs.map(output => output.lookback).filter(bars => bars != null);
  return h('tr', {}, h('td.mono', {}, h('a', {href: link(['sets', set.name])}, set.name)),
    h('td.num', {}, count(outputs.length)), h('td.num.wide', {}, labels ? count(labels) : ''),
    h('td.num.wide', {}, lookbacks.length ? count(Math.max(...lookbacks)) : ''),
    h('td.text', {}, set.description, set.error && h('p.bad', {}, set.error)), h('td.wide', {}, h('a', {href: link(['features', set.name])}, 'Charts')));
}

function oneSet(name, signal) {
  const place = h('div', {}, empty('The set is loading.'));
  const actions = h('div.actions', {}, h('a.button', {href: link(['features', name])}, 'Show charts'),
    h('a.button', {href: link(['start'], {set: name})}, 'Compute'));
  ask(path(['sets', name]), {signal}).then(({data}) => {
    const {outputs, keys} = withoutKeys(data);
    const list = table('Outputs', [['Output', 'c-name'], ['Type', 'c-type wide'], ['Lookback, rows', 'c-count num'],
      ['Description', 'c-text']], h('tbody', {}, outputs.map(output => outputRow(name, output))));
    const sql = h('pre.sql', {tabindex: '0', role: 'region', 'aria-label': 'SQL'}, colourSql(data.sql || ''));
    const documented = [h('h2', {}, plural(outputs.length, 'output'), h('small.faint', {}, `for each ${keys.join(' and ')}`)), list];
    const wrong = data.error && problem({title: 'This set cannot be planned now', detail: data.error});
    fill(place, h('p.lead', {}, data.description), wrong || [actions, ...documented], h('h2', {}, 'SQL'), sql);
  }).catch(error => signal.aborted || fill(place, problemOfView(error)));
  const crumbs = h('p.crumbs', {}, h('a', {href: '#/sets'}, 'Sets'), ' / ', name);
  return {title: name, element: h('section', {}, crumbs, heading(name), place)};
}

function outputRow(set, output) {
  const mark = output.label && h('span.tag', {title: 'A label looks ahead. It is for training only.'}, 'label');
  return h('tr', {}, h('td.mono', {}, h('a', {href: link(['features', set, '', output.name])}, output.name)),
    h('td.mono.faint.type.wide', {}, output.type), h('td.num', {}, count(output.lookback)),
    h('td.text', {}, mark, output.description));
}
