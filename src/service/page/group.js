// Shows the jobs of one group live: one answer with all jobs, then the events of the group.
import {ask, events, path, poll} from './api.js';
import {fill, h, heading, problem, setText} from './dom.js';
import {count, plural, seconds} from './format.js';
import {badge, cancel, jobTable, progress, setState} from './jobtable.js';
import {calm, warn} from './notice.js';

// A group may have thousands of jobs. The table shows the first of them, and each that failed.
const ROWS = 500;

/** The view at #/groups/{id}?estimate={seconds} */
export function group([id], query, signal) {
  const jobs = new Map();
  const state = badge('running');
  const bar = progress();
  const counts = h('span');
  const estimate = Number(query.get('estimate'));
  const about = h('p.summary', {hidden: true}, `The server expected ${seconds(estimate)} for this group.`);
  const list = jobTable('Jobs of the group', one => cancel(['jobs', one], warn));
  list.element.classList.add('one-group');
  const stop = h('button', {type: 'button', hidden: true, onclick: async () => {
    stop.disabled = true;
    await cancel(['groups', id], warn);
    stop.disabled = false;
  }}, 'Cancel what is left');
  const cut = h('p.faint', {hidden: true});
  const body = h('div', {hidden: true}, h('p.line', {}, state, bar.element, counts), about, list.element, cut);
  const place = h('div');
  let drawn = 0;
  let last = null;

  /** Draws once a frame, however many events come. */
  function draw() {
    cancelAnimationFrame(drawn);
    drawn = requestAnimationFrame(() => {
      const failed = job => job.state === 'failed' || job.state === 'dead';
      const all = [...jobs.values()];
      list.update(all.filter((job, at) => at < ROWS || failed(job)));
      cut.hidden = all.length <= ROWS;
      setText(cut, `The table shows the first ${count(ROWS)} of ${plural(all.length, 'job')}, and each that failed.`);
    });
  }

  function showGroup(data) {
    const ended = (data.done || 0) + (data.failed || 0);
    setState(state, data.state);
    bar.set(data.total ? ended / data.total : 1);
    setText(counts, `${count(data.done)} of ${plural(data.total, 'job')} done, ${count(data.failed)} failed or cancelled`);
    stop.hidden = data.state !== 'running';
    about.hidden = !estimate || data.state !== 'running';
  }

  /** One turn: the whole group, then its events until the stream ends. */
  async function follow() {
    const {data} = await ask(path(['groups', id]), {signal});
    let running = data.state === 'running';
    calm();
    fill(place);
    body.hidden = false;
    for (const job of data.jobs || []) jobs.set(job.job_id, job);
    showGroup(data);
    draw();
    if (!running) return false;
    await events(path(['groups', id, 'events']), signal, last, (name, value, event) => {
      last = event ?? last;
      if (name === 'job') jobs.set(value.job_id, value);
      if (name === 'group') {
        showGroup(value);
        running = value.state === 'running';
      }
      draw();
    });
    return running;
  }

  signal.addEventListener('abort', calm);
  poll(follow, 2000, signal, error => body.hidden ? fill(place, problem(error)) : warn(error));
  const title = `Group ${id}`;
  const back = h('a', {href: '#/jobs'}, 'Jobs');
  return {title, element: h('section', {}, h('p.crumbs', {}, back, ' / ', id), heading(title, stop), place, body)};
}
