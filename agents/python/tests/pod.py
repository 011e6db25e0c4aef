"""A container's folders, written as the kubelet does, and processes in it."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PACKAGE = pathlib.Path(__file__).parents[1]
SUBJECT = pathlib.Path(__file__).with_name("subject.py")
PATIENCE = 100  # seconds until a test that waits for what never comes ends


class Pod:
    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="flyball-python-")
        self.mount = os.path.join(self.folder, "runtime")
        self.state = os.path.join(self.folder, "state")
        os.mkdir(self.state)
        self.writes = 0
        self.children = []
        return self

    def __exit__(self, *_):
        for child in self.children:
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream:
                    stream.close()
        shutil.rmtree(self.folder)

    def write(self, content):
        """A new folder beside the old one, and the link `..data` renamed onto it."""
        self.writes += 1
        name = f"..2026_{self.writes}"
        data = os.path.join(self.mount, "..data")
        old = os.readlink(data) if os.path.lexists(data) else None
        os.makedirs(os.path.join(self.mount, name))
        pathlib.Path(self.mount, name, "runtime").write_bytes(content if isinstance(content, bytes) else content.encode())
        os.symlink(name, os.path.join(self.mount, "..data_tmp"))
        os.replace(os.path.join(self.mount, "..data_tmp"), data)
        if old is None:
            os.symlink("..data/runtime", os.path.join(self.mount, "runtime"))
        else:
            shutil.rmtree(os.path.join(self.mount, old))

    def env(self, more):
        return {
            **os.environ, "FLYBALL_RUNTIME_DIR": self.mount, "FLYBALL_STATE_DIR": self.state, "FLYBALL_LOG": "off",
            "FLYBALL_WATERMARKS": "off", "PYTHONPATH": str(PACKAGE), **more,
        }  # fmt: skip

    def start(self, arguments, **env):
        child = subprocess.Popen(
            [sys.executable, *arguments], env=self.env(env), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.children.append(child)
        return child

    def subject(self, **env):
        """A process that does what it is asked."""
        return Subject(self.start([str(SUBJECT)], **env))

    def run(self, script, **env):
        """A process with a script of its own: exit code, standard output and error."""
        child = self.start(["-c", script], **env)
        out, err = child.communicate(timeout=PATIENCE)
        return child.returncode, out, err


class Subject:
    def __init__(self, child):
        self.child = child

    def ask(self, what, *arguments):
        self.child.stdin.write(json.dumps([what, *arguments]) + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        if not answer:
            raise AssertionError(f"the process ended: {self.child.stderr.read()}")
        return json.loads(answer)

    def metric(self, name):
        """A metric's value by its name with labels, without the prefix."""
        return find(self.ask("metrics"), name)

    def until(self, name, value):
        """Waits for a metric's value, or for one that will do."""
        holds = value if callable(value) else lambda found: found == value
        wait_for(lambda: holds(self.metric(name)), f"{name} {value}")

    def thresholds(self):
        return [self.metric(f'knob{{knob="gc-thresholds",index="{index}"}}') for index in range(3)]

    def kill(self, number=signal.SIGKILL):
        self.child.send_signal(number)
        self.child.wait()


def find(metrics, name):
    for line in metrics.splitlines():
        if line.startswith(f"flyball_agent_{name} "):
            return float(line.rpartition(" ")[2])
    return None


def wait_for(holds, what):
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"never came: {what}")
        time.sleep(0.05)
