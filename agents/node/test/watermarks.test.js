'use strict';

const test = require('node:test');
const assert = require('node:assert');
const { Watermarks, marks } = require('../lib/watermarks');

/** Looks are [second, percent, level that holds afterwards]. */
function check(name, looks) {
  test(name, () => {
    const watermarks = new Watermarks([80, 90, 95]);
    for (const [at, percent, level] of looks) assert.strictEqual(watermarks.look(at, percent), level, `at ${at}`);
  });
}

check('a level counts after two looks 5 s apart', [[0, 79.9, 0], [5, 80, 0], [10, 80, 1]]);
check('all looks in between count', [[0, 85, 0], [1, 85, 0], [4, 85, 0], [5, 85, 1]]);
check('a look under the mark in between begins anew', [[0, 85, 0], [3, 79, 0], [5, 85, 0], [9, 85, 0], [10, 85, 1]]);
check('a peak of 2 s tells nobody anything', [[0, 70, 0], [5, 94, 0], [6, 94, 0], [7, 70, 0], [12, 70, 0]]);
check('emergency counts after three looks a second apart', [[0, 95, 0], [1, 95, 0], [2, 95, 3]]);
check('two looks are no emergency, however far apart', [[0, 96, 0], [4, 96, 0], [5, 96, 3]]);
check('high is the higher of two', [[0, 91, 0], [5, 91, 2]]);
check('a level ends 3 points below its mark, held for 10 s', [
  [0, 82, 0], [5, 82, 1], [6, 78, 1], [20, 77.1, 1], [21, 77, 1], [30, 77, 1], [31, 77, 0],
]);
check('a rise in between keeps it', [[0, 82, 0], [5, 82, 1], [6, 70, 1], [15, 78, 1], [16, 70, 1], [25, 70, 1], [26, 70, 0]]);
check('levels end one after the other', [
  [0, 96, 0], [1, 96, 0], [2, 96, 3], [5, 96, 3], [6, 91, 3], [16, 91, 2], [17, 87, 2], [27, 87, 1], [28, 60, 1], [38, 60, 0],
]);

test('looks are close while a level is near', () => {
  const watermarks = new Watermarks([80, 90, 95]);
  assert.strictEqual(watermarks.close, false);
  watermarks.look(0, 85);
  assert.strictEqual(watermarks.close, true);
  watermarks.look(1, 70);
  assert.strictEqual(watermarks.close, false);
});

test('the marks of the environment', () => {
  const told = [];
  const log = (text) => told.push(text);
  assert.deepStrictEqual(marks(undefined, log), [80, 90, 95]);
  assert.deepStrictEqual(marks('50,60,100', log), [50, 60, 100]);
  assert.strictEqual(marks('off', log), null);
  assert.strictEqual(told.length, 0);
  for (const wrong of ['80,90', '90,80,95', '80,90,101', '0,90,95', '80, 90, 95', 'none']) assert.deepStrictEqual(marks(wrong, log), [80, 90, 95], wrong);
  assert.strictEqual(told.length, 6);
});
