'use strict';
// A service whose memory is steered from outside: how much it keeps, allocates and leaks. Under pressure it drops its cache and takes fewer requests. It needs
// nothing but Node: `node service.js --port 8080 --live 50 --rate 10 --limit 10`. It imports no agent: it is told by an event of the process.

const http = require('node:http');

const BLOCK = 16 * 1024; // bytes: 2,046 words of 8 and a header
const PER_MB = (1024 * 1024) / BLOCK;
const STEPS = 50; // a second
const LEVELS = ['normal', 'warning', 'high', 'emergency'];
// Requests a second that are taken at each level, times --limit; the others are refused with 429.
const SHARE = [Infinity, Infinity, 1, 0.1];
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

const flags = { port: 8080, limit: 10, live: 50, rate: 10 };
for (let i = 2; i < process.argv.length; i += 2) {
  const name = process.argv[i].slice(2);
  if (!(name in flags) || !(Number(process.argv[i + 1]) >= 0)) {
    console.error(`${process.argv[i]} ${process.argv[i + 1]}: there are --port, --limit (requests a second at pressure high), --live (MB), --rate (MB/s)`);
    process.exit(2);
  }
  flags[name] = Number(process.argv[i + 1]);
}

const block = () => new Array(2046).fill(1);
const blocks = (count) => Array.from({ length: count }, block);

// What is set from outside: live and cache in MB, rate and leak in MB/s, alloc in KB a request.
const set = { live: flags.live, rate: flags.rate, leak: 0, cache: 50, alloc: 16 };
let live = blocks(set.live * PER_MB);
let cache = [];
let leaked = [];
let level = 0;
let sink; // keeps an allocation from being optimized away
const counts = { received: 0, completed: 0, shed: 0, seconds: 0, buckets: BUCKETS.map(() => 0) };

process.on('flyball:pressure', (name) => {
  level = LEVELS.indexOf(name);
  if (level >= 2) cache = [];
  console.log(`demo: pressure ${name}`);
});

let garbage = 0;
let kept = 0;
let random = 1;
setInterval(() => {
  for (garbage += (set.rate * PER_MB) / STEPS; garbage >= 1; garbage--) {
    sink = block();
    random = (random * 48271) % 2147483647;
    // One in four lives on in place of another: what is old becomes garbage, too.
    if (live.length > 0 && random % 4 === 0) live[random % live.length] = sink;
  }
  for (kept += (set.leak * PER_MB) / STEPS; kept >= 1; kept--) leaked.push(block());
}, 1000 / STEPS);

let tokens = 1;
let tokensAt = process.hrtime.bigint();
function admit() {
  const now = process.hrtime.bigint();
  const rate = SHARE[level] * flags.limit;
  tokens = rate === Infinity ? 2 : Math.min(Math.max(1, rate), tokens + (rate * Number(now - tokensAt)) / 1e9);
  tokensAt = now;
  if (tokens < 1) return false;
  tokens--;
  return true;
}

function work(response) {
  counts.received++;
  if (!admit()) {
    counts.shed++;
    response.setHeader('retry-after', '1');
    return answer(response, 429, 'short of memory\n');
  }
  const begin = process.hrtime.bigint();
  for (let kb = set.alloc; kb > 0; kb -= BLOCK / 1024) sink = block();
  if (level === 0 && cache.length < set.cache * PER_MB) cache.push(block());
  answer(response, 200, 'ok\n');
  const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
  counts.completed++;
  counts.seconds += seconds;
  BUCKETS.forEach((bucket, i) => { if (seconds <= bucket) counts.buckets[i]++; });
}

/** `POST /admin/live?value=400`, and the same with rate, leak, cache and alloc; GET shows what is set. */
function admin(request, response, url) {
  const name = url.pathname.slice('/admin/'.length);
  if (!(name in set)) return answer(response, 404, `there are ${Object.keys(set).join(', ')}\n`);
  if (request.method === 'POST') {
    const text = url.searchParams.get('value');
    const value = Number(text);
    if (!text || !(value >= 0 && value <= 1048576)) {
      return answer(response, 400, `value ${text}: give a number from 0 to 1048576, such as ?value=50; MB for live and cache, MB/s for rate and leak, KB for alloc\n`);
    }
    set[name] = value;
    if (name === 'live') {
      live = []; // first let go: the old and the new together may not fit
      live = blocks(value * PER_MB);
    }
    if (name === 'leak' && value === 0) leaked = [];
  }
  return answer(response, 200, `${set[name]}\n`);
}

function metrics() {
  const lines = [];
  const one = (name, type, value) => lines.push(`# TYPE ${name} ${type}`, `${name} ${value}`);
  one('http_requests_received_total', 'counter', counts.received);
  one('http_requests_total', 'counter', counts.completed);
  one('http_requests_shed_total', 'counter', counts.shed);
  lines.push('# TYPE http_request_duration_seconds histogram');
  BUCKETS.forEach((bucket, i) => lines.push(`http_request_duration_seconds_bucket{le="${bucket}"} ${counts.buckets[i]}`));
  lines.push(`http_request_duration_seconds_bucket{le="+Inf"} ${counts.completed}`);
  lines.push(`http_request_duration_seconds_sum ${counts.seconds}`, `http_request_duration_seconds_count ${counts.completed}`);
  one('demo_pressure', 'gauge', level);
  one('demo_live_bytes', 'gauge', live.length * BLOCK);
  one('demo_leaked_bytes', 'gauge', leaked.length * BLOCK);
  one('demo_cache_bytes', 'gauge', cache.length * BLOCK);
  one('demo_allocation_rate_bytes', 'gauge', set.rate * 1024 * 1024);
  one('process_resident_memory_bytes', 'gauge', process.memoryUsage.rss());
  return `${lines.join('\n')}\n`;
}

function answer(response, status, text) {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(text);
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://demo');
  if (url.pathname === '/') work(response);
  else if (url.pathname === '/healthz') answer(response, 200, 'ok\n');
  else if (url.pathname === '/metrics') answer(response, 200, metrics());
  else if (url.pathname.startsWith('/admin/')) admin(request, response, url);
  else answer(response, 404, 'there are /, /healthz, /metrics and /admin/{live,rate,leak,cache,alloc}\n');
});
server.listen(flags.port, () => console.log(`demo: port ${server.address().port}, agent ${globalThis[Symbol.for('flyball.agent')] ? 'there' : 'not there'}`));
process.on('SIGTERM', () => process.exit(0));
