// Shows one job with all of its errors, and follows it until it ends.
import {ask, path, poll} from './api.js';
import {fill, h, heading, problem, setText} from './dom.js';
import {count, moment, seconds} from './format.js';
import {badge, cancel, isOpen, progress, setState} from './jobtable.js';
import {calm, warn} from './notice.js';
import {link} from './router.js';

/** A list of names and values, whose values can be changed. */
function facts(names) {
  const values = new Map(names.map(name => [name, h('dd')]));
  const pairs = names.flatMap(name => [h('dt', {}, name), values.get(name)]);
  return {element: h('dl.facts', {}, pairs), set: (name, value) => setText(values.get(name), value ?? '–'), values};
}

function errorItem(error) {
  const parts = [error.at && moment(error.at) + ' UTC', error.jobs > 1 && `${count(error.jobs)} jobs together`];
  const when = parts.filter(Boolean).join(' · ');
  return h('li', {}, h('span.tag', {}, error.kind || 'error'), when && h('span.faint', {}, when),
    h('p', {}, error.message), error.place && h('p.mono.faint', {}, error.place), error.hint && h('p.hint', {}, error.hint));
}

/** The view at #/jobs/{id} */
export function job([id], query, signal) {
  const state = badge('queued');
  const bar = progress();
  const list = facts(['Symbol', 'Set', 'Priority', 'Retries', 'Time', 'Created', 'Started', 'Finished', 'Group', 'Job']);
  const waits = h('p.summary', {hidden: true});
  const errors = h('ol.errors');
  const errorsBox = h('section', {hidden: true}, h('h2', {}, 'Errors'), errors);
  const chart = h('a.button', {}, 'Show the features');
  const stop = h('button', {type: 'button', hidden: true, onclick: async () => {
    stop.disabled = true;
    await cancel(['jobs', id], warn);
    stop.disabled = false;
    await load().catch(warn);
  }}, 'Cancel the job');
  const group = h('a');
  fill(list.values.get('Group'), group);
  const body = h('div', {hidden: true}, h('p.line', {}, state, bar.element), waits, list.element,
    h('div.actions', {}, chart, stop), errorsBox);
  const place = h('div');
  let known = 0;

  async function load() {
    const {data} = await ask(path(['jobs', id]), {signal});
    calm();
    fill(place);
    body.hidden = false;
    setState(state, data.state);
    bar.set(data.progress);
    bar.element.hidden = data.state !== 'running';
    waits.hidden = !data.waits;
    setText(waits, `It waits: ${data.waits}.`);
    list.set('Symbol', data.symbol ?? 'all');
    list.set('Set', data.set);
    list.set('Priority', data.priority);
    list.set('Retries', count(data.attempts));
    list.set('Time', seconds(data.seconds) || null);
    for (const name of ['Created', 'Started', 'Finished']) {
      const time = moment(data[name.toLowerCase()]);
      list.set(name, time && time + ' UTC' || null);
    }
    list.set('Job', data.job_id);
    setText(group, data.group_id);
    group.setAttribute('href', link(['groups', data.group_id ?? '']));
    chart.setAttribute('href', link(['features', data.set, data.symbol ?? '']));
    stop.hidden = !isOpen(data);
    const all = data.errors?.length ? data.errors : data.error ? [data.error] : [];
    errorsBox.hidden = !all.length;
    if (all.length !== known) fill(errors, all.map(errorItem));
    known = all.length;
    return isOpen(data);
  }

  signal.addEventListener('abort', calm);
  poll(load, 2000, signal, error => body.hidden ? fill(place, problem(error)) : warn(error));
  const title = `Job ${id}`;
  const back = h('a', {href: '#/jobs'}, 'Jobs');
  return {title, element: h('section', {}, h('p.crumbs', {}, back, ' / ', id), heading(title), place, body)};
}
