// Lists the targets and the runs that they hold, with the audits of each run.
import {ask} from './api.js';
import {empty, field, fill, h, heading, problem, problemOfView, search, setText, table} from './dom.js';
import {count, moment, plural, seconds} from './format.js';
import {link} from './router.js';

// A target shows this many runs, and the rest when it is asked to.
const SHOWN = 5;

/** The view at #/runs?target= */
export function runs(parts, query, signal) {
  const words = search('name or location', {size: 28});
  words.value = query.get('target') || '';
  const summary = h('p.summary', {}, ' ');
  const place = h('div', {}, empty('The targets are loading.'));
  let targets = [];

  function draw() {
    const word = words.value.trim().toLowerCase();
    const kept = targets.filter(target => `${target.name} ${target.location}`.toLowerCase().includes(word));
    const failed = kept.filter(target => target.runs?.[0] && broken(target.runs[0]).length).length;
    const alarm = failed ? `, ${failed} with a failed audit in the newest run` : '';
    setText(summary, plural(kept.length, 'target') + alarm);
    if (kept.length) fill(place, kept.map(oneTarget));
    else fill(place, empty(targets.length ? 'No target has this name or location.' : 'The server has no targets.'));
  }

  words.addEventListener('input', draw);
  ask('targets', {signal}).then(({data}) => {
    targets = data.targets || [];
    draw();
  }).catch(error => signal.aborted || fill(place, problemOfView(error)));
  const filters = h('div.filters', {role: 'search'}, field('Search', words));
  return {title: 'Runs', element: h('section', {}, heading('Runs of targets'), filters, summary, place)};
}

function broken(run) {
  return (run.audits || []).filter(audit => audit.result === 'failed');
}

function oneTarget(target) {
  const all = [...target.runs || []].sort((a, b) => String(b.committed).localeCompare(String(a.committed)));
  const body = h('tbody', {}, all.slice(0, SHOWN).map(runRow));
  const list = table(`Runs of ${target.name}`, [['Committed (UTC)', 'c-created'], ['Set', 'c-set wide'],
    ['Rows', 'c-rows num'], ['Symbols in target', 'c-count num wide'], ['Time', 'c-time num wide'], ['Audits', 'c-audits'],
    ['Run', 'c-run wide']], body);
  list.classList.add('runs');
  const more = all.length > SHOWN && h('button.small', {type: 'button', onclick: () => {
    body.append(...all.slice(SHOWN).map(runRow));
    more.remove();
  }}, `Show ${plural(all.length - SHOWN, 'older run')}`);
  return h('section.target', {}, h('h2', {}, target.name, h('span.mono.faint', {}, target.location)),
    target.error && problem({title: 'This target cannot be read now', detail: target.error}),
    all.length ? list : !target.error && empty('No run has committed to this target yet.'), more);
}

function runRow(run) {
  const symbols = Array.isArray(run.symbols) ? run.symbols.length : run.symbols;
  return h('tr', {}, h('td.num-left', {}, moment(run.committed)),
    h('td.clip.wide', {}, h('a', {href: link(['sets', run.set])}, run.set)), h('td.num', {}, count(run.rows)),
    h('td.num.wide', {}, count(symbols)), h('td.num.wide', {}, seconds(run.seconds)), h('td', {}, audits(run)),
    h('td.clip.mono.faint.wide', {title: run.run}, run.run));
}

function audits(run) {
  const all = run.audits || [];
  if (!all.length) return h('span.faint', {}, 'none');
  const failed = broken(run);
  const passed = all.filter(audit => audit.result === 'passed').length;
  const text = failed.length ? `${failed.length} of ${all.length} failed` : `${passed} of ${all.length} passed`;
  const kinds = {passed: 'ok', failed: 'bad'};
  const item = audit => h('li', {class: kinds[audit.result] ?? 'faint'}, `${audit.result} `, h('code', {}, audit.audit));
  const summary = h('summary', {class: failed.length ? 'bad' : passed === all.length ? 'ok' : ''}, text);
  return h('details', {open: failed.length > 0}, summary, h('ul', {}, all.map(item)));
}
