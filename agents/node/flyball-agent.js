'use strict';
// Flyball's agent in a Node process: NODE_OPTIONS=--require /path/to/flyball-agent.js. See README.md.
//
// This file is loaded by every Node process that inherits NODE_OPTIONS, short ones too: it watches the flag and sets a clock, all else is loaded a second later.

const path = require('node:path');

const DELAY = 1000; // ms until the agent starts; what ends before that pays for this file only
const TOOLS = /^(?:np[mx](?:-cli)?|yarn(?:pkg|-[0-9].*)?|pnp[mx]|corepack|node-gyp)$/;

let agent;
const waiting = new Set(); // functions that were registered before the start

function begin() {
  if (process.env.FLYBALL_AGENT === 'off') return;
  // A package manager is the parent of many a service: it would only stand in its way (the address of the metrics).
  if (TOOLS.test(path.parse(process.argv[1] ?? '').name)) return;
  require('./lib/flag').watch();
  if (!require('node:worker_threads').isMainThread) return; // the main thread's agent acts for all: the flag is the process's
  setTimeout(() => {
    try {
      const { Agent } = require('./lib/agent');
      agent = new Agent(process.env);
      for (const listener of waiting) agent.onPressure(listener);
      agent.start();
    } catch (error) {
      complain(error);
    }
  }, DELAY).unref();
}

function complain(error) {
  try {
    require('node:fs').writeSync(2, `flyball: the agent does not start: ${error.stack}\n`);
  } catch {
    // No standard error.
  }
}

const API = Symbol.for('flyball.agent');

if (globalThis[API] === undefined) {
  /** What an application may use; also found as globalThis[Symbol.for('flyball.agent')]. */
  const api = {
    /**
     * Registers a function that is told of each change of the level: 'warning', 'high', 'emergency', and back to 'normal'.
     * @param {(level: string) => unknown} listener
     * @returns {() => void} takes it off again
     */
    onPressure(listener) {
      if (typeof listener !== 'function') throw new TypeError('onPressure needs a function');
      if (agent !== undefined) return agent.onPressure(listener);
      waiting.add(listener);
      return () => {
        waiting.delete(listener);
        agent?.functions.delete(listener);
      };
    },
    /** The metrics in the text form, to be added to the application's own; empty before the agent started. */
    metrics: () => agent?.metrics() ?? '',
  };
  Object.defineProperty(globalThis, API, { value: api });
  try {
    begin();
  } catch (error) {
    complain(error);
  }
}

module.exports = globalThis[API];
