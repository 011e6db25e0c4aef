'use strict';
// A container's folders, written as the kubelet does, and processes in it.

const { fork, spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const AGENT = path.join(__dirname, '..', 'flyball-agent.js');
const SUBJECT = path.join(__dirname, 'fixtures', 'subject.js');

class Pod {
  constructor(t) {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'flyball-node-'));
    this.mount = path.join(this.folder, 'runtime');
    this.state = path.join(this.folder, 'state');
    fs.mkdirSync(this.state);
    this.writes = 0;
    this.children = [];
    t.after(() => this.end());
  }

  async end() {
    for (const child of this.children) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
    }
    fs.rmSync(this.folder, { recursive: true });
  }

  /** A new folder beside the old one, and the link `..data` renamed onto it. */
  write(content) {
    const name = `..2026_${++this.writes}`;
    const data = path.join(this.mount, '..data');
    const old = fs.existsSync(data) ? fs.readlinkSync(data) : undefined;
    fs.mkdirSync(path.join(this.mount, name), { recursive: true });
    fs.writeFileSync(path.join(this.mount, name, 'runtime'), content);
    fs.symlinkSync(name, path.join(this.mount, '..data_tmp'));
    fs.renameSync(path.join(this.mount, '..data_tmp'), data);
    if (old === undefined) fs.symlinkSync('..data/runtime', path.join(this.mount, 'runtime'));
    else fs.rmSync(path.join(this.mount, old), { recursive: true });
  }

  env(more) {
    const env = {
      ...process.env, FLYBALL_RUNTIME_DIR: this.mount, FLYBALL_STATE_DIR: this.state, FLYBALL_LOG: 'off', FLYBALL_WATERMARKS: 'off',
      NODE_OPTIONS: `--require ${AGENT}`, ...more,
    };
    delete env.NODE_TEST_CONTEXT;
    return env;
  }

  /** A process that does what it is asked by messages. */
  subject(env, execArgv = []) {
    const child = fork(SUBJECT, { env: this.env(env), execArgv });
    this.children.push(child);
    return new Subject(child);
  }

  /** A process with a script of its own: {code, signal, out, err}. */
  async run(args, env) {
    const child = spawn(process.execPath, args, { env: this.env(env), stdio: ['ignore', 'pipe', 'pipe'] });
    this.children.push(child);
    const result = { out: '', err: '' };
    child.stdout.on('data', (data) => { result.out += data; });
    child.stderr.on('data', (data) => { result.err += data; });
    [result.code, result.signal] = await once(child, 'close');
    return result;
  }
}

class Subject {
  constructor(child) {
    this.child = child;
    this.waiting = new Map();
    this.number = 0;
    child.on('message', ({ number, value }) => {
      this.waiting.get(number)(value);
      this.waiting.delete(number);
    });
  }

  ask(what, ...args) {
    const number = ++this.number;
    return new Promise((resolve, reject) => {
      this.waiting.set(number, resolve);
      this.child.send({ number, what, args }, (error) => error && reject(error));
    });
  }

  /** A metric's value by its name with labels, without the prefix. */
  async metric(name) {
    const line = (await this.ask('metrics')).split('\n').find((text) => text.startsWith(`flyball_agent_${name} `));
    return line && Number(line.split(' ')[1]);
  }

  /** Waits for a metric's value, or for one that will do; what never comes ends with the test's own time. */
  async until(name, value) {
    const holds = typeof value === 'function' ? value : (found) => found === value;
    while (!holds(await this.metric(name))) await new Promise((resolve) => { setTimeout(resolve, 50); });
  }

  async kill(signal) {
    this.child.kill(signal);
    await once(this.child, 'exit');
  }
}

module.exports = { AGENT, Pod };
