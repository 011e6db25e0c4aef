'use strict';
// The decision: what is to be done at a look. It knows no clock, file or V8; what it is told comes by arguments, what it wants goes back as a list of effects.

const { Refused, parse, trim } = require('./line');

const REASONS = ['too-long', 'syntax', 'version', 'duplicate', 'unknown', 'range', 'unsupported', 'off', 'old', 'changed', 'expired', 'probation', 'foreign'];
const KNOB = 'heap-growing-percent';
const PROBATION = 60; // seconds that a process must live with a generation
const TRIP = 0.97; // of the container's limit
const LATCH = 600; // seconds that the breaker holds

/** Local bounds; what can't be read as a whole number is as if it were not set. */
function bounds(env, log = () => {}) {
  const read = (name, otherwise) => {
    const text = env[name];
    if (text === undefined || text === '') return otherwise;
    if (/^(?:0|[1-9][0-9]{0,8})$/.test(text)) return Number(text);
    log(`${name}=${text} is no whole number: taken as not set`);
    return otherwise;
  };
  return { min: read('FLYBALL_HEAP_GROWING_MIN', 10), max: read('FLYBALL_HEAP_GROWING_MAX', 400) };
}

class Decision {
  /**
   * @param {object} start
   * @param {number} start.boot the flag's value at start; 0: V8's own factor
   * @param {{min: number, max: number}} start.bounds local bounds in percent
   * @param {bigint} start.probation the generation that an earlier process ended with; 0n: none
   */
  constructor({ boot, bounds: local, probation = 0n }) {
    this.boot = boot;
    this.bounds = local;
    this.probation = probation;
    this.set = boot; // what the agent takes the flag to be
    this.readable = false;
    this.lastText = ''; // of the last look
    this.takenText = ''; // of the last line that was taken
    this.seen = 0n;
    this.seenKnobs = new Map();
    this.target = boot;
    this.applied = 0n;
    this.leaseEnd = 0; // monotonic
    this.leaseExp = 0; // since 1970
    this.clamped = false;
    this.pressure = 0; // the line's
    this.reclaimSeen = -1n; // before the first line
    this.foreign = 0n; // the generation that is refused as foreign
    this.markEnd = Infinity; // when the file of probation goes
    this.breaker = 0;
    this.breakerEnd = 0;
    this.breakerAgain = false; // the knobs were applied again after a trip
    this.rejected = Object.fromEntries(REASONS.map((reason) => [reason, 0]));
    this.leasesEnded = 0;
    this.reclaims = 0;
    this.trips = 0;
    this.foreignWrites = 0;
    this.effects = [];
  }

  /** Seconds left of the lease. */
  lease(at, wall) {
    return this.applied === 0n ? 0 : Math.max(0, Math.min(this.leaseEnd - at, this.leaseExp - wall));
  }

  /**
   * One look at the file.
   * @param {number} at seconds on the monotonic clock
   * @param {number} wall seconds since 1970
   * @param {Buffer|null} bytes what the file holds; null: it can't be read
   * @param {number} knob the flag as it is now
   * @returns {Array<object>} effects, to be carried out in this order: {mark: bigint}, {unmark}, {knob: number}, {reclaim}, {log: string}
   */
  look(at, wall, bytes, knob) {
    this.effects = [];
    this.notice(knob);
    if (this.applied !== 0n && (at >= this.leaseEnd || wall >= this.leaseExp)) {
      this.leasesEnded++;
      this.log(`the lease of generation ${this.applied} has ended: boot values`);
      this.release();
    }
    this.readable = bytes !== null;
    if (bytes !== null) this.read(at, wall, trim(bytes));
    if (at >= this.markEnd) this.unmark();
    if (this.breaker !== 0 && at >= this.breakerEnd) {
      this.breaker = 0;
      this.breakerAgain = true;
      this.move(this.target);
      this.log(`the breaker's ten minutes are over: generation ${this.applied} again`);
    }
    return this.effects;
  }

