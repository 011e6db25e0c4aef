'use strict';
// Real processes under the agent, and a folder that is swapped as the kubelet does.

const { describe, test } = require('node:test');
const assert = require('node:assert');
const { randomBytes } = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { Pod } = require('./pod');

const LINE = 'ttl=3600 exp=9000000000';
const KNOB = 'knob{knob="heap-growing-percent"}';

describe('a process under the agent', { concurrency: 16, timeout: 120000 }, () => {
  test('the knob arrives, acts, and goes with the line', async (t) => {
    const pod = new Pod(t);
    pod.write('');
    const subject = pod.subject({}, ['--max-semi-space-size=4']); // MB, so that objects get old with every version
    await subject.until('source_readable', 1);
    const before = await subject.ask('churn', 60);
    pod.write(`v1 gen=7 ${LINE} heap-growing-percent=20`);
    await subject.until('applied_generation', 7);
    assert.strictEqual(await subject.metric(KNOB), 20);
    const during = await subject.ask('churn', 60);
    pod.write('');
    await subject.until('applied_generation', 0);
    assert.strictEqual(await subject.metric(KNOB), 0);
    const after = await subject.ask('churn', 60);
    // Measured: more than three times as many, and two thirds of the heap.
    const said = JSON.stringify({ before, during, after });
    assert.ok(during.old > 1.5 * before.old && during.heap < 0.9 * before.heap, said);
    assert.ok(during.old > 1.5 * after.old && during.heap < 0.9 * after.heap, said);
  });

  test('a lease ends', async (t) => {
    const pod = new Pod(t);
    pod.write('v1 gen=1 ttl=2 exp=9000000000 heap-growing-percent=20 pressure=high');
    const subject = pod.subject();
    await subject.until('applied_generation', 1);
    await subject.until('leases_ended_total', 1);
    assert.strictEqual(await subject.metric(KNOB), 0);
    assert.strictEqual(await subject.metric('applied_generation'), 0);
    assert.deepStrictEqual(await subject.ask('levels'), ['high', 'normal']);
  });

  test('garbage moves nothing and ends nothing', async (t) => {
    const pod = new Pod(t);
    pod.write(`v1 gen=1 ${LINE} heap-growing-percent=20`);
    const subject = pod.subject();
    await subject.until('applied_generation', 1);
    for (let i = 0; i < 50; i++) pod.write(randomBytes(1 + ((i * 97) % 4000)));
    pod.write(randomBytes(200000)); // more than is read
    await subject.until('rejected_total{reason="too-long"}', (count) => count > 0);
    fs.rmSync(path.join(pod.mount, '..data')); // a link that leads nowhere
    await subject.until('source_readable', 0);
    fs.rmSync(path.join(pod.mount, 'runtime'));
    fs.mkdirSync(path.join(pod.mount, 'runtime')); // a folder where the file should be
    fs.symlinkSync('nowhere', path.join(pod.mount, '..data'));
    assert.strictEqual(await subject.metric('applied_generation'), 1);
    assert.strictEqual(await subject.metric(KNOB), 20);
  });

  test('probation, over a process that was killed', async (t) => {
    const pod = new Pod(t);
    pod.write(`v1 gen=1 ${LINE} heap-growing-percent=20`);
    const first = pod.subject();
    await first.until('applied_generation', 1);
    await first.kill('SIGKILL');
    const second = pod.subject();
    await second.until('rejected_total{reason="probation"}', 1);
    assert.deepStrictEqual([await second.metric('applied_generation'), await second.metric(KNOB)], [0, 0]);
    pod.write(`v1 gen=2 ${LINE} heap-growing-percent=30`);
    await second.until('applied_generation', 2);
  });

  test('a process that ends of itself leaves no probation, one that fails does', async (t) => {
    for (const [code, refused] of [[0, 0], [1, 1]]) {
      const pod = new Pod(t);
      pod.write(`v1 gen=1 ${LINE} heap-growing-percent=20`);
      const first = pod.subject();
      await first.until('applied_generation', 1);
      first.ask('exit', code).catch(() => {});
      await once(first.child, 'exit');
      const second = pod.subject();
      await second.until('source_readable', 1);
      assert.strictEqual(await second.metric('rejected_total{reason="probation"}'), refused, `exit code ${code}`);
    }
  });

  test('what another process has on probation is under way, not ended', async (t) => {
    const pod = new Pod(t);
    pod.write(`v1 gen=1 ${LINE} heap-growing-percent=20`);
    const first = pod.subject();
    await first.until('applied_generation', 1);
    const mark = fs.readFileSync(path.join(pod.state, 'probation'), 'utf8');
    const second = pod.subject();
    await second.until('applied_generation', 1);
    second.ask('exit', 0).catch(() => {});
    await once(second.child, 'exit');
    assert.strictEqual(fs.readFileSync(path.join(pod.state, 'probation'), 'utf8'), mark);
    assert.ok(mark.startsWith(`1 ${first.child.pid} `), mark);
  });

  test('nothing mounted: nothing happens, and no process is kept alive', async (t) => {
    const pod = new Pod(t);
    const api = "globalThis[Symbol.for('flyball.agent')]";
    const { code, out, err } = await pod.run(['-e', `setTimeout(() => console.log(${api}.metrics()), 1500)`], { FLYBALL_LOG: '', FLYBALL_METRICS_ADDRESS: '127.0.0.1:0' });
    assert.strictEqual(code, 0);
    assert.strictEqual(err, '');
    assert.match(out, /^flyball_agent_source_readable 0$/m);
    assert.match(out, /^flyball_agent_applied_generation 0$/m);
    assert.deepStrictEqual(fs.readdirSync(pod.state), []);
  });

  test('short scripts, package managers and a process that is switched off have no agent', async (t) => {
    const pod = new Pod(t);
    pod.write(`v1 gen=1 ${LINE} heap-growing-percent=20`);
    const script = "setTimeout(() => console.log(JSON.stringify(globalThis[Symbol.for('flyball.agent')].metrics())), 1500)";
    const npm = path.join(pod.folder, 'npm-cli.js');
    fs.writeFileSync(npm, script);
    assert.strictEqual((await pod.run([npm])).out, '""\n');
    assert.strictEqual((await pod.run(['-e', script], { FLYBALL_AGENT: 'off' })).out, '""\n');
    const short = await pod.run(['-e', 'console.log(Object.keys(require.cache).filter((file) => file.endsWith("lib/agent.js")).length)']);
    assert.strictEqual(short.out, '0\n');
  });

  test('pressure comes as an event, and one function that fails stops no other', async (t) => {
    const pod = new Pod(t);
    pod.write('');
    const subject = pod.subject();
    await subject.until('source_readable', 1);
    for (const [gen, level] of ['warning', 'emergency', 'normal'].entries()) {
      pod.write(`v1 gen=1 ttl=${100 + gen} exp=9000000000 pressure=${level}`);
      await subject.until('pressure', { warning: 1, emergency: 3, normal: 0 }[level]);
    }
    assert.deepStrictEqual(await subject.ask('levels'), ['warning', 'emergency', 'normal']);
  });

  test('pressure by function: in order, never two calls at a time', async (t) => {
    const pod = new Pod(t);
    pod.write(`v1 gen=1 ${LINE} pressure=high`);
    const { out, code } = await pod.run(['-e', `
      const fs = require('node:fs');
      const { onPressure } = require(${JSON.stringify(require.resolve('../flyball-agent.js'))});
      let busy = false;
      onPressure(async (level) => {
        console.log(busy ? 'two at a time' : level);
        busy = true;
        fs.writeFileSync(process.env.FLYBALL_RUNTIME_DIR + '/..data/runtime', '');
        await new Promise((resolve) => setTimeout(resolve, level === 'high' ? 6000 : 0));
        busy = false;
        if (level === 'normal') throw new Error('a rejection');
      });
      setTimeout(() => {}, 7500);
    `]);
    assert.strictEqual(code, 0);
    assert.strictEqual(out, 'high\nnormal\n');
  });

  test('others who move the flag are seen, in the main thread and in workers', async (t) => {
    await Promise.all([['flags', '--heap-growing-percent=33'], ['inWorker', '--stack-trace-limit=20 --heap_growing_percent 33']].map(async ([ask, flags]) => {
      const pod = new Pod(t);
      pod.write(`v1 gen=1 ${LINE} heap-growing-percent=20`);
      const subject = pod.subject();
      await subject.until('applied_generation', 1);
      await subject.ask(ask, flags);
      await subject.until('foreign', 1);
      assert.strictEqual(await subject.metric(KNOB), 33);
      assert.strictEqual(await subject.metric('applied_generation'), 0);
      assert.strictEqual(await subject.metric('foreign_writes_total'), 1);
      pod.write(`v1 gen=2 ${LINE} heap-growing-percent=40`);
      await subject.until('applied_generation', 2);
      assert.strictEqual(await subject.metric('foreign'), 0);
    }));
  });

  test('boot values are those of the command line, and of the code before the first generation', async (t) => {
    const pod = new Pod(t);
    pod.write('');
    const script = (flags) => `
      const metrics = () => globalThis[Symbol.for('flyball.agent')].metrics();
      ${flags};
      const write = (text) => { // the second moves something in the folder that is watched
        require('node:fs').writeFileSync(process.env.FLYBALL_RUNTIME_DIR + '/..data/runtime', text);
        require('node:fs').writeFileSync(process.env.FLYBALL_RUNTIME_DIR + '/moved', text);
      };
      const knob = (then) => setTimeout(() => { console.log(/knob{.*} ([0-9]+)/.exec(metrics())[1]); then(); }, 1500);
      knob(() => {
        write('v1 gen=1 ${LINE} heap-growing-percent=20');
        const looked = setInterval(() => { if (/applied_generation 1/.test(metrics())) { clearInterval(looked);
          write('');
          const again = setInterval(() => { if (/applied_generation 0/.test(metrics())) { clearInterval(again); knob(() => {}); } }, 50);
        } }, 50);
      });`;
    const other = new Pod(t);
    other.write('');
    const [byFlag, byCode] = await Promise.all([
      pod.run(['--heap-growing-percent=60', '-e', script('')]),
      other.run(['-e', script("require('node:v8').setFlagsFromString('--heap-growing-percent=70')")]),
    ]);
    assert.strictEqual(byFlag.out, '60\n60\n');
    assert.strictEqual(byCode.out, '70\n70\n');
  });

  test('a command to reclaim gives memory back to the system', async (t) => {
    const pod = new Pod(t);
    pod.write(`v1 gen=1 ${LINE} reclaim=4`);
    const subject = pod.subject();
    await subject.until('applied_generation', 1);
    await subject.ask('grow', 1000000);
    await subject.ask('drop');
    const before = await subject.ask('resident');
    assert.strictEqual(await subject.metric('reclaims_total'), 0);
    pod.write(`v1 gen=1 ${LINE} reclaim=5`);
    await subject.until('reclaims_total', 1);
    let after = before;
    while (after > before - 60e6) after = await subject.ask('resident'); // pages go back on another thread; measured: 170 MB
    assert.strictEqual(await subject.ask('contexts'), 'undefined');
  });

  test('metrics by HTTP; a second process of the container serves nowhere', async (t) => {
    const pod = new Pod(t);
    pod.write(`v1 gen=3 ${LINE} heap-growing-percent=20`);
    const port = await free();
    const env = { FLYBALL_METRICS_ADDRESS: `127.0.0.1:${port}` };
    const first = pod.subject(env);
    await first.until('applied_generation', 3);
    await first.ask('churn', 5);
    const { status, text } = await get(`http://127.0.0.1:${port}/metrics`);
    assert.strictEqual(status, 200);
    assert.match(text, /^flyball_agent_info\{runtime="node",version="[0-9.]+",collector="v8-[^"]+",agent="[0-9.]+"\} 1$/m);
    assert.match(text, /^flyball_agent_applied_generation 3$/m);
    assert.match(text, /^flyball_agent_gc_collections_total\{generation="young"\} [1-9]/m);
    assert.match(text, /^flyball_agent_heap_alloc_bytes [1-9][0-9]+$/m);
    assert.strictEqual((await get(`http://127.0.0.1:${port}/`)).status, 404);
    const second = await pod.run(['-e', 'setTimeout(() => {}, 1500)'], { ...env, FLYBALL_LOG: '' });
    assert.strictEqual(second.code, 0);
    assert.match(second.err, /metrics are not served by process [0-9]+: .*EADDRINUSE/);
  });

  test('the workers of a cluster have agents of their own', async (t) => {
    const pod = new Pod(t);
    pod.write(`v1 gen=5 ${LINE} heap-growing-percent=20`);
    const script = path.join(pod.folder, 'server.js');
    fs.writeFileSync(script, `
      const cluster = require('node:cluster');
      const look = setInterval(() => {
        if (!/applied_generation 5/.test(globalThis[Symbol.for('flyball.agent')].metrics())) return;
        clearInterval(look);
        console.log('in force');
        if (cluster.isWorker) process.disconnect();
      }, 50);
      if (cluster.isPrimary) { cluster.fork(); cluster.fork(); }
    `);
    const { out, code } = await pod.run([script]);
    assert.strictEqual(code, 0);
    assert.strictEqual(out, 'in force\n'.repeat(3));
  });
});

async function free() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

function get(url) {
  return new Promise((resolve, reject) => {
    http.get(url, (response) => {
      let text = '';
      response.on('data', (data) => { text += data; });
      response.on('end', () => resolve({ status: response.statusCode, text }));
    }).on('error', reject);
  });
}
