'use strict';
// The line of the contract: bytes in, a line or the reason of a refusal out. What depends on the process (local bounds, generations, leases) is in decision.js.

const LONGEST = 1024;
const MAX = 2n ** 63n - 1n;
const TIB = 2n ** 50n; // the largest number of bytes that a key takes

const PRESSURES = ['normal', 'warning', 'high', 'emergency'];

const WHOLE = '(?:0|[1-9][0-9]*)';
const whole = (min, max, runtime, word) => ({
  runtime,
  form: new RegExp(`^${word ? `(?:${WHOLE}|${word})` : WHOLE}$`),
  inRange: (text) => text === word || (BigInt(text) >= min && BigInt(text) <= max),
});

// Keys of the other runtimes are read too: a wrong value is refused as such before the key is as a stranger's.
const KEYS = new Map([
  ['gen', whole(1n, MAX)],
  ['ttl', whole(1n, 604800n)],
  ['exp', whole(0n, MAX)],
  ['reclaim', whole(0n, MAX)],
  ['pressure', { form: new RegExp(`^(?:${PRESSURES.join('|')})$`), inRange: () => true }],
  ['gogc', whole(1n, 1000n, 'go', 'off')],
  ['memlimit', whole(4194304n, TIB, 'go', 'none')],
  ['rss', whole(4194304n, TIB, 'go')],
  ['lambda', {
    runtime: 'go',
    form: { test: (text) => new RegExp(`^${WHOLE}(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$`).test(text) && Number.isFinite(Number(text)) },
    inRange: (text) => Number(text) > 0 && Number(text) <= 1,
  }],
  ['gogc-min', whole(1n, 1000n, 'go')],
  ['gogc-max', whole(1n, 1000n, 'go')],
  ['soft-max-heap', whole(0n, TIB, 'java')],
  ['g1-periodic-interval', whole(0n, 86400000n, 'java')],
  ['min-heap-free', whole(0n, 100n, 'java')],
  ['max-heap-free', whole(0n, 100n, 'java')],
  ['heap-growing-percent', whole(1n, 400n, 'node')],
  ['gc-thresholds', {
    runtime: 'python',
    form: new RegExp(`^${WHOLE},${WHOLE},${WHOLE}$`),
    inRange: (text) => text.split(',').every((number) => BigInt(number) <= 1000000000n),
  }],
  ['freeze', whole(0n, MAX, 'python')],
]);

class Refused extends Error {
  constructor(reason, why) {
    super(why);
    this.reason = reason;
  }
}

/** Line ends and spaces at the end do not count. One character for each byte. */
function trim(bytes) {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 0x20 || bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--;
  return bytes.toString('latin1', 0, end);
}

/**
 * Reads a trimmed line. Throws Refused with the first reason that counts.
 * Returns {gen, ttl, exp, reclaim, pressure, knobs}: BigInt but for ttl (seconds), exp (seconds since 1970) and pressure (0 to 3); knobs is a Map from
 * the key to the text of its value.
 */
function parse(text) {
  if (text.length > LONGEST) throw new Refused('too-long', `${text.length} bytes, at most ${LONGEST}`);
  const words = text.split(' ');
  if (/[^\x20-\x7e]/.test(text)) throw new Refused('syntax', 'a byte that is no printable ASCII');
  if (words.length < 2) throw new Refused('syntax', 'one word is no line');
  const pairs = words.slice(1).map((word) => {
    const pair = /^([^=]+)=([^=]+)$/.exec(word);
    if (pair === null) throw new Refused('syntax', `"${word}" is not key=value`);
    return pair;
  });
  if (words[0] === '') throw new Refused('syntax', 'a space at the start');
  if (words[0] !== 'v1') throw new Refused('version', `"${words[0]}" is not v1`);
  const values = new Map();
  for (const [, key, value] of pairs) {
    if (values.has(key)) throw new Refused('duplicate', `${key} twice`);
    values.set(key, value);
  }
  for (const key of values.keys()) if (!KEYS.has(key)) throw new Refused('unknown', `the key "${key}"`);
  for (const [key, value] of values) if (!KEYS.get(key).form.test(value)) throw new Refused('syntax', `${key}=${value}`);
  for (const key of ['gen', 'ttl', 'exp']) if (!values.has(key)) throw new Refused('syntax', `no ${key}`);
  for (const [key, value] of values) if (!KEYS.get(key).inRange(value)) throw new Refused('range', `${key}=${value}`);
  together(values);

  const knobs = new Map();
  for (const [key, value] of values) {
    const { runtime } = KEYS.get(key);
    if (runtime === undefined) continue;
    if (runtime !== 'node') throw new Refused('unsupported', `${key} is a key of ${runtime}`);
    knobs.set(key, value);
  }
  return {
    gen: BigInt(values.get('gen')),
    ttl: Number(values.get('ttl')),
    exp: Number(values.get('exp')),
    reclaim: BigInt(values.get('reclaim') ?? 0),
    pressure: PRESSURES.indexOf(values.get('pressure') ?? 'normal'),
    knobs,
  };
}

/** Keys that do not go together. */
function together(values) {
  const law = ['rss', 'lambda'].filter((key) => values.has(key));
  const excluded = { rss: ['gogc', 'memlimit', 'lambda'], lambda: ['gogc', 'rss'] };
  for (const key of law) {
    for (const other of excluded[key]) if (values.has(other)) throw new Refused('range', `${key} with ${other}`);
  }
  for (const bound of ['gogc-min', 'gogc-max']) {
    if (values.has(bound) && law.length === 0) throw new Refused('range', `${bound} without rss or lambda`);
  }
  for (const [min, max] of [['gogc-min', 'gogc-max'], ['min-heap-free', 'max-heap-free']]) {
    if (values.has(min) && values.has(max) && Number(values.get(min)) > Number(values.get(max))) throw new Refused('range', `${min} over ${max}`);
  }
}

module.exports = { LONGEST, PRESSURES, Refused, parse, trim };
