// Writes numbers and times. Times are UTC everywhere: bars of one day must not fall on two.

const whole = new Intl.NumberFormat('en-US', {maximumFractionDigits: 0});

/** 1204 -> "1,204" */
export function count(value) {
  return value == null ? '' : whole.format(value);
}

/** One noun for one, another for many: plural(2, 'row') -> "2 rows". */
export function plural(value, noun, nouns = noun + 's') {
  return `${count(value)} ${value === 1 ? noun : nouns}`;
}

/** Seconds of a job: "0.4 s", "41.2 s", "3 min 05 s", "2 h 07 min". */
export function seconds(value) {
  if (value == null) return '';
  if (value < 99.95) return value.toFixed(1) + ' s';
  const total = Math.round(value);
  const pad = number => String(number).padStart(2, '0');
  if (total < 3600) return `${Math.floor(total / 60)} min ${pad(total % 60)} s`;
  return `${Math.floor(total / 3600)} h ${pad(Math.floor(total % 3600 / 60))} min`;
}

/** A value of a feature: whole numbers as they are, others with six digits that matter. */
export function number(value, isWhole) {
  if (isWhole) return count(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(3);
  const digits = size >= 1000 ? 2 : size >= 1 ? 4 : 6;
  return value.toLocaleString('en-US', {minimumFractionDigits: digits, maximumFractionDigits: digits});
}

/** A moment without its zone: "2024-12-31 02:00:07". The heads of columns say UTC. */
export function moment(text) {
  if (!text) return '';
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? String(text) : time.toISOString().slice(0, 19).replace('T', ' ');
}

/** The time of a bar in seconds since 1970: a day, or a minute if the bars are not daily. */
export function barTime(at, daily) {
  const text = new Date(at * 1000).toISOString();
  if (daily) return text.slice(0, 10);
  return text.slice(0, text.slice(17, 19) === '00' ? 16 : 19).replace('T', ' ');
}

/** The share of a whole: 0.4267 -> "42 %". It says 100 % only when all is done. */
export function percent(share) {
  return `${Math.floor(Math.min(Math.max(share || 0, 0), 1) * 100)} %`;
}
