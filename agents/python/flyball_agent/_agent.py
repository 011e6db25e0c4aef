"""The agent in its process: clocks, files, the collector and one thread around the decision.

Nothing here raises into the application or keeps it alive.
"""

import atexit
import gc
import os
import select
import sys
import threading
import time
import traceback

from ._cgroup import Container
from ._decision import Bounds, Decision
from ._line import PRESSURES
from ._probation import Probation
from ._watermarks import Watermarks, marks

VERSION = "0.1.0"
ABSENT = 60  # seconds between two looks for a file that is not there
IDLE = 5  # seconds between two looks
CLOSE = 1  # the same while something is in force, or memory is near a mark
LONGEST_FILE = 4096  # bytes that are read; a line has 1,024
NEVER = float("-inf")
INTERPRETER = 2000  # Python 3.12 freezes some hundred objects of its own; who calls gc.freeze() has at least some thousand
PAGE = os.sysconf("SC_PAGE_SIZE")


class Agent:
    """functions: what on_pressure registered; shared with the module, which may have some before the agent is there."""

    def __init__(self, env, functions):
        self.log = _silent if env.get("FLYBALL_LOG") == "off" else _log
        self.file = os.path.join(env.get("FLYBALL_RUNTIME_DIR") or "/etc/flyball", "runtime")
        self.state_dir = env.get("FLYBALL_STATE_DIR") or ""
        self.probation = Probation(self.state_dir, self.log)
        self.decision = Decision(gc.get_threshold(), Bounds(env, self.log), self.probation.found())
        percentages = marks(env.get("FLYBALL_WATERMARKS"), self.log)
        self.watermarks = Watermarks(percentages) if percentages else None
        self.container = Container()
        self.functions = functions
        self.level = 0
        self.file_at = NEVER  # when the file was looked at
        self.fill_at = NEVER  # when the container's fill was
        self.limit_at = NEVER  # when its limit was
        self.limit = (float("inf"), None)
        self.alone = False  # the agent froze, and nobody before it
        self.address = env.get("FLYBALL_METRICS_ADDRESS") or ""
        self.server = None
        self.server_at = NEVER  # when it was tried
        self.server_told = False
        self.gc_seconds = None
        self.last_gc = 0.0
        self.gc_start = None
        self.lock = threading.RLock()  # of the decision; a finalizer may ask for metrics in the middle of a look
        self.told = []  # calls that are due: (function, level)
        self.telling = False
        self.telling_lock = threading.Lock()
        self.wake_read, self.wake_write = os.pipe()

    def begin(self):
        if self.address:
            self.gc_seconds = 0.0
            gc.callbacks.append(self.collected)
        atexit.register(self.guarded, self.ends)

    # The thread's loop. It is given up before a fork and taken up after it, so that none of this is ever forked half-way.

    def run(self, stopped):
        while not stopped():
            self.guarded(self.look)
            self.guarded(self.serve)
            self.guarded(self.wait)

    def wake(self):
        try:
            os.write(self.wake_write, b"x")
        except OSError:
            pass

    def wait(self):
        until = _monotonic() + self.pause()
        poll = select.poll()
        poll.register(self.wake_read, select.POLLIN)
        if self.server is not None:
            poll.register(self.server, select.POLLIN)
        while True:
            left = until - _monotonic()
            if left <= 0:
                return
            for descriptor, _ in poll.poll(left * 1000):
                if descriptor == self.wake_read:
                    os.read(self.wake_read, 512)
                    return
                self.guarded(self.answer)

    def pause(self):
        if self.decision.applied or (self.watermarks and self.watermarks.close):
            return CLOSE
        return IDLE if self.needed() else ABSENT

    def needed(self):
        """Whether there is more to do than to look for a file each minute."""
        return self.decision.readable or bool(self.address) or bool(self.functions)

    def look(self):
        at = _monotonic()
        absent = IDLE if self.decision.seen else ABSENT
        if self.decision.readable or at - self.file_at >= absent - 0.1:
            self.file_at = at
            data = read(self.file)
            with self.lock:
                later = self.carry_out(self.decision.look(at, time.time(), data, gc.get_threshold()))
            self.command(later)
        if at - self.limit_at >= IDLE - 0.1:
            self.limit_at = at
            self.limit = self.container.limit()
        limit, group = self.limit
        if self.decision.applied:
            with self.lock:
                later = self.carry_out(self.decision.guard(at, resident(), limit, gc.get_threshold()))
            self.command(later)
        if self.watermarks and self.needed() and (self.watermarks.close or at - self.fill_at >= IDLE - 0.1):
            self.fill_at = at
            percent = self.fill(limit, group)
            if percent is not None:
                self.watermarks.look(at, percent)
        self.tell()

    def fill(self, limit, group):
        """Percent of the limit; None: unknown."""
        if limit == float("inf"):
            return 0
        # With its page cache it is more: where that is under all marks there is nothing to find out.
        usage = self.container.usage(group)
        if usage is not None and 100 * usage / limit >= self.watermarks.marks[0].mark - 3:
            usage = self.container.working_set(group)
        return None if usage is None else 100 * usage / limit

    def carry_out(self, effects):
        """What is quick, at once. Returns what is not: collections, which may run the application's finalizers."""
        later = []
        for effect, value in effects:
            if effect == "log":
                self.log(value)
            elif effect == "mark":
                self.probation.mark(value)
            elif effect == "unmark":
                self.probation.unmark()
            elif effect == "thresholds":
                gc.set_threshold(*value)
                self.decision.set = gc.get_threshold()  # a collector may have less than three generations
            else:
                later.append(effect)
        return later

    def command(self, effects):
        for effect in effects:
            if effect == "reclaim":
                gc.collect()
                trim()
            elif effect == "freeze":
                self.alone = self.alone or gc.get_freeze_count() < INTERPRETER
                gc.collect()
                gc.freeze()
            elif effect == "unfreeze" and self.alone:
                self.alone = False
                gc.unfreeze()

    # Pressure

    def pressure(self):
        return max(self.decision.pressure, self.watermarks.level if self.watermarks else 0)

    def tell(self):
        level = self.pressure()
        if level != self.level:
            self.level = level
            for function in list(self.functions):
                self.call(function, level)

    def registered(self, function):
        """A function that came later is told of what holds."""
        if self.level:
            self.call(function, self.level)
        self.wake()

    def call(self, function, level):
        """On a thread of its own, that ends when there is nothing left to tell: one that takes its time holds up no lease."""
        with self.telling_lock:
            self.told.append((function, PRESSURES[level]))
            if self.telling:
                return
            self.telling = True
        threading.Thread(target=self.deliver, name="flyball-pressure", daemon=True).start()

    def deliver(self):
        while True:
            with self.telling_lock:
                if not self.told:
                    self.telling = False
                    return
                function, level = self.told.pop(0)
            try:
                function(level)
            except BaseException:  # what it raises is nobody else's
                self.log(f"a function that is told of pressure failed: {traceback.format_exc()}")

    # Metrics

    def collected(self, phase, _info):
        """Called by the collector, in whatever thread it runs: no lock, no allocation to speak of."""
        now = time.perf_counter()
        if phase == "start":
            self.gc_start = now
        elif self.gc_start is not None:
            self.gc_seconds += now - self.gc_start
            self.last_gc = time.time()

    def serve(self):
        at = _monotonic()
        if not self.address or self.server is not None or at - self.server_at < ABSENT:
            return
        self.server_at = at
        from ._metrics import address, listen

        where = address(self.address)
        if where is None:
            self.log(f"FLYBALL_METRICS_ADDRESS={self.address} is no address such as :9465: metrics are served nowhere")
            self.server_at = float("inf")
            return
        try:
            self.server = listen(*where)
            self.server.settimeout(1)
        except OSError as error:
            if not self.server_told:
                self.log(f"metrics are not served by process {os.getpid()}: {error}")
            self.server_told = True

    def answer(self):
        from ._metrics import answer

        try:
            answer(self.server, self.metrics)
        except OSError:
            pass  # a client that went away

    def metrics(self):
        from ._metrics import render

        limit, group = self.container.limit()
        working_set = self.container.working_set(group)
        with self.lock:
            return render({
                "decision": self.decision,
                "version": VERSION,
                "lease": self.decision.lease(_monotonic(), time.time()),
                "pressure": self.level,
                "thresholds": gc.get_threshold(),
                "limit": limit,
                "resident": resident(),
                "working_set": working_set,
                "stats": gc.get_stats(),
                "gc_seconds": self.gc_seconds,
                "last_gc": self.last_gc if self.gc_seconds is not None else None,
            })  # fmt: skip

    # The process

    def forked(self):
        """In the child: everything that belongs to the parent is left to it."""
        self.lock = threading.RLock()
        self.telling_lock = threading.Lock()
        self.told = []
        self.telling = False
        os.close(self.wake_read)
        os.close(self.wake_write)
        self.wake_read, self.wake_write = os.pipe()
        if self.server is not None:
            self.server.close()  # or it would hold the address when its owner is gone
            self.server = None
            self.server_told = True
        self.server_at = _monotonic()  # tried again in a minute
        self.probation = Probation(self.state_dir, self.log)

    def ends(self):
        # Who ends without an exception was not ended by its knobs.
        if not hasattr(sys, "last_type"):
            self.probation.unmark()

    def guarded(self, action):
        try:
            action()
        except Exception:
            self.log(f"a fault of the agent: {traceback.format_exc()}")
            time.sleep(CLOSE)  # never a busy loop


def read(path):
    """At most so much, whatever is mounted there; None where it can't be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, LONGEST_FILE)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def resident():
    """Bytes of this process; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def trim():
    """Free memory of the C library back to the system, where it is glibc."""
    try:
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    except (ImportError, OSError, AttributeError):
        pass


def _monotonic():
    return time.monotonic()


def _log(text):
    try:
        os.write(2, f"flyball: {text}\n".encode(errors="backslashreplace"))
    except OSError:
        pass  # a full pipe, or no standard error


def _silent(_text):
    pass
