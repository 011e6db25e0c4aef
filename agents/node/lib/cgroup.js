'use strict';
// The container's memory, from its control groups: version 1, version 2, or both mounted (hybrid: memory belongs to version 1 then).

const fs = require('node:fs');

const NO_LIMIT_V1 = 2 ** 62; // version 1 writes the largest number of pages where there is none
const V1 = { limit: 'memory.limit_in_bytes', usage: 'memory.usage_in_bytes', inactive: /^total_inactive_file ([0-9]+)$/m };
const V2 = { limit: 'memory.max', usage: 'memory.current', inactive: /^inactive_file ([0-9]+)$/m };

class Container {
  /** @param {(path: string) => string} read throws where a file can't be read */
  constructor(read = (path) => fs.readFileSync(path, 'latin1')) {
    this.read = read;
    this.files = V2;
    this.groups = []; // from the process's own up to the highest that can be seen
    try {
      this.find();
    } catch {
      // No control groups: no limit.
    }
  }

  find() {
    const paths = this.read('/proc/self/cgroup').trim().split('\n').map((line) => /^[0-9]+:([^:]*):(.*)$/.exec(line)).filter(Boolean);
    const mounts = this.read('/proc/self/mountinfo').trim().split('\n').map(mount).filter(Boolean);
    const v1 = paths.find(([, controllers]) => controllers.split(',').includes('memory'));
    const v1Mount = mounts.find(({ type, options }) => type === 'cgroup' && options.includes('memory'));
    const v2 = paths.find(([, controllers]) => controllers === '');
    const v2Mount = mounts.find(({ type }) => type === 'cgroup2');
    if (v1 && v1Mount) {
      this.files = V1;
      this.groups = upward(v1Mount, v1[2]);
    } else if (v2 && v2Mount) {
      this.groups = upward(v2Mount, v2[2]);
    }
  }

  /** The smallest limit in bytes (Infinity: none) and the control group that has it. Read anew at each look: limits are resized in place. */
  limit() {
    let smallest = { bytes: Infinity, group: this.groups[0] };
    for (const group of this.groups) {
      const bytes = this.number(`${group}/${this.files.limit}`);
      if (bytes < smallest.bytes) smallest = { bytes, group };
    }
    return smallest;
  }

  /** Bytes of a control group that the kernel can't simply drop: usage less inactive file pages. NaN: unknown. */
  workingSet(group) {
    const usage = this.usage(group);
    try {
      const inactive = this.files.inactive.exec(this.read(`${group}/memory.stat`));
      return inactive === null ? NaN : Math.max(0, usage - Number(inactive[1]));
    } catch {
      return NaN;
    }
  }

  /** Page cache included, and cheaper. NaN: unknown. */
  usage(group) {
    return group === undefined ? NaN : this.number(`${group}/${this.files.usage}`);
  }

  number(path) {
    try {
      const text = this.read(path).trim();
      if (text === 'max') return Infinity;
      if (!/^[0-9]+$/.test(text)) return NaN;
      return Number(text) >= NO_LIMIT_V1 ? Infinity : Number(text);
    } catch {
      return NaN;
    }
  }
}

function mount(line) {
  const [before, after] = line.split(' - ');
  if (after === undefined) return null;
  const fields = before.split(' ');
  const [type, , options = ''] = after.split(' ');
  if (!type.startsWith('cgroup')) return null;
  const plain = (text) => text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
  return { root: plain(fields[3]), point: plain(fields[4]), type, options: options.split(',') };
}

/** The folders of a control group and of those around it, as far as the mount shows them. */
function upward({ root, point }, path) {
  const inside = root === '/' ? path : path === root || path.startsWith(`${root}/`) ? path.slice(root.length) : '';
  const names = inside.split('/').filter((name) => name !== '');
  if (names.includes('..')) names.length = 0; // outside of what this mount shows
  const folders = [point];
  for (const name of names) folders.unshift(`${folders[0]}/${name}`);
  return folders;
}

module.exports = { Container };
