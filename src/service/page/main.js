// Starts the page: the views, the keys, and the mark that says whether the server answers.
import {onLink} from './api.js';
import {empty, h, heading, setText} from './dom.js';
import {route} from './router.js';
import {jobs} from './jobs.js';
import {job} from './job.js';
import {group} from './group.js';
import {start} from './start.js';
import {sets} from './sets.js';
import {features} from './features.js';
import {runs} from './runs.js';
import {health} from './health.js';

const main = document.getElementById('main');

/** The view of an address that no other view has. */
function missing() {
  const back = h('a', {href: '#/jobs'}, 'To the jobs');
  const element = h('section', {}, heading('Not found'), empty('No view has this address. ', back));
  return {title: 'Not found', element};
}

const views = {
  jobs: (parts, ...rest) => (parts.length ? job : jobs)(parts, ...rest),
  groups: group, start, sets, features, runs, health, missing,
};
group.nav = start.nav = 'jobs';

const mark = document.getElementById('link');
onLink(reached => {
  mark.className = reached ? 'link up' : 'link down';
  setText(mark, reached ? 'connected' : 'no answer');
});

document.getElementById('skip').addEventListener('click', event => {
  event.preventDefault();
  main.focus();
});

document.addEventListener('keydown', event => {
  const typing = event.target.closest('input, textarea, select, dialog');
  if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = main.querySelector('[data-search]');
  if (!search) return;
  event.preventDefault();
  search.focus();
  search.select?.();
});

route(views, main, document.getElementById('nav'));
