// Turns rows into what a chart draws: times, lines, the warm-up of each output, and gaps.

const DAY = 86400;

/** The time of a row, which is its first value beside the outputs with these names. */
export function timeOf(row, names) {
  return row[Object.keys(row).find(key => !names.includes(key))];
}

/** Reads `rows` into one panel for each name. */
export function readRows(rows, names) {
  const sorted = rows.map(row => ({at: readTime(timeOf(row, names)), row})).sort((a, b) => a.at - b.at);
  const x = sorted.map(item => item.at);
  const panels = names.map(name => readOutput(sorted.map(item => item.row[name]), name));
  return {x, panels, daily: x.every(at => at % DAY === 0), ...timeGaps(x)};
}

/** Seconds since 1970. A text without a zone is UTC. */
function readTime(text) {
  const zoned = /Z$|[+-]\d\d:?\d\d$/.test(text) || text.length <= 10;
  return Date.parse(zoned ? text : text + 'Z') / 1000;
}

function toNumber(value) {
  if (value == null || value === '') return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

/** One output. A struct, such as the bands of Bollinger, becomes one line for each of its fields. */
function readOutput(values, name) {
  const sample = values.find(value => value != null);
  const fields = sample && typeof sample === 'object' ? Object.keys(sample) : [null];
  const lines = fields.map(field => {
    const numbers = values.map(value => toNumber(field === null ? value : value?.[field]));
    const isWhole = numbers.every(value => value === null || Number.isInteger(value));
    return {name: field === null ? name : `${name}.${field}`, values: numbers, isWhole};
  });
  const isFlag = typeof sample === 'boolean';
  const isText = typeof sample === 'string' && toNumber(sample) === null;
  const empty = row => lines.every(line => line.values[row] === null);
  const first = values.findIndex((_, row) => !empty(row));
  const last = values.findLastIndex((_, row) => !empty(row));
  const holes = [];
  for (let row = first + 1; row < last; row++) {
    if (!empty(row)) continue;
    const from = row;
    while (empty(row + 1)) row++;
    holes.push([from, row]);
  }
  return {name, lines, isText, isFlag, first, last, holes: first < 0 ? [] : holes};
}

/**
 * The places where rows are missing (`gaps`): [row before, row after]. Steps of up to three times the median are usual.
 * From one day to another, nights, weekends and holidays are usual too, unless the rows show that weekends trade.
 * Lines of bars within a day break there as well (`pauses`), because nothing traded on the way.
 */
export function timeGaps(x) {
  if (x.length < 3) return {gaps: [], pauses: []};
  const steps = x.slice(1).map((at, row) => at - x[row]).sort((a, b) => a - b);
  const median = steps[steps.length >> 1];
  const onWeekends = x.filter(at => [0, 6].includes(new Date(at * 1000).getUTCDay())).length / x.length;
  const day = at => Math.floor(at / DAY);
  const [gaps, pauses] = [[], []];
  for (let row = 1; row < x.length; row++) {
    const overnight = day(x[row]) !== day(x[row - 1]) && onWeekends < 0.2;
    const usual = Math.max(3 * median, overnight ? 5 * DAY : 0);
    const step = x[row] - x[row - 1];
    if (step > usual) gaps.push([row - 1, row]);
    else if (overnight && step > 3 * median && median < DAY / 2) pauses.push([row - 1, row]);
  }
  return {gaps, pauses};
}
