// Builds elements. Text becomes a text node, never HTML, so a symbol such as "<img ...>" stays text.

/** Makes an element: h('a.quiet', {href: '#/jobs', onclick: stop}, 'text', child, ...). */
export function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split('.');
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(' ');
  for (const [key, value] of Object.entries(props)) {
    if (value == null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (key in element && typeof value !== 'string') element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.flat().filter(child => child != null && child !== false));
  return element;
}

/** Replaces what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter(child => child != null && child !== false));
  return element;
}

/** Sets text only if it differs, so that a selection by the mouse survives a poll. */
export function setText(element, text) {
  const next = text == null ? '' : String(text);
  if (element.textContent !== next) element.textContent = next;
}

/** Brings the children of `parent` in line with `items`: one element a key, kept and updated in place. */
export function keyed(parent, items, key, make) {
  const old = parent.rowsByKey || new Map();
  const rows = new Map();
  let at = parent.firstElementChild;
  for (const item of items) {
    const row = old.get(key(item)) || make(item);
    rows.set(key(item), row);
    row.update(item);
    if (row.element === at) at = at.nextElementSibling;
    else parent.insertBefore(row.element, at);
  }
  for (const [name, row] of old) if (!rows.has(name)) row.element.remove();
  parent.rowsByKey = rows;
}

/** A table in a box that scrolls sideways. `heads` are ['text', 'class'] pairs. */
export function table(label, heads, ...body) {
  // A column of buttons has no head.
  const cells = heads.map(([text, kind]) => h(text ? 'th' : 'td', {scope: text ? 'col' : null, class: kind}, text));
  return h('div.scroll', {tabindex: '0', role: 'region', 'aria-label': label},
    h('table', {}, h('thead', {}, h('tr', {}, cells)), ...body));
}

/** A labelled field of a form. */
export function field(label, control, note) {
  return h('label.field', {}, h('span', {}, label), control, note && h('small', {}, note));
}

/** The field that the key / focuses. */
export function search(placeholder, props = {}) {
  return h('input', {type: 'search', 'data-search': '', placeholder, size: 14, autocomplete: 'off', spellcheck: false,
    'aria-keyshortcuts': '/', ...props});
}

/** The heading of a view. The router moves the focus to it, so that a screen reader reads it. */
export function heading(text, ...rest) {
  return h('div.head', {}, h('h1', {tabindex: '-1'}, text), ...rest);
}

/** What a list says while it has nothing to show. */
export function empty(text, ...rest) {
  return h('p.empty', {}, text, ...rest);
}

/** An error of a view that asks once, with a button that asks again. */
export function problemOfView(error) {
  const again = h('button', {type: 'button', onclick: () => location.reload()}, 'Try again');
  return problem(error, h('div.actions', {}, again));
}

/** An error, with its kind and the way out if the server names one. */
export function problem(error, ...actions) {
  return h('div.problem', {role: 'alert'},
    h('strong', {}, error.title || 'The request failed'),
    error.kind && h('span.tag', {}, error.kind),
    h('p', {}, error.detail || error.message || String(error)),
    error.hint && h('p.hint', {}, error.hint), ...actions);
}
