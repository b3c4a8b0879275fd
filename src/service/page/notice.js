// Says at the foot of the window that something failed, so that nothing above it moves.
import {h, setText} from './dom.js';

let bar = null;

/** Takes the notice away. */
export function calm() {
  bar?.remove();
  bar = null;
}

/** Shows an error until the next `calm`, or until it is dismissed. */
export function warn(error) {
  const text = [error.title, error.detail || error.message, error.hint].filter(Boolean).join(' · ');
  if (!bar) {
    const close = h('button.small', {type: 'button', onclick: calm}, 'Dismiss');
    bar = h('div.notice', {role: 'alert'}, h('span', {}), close);
    document.body.append(bar);
  }
  setText(bar.firstChild, text);
}
