// Maps the hash of the address to a view: #/features/momentum/BRK%2FB/rsi_14?from=2024-01-01
import {path} from './api.js';

/** Makes the hash of a view. Parts may hold any character; empty values of the query are left out. */
export function link(parts, query = {}) {
  return '#/' + path(parts, query);
}

/** Reads the hash: its parts, decoded, and its query. */
export function read(hash = location.hash) {
  const [parts, search = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const decode = part => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  };
  return {parts: parts.replace(/\/+$/, '').split('/').map(decode), query: new URLSearchParams(search)};
}

/** Changes the address without a new view, so that a filter can be shared as a link. */
export function rewrite(parts, query) {
  const next = link(parts, query);
  if (next !== location.hash) history.replaceState(null, '', next);
}

/** Shows the view of the hash, and again whenever the hash changes. A view gets a signal that ends it. */
export function route(views, main, nav) {
  let leave = new AbortController();
  let first = true;
  const show = () => {
    if (location.hash && !location.hash.startsWith('#/')) return;
    leave.abort(new DOMException('The view was left.', 'AbortError'));
    leave = new AbortController();
    const {parts, query} = read();
    const name = parts[0] || 'jobs';
    const view = views[name] || views.missing;
    for (const anchor of nav.querySelectorAll('a')) {
      const here = anchor.getAttribute('href') === '#/' + (view.nav || name);
      if (here) anchor.setAttribute('aria-current', 'page');
      else anchor.removeAttribute('aria-current');
    }
    const {title, element} = view(parts.slice(1), query, leave.signal);
    document.title = `${title} · windrow`;
    main.replaceChildren(element);
    window.scrollTo(0, 0);
    if (!first) main.querySelector('h1')?.focus({preventScroll: true});
    first = false;
  };
  window.addEventListener('hashchange', show);
  show();
}
