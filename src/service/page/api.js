// Talks to the server: requests, the token, problems, polling and server-sent events.
// Addresses are relative to the page, so that the service works behind a prefix.
import {askToken, token} from './token.js';

/** An answer that is not a success: application/problem+json, or no answer at all. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The server answered ${status}.`);
    Object.assign(this, body, {status, body});
  }
}

let tell = () => {};

/** Names the function that hears whether the last request reached the server. */
export function onLink(listener) {
  tell = listener;
}

/** Makes a path of parts that may hold any character, and a query without its empty values. */
export function path(parts, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value != null && value !== '');
  const search = new URLSearchParams(kept).toString();
  const address = parts.map(encodeURIComponent).join('/').replaceAll('%2C', ',');
  return address + (search && '?' + search);
}

async function send(address, options) {
  const headers = {...options.headers};
  const sent = token();
  if (sent) headers.Authorization = 'Bearer ' + sent;
  let response;
  try {
    response = await fetch(new URL(address, document.baseURI), {...options, headers, cache: 'no-store'});
  } catch (error) {
    if (options.signal?.aborted) throw error;
    tell(false);
    throw new Problem(0, {title: 'No answer', detail: 'The server does not answer.'});
  }
  tell(true);
  if (response.status === 401) {
    await askToken(sent);
    return send(address, options);
  }
  if (!response.ok) throw await readProblem(response);
  return response;
}

async function readProblem(response) {
  const text = await response.text();
  try {
    return new Problem(response.status, JSON.parse(text));
  } catch {
    const title = `${response.status} ${response.statusText}`.trim();
    return new Problem(response.status, {title, detail: text.slice(0, 300) || 'The answer has no text.'});
  }
}

/** Sends a request and reads its JSON. `retry` is the Retry-After of a 202 in seconds. */
export async function ask(address, {method = 'GET', body, signal} = {}) {
  const headers = body ? {'Content-Type': 'application/json'} : {};
  const response = await send(address, {method, headers, signal, body: body && JSON.stringify(body)});
  const text = await response.text();
  const retry = Number(response.headers.get('Retry-After')) || 2;
  return {status: response.status, retry, data: text ? JSON.parse(text) : {}};
}

/** Waits, and ends early with an error when the view is left. */
export function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) return stop();
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      stop();
    }, {once: true});
  });
}

function visible(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve, reject) => {
    document.addEventListener('visibilitychange', resolve, {once: true, signal});
    signal.addEventListener('abort', () => reject(signal.reason), {once: true});
  });
}

/** Calls `turn` again and again while the page is visible, until it returns false or the view is left. */
export async function poll(turn, ms, signal, failed) {
  let wait = ms;
  while (!signal.aborted) {
    try {
      await visible(signal);
      if (await turn() === false) return;
      wait = ms;
    } catch (error) {
      if (signal.aborted) return;
      failed(error);
      if (error.status === 404) return;
      wait = Math.min(wait * 2, 30000);
    }
    await sleep(wait, signal).catch(() => {});
  }
}

/**
 * Reads server-sent events until the server ends them, the first one after `last`. EventSource cannot send a token,
 * fetch can.
 */
export async function events(address, signal, last, hear) {
  const headers = {Accept: 'text/event-stream', ...last && {'Last-Event-ID': last}};
  const response = await send(address, {headers, signal});
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const event = {event: 'message', data: ''};
      for (const line of block.split(/\r?\n/)) {
        const [, name, text] = /^(\w*): ?(.*)$/.exec(line) || [];
        if (name === 'data') event.data += text;
        else if (name) event[name] = text;
      }
      if (event.data) hear(event.event, JSON.parse(event.data), event.id);
    }
  }
}
