'use strict';
// The file of probation: which generation an earlier process of this container ended with.

const fs = require('node:fs');
const path = require('node:path');

class Probation {
  /**
   * @param {string} folder FLYBALL_STATE_DIR; empty: no probation
   * @param {(text: string) => void} log
   */
  constructor(folder, log) {
    this.file = folder ? path.join(folder, 'probation') : '';
    this.log = log;
    this.own = this.file && `${process.pid} ${started(process.pid)}`;
  }

  /** The generation that an ended process left, or 0n. One that still lives is under way, not ended. */
  found() {
    const left = this.read();
    return left === null || left.alive ? 0n : left.generation;
  }

  mark(generation) {
    if (!this.file) return;
    const there = this.read();
    // Another process has it on probation already: should the container end, that file says it.
    if (there !== null && there.alive && there.by !== this.own && there.generation === generation) return;
    const fresh = `${this.file}.${process.pid}`;
    try {
      fs.writeFileSync(fresh, `${generation} ${this.own}\n`);
      fs.renameSync(fresh, this.file); // never half a file
    } catch (error) {
      this.log(`no probation: ${error.message}`);
    }
  }

  unmark() {
    const there = this.read();
    if (there === null || there.by !== this.own) return;
    try {
      fs.unlinkSync(this.file);
    } catch (error) {
      this.log(`the file of probation stays: ${error.message}`);
    }
  }

  read() {
    if (!this.file) return null;
    try {
      const found = /^([0-9]{1,19})(?: (([0-9]+) ([0-9]+)))?\s*$/.exec(fs.readFileSync(this.file, 'latin1'));
      if (found === null) return null;
      const [, generation, by, pid, start] = found;
      return { generation: BigInt(generation), by, alive: by !== undefined && started(pid) === start };
    } catch {
      return null;
    }
  }
}

/** When a process started, in ticks since the machine did; '0' where there is no such process or no /proc. */
function started(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return '0';
  }
}

module.exports = { Probation };
