// Shows jobs as rows that are updated in place, so that focus and scroll place survive each answer.
import {ask, path} from './api.js';
import {h, keyed, setText, table} from './dom.js';
import {count, moment, percent, seconds} from './format.js';
import {link} from './router.js';

/** The states of a job, in the order of its life. */
export const STATES = ['queued', 'running', 'done', 'failed', 'dead', 'cancelled'];

/** Whether a job may still change. */
export function isOpen(job) {
  return job.state === 'queued' || job.state === 'running';
}

/** A state as a word with a coloured dot. */
export function badge(state) {
  const element = h('span');
  setState(element, state);
  return element;
}

/** Changes the state that a badge shows. */
export function setState(element, state) {
  setText(element, state);
  element.className = `state ${String(state).replace(/\W/g, '')}`;
}

/** A bar with its percentage beside it. */
export function progress() {
  const bar = h('progress', {max: 1, value: 0, 'aria-hidden': 'true'});
  const text = h('span.num');
  const set = share => {
    bar.value = share || 0;
    setText(text, percent(share));
  };
  return {element: h('span.progress', {}, bar, text), set};
}

/** Asks the server to stop a job or a group, such as ['jobs', id]. */
export async function cancel(what, failed) {
  try {
    await ask(path(what), {method: 'DELETE'});
  } catch (error) {
    failed(error);
  }
}

const HEADS = [
  ['State', 'c-state'], ['Symbol', 'c-symbol'], ['Set', 'c-set'], ['Progress or error', 'wide'],
  ['Time', 'c-time num'], ['Retries', 'c-tries num wide'], ['Priority', 'c-priority wide'],
  ['Created (UTC)', 'c-created wide'], ['Group', 'c-group wide'], ['', 'c-action'],
];

/** Changes a link and its text. A text that is cut off can be read in the title. */
function setLink(anchor, parts, text) {
  setText(anchor, text);
  anchor.title = text ?? '';
  anchor.setAttribute('href', link(parts));
}

function jobRow(id, stop) {
  const state = badge('queued');
  const [symbol, set, group] = [h('a'), h('a'), h('a')];
  const bar = progress();
  const error = h('span.error');
  const [time, tries, priority, created] = [h('td.num'), h('td.num.wide'), h('td.wide'), h('td.num-left.wide')];
  const button = h('button.small', {type: 'button', onclick: async () => {
    button.disabled = true;
    await stop(id);
    button.disabled = false;
  }}, h('span.wide', {}, 'Cancel'), h('span.narrow', {}, '×'));
  const element = h('tr', {}, h('td', {}, state), h('td.clip', {}, symbol), h('td.clip', {}, set),
    h('td.clip.wide', {}, bar.element, error), time, tries, priority, created, h('td.clip.mono.wide', {}, group),
    h('td', {}, button));

  const update = item => {
    setState(state, item.state);
    setLink(symbol, ['jobs', id], item.symbol ?? 'all');
    setLink(set, ['features', item.set, item.symbol ?? ''], item.set);
    setLink(group, ['groups', item.group_id ?? ''], item.group_id);
    bar.set(item.progress);
    bar.element.hidden = item.state !== 'running';
    setText(error, item.error?.message);
    error.title = item.error?.message ?? '';
    setText(time, seconds(item.seconds));
    setText(tries, count(item.attempts));
    setText(priority, item.priority);
    setText(created, moment(item.created));
    button.hidden = !isOpen(item);
    button.setAttribute('aria-label', `Cancel ${item.symbol ?? 'all symbols'}, ${item.set}`);
  };
  return {element, update};
}

/** A table of jobs. `stop` is called with the id of the job that a button cancels. */
export function jobTable(label, stop) {
  const body = h('tbody');
  const element = table(label, HEADS, body);
  element.classList.add('jobs');
  const update = jobs => keyed(body, jobs, job => job.job_id, job => jobRow(job.job_id, stop));
  return {element, update};
}
