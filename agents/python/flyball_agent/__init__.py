"""Flyball's agent in a Python process. Importing it is all; see README.md.

    import flyball_agent
    flyball_agent.on_pressure(lambda level: cache.clear() if level == "high" else None)

This module is loaded by every process that a sitecustomize or a .pth brings it to, short ones too: it starts a thread, all else is loaded a second later.
"""

import os
import sys

_DELAY = 1.0  # seconds until the agent starts; what ends before that pays for a thread only
_TOOLS = {"pip", "pip3", "supervisord"}  # parents and helpers that would only stand in the way of the service

_running = None  # not named like the submodule, which is an attribute of this package as well
_functions = []
_runner = None


class _Runner:
    """The agent's thread: given up before a fork, taken up after it on both sides, so that nothing is ever forked half-way."""

    def __init__(self):
        self.thread = None

    def start(self, delay=0.0):
        import threading

        self.hurry = threading.Lock()  # released: no more waiting for the start
        self.hurry.acquire()
        self.thread = threading.Thread(target=self.run, args=(delay,), name="flyball", daemon=True)
        self.thread.start()

    def run(self, delay):
        import threading

        global _running
        mine = threading.current_thread()
        if delay and self.hurry.acquire(timeout=delay):
            return
        try:
            if _running is None:
                if os.path.basename((getattr(sys, "argv", None) or [""])[0]) in _TOOLS:
                    return
                from ._agent import Agent

                agent = Agent(os.environ, _functions)
                agent.begin()
                _running = agent
        except Exception as error:
            _complain(error)
            return
        _running.run(lambda: self.thread is not mine)

    def stop(self):
        import threading

        thread, self.thread = self.thread, None
        if thread is None or thread is threading.current_thread():
            return
        try:
            self.hurry.release()
        except RuntimeError:
            pass  # released before
        if _running is not None:
            _running.wake()
        thread.join(2)  # a long collection is not waited for: the thread ends after it

    def in_parent(self):
        try:
            self.start(0.0 if _running is not None else _DELAY)
        except Exception as error:
            _complain(error)

    def in_child(self):
        try:
            if _running is not None:
                _running.forked()
            self.start(_DELAY)
        except Exception as error:
            _complain(error)


def on_pressure(function):
    """
    Registers a function that is told of each change of the level: "warning", "high", "emergency", and back to "normal". It is called on a
    thread of the agent. Returns the function, so that it can stand as a decorator.
    """
    if not callable(function):
        raise TypeError("on_pressure needs a function")
    _functions.append(function)
    if _running is not None:
        _running.registered(function)
    return function


def metrics():
    """The metrics in the text form, to be added to the application's own; empty before the agent started."""
    return _running.metrics() if _running is not None else ""


def _complain(error):
    try:
        os.write(2, f"flyball: the agent does not start: {error!r}\n".encode(errors="backslashreplace"))
    except OSError:
        pass


def _begin():
    global _runner
    if os.environ.get("FLYBALL_AGENT") == "off" or _runner is not None:
        return
    try:
        _runner = _Runner()
        _runner.start(_DELAY)
        os.register_at_fork(before=_runner.stop, after_in_parent=_runner.in_parent, after_in_child=_runner.in_child)
    except Exception as error:
        _complain(error)


_begin()
