// Colours SQL: comments, texts, numbers, template blocks and keywords become spans of text.
import {h} from './dom.js';

const KEYWORDS = `all and any as asc between by case cast cross current desc distinct else end exists filter first
 following from full group having ignore in inner interval is join last lateral left like limit not null nulls on or
 order outer over partition preceding qualify range respect right row rows select then unbounded union unnest using
 values when where window with within true false`.split(/\s+/);

const TOKEN = new RegExp([
  '(?<comment>--[^\\n]*|/\\*[\\s\\S]*?\\*/|\\{#[\\s\\S]*?#\\})',
  '(?<block>\\{%[\\s\\S]*?%\\}|\\{\\{[\\s\\S]*?\\}\\})',
  "(?<text>'(?:[^']|'')*')",
  '(?<number>\\b\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?\\b)',
  `(?<word>\\b(?:${KEYWORDS.join('|')})\\b)`,
].join('|'), 'gi');

/** The parts of `sql`, in sequence: plain texts and spans. */
export function colourSql(sql) {
  const parts = [];
  let end = 0;
  for (const match of sql.matchAll(TOKEN)) {
    const [kind] = Object.entries(match.groups).find(([, text]) => text !== undefined);
    parts.push(sql.slice(end, match.index), h(`span.sql-${kind}`, {}, match[0]));
    end = match.index + match[0].length;
  }
  return [...parts, sql.slice(end)];
}
