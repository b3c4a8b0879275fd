// Shows what the service says about itself: each check, the depth of the queue, and the version.
import {ask, poll} from './api.js';
import {fill, h, heading, keyed, problem, setText, table} from './dom.js';
import {count} from './format.js';
import {badge, setState} from './jobtable.js';
import {calm, warn} from './notice.js';

function checkRow([name]) {
  const state = badge('unknown');
  const latency = h('td.num.wide');
  const detail = h('td.text');
  const element = h('tr', {}, h('th.rowhead', {scope: 'row'}, name), h('td', {}, state), latency, detail);
  const update = ([, check]) => {
    setState(state, check.state);
    setText(latency, check.latency_ms == null ? '–' : check.latency_ms.toFixed(1) + ' ms');
    setText(detail, check.detail);
  };
  return {element, update};
}

/** The view at #/health */
export function health(parts, query, signal) {
  const status = badge('unknown');
  const depth = h('dd.num-left');
  const version = h('dd');
  const facts = h('dl.facts', {}, h('dt', {}, 'Status'), h('dd', {}, status), h('dt', {}, 'Queue'), depth,
    h('dt', {}, 'Version'), version);
  const rows = h('tbody');
  const heads = [['Check', 'c-name'], ['State', 'c-state'], ['Latency', 'c-time num wide'], ['Detail', 'c-text']];
  const list = table('Checks', heads, rows);
  const body = h('div', {hidden: true}, facts, h('h2', {}, 'Checks'), list);
  const place = h('div');

  async function load() {
    const {data} = await ask('health', {signal}).catch(error => {
      if (error.body?.checks) return {data: error.body}; // A status of 503 may come with the checks.
      throw error;
    });
    calm();
    fill(place);
    body.hidden = false;
    setState(status, data.status);
    setText(depth, `${count(data.queue_depth ?? 0)} waiting`);
    setText(version, data.version);
    keyed(rows, Object.entries(data.checks || {}), ([name]) => name, checkRow);
  }

  signal.addEventListener('abort', calm);
  poll(load, 5000, signal, error => body.hidden ? fill(place, problem(error)) : warn(error));
  return {title: 'Health', element: h('section', {}, heading('Health'), place, body)};
}
