// Starts a computation: the form behind POST /compute/batch.
import {ask} from './api.js';
import {empty, field, fill, h, heading, problem} from './dom.js';
import {link} from './router.js';
import {loadSets} from './sets.js';

/** "AAPL, BRK/B\n^GSPC" -> the three symbols. A symbol may hold spaces, so these separate nothing. */
function splitSymbols(text) {
  return [...new Set(text.split(/[\n,]/).map(part => part.trim()).filter(Boolean))];
}

/** "n = 5" on each line -> {n: 5}. What is not JSON is a text. */
function readParams(text) {
  const params = {};
  for (const line of text.split('\n').filter(line => line.trim())) {
    const [, name, value] = /^\s*(\w+)\s*=\s*(.*?)\s*$/.exec(line) || [];
    if (!name) throw new Error(`Each parameter needs the form name = value: ${line.trim()}`);
    try {
      params[name] = JSON.parse(value);
    } catch {
      params[name] = value;
    }
  }
  return params;
}

/** The names of the targets, which are among the checks of the service. */
async function targetNames(signal) {
  const {data} = await ask('health', {signal}).catch(error => ({data: error.body || {}}));
  return Object.keys(data.checks || {}).filter(name => name.startsWith('target:')).map(name => name.slice(7));
}

/** The view at #/start?set=&symbol= */
export function start(parts, query, signal) {
  const sets = h('div.checks', {}, empty('The sets are loading.'));
  const symbols = h('textarea', {rows: 4, spellcheck: false, placeholder: 'AAPL\nBRK/B', 'data-search': ''});
  symbols.value = query.get('symbol') || '';
  const priority = h('select', {}, ['high', 'normal', 'low'].map(value => h('option', {value}, value)));
  priority.value = 'normal';
  const from = h('input', {type: 'date'});
  const until = h('input', {type: 'date'});
  const target = h('select', {}, h('option', {value: ''}, 'none: to the cache'));
  const params = h('textarea', {rows: 2, spellcheck: false, placeholder: 'changes = [1, 5, 21]'});
  const answer = h('div');
  const submit = h('button.main', {type: 'submit'}, 'Start');

  loadSets(signal).then(found => {
    if (!found.length) return fill(sets, empty('The server has no sets.'));
    fill(sets, found.map(set => h('label.check', {title: set.description},
      h('input', {type: 'checkbox', name: 'set', value: set.name, checked: set.name === query.get('set')}), set.name)));
  }).catch(error => signal.aborted || fill(sets, problem(error)));

  targetNames(signal).then(names => target.append(...names.map(name => h('option', {value: name}, name))), () => {});

  async function send(event) {
    event.preventDefault();
    const chosen = [...sets.querySelectorAll('input:checked')].map(box => box.value);
    submit.disabled = true;
    try {
      if (!chosen.length) throw new Error('Choose one set at least.');
      const list = splitSymbols(symbols.value);
      const body = {symbols: list.length ? list : null, feature_types: chosen, priority: priority.value};
      for (const [name, input] of Object.entries({from, until, target})) if (input.value) body[name] = input.value;
      if (params.value.trim()) body.params = readParams(params.value);
      const {data} = await ask('compute/batch', {method: 'POST', body, signal});
      location.hash = link(['groups', data.group_id], {estimate: data.estimated_completion_time});
    } catch (error) {
      if (signal.aborted) return;
      const sent = error.status !== undefined;
      fill(answer, problem(sent ? error : {title: 'Not sent', detail: error.message}));
    } finally {
      submit.disabled = false;
    }
  }

  const form = h('form.form', {onsubmit: send},
    h('fieldset', {}, h('legend', {}, 'Sets'), sets),
    field('Symbols', symbols, 'One on each line, or with commas. No symbol means all symbols of the source.'),
    h('div.filters', {}, field('Priority', priority), field('From', from), field('Until', until)),
    h('details', {}, h('summary', {}, 'Target and parameters'),
      field('Target', target, 'Rows in the cache are there for requests. Rows in a target are there for everybody.'),
      field('Parameters', params, 'One on each line: name = value. Empty: the defaults of the set.')),
    h('div.actions', {}, submit, h('a', {href: '#/jobs'}, 'Back to the jobs')), answer);
  return {title: 'Start a computation', element: h('section', {}, heading('Start a computation'), form)};
}
