'use strict';
// Telling the application: each function in order, never two calls of one at a time, and what it throws stays here.

class Listeners {
  /** @param {(text: string) => void} log */
  constructor(log) {
    this.log = log;
    this.tails = new Map(); // functions that are still busy: the promise after which the next call comes
  }

  tell(listener, level) {
    const tail = this.tails.get(listener);
    if (tail !== undefined) {
      this.after(listener, tail.then(() => this.call(listener, level)));
      return;
    }
    const result = this.call(listener, level);
    if (result !== undefined) this.after(listener, result);
  }

  /** @returns {Promise<void>|undefined} what has to end before the next call */
  call(listener, level) {
    try {
      const result = listener(level);
      if (typeof result?.then === 'function') return Promise.resolve(result).then(() => {}, (error) => this.failed(error));
    } catch (error) {
      this.failed(error);
    }
    return undefined;
  }

  after(listener, promise) {
    const tail = promise.then(() => {
      if (this.tails.get(listener) === tail) this.tails.delete(listener);
    });
    this.tails.set(listener, tail);
  }

  failed(error) {
    this.log(`a function that is told of pressure failed: ${error?.stack ?? error}`);
  }
}

module.exports = { Listeners };
