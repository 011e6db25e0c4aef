'use strict';
// Prints what the agent costs: start of a process, and processor time and memory of an idle service. ABBA order, medians.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const AGENT = path.join(__dirname, 'flyball-agent.js');
const STARTS = 40; // of each kind
const ROUNDS = 2; // ABCCBA
const SETTLE = 12; // seconds: V8 collects once after a start, some seconds later than without the agent's own start
const SECONDS = 20;

// A service that does nothing.
const SERVICE = `
  require('node:http').createServer(() => {}).listen(0);
  setTimeout(() => {
    const before = process.cpuUsage();
    setTimeout(() => {
      const { user, system } = process.cpuUsage(before);
      console.log(JSON.stringify({ cpu: (user + system) / 1e6 / ${SECONDS}, resident: process.memoryUsage.rss() }));
      process.exit(0);
    }, ${SECONDS * 1000});
  }, ${SETTLE * 1000});`;

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'flyball-bench-'));
fs.writeFileSync(path.join(folder, 'runtime'), 'v1 gen=1 ttl=604800 exp=9000000000 heap-growing-percent=50');
process.on('exit', () => fs.rmSync(folder, { recursive: true }));

const base = { ...process.env, NODE_OPTIONS: '', FLYBALL_LOG: 'off' };
const agent = { ...base, NODE_OPTIONS: `--require ${AGENT}` };
const kinds = {
  'no agent': base,
  'nothing mounted': { ...agent, FLYBALL_RUNTIME_DIR: path.join(folder, 'none') },
  'in force, metrics served': { ...agent, FLYBALL_RUNTIME_DIR: folder, FLYBALL_METRICS_ADDRESS: '127.0.0.1:0' },
};

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** Calls run(name) for all names forward, then backward, and so on. Returns the results by name. */
function abba(names, rounds, run) {
  const results = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : [...names].reverse()) results[name].push(run(name));
  }
  return results;
}

const node = (args, env) => {
  const begin = process.hrtime.bigint();
  const { stdout, status, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return { ms: Number(process.hrtime.bigint() - begin) / 1e6, stdout };
};

console.log(`Node ${process.versions.node}, V8 ${process.versions.v8}, load ${os.loadavg()[0].toFixed(1)} on ${os.cpus().length} cores`);
const EMPTY = "process.on('exit', () => { const { user, system } = process.cpuUsage(); console.log((user + system) / 1000); })";
const starts = abba(['no agent', 'nothing mounted'], STARTS, (name) => {
  const { ms, stdout } = node(['-e', EMPTY], kinds[name]);
  return { ms, cpu: Number(stdout) };
});
console.log(`start to end of an empty script, median of ${STARTS}:`);
for (const [name, found] of Object.entries(starts)) {
  console.log(`  ${name.padEnd(26)} ${median(found.map(({ cpu }) => cpu)).toFixed(2)} ms of a core, ${median(found.map(({ ms }) => ms)).toFixed(2)} ms by the clock`);
}

const rest = abba(Object.keys(kinds), 2 * ROUNDS, (name) => JSON.parse(node(['-e', SERVICE], kinds[name]).stdout));
console.log(`an idle service for ${SECONDS} s, median of ${2 * ROUNDS}:`);
for (const [name, found] of Object.entries(rest)) {
  const cpu = (100 * median(found.map((one) => one.cpu))).toFixed(4);
  const resident = (median(found.map((one) => one.resident)) / 1e6).toFixed(1);
  console.log(`  ${name.padEnd(26)} ${cpu} % of a core, ${resident} MB resident`);
}
