'use strict';

const test = require('node:test');
const assert = require('node:assert');
const { Container } = require('../lib/cgroup');

const MIB = 1048576;

/** The container of a machine that has these files and no others. */
function container(files) {
  return new Container((path) => {
    if (!(path in files)) throw new Error(`ENOENT: ${path}`);
    return files[path];
  });
}

test('version 2, in a container with a namespace of its own', () => {
  const files = {
    '/proc/self/cgroup': '0::/\n',
    '/proc/self/mountinfo': '29 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n30 23 0:27 / /proc rw - proc proc rw\n',
    '/sys/fs/cgroup/memory.max': `${512 * MIB}\n`,
    '/sys/fs/cgroup/memory.current': `${300 * MIB}\n`,
    '/sys/fs/cgroup/memory.stat': `anon ${200 * MIB}\ninactive_file ${80 * MIB}\nactive_file ${20 * MIB}\n`,
  };
  const found = container(files);
  const { bytes, group } = found.limit();
  assert.strictEqual(bytes, 512 * MIB);
  assert.strictEqual(found.workingSet(group), 220 * MIB);
  files['/sys/fs/cgroup/memory.max'] = `${1024 * MIB}\n`; // resized in place
  assert.strictEqual(found.limit().bytes, 1024 * MIB);
});

test('version 2: the smallest limit of all that can be seen, with its own fill', () => {
  const found = container({
    '/proc/self/cgroup': '0::/kubepods/pod1/app\n',
    '/proc/self/mountinfo': '29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n',
    '/sys/fs/cgroup/kubepods/pod1/app/memory.max': 'max\n',
    '/sys/fs/cgroup/kubepods/pod1/memory.max': `${256 * MIB}\n`,
    '/sys/fs/cgroup/kubepods/memory.max': `${4096 * MIB}\n`,
    '/sys/fs/cgroup/kubepods/pod1/memory.current': `${100 * MIB}\n`,
    '/sys/fs/cgroup/kubepods/pod1/memory.stat': 'inactive_file 0\n',
  });
  const { bytes, group } = found.limit();
  assert.strictEqual(bytes, 256 * MIB);
  assert.strictEqual(group, '/sys/fs/cgroup/kubepods/pod1');
  assert.strictEqual(found.workingSet(group), 100 * MIB);
});

test('version 1, mounted from its own group', () => {
  const found = container({
    '/proc/self/cgroup': '9:cpu,cpuacct:/kubepods/pod1/app\n4:memory:/kubepods/pod1/app\n',
    '/proc/self/mountinfo': '35 31 0:32 /kubepods/pod1/app /sys/fs/cgroup/memory ro master:9 - cgroup cgroup rw,memory\n36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${64 * MIB}\n`,
    '/sys/fs/cgroup/memory/memory.usage_in_bytes': `${60 * MIB}\n`,
    '/sys/fs/cgroup/memory/memory.stat': `inactive_file 1\ntotal_inactive_file ${10 * MIB}\n`,
  });
  const { bytes, group } = found.limit();
  assert.strictEqual(bytes, 64 * MIB);
  assert.strictEqual(found.workingSet(group), 50 * MIB);
});

test('hybrid: memory belongs to version 1', () => {
  const found = container({
    '/proc/self/cgroup': '4:memory:/app\n0::/\n',
    '/proc/self/mountinfo': '35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n',
    '/sys/fs/cgroup/memory/app/memory.limit_in_bytes': `${64 * MIB}\n`,
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
  });
  assert.strictEqual(found.limit().bytes, 64 * MIB);
});

test('a group outside of what is mounted is read at the mount', () => {
  const found = container({
    '/proc/self/cgroup': '0::/../../other\n',
    '/proc/self/mountinfo': '29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n',
    '/sys/fs/cgroup/memory.max': `${64 * MIB}\n`,
  });
  assert.strictEqual(found.limit().bytes, 64 * MIB);
});

test('no limit, no control groups, nonsense', () => {
  const none = container({});
  assert.strictEqual(none.limit().bytes, Infinity);
  assert.ok(Number.isNaN(none.workingSet(none.limit().group)));
  const unlimited = container({
    '/proc/self/cgroup': '4:memory:/\n',
    '/proc/self/mountinfo': '35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
  });
  assert.strictEqual(unlimited.limit().bytes, Infinity);
  const nonsense = container({
    '/proc/self/cgroup': '0::/\n',
    '/proc/self/mountinfo': 'what\n29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n',
    '/sys/fs/cgroup/memory.max': 'a lot\n',
  });
  assert.strictEqual(nonsense.limit().bytes, Infinity);
});
