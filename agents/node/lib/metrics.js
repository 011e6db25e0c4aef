'use strict';
// The metrics of the contract in the text form, and the endpoint.

const { REASONS, KNOB } = require('./decision');

const NAME = 'flyball_agent_';

/** Text of all metrics. What is undefined or NaN is left out: a runtime that can't tell says nothing. */
function render(state) {
  const { decision } = state;
  const lines = [];
  const write = (name, type, help, samples) => {
    const known = samples.filter(([, value]) => value !== undefined && !Number.isNaN(value));
    if (known.length === 0) return;
    lines.push(`# HELP ${NAME}${name} ${help}`, `# TYPE ${NAME}${name} ${type}`);
    for (const [labels, value] of known) lines.push(`${NAME}${name}${labels && `{${labels}}`} ${number(value)}`);
  };
  const gauge = (name, help, value) => write(name, 'gauge', help, [['', value]]);
  const counter = (name, help, value) => write(name, 'counter', help, [['', value]]);

  write('info', 'gauge', 'What runs here.', [[
    `runtime="node",version="${process.versions.node}",collector="v8-${process.versions.v8}",agent="${state.version}"`, 1,
  ]]);
  gauge('source_readable', 'Whether the file with the line is there.', decision.readable ? 1 : 0);
  gauge('seen_generation', 'The highest generation that was taken.', decision.seen);
  gauge('applied_generation', 'The generation in force, or 0.', decision.applied);
  write('rejected_total', 'counter', 'Lines refused.', REASONS.map((reason) => [`reason="${reason}"`, decision.rejected[reason]]));
  gauge('lease_seconds', 'What is left of the lease.', state.lease);
  counter('leases_ended_total', 'Leases that ran out.', decision.leasesEnded);
  counter('reclaims_total', 'Collections that were commanded.', decision.reclaims);
  counter('breaker_trips_total', 'How often the breaker tripped.', decision.trips);
  counter('foreign_writes_total', 'How often somebody else moved a knob.', decision.foreignWrites);
  gauge('foreign', 'Whether the agent took its hands off.', decision.foreign !== 0n && decision.applied === 0n ? 1 : 0);
  gauge('breaker_state', '0: closed, 2: boot values.', decision.breaker);
  gauge('pressure', '0 normal, 1 warning, 2 high, 3 emergency.', state.pressure);
  write('knob', 'gauge', 'The value now; 0: as V8 thinks best.', [[`knob="${KNOB}"`, state.knob]]);
  write('knob_clamped', 'gauge', 'Whether a local bound is in force.', [[`knob="${KNOB}"`, decision.clamped ? 1 : 0]]);
  gauge('container_limit_bytes', "The smallest limit of the container's control groups.", state.limit);
  gauge('resident_bytes', 'Resident memory of the process.', state.resident);
  gauge('working_set_bytes', "The container's memory less inactive file pages.", state.workingSet);
  gauge('heap_live_bytes', 'What the last collection of the old generation left.', state.heapLive);
  gauge('heap_alloc_bytes', 'The heap in use, garbage included.', state.heapUsed);
  counter('gc_cpu_seconds_total', 'Time of collections in this thread.', state.gc?.seconds);
  counter('gc_cycles_total', 'Collections of the old generation.', state.gc?.old);
  write('gc_collections_total', 'counter', 'Collections of a generation.', [['generation="young"', state.gc?.young], ['generation="old"', state.gc?.old]]);
  gauge('last_gc_time_seconds', 'When the last collection ended, since 1970; 0: none yet.', state.gc?.last);
  return `${lines.join('\n')}\n`;
}

const number = (value) => (value === Infinity ? '+Inf' : String(value));

/** ":9465", "9465", "127.0.0.1:9465" or "[::1]:9465". */
function address(text) {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]:|([^:[\]]*):)?([0-9]{1,5})$/.exec(text);
  if (found === null || Number(found[3]) > 65535) return null;
  return { host: found[1] || found[2] || undefined, port: Number(found[3]) };
}

/**
 * Serves text() at /metrics and keeps no process alive. `failed` is told of an error and may call again later.
 * @returns {import('node:http').Server}
 */
function serve({ host, port }, text, failed) {
  const http = require('node:http');
  const server = http.createServer((request, response) => {
    if (request.url.split('?')[0] !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
    response.end(text());
  });
  server.on('connection', (socket) => socket.unref());
  server.on('error', failed);
  // exclusive: a worker of a cluster binds for itself, and is told when another process of the container was first.
  server.listen({ host, port, exclusive: true });
  server.unref();
  return server;
}

module.exports = { address, render, serve };
