"""The decision: what is to be done at a look.

It knows no clock, no file and no collector. What it is told comes by arguments, what it wants goes back as a list of effects.
"""

import re

from ._line import Refused, parse, trim

REASONS = (
    "too-long", "syntax", "version", "duplicate", "unknown", "range", "unsupported",
    "off", "old", "changed", "expired", "probation", "foreign",
)  # fmt: skip
KNOB = "gc-thresholds"
PROBATION = 60  # seconds that a process must live with a generation
TRIP = 0.97  # of the container's limit
LATCH = 600  # seconds that the breaker holds
NEVER = float("inf")


class Bounds:
    """Local settings. What can't be read as a whole number is as if it were not set."""

    def __init__(self, env, log=lambda text: None):
        self.off = env.get("FLYBALL_GC_OFF") == "allow"
        self.threshold = 100
        text = env.get("FLYBALL_GC_THRESHOLD_MIN") or ""
        if re.fullmatch("0|[1-9][0-9]{0,9}", text):
            self.threshold = int(text)
        elif text:
            log(f"FLYBALL_GC_THRESHOLD_MIN={text} is no whole number: taken as not set")


class Decision:
    """
    boot: the thresholds at start, a tuple of three.
    probation: the generation that an earlier process ended with; 0: none.
    """

    def __init__(self, boot, bounds, probation=0):
        self.boot = boot
        self.bounds = bounds
        self.probation = probation
        self.set = boot  # what the agent takes the thresholds to be
        self.readable = False
        self.last_text = ""  # of the last look
        self.taken_text = ""  # of the last line that was taken
        self.seen = 0
        self.seen_thresholds = None
        self.target = boot
        self.applied = 0
        self.lease_end = 0.0  # monotonic
        self.lease_exp = 0  # since 1970
        self.clamped = False
        self.pressure = 0  # the line's
        self.reclaim_seen = None  # before the first line
        self.freeze_seen = None
        self.froze = False
        self.foreign = 0  # the generation that is refused as foreign
        self.mark_end = NEVER  # when the file of probation goes
        self.breaker = 0
        self.breaker_end = 0.0
        self.breaker_again = False  # the knobs were applied again after a trip
        self.rejected = dict.fromkeys(REASONS, 0)
        self.leases_ended = 0
        self.reclaims = 0
        self.trips = 0
        self.foreign_writes = 0
        self.effects = []

    def lease(self, at, wall):
        """Seconds left of the lease."""
        return max(0.0, min(self.lease_end - at, self.lease_exp - wall)) if self.applied else 0.0

    def look(self, at, wall, data, thresholds):
        """
        One look at the file.

        at: seconds on the monotonic clock; wall: seconds since 1970; data: the file's bytes, or None where it can't be read;
        thresholds: as they are now. Returns effects, to be carried out in this order: ("mark", generation), ("unmark", None),
        ("thresholds", tuple), ("reclaim", None), ("freeze", None), ("unfreeze", None), ("log", text).
        """
        self.effects = []
        self._notice(thresholds)
        if self.applied and (at >= self.lease_end or wall >= self.lease_exp):
            self.leases_ended += 1
            self._log(f"the lease of generation {self.applied} has ended: boot values")
            self._release()
        self.readable = data is not None
        if data is not None:
            self._read(at, wall, trim(data))
        if at >= self.mark_end:
            self._unmark()
        if self.breaker and at >= self.breaker_end:
            self.breaker = 0
            self.breaker_again = True
            self._move(self.target)
            self._log(f"the breaker's ten minutes are over: generation {self.applied} again")
        return self.effects

    def guard(self, at, resident, limit, thresholds):
        """The breaker, once a second. resident: bytes of this process; limit: bytes of the container, or infinity."""
        self.effects = []
        if not self.applied or self.breaker or not resident > TRIP * limit:
            return self.effects
        self._notice(thresholds)
        if not self.applied:
            return self.effects
        self.breaker = 2
        self.trips += 1
        # What trips again stays out until the controller says something new.
        self.breaker_end = NEVER if self.breaker_again else at + LATCH
        self._back()
        self._log(f"the breaker tripped: {resident} bytes are resident of a limit of {limit}: boot values")
        return self.effects

    def _notice(self, thresholds):
        if thresholds == self.set:
            return
        if self.applied:
            self.foreign_writes += 1
            self.foreign = self.applied
            self._log(f"somebody else set {KNOB} to {_text(thresholds)}, it was {_text(self.set)}: hands off generation {self.applied}")
            self._let_go()
        elif not self.foreign:
            self.boot = thresholds  # the application sets itself up after its agent started
        self.set = thresholds

    def _read(self, at, wall, text):
        if not text:
            if self.applied:
                self._log(f"the line was removed: boot values, generation {self.applied} has ended")
                self._release()
            self.taken_text = ""
        elif text != self.taken_text:
            try:
                line = parse(text)
                self._judge(wall, line)
            except Refused as refused:
                if text != self.last_text:
                    self.rejected[refused.reason] += 1
                    self._log(f"line refused, {refused.reason} ({refused}): {text[:200]!a}")
            else:
                self._take(at, wall, text, line)
        self.last_text = text

    def _judge(self, wall, line):
        """The reasons that the line alone does not tell."""
        if line.thresholds and line.thresholds[0] == 0 and not self.bounds.off:
            raise Refused("off", "no automatic collection without FLYBALL_GC_OFF=allow")
        if line.gen < self.seen:
            raise Refused("old", f"generation {self.seen} was taken")
        if line.gen == self.seen and line.thresholds != self.seen_thresholds:
            raise Refused("changed", f"generation {line.gen} had other knobs")
        if line.exp <= wall:
            raise Refused("expired", f"by this clock it is {int(wall)}")
        if line.gen == self.probation:
            raise Refused("probation", "an earlier process ended within its first minute with it")
        if line.gen == self.foreign:
            raise Refused("foreign", "somebody else moved a knob under it")

    def _take(self, at, wall, text, line):
        if line.gen > self.seen:
            self.foreign = 0
            self._reset_breaker()
        self.seen = line.gen
        self.seen_thresholds = line.thresholds
        self.taken_text = text
        if line.gen != self.applied:
            self._apply(at, line)
        self.lease_end = at + line.ttl
        self.lease_exp = line.exp
        self.pressure = line.pressure
        if self.reclaim_seen is not None and line.reclaim > self.reclaim_seen:
            self.reclaims += 1
            self.effects.append(("reclaim", None))
        self.reclaim_seen = max(self.reclaim_seen or 0, line.reclaim)
        if self.freeze_seen is not None and line.freeze > self.freeze_seen:
            self.froze = True
            self.effects.append(("freeze", None))
        self.freeze_seen = max(self.freeze_seen or 0, line.freeze)

    def _apply(self, at, line):
        self.applied = line.gen
        self.effects.append(("mark", line.gen))
        self.mark_end = at + PROBATION
        self.target = self.boot
        if line.thresholds:
            first, second, third = line.thresholds
            # 0 got here by the local permission.
            self.target = (max(first, self.bounds.threshold) if first else 0, second, third)
        self.clamped = line.thresholds not in (None, self.target)
        self._move(self.target)
        self._log(f"generation {line.gen} applied: {KNOB}={_text(self.target)}{', a local bound' if self.clamped else ''}")

    def _release(self):
        """Boot values, and nothing in force."""
        self._back()
        self._let_go()

    def _back(self):
        self._move(self.boot)
        if self.froze:
            self.froze = False
            self.effects.append(("unfreeze", None))

    def _let_go(self):
        self.applied = 0
        self.pressure = 0
        self.clamped = False
        self._reset_breaker()
        self._unmark()

    def _reset_breaker(self):
        self.breaker = 0
        self.breaker_again = False

    def _unmark(self):
        if self.mark_end != NEVER:
            self.mark_end = NEVER
            self.effects.append(("unmark", None))

    def _move(self, thresholds):
        if thresholds != self.set:
            self.set = thresholds
            self.effects.append(("thresholds", thresholds))

    def _log(self, text):
        self.effects.append(("log", text))


def _text(thresholds):
    return ",".join(str(number) for number in thresholds)
