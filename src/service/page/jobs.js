// Lists the jobs that run and the newest others, and asks for them every two seconds while the page is visible.
import {ask, path, poll} from './api.js';
import {empty, field, fill, h, heading, problem, search, setText} from './dom.js';
import {plural} from './format.js';
import {STATES, cancel, jobTable} from './jobtable.js';
import {calm, warn} from './notice.js';
import {rewrite} from './router.js';
import {loadSets} from './sets.js';

const STEP = 100;
// The server lists no more at once.
const MOST = 1000;

/** The view at #/jobs?state=&set=&symbol= */
export function jobs(parts, query, signal) {
  const filter = {state: query.get('state') || '', set: query.get('set') || '', symbol: query.get('symbol') || ''};
  let limit = STEP;
  let turn = new AbortController();

  const option = value => h('option', {value}, value || 'all');
  const state = h('select', {}, ['', ...STATES].map(option));
  const set = h('select', {}, [...new Set(['', filter.set])].map(option));
  const symbol = search('all');
  state.value = filter.state;
  set.value = filter.set;
  symbol.value = filter.symbol;

  const summary = h('p.summary', {}, 'The jobs are loading.');
  const place = h('div');
  const more = h('button', {type: 'button', hidden: true, onclick: () => {
    limit += STEP;
    restart();
  }}, 'Show more');
  const stop = async id => {
    await cancel(['jobs', id], warn);
    restart();
  };
  const list = jobTable('Jobs', stop);
  let shown = false;

  async function load(current) {
    const some = (state, most) => ask(path(['jobs'], {...filter, state, limit: most}), {signal: current});
    const asked = [some(filter.state, limit), !filter.state && some('running', STEP)];
    const [{data}, running] = await Promise.all(asked);
    calm();
    // Jobs that run come first: with a long queue they are not among the newest.
    const found = [...new Map([...running?.data?.jobs || [], ...data.jobs || []].map(job => [job.job_id, job])).values()];
    setText(summary, sum(found, data.next));
    more.hidden = !data.next || limit >= MOST;
    list.update(found);
    if (found.length && !shown) fill(place, list.element);
    if (!found.length) fill(place, nothing(filter));
    shown = found.length > 0;
  }

  function restart() {
    turn.abort();
    turn = new AbortController();
    const both = AbortSignal.any([signal, turn.signal]);
    poll(() => load(both), 2000, both, error => {
      if (shown) return warn(error);
      setText(summary, '');
      fill(place, problem(error));
    });
  }

  function refilter() {
    Object.assign(filter, {state: state.value, set: set.value, symbol: symbol.value.trim()});
    limit = STEP;
    rewrite(['jobs'], filter);
    restart();
  }
  let typed = 0;
  symbol.addEventListener('input', () => {
    clearTimeout(typed);
    typed = setTimeout(refilter, 250);
  });
  for (const select of [state, set]) select.addEventListener('change', refilter);

  loadSets(signal).then(found => {
    set.append(...found.map(item => item.name).filter(name => name !== filter.set).map(option));
  }, () => {});
  signal.addEventListener('abort', calm);
  restart();

  const filters = h('div.filters', {role: 'search'}, field('Symbol', symbol), field('Set', set), field('State', state));
  const begin = h('a.button', {href: '#/start'}, 'Start a computation');
  return {title: 'Jobs', element: h('section', {}, heading('Jobs', begin), filters, summary, place, more)};
}

function sum(found, next) {
  const parts = STATES.map(state => [found.filter(job => job.state === state).length, state]);
  const states = parts.filter(([many]) => many).map(([many, state]) => `${many} ${state}`);
  const shown = plural(found.length, 'job') + (next ? ' shown' : '');
  return [shown, ...states].join(' · ');
}

function nothing(filter) {
  const filtered = Object.values(filter).some(Boolean);
  if (filtered) return empty('No job passes the filter. The symbol has to be the whole symbol.');
  return empty('The queue has no jobs yet. ', h('a', {href: '#/start'}, 'Start a computation'));
}
