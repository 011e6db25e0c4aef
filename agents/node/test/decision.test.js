'use strict';
// What the vectors can't tell: the breaker, local bounds, what is in force when.

const test = require('node:test');
const assert = require('node:assert');
const { Decision, bounds } = require('../lib/decision');

const GIB = 1073741824;
const WALL = 1795000000;
const LINE = 'ttl=86400 exp=1795086400';

/** A process with its flag. */
function start(env = {}) {
  const process = { decision: new Decision({ boot: 0, bounds: bounds(env) }), knob: 0 };
  const carryOut = (effects) => {
    for (const { knob } of effects) if (knob !== undefined) process.knob = knob;
  };
  process.look = (at, text) => carryOut(process.decision.look(at, WALL + at, text === null ? null : Buffer.from(text), process.knob));
  process.guard = (at, resident, limit = GIB) => carryOut(process.decision.guard(at, resident, limit, process.knob));
  return process;
}

test('the breaker trips over 0.97 of the limit, and only then', () => {
  const process = start();
  process.look(0, `v1 gen=1 ${LINE} heap-growing-percent=150`);
  process.guard(1, 0.97 * GIB);
  assert.deepStrictEqual([process.knob, process.decision.breaker, process.decision.trips], [150, 0, 0]);
  process.guard(2, 0.97 * GIB + 4096);
  assert.deepStrictEqual([process.knob, process.decision.breaker, process.decision.trips, process.decision.applied], [0, 2, 1, 1n]);
});

test('the breaker needs a limit and a generation', () => {
  const process = start();
  process.guard(0, GIB);
  process.look(1, `v1 gen=1 ${LINE} heap-growing-percent=150`);
  process.guard(2, GIB, Infinity);
  process.guard(3, GIB, NaN);
  assert.deepStrictEqual([process.knob, process.decision.trips], [150, 0]);
});

test('the breaker is latched for ten minutes, then the knobs come back once', () => {
  const process = start();
  const line = `v1 gen=1 ${LINE} heap-growing-percent=150`;
  process.look(0, line);
  process.guard(1, GIB);
  process.look(2, line);
  process.look(3, `${line} pressure=high`); // a renewal
  process.look(600, line);
  assert.deepStrictEqual([process.knob, process.decision.breaker, process.decision.foreignWrites], [0, 2, 0]);
  process.look(601, line);
  assert.deepStrictEqual([process.knob, process.decision.breaker], [150, 0]);
  process.guard(602, GIB);
  process.look(1300, line);
  process.look(9000, line);
  assert.deepStrictEqual([process.knob, process.decision.breaker, process.decision.trips], [0, 2, 2]);
});

test('a higher generation, the end of the lease and an empty file undo the breaker', () => {
  for (const [text, at, knob] of [[`v1 gen=2 ${LINE} heap-growing-percent=30`, 5, 30], ['', 5, 0], [null, 86400, 0]]) {
    const process = start();
    process.look(0, `v1 gen=1 ${LINE} heap-growing-percent=150`);
    process.guard(1, GIB);
    process.look(at, text);
    assert.deepStrictEqual([process.knob, process.decision.breaker], [knob, 0], String(text));
  }
});

test('somebody else who moves the flag while the breaker holds is a foreign writer', () => {
  const process = start();
  process.look(0, `v1 gen=1 ${LINE} heap-growing-percent=150`);
  process.guard(1, GIB);
  process.knob = 40;
  process.look(2, `v1 gen=1 ${LINE} heap-growing-percent=150`);
  process.look(700, `v1 gen=1 ${LINE} heap-growing-percent=150`);
  assert.deepStrictEqual([process.knob, process.decision.foreignWrites, process.decision.applied], [40, 1, 0n]);
});

test('local bounds', () => {
  const told = [];
  assert.deepStrictEqual(bounds({}, (text) => told.push(text)), { min: 10, max: 400 });
  assert.deepStrictEqual(bounds({ FLYBALL_HEAP_GROWING_MIN: '30', FLYBALL_HEAP_GROWING_MAX: '100' }, (text) => told.push(text)), { min: 30, max: 100 });
  assert.strictEqual(told.length, 0);
  assert.deepStrictEqual(bounds({ FLYBALL_HEAP_GROWING_MIN: '-1', FLYBALL_HEAP_GROWING_MAX: '1e2' }, (text) => told.push(text)), { min: 10, max: 400 });
  assert.strictEqual(told.length, 2);
  const process = start({ FLYBALL_HEAP_GROWING_MAX: '100' });
  process.look(0, `v1 gen=1 ${LINE} heap-growing-percent=400`);
  assert.deepStrictEqual([process.knob, process.decision.clamped], [100, true]);
  process.look(1, `v1 gen=2 ${LINE} heap-growing-percent=100`);
  assert.deepStrictEqual([process.knob, process.decision.clamped], [100, false]);
});

test('what is left of a lease', () => {
  const { look, decision } = start();
  assert.strictEqual(decision.lease(0, WALL), 0);
  look(0, `v1 gen=1 ttl=100 exp=${WALL + 50} heap-growing-percent=20`);
  assert.strictEqual(decision.lease(20, WALL + 20), 30);
  look(21, `v1 gen=1 ttl=5 exp=${WALL + 50} heap-growing-percent=20`);
  assert.strictEqual(decision.lease(22, WALL + 22), 4);
});

test('probation is marked before the knob moves', () => {
  const { decision } = start();
  const kinds = decision.look(0, WALL, Buffer.from(`v1 gen=1 ${LINE} heap-growing-percent=20`), 0).flatMap((effect) => Object.keys(effect));
  assert.ok(kinds.indexOf('mark') >= 0 && kinds.indexOf('mark') < kinds.indexOf('knob'), kinds.join());
});
