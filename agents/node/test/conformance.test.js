'use strict';
// All cases of the contract, without waiting and without V8: the flag is a number here.

const test = require('node:test');
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { Decision, KNOB, bounds } = require('../lib/decision');
const { PRESSURES } = require('../lib/line');

const vectors = JSON.parse(fs.readFileSync(path.join(__dirname, '../../conformance/vectors.json'), 'utf8'));
const own = vectors.runtimes.node;

const BOOT = 0;
const FOREIGN = 77; // none of the settings' values

const cases = vectors.cases.filter(({ only }) => only === undefined || only.includes('node'));

test('the vectors are of this contract', () => {
  assert.strictEqual(vectors.contract, 'v1');
  assert.ok(cases.length >= 80, `${cases.length} cases`);
});

for (const { name, env = {}, steps } of cases) test(name, () => run(env, steps));

/** A process of the container: its memory is `decision` and `knob`, `disk` outlives it. */
function run(env, steps) {
  const off = env.FLYBALL_AGENT === 'off';
  const stateDir = env.FLYBALL_STATE_DIR !== null;
  const disk = { mark: 0n };
  let knob = BOOT;
  let reclaimed = 0;
  const start = () => {
    knob = BOOT;
    return new Decision({ boot: knob, bounds: bounds(env), probation: stateDir ? disk.mark : 0n });
  };
  let decision = start();
  for (const step of steps) {
    if (step.restart) decision = start();
    if (step.foreign) knob = FOREIGN;
    const file = typeof step.file === 'string' ? Buffer.from(step.file.replace(/\{([A-Z])\}/g, (_, setting) => own[setting].text)) : null;
    const effects = off ? [] : decision.look(step.at, step.wall, file, knob);
    for (const effect of effects) {
      if (effect.mark !== undefined && stateDir) disk.mark = effect.mark;
      if (effect.unmark) disk.mark = 0n;
      if (effect.knob !== undefined) knob = effect.knob;
      if (effect.reclaim) reclaimed++;
    }
    compare(step, decision, knob, reclaimed);
  }
}

function compare(step, decision, knob, reclaimed) {
  const where = `at ${step.at}`;
  const expect = {
    applied: () => assert.strictEqual(decision.applied, BigInt(step.applied), where),
    seen: () => assert.strictEqual(decision.seen, BigInt(step.seen), where),
    knobs: () => assert.strictEqual(knob, expected(step.knobs), where),
    pressure: () => assert.strictEqual(PRESSURES[decision.pressure], step.pressure, where),
    reclaims: () => {
      assert.strictEqual(decision.reclaims, step.reclaims, where);
      assert.strictEqual(reclaimed, step.reclaims, where);
    },
    leasesEnded: () => assert.strictEqual(decision.leasesEnded, step.leasesEnded, where),
    readable: () => assert.strictEqual(decision.readable, step.readable, where),
    rejected: () => assert.deepStrictEqual(Object.fromEntries(Object.entries(decision.rejected).filter(([, count]) => count !== 0)), step.rejected, where),
  };
  const input = ['at', 'wall', 'file', 'foreign', 'restart'];
  for (const field of Object.keys(step)) {
    if (input.includes(field)) continue;
    assert.ok(expect[field], `the vectors compare "${field}", which this test does not know`);
    expect[field]();
  }
}

function expected(knobs) {
  if (knobs === 'boot') return BOOT;
  if (knobs === 'foreign') return FOREIGN;
  return (typeof knobs === 'string' ? own[knobs].knobs : knobs)[KNOB];
}
