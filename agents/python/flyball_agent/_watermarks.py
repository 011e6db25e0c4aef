"""The agent's own watermarks: the level that the container's fill speaks of. Pure."""

import re

DEFAULT = (80, 90, 95)
BELOW = 3  # points under a mark, where its level ends
HELD = 10  # seconds that it has to be there
# Seconds that all looks have to be at or above a mark, and how many looks at least.
RISE = ((5, 2), (5, 2), (2, 3))


def marks(text, log=lambda text: None):
    """FLYBALL_WATERMARKS: three marks in percent, or None for none."""
    if not text:
        return DEFAULT
    if text == "off":
        return None
    if re.fullmatch("[1-9][0-9]{0,2}(,[1-9][0-9]{0,2}){2}", text):
        first, second, third = (int(number) for number in text.split(","))
        if first < second < third <= 100:
            return (first, second, third)
    log(f'FLYBALL_WATERMARKS={text} is neither three rising percentages nor "off": taken as not set')
    return DEFAULT


class _Mark:
    def __init__(self, mark, rise):
        self.mark = mark
        self.seconds, self.least = rise
        self.on = False
        self.since = None
        self.looks = 0
        self.below = None

    def look(self, at, percent):
        if percent >= self.mark:
            self.since = at if self.since is None else self.since
            self.looks += 1
        else:
            self.since = None
            self.looks = 0
        if percent > self.mark - BELOW:
            self.below = None
        elif self.below is None:
            self.below = at
        if self.looks >= self.least and at - self.since >= self.seconds:
            self.on = True
        elif self.on and self.below is not None and at - self.below >= HELD:
            self.on = False


class Watermarks:
    def __init__(self, percentages):
        self.marks = [_Mark(mark, rise) for mark, rise in zip(percentages, RISE)]
        self.level = 0

    @property
    def close(self):
        """Whether a look each second is needed to tell a peak from a level."""
        return self.level > 0 or self.marks[0].looks > 0

    def look(self, at, percent):
        """
        at: seconds on the monotonic clock; percent: the container's working set of its limit.
        Returns 0 normal, 1 warning, 2 high, 3 emergency.
        """
        for mark in self.marks:
            mark.look(at, percent)
        self.level = max((index + 1 for index, mark in enumerate(self.marks) if mark.on), default=0)
        return self.level
