// Asks for the token that the server wants, and keeps it until the tab is closed.
import {h, field} from './dom.js';

const KEY = 'windrow.token';
const forget = document.getElementById('forget');
let open = null;

/** The token of this tab, or nothing. */
export function token() {
  return sessionStorage.getItem(KEY);
}

function keep(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
  forget.hidden = !value;
}

forget.hidden = !token();
forget.addEventListener('click', () => {
  keep(null);
  location.reload();
});

/** Resolves once a token is there that is not `refused`. All requests that wait share one dialog. */
export function askToken(refused) {
  if (token() && token() !== refused) return Promise.resolve();
  if (!open) open = dialog(refused).finally(() => open = null);
  return open;
}

function dialog(refused) {
  const input = h('input', {type: 'password', autocomplete: 'off', required: true, autofocus: true});
  const form = h('form', {},
    h('h2', {}, 'This server wants a token'),
    refused && h('p.bad', {role: 'alert'}, 'The server refused the last token.'),
    field('Token', input, 'This tab keeps it until you close the tab.'),
    h('div.actions', {}, h('button.main', {type: 'submit'}, 'Continue')));
  const box = h('dialog', {'aria-label': 'Token'}, form);
  document.body.append(box);
  box.showModal();
  box.addEventListener('cancel', event => event.preventDefault());
  return new Promise(resolve => form.addEventListener('submit', event => {
    event.preventDefault();
    keep(input.value.trim());
    box.remove();
    resolve();
  }));
}
