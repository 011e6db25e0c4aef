'use strict';
// The agent in its process: clocks, files and V8 around the decision. Nothing here throws into the application or keeps it alive.

const fs = require('node:fs');
const path = require('node:path');
const v8 = require('node:v8');
const { Container } = require('./cgroup');
const { Decision, bounds } = require('./decision');
const flag = require('./flag');
const { PRESSURES } = require('./line');
const { Listeners } = require('./pressure');
const { Probation } = require('./probation');
const { Watermarks, marks } = require('./watermarks');

const EVENT = 'flyball:pressure';
const VERSION = '0.1.0';
const ABSENT = 60; // seconds between two looks for a file that is not there
const IDLE = 5; // seconds between two looks
const CLOSE = 1; // the same while something is in force, or memory is near a mark
const ENOUGH = Buffer.alloc(4096); // where a file is read to; a line has 1,024 bytes

class Agent {
  /** @param {NodeJS.ProcessEnv} env */
  constructor(env) {
    this.log = env.FLYBALL_LOG === 'off' ? () => {} : log;
    this.folder = env.FLYBALL_RUNTIME_DIR || '/etc/flyball';
    this.file = path.join(this.folder, 'runtime');
    this.probation = new Probation(env.FLYBALL_STATE_DIR, this.log);
    this.decision = new Decision({ boot: flag.read(), bounds: bounds(env, this.log), probation: this.probation.found() });
    const percentages = marks(env.FLYBALL_WATERMARKS, this.log);
    this.watermarks = percentages && new Watermarks(percentages);
    this.address = env.FLYBALL_METRICS_ADDRESS || '';
    this.container = new Container();
    this.listeners = new Listeners(this.log);
    this.functions = new Set();
    this.level = 0;
    this.fileAt = -Infinity; // when the file was looked at
    this.fillAt = -Infinity; // when the container's fill was
    this.limitAt = -Infinity; // when its limit was
    this.limit = { bytes: Infinity, group: undefined };
    this.gc = undefined;
    this.heapLive = NaN;
  }

  start() {
    if (this.address) {
      this.observe();
      this.serve();
    }
    process.on('exit', (code) => {
      // Who ends without an error was not ended by its knobs.
      if (code === 0) this.guarded(() => this.probation.unmark());
    });
    this.tick();
  }

  /** Looks, and sets the clock for the next time. */
  tick() {
    this.guarded(() => this.look());
    const { decision } = this;
    const close = decision.applied !== 0n || this.watermarks?.close;
    const next = close ? CLOSE : this.needed() ? IDLE : ABSENT;
    this.schedule(next);
  }

