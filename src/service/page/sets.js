// Lists the feature sets, and shows one set: its outputs and its SQL.
import {ask, path} from './api.js';
import {empty, field, fill, h, heading, problem, search, setText, table} from './dom.js';
import {count, plural} from './format.js';
import {link} from './router.js';
import {colourSql} from './sql.js';

/** All sets with their outputs, by name. */
export async function loadSets(signal) {
  const {data} = await ask('sets', {signal});
  return (data.sets || []).sort((a, b) => a.name.localeCompare(b.name));
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
    const names = set => (set.outputs || []).map(output => output.name);
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
  }).catch(error => signal.aborted || fill(place, problem(error)));
  const filters = h('div.filters', {role: 'search'}, field('Search', words));
  return {title: 'Sets', element: h('section', {}, heading('Sets'), filters, summary, place)};
}

function setRow(set) {
  const outputs = set.outputs || [];
  const labels = outputs.filter(output => output.label).length;
  const lookbacks = outputs.map(output => output.lookback).filter(bars => bars != null);
  return h('tr', {}, h('td.mono', {}, h('a', {href: link(['sets', set.name])}, set.name)),
    h('td.num', {}, count(outputs.length)), h('td.num.wide', {}, labels ? count(labels) : ''),
    h('td.num.wide', {}, lookbacks.length ? count(Math.max(...lookbacks)) : ''),
    h('td.text', {}, set.description), h('td.wide', {}, h('a', {href: link(['features', set.name])}, 'Charts')));
}

function oneSet(name, signal) {
  const place = h('div', {}, empty('The set is loading.'));
  const actions = h('div.actions', {}, h('a.button', {href: link(['features', name])}, 'Show charts'),
    h('a.button', {href: link(['start'], {set: name})}, 'Compute'));
  ask(path(['sets', name]), {signal}).then(({data}) => {
    const outputs = data.outputs || [];
    const list = table('Outputs', [['Output', 'c-name'], ['Type', 'c-type wide'], ['Lookback, rows', 'c-count num'],
      ['Description', 'c-text']], h('tbody', {}, outputs.map(output => outputRow(name, output))));
    const sql = h('pre.sql', {tabindex: '0', role: 'region', 'aria-label': 'SQL'}, colourSql(data.sql || ''));
    fill(place, h('p.lead', {}, data.description), actions, h('h2', {}, plural(outputs.length, 'output')), list,
      h('h2', {}, 'SQL'), sql);
  }).catch(error => signal.aborted || fill(place, problem(error)));
  const crumbs = h('p.crumbs', {}, h('a', {href: '#/sets'}, 'Sets'), ' / ', name);
  return {title: name, element: h('section', {}, crumbs, heading(name), place)};
}

function outputRow(set, output) {
  const mark = output.label && h('span.tag', {title: 'A label looks ahead. It is for training only.'}, 'label');
  return h('tr', {}, h('td.mono', {}, h('a', {href: link(['features', set, '', output.name])}, output.name)),
    h('td.mono.faint.type.wide', {}, output.type), h('td.num', {}, count(output.lookback)),
    h('td.text', {}, mark, output.description));
}