  /**
   * The breaker, once a second.
   * @param {number} resident bytes of this process
   * @param {number} limit bytes of the container, or Infinity
   */
  guard(at, resident, limit, knob) {
    this.effects = [];
    if (this.applied === 0n || this.breaker !== 0 || !(resident > TRIP * limit)) return this.effects;
    this.notice(knob);
    if (this.applied === 0n) return this.effects;
    this.breaker = 2;
    this.trips++;
    // What trips again stays out until the controller says something new.
    this.breakerEnd = this.breakerAgain ? Infinity : at + LATCH;
    this.move(this.boot);
    this.log(`the breaker tripped: ${resident} bytes are resident of a limit of ${limit}: boot values`);
    return this.effects;
  }

  notice(knob) {
    if (knob === this.set) return;
    if (this.applied !== 0n) {
      this.foreignWrites++;
      this.foreign = this.applied;
      this.log(`somebody else set ${KNOB} to ${knob}, it was ${this.set}: hands off generation ${this.applied}`);
      this.letGo();
    } else if (this.foreign === 0n) {
      this.boot = knob; // the application sets itself up after its agent started
    }
    this.set = knob;
  }

  read(at, wall, text) {
    if (text === '') {
      if (this.applied !== 0n) {
        this.log(`the line was removed: boot values, generation ${this.applied} has ended`);
        this.release();
      }
      this.takenText = '';
    } else if (text !== this.takenText) {
      try {
        this.take(at, wall, text, this.judge(wall, parse(text)));
      } catch (refused) {
        if (!(refused instanceof Refused)) throw refused;
        if (text !== this.lastText) {
          this.rejected[refused.reason]++;
          this.log(`line refused, ${refused.reason} (${refused.message}): ${text.slice(0, 200)}`);
        }
      }
    }
    this.lastText = text;
  }

  /** The reasons that the line alone does not tell. */
  judge(wall, line) {
    if (line.gen < this.seen) throw new Refused('old', `generation ${this.seen} was taken`);
    if (line.gen === this.seen && !same(line.knobs, this.seenKnobs)) throw new Refused('changed', `generation ${line.gen} had other knobs`);
    if (line.exp <= wall) throw new Refused('expired', `by this clock it is ${Math.floor(wall)}`);
    if (line.gen === this.probation) throw new Refused('probation', 'an earlier process ended within its first minute with it');
    if (line.gen === this.foreign) throw new Refused('foreign', 'somebody else moved a knob under it');
    return line;
  }

  take(at, wall, text, line) {
    if (line.gen > this.seen) {
      this.foreign = 0n;
      this.resetBreaker();
    }
    this.seen = line.gen;
    this.seenKnobs = line.knobs;
    this.takenText = text;
    if (line.gen !== this.applied) this.apply(at, line);
    this.leaseEnd = at + line.ttl;
    this.leaseExp = line.exp;
    this.pressure = line.pressure;
    if (this.reclaimSeen >= 0n && line.reclaim > this.reclaimSeen) {
      this.reclaims++;
      this.effects.push({ reclaim: true });
    }
    if (line.reclaim > this.reclaimSeen) this.reclaimSeen = line.reclaim;
  }

  apply(at, line) {
    this.applied = line.gen;
    this.effects.push({ mark: line.gen });
    this.markEnd = at + PROBATION;
    this.target = this.boot;
    this.clamped = false;
    if (line.knobs.has(KNOB)) {
      const wanted = Number(line.knobs.get(KNOB));
      this.target = Math.min(Math.max(wanted, this.bounds.min), this.bounds.max);
      this.clamped = this.target !== wanted;
    }
    this.move(this.target);
    this.log(`generation ${line.gen} applied: ${KNOB}=${this.target}${this.clamped ? ', a local bound' : ''}`);
  }

  /** Boot values, and nothing in force. */
  release() {
    this.move(this.boot);
    this.letGo();
  }

  letGo() {
    this.applied = 0n;
    this.pressure = 0;
    this.clamped = false;
    this.resetBreaker();
    this.unmark();
  }

  resetBreaker() {
    this.breaker = 0;
    this.breakerAgain = false;
  }

  unmark() {
    if (this.markEnd === Infinity) return;
    this.markEnd = Infinity;
    this.effects.push({ unmark: true });
  }

  move(value) {
    if (value === this.set) return;
    this.set = value;
    this.effects.push({ knob: value });
  }

  log(text) {
    this.effects.push({ log: text });
  }
}

function same(one, other) {
  return one.size === other.size && [...one].every(([key, value]) => other.get(key) === value);
}

module.exports = { Decision, KNOB, REASONS, bounds };