  schedule(seconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.tick(), seconds * 1000);
    this.timer.unref();
  }

  /** Whether there is more to do than to look for a file each minute. */
  needed() {
    return this.decision.readable || this.address !== '' || this.listening();
  }

  look() {
    const at = monotonic();
    const { decision } = this;
    // Between two looks a change is told by the folder's watch, so what is done each second is little.
    const rhythm = decision.readable || decision.seen > 0n ? IDLE : ABSENT;
    if (at - this.fileAt >= rhythm - 0.1 || (decision.applied !== 0n && at >= decision.leaseEnd)) this.lookAtFile(at);
    if (at - this.limitAt >= IDLE - 0.1) {
      this.limitAt = at;
      this.limit = this.container.limit();
    }
    if (decision.applied !== 0n) this.carryOut(decision.guard(at, process.memoryUsage.rss(), this.limit.bytes, flag.read()));
    if (this.needed() && (this.watermarks?.close || at - this.fillAt >= IDLE - 0.1)) this.lookAtFill(at, this.limit);
    this.tell();
  }

  lookAtFile(at) {
    this.fileAt = at;
    let bytes = null;
    try {
      bytes = read(this.file);
    } catch {
      // Not mounted, or between two links: nothing changes.
    }
    this.carryOut(this.decision.look(at, Date.now() / 1000, bytes, flag.read()));
    if (bytes !== null) this.watch();
  }

  /** The kubelet renames a link in the folder: the file is read at once, not only with the next look. */
  watch() {
    if (this.watcher !== undefined) return;
    const over = () => {
      this.watcher?.close();
      this.watcher = undefined; // anew with the next look
    };
    try {
      this.watcher = fs.watch(this.folder, { persistent: false }, () => {
        this.pending ??= setImmediate(() => {
          this.pending = undefined;
          this.guarded(() => {
            this.lookAtFile(monotonic());
            this.tell();
          });
        }).unref();
      });
      this.watcher.on('error', over);
    } catch {
      this.watcher = null; // no inotify left on this machine: the looks have to do
    }
  }

  lookAtFill(at, { bytes: limit, group }) {
    this.fillAt = at;
    if (this.watermarks === null) return;
    let percent = 0;
    if (limit < Infinity) {
      // With its page cache it is more: where that is under all marks there is nothing to find out.
      percent = (100 * this.container.usage(group)) / limit;
      if (percent >= this.watermarks.marks[0].mark - 3) percent = (100 * this.container.workingSet(group)) / limit;
    }
    if (!Number.isNaN(percent)) this.watermarks.look(at, percent);
  }

  carryOut(effects) {
    for (const effect of effects) {
      if (effect.log !== undefined) this.log(effect.log);
      if (effect.mark !== undefined) this.probation.mark(effect.mark);
      if (effect.unmark) this.probation.unmark();
      if (effect.knob !== undefined) flag.write(effect.knob);
      if (effect.reclaim) {
        flag.collect();
        this.heapLive = v8.getHeapStatistics().used_heap_size;
      }
    }
  }

  pressure() {
    return Math.max(this.decision.pressure, this.watermarks?.level ?? 0);
  }

  listening() {
    return this.functions.size > 0 || process.listenerCount(EVENT) > 0;
  }

  tell() {
    const level = this.pressure();
    if (level === this.level) return;
    this.level = level;
    for (const listener of [...this.functions, ...process.rawListeners(EVENT)]) this.listeners.tell(listener, PRESSURES[level]);
  }

  /** @returns {() => void} takes the function off */
  onPressure(listener) {
    this.functions.add(listener);
    this.schedule(CLOSE); // a look a minute would be too few from now on
    if (this.level !== 0) this.listeners.tell(listener, PRESSURES[this.level]);
    return () => this.functions.delete(listener);
  }

  observe() {
    const { PerformanceObserver, constants } = require('node:perf_hooks');
    this.gc = { seconds: 0, old: 0, young: 0, last: 0 };
    const observer = new PerformanceObserver((list) => {
      this.guarded(() => {
        for (const entry of list.getEntries()) {
          this.gc.seconds += entry.duration / 1000;
          this.gc.last = (performance.timeOrigin + entry.startTime + entry.duration) / 1000;
          if (entry.detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) this.gc.young++;
          if (entry.detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) {
            this.gc.old++;
            this.heapLive = v8.getHeapStatistics().used_heap_size;
          }
        }
      });
    });
    observer.observe({ entryTypes: ['gc'] });
  }

  serve() {
    const { address, serve } = require('./metrics');
    const where = address(this.address);
    if (where === null) {
      this.log(`FLYBALL_METRICS_ADDRESS=${this.address} is no address such as :9465: metrics are served nowhere`);
      return;
    }
    let told = false;
    const again = (error) => {
      if (!told) this.log(`metrics are not served by process ${process.pid}: ${error.message}`);
      told = true;
      setTimeout(() => this.guarded(() => serve(where, () => this.metrics(), again)), ABSENT * 1000).unref();
    };
    serve(where, () => this.metrics(), again);
  }

  metrics() {
    const { render } = require('./metrics');
    const heap = v8.getHeapStatistics();
    const { bytes, group } = this.container.limit();
    return render({
      decision: this.decision,
      version: VERSION,
      lease: this.decision.lease(monotonic(), Date.now() / 1000),
      pressure: this.level,
      knob: flag.read(),
      limit: bytes,
      resident: process.memoryUsage.rss(),
      workingSet: this.container.workingSet(group),
      heapLive: this.heapLive,
      heapUsed: heap.used_heap_size,
      gc: this.gc,
    });
  }

  guarded(action) {
    try {
      action();
    } catch (error) {
      this.log(`a fault of the agent: ${error.stack}`);
    }
  }
}

const monotonic = () => Number(process.hrtime.bigint()) / 1e9;

/** At most so much, whatever is mounted there. */
function read(file) {
  const descriptor = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    return ENOUGH.subarray(0, fs.readSync(descriptor, ENOUGH, 0, ENOUGH.length, 0));
  } finally {
    fs.closeSync(descriptor);
  }
}

function log(text) {
  try {
    fs.writeSync(2, `flyball: ${text}\n`);
  } catch {
    // A full pipe, or no standard error.
  }
}

module.exports = { Agent };
