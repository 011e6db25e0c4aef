'use strict';
// V8's flag. It can be set but not read: so what others in this process set is seen by wrapping v8.setFlagsFromString, in worker threads too.

const v8 = require('node:v8');
const threads = require('node:worker_threads');

const SHARED = 'flyball.heap-growing-percent'; // a cell that main thread and workers share
const original = v8.setFlagsFromString;

let cell;

/** To be called before the application's code. */
function watch() {
  if (threads.isMainThread) {
    cell = new Int32Array(new SharedArrayBuffer(4));
    cell[0] = from(process.execArgv.join(' ')) ?? 0;
    threads.setEnvironmentData(SHARED, cell);
  } else {
    cell = threads.getEnvironmentData(SHARED);
    if (cell === undefined) return; // a worker of a main thread without an agent
  }
  v8.setFlagsFromString = function setFlagsFromString(flags) {
    const result = original.call(this, flags);
    const value = from(flags);
    if (value !== undefined) Atomics.store(cell, 0, value);
    return result;
  };
}

/** The last value in a text of flags. V8 takes - for _ and a space for =. */
function from(flags) {
  let value;
  for (const [, text] of String(flags).matchAll(/--heap[-_]growing[-_]percent(?:=|\s+)([0-9]{1,9})(?:\s|$)/g)) value = Number(text);
  return value;
}

const read = () => Atomics.load(cell, 0);

function write(percent) {
  original(`--heap-growing-percent=${percent}`);
  Atomics.store(cell, 0, percent);
}

/**
 * One full collection of this thread's heap, and its pages back to the system. The function is V8's own; contexts made later don't get it.
 * V8 12 (Node 22) gives back little after its plain one, so there it is asked as if memory had run out; V8 10 takes such options for the young generation only.
 */
function collect() {
  const vm = require('node:vm');
  original('--expose-gc');
  try {
    const gc = vm.runInNewContext('gc');
    if (parseInt(process.versions.v8, 10) >= 12) gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    else gc();
  } finally {
    if (typeof globalThis.gc !== 'function') original('--no-expose-gc'); // where the process has it, it stays
  }
}

module.exports = { collect, read, watch, write };
