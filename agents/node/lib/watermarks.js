'use strict';
// The agent's own watermarks: the level that the container's fill speaks of. Pure.

const DEFAULT = [80, 90, 95];
const BELOW = 3; // points under a mark, where its level ends
const HELD = 10; // seconds that it has to be there
// Seconds that all looks have to be at or above a mark, and how many looks at least.
const RISE = [{ seconds: 5, looks: 2 }, { seconds: 5, looks: 2 }, { seconds: 2, looks: 3 }];

/** FLYBALL_WATERMARKS: three marks in percent, or null for none. */
function marks(text, log = () => {}) {
  if (text === undefined || text === '') return DEFAULT;
  if (text === 'off') return null;
  const found = /^([1-9][0-9]?|100),([1-9][0-9]?|100),([1-9][0-9]?|100)$/.exec(text);
  const numbers = found === null ? [] : found.slice(1).map(Number);
  if (numbers.length === 3 && numbers[0] < numbers[1] && numbers[1] < numbers[2]) return numbers;
  log(`FLYBALL_WATERMARKS=${text} is neither three rising percentages nor "off": taken as not set`);
  return DEFAULT;
}

class Watermarks {
  constructor(percentages) {
    this.marks = percentages.map((mark) => ({ mark, on: false, since: null, looks: 0, below: null }));
    this.level = 0;
  }

  /** Whether a look each second is needed to tell a peak from a level. */
  get close() {
    return this.level > 0 || this.marks.some(({ looks }) => looks > 0);
  }

  /**
   * @param {number} at seconds on the monotonic clock
   * @param {number} percent the container's working set of its limit
   * @returns {number} 0 normal, 1 warning, 2 high, 3 emergency
   */
  look(at, percent) {
    this.marks.forEach((mark, index) => step(mark, RISE[index], at, percent));
    this.level = this.marks.reduce((level, { on }, index) => (on ? index + 1 : level), 0);
    return this.level;
  }
}

function step(mark, rise, at, percent) {
  if (percent >= mark.mark) {
    mark.since = mark.since ?? at;
    mark.looks++;
  } else {
    mark.since = null;
    mark.looks = 0;
  }
  mark.below = percent <= mark.mark - BELOW ? mark.below ?? at : null;
  if (mark.looks >= rise.looks && at - mark.since >= rise.seconds) mark.on = true;
  else if (mark.on && mark.below !== null && at - mark.below >= HELD) mark.on = false;
}

module.exports = { Watermarks, marks };
