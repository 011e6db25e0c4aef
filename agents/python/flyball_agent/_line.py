"""The line of the contract: bytes in, a line or the reason of a refusal out.

What depends on the process (local bounds, generations, leases) is in _decision.
"""

import math
import re

LONGEST = 1024
PRESSURES = ("normal", "warning", "high", "emergency")

_MAX = 2**63 - 1
_TIB = 2**50  # the largest number of bytes that a key takes
_WHOLE = "(?:0|[1-9][0-9]*)"


class Refused(Exception):
    def __init__(self, reason, why):
        super().__init__(why)
        self.reason = reason


class _Key:
    def __init__(self, form, in_range, runtime=None):
        self.form = re.compile(form).fullmatch
        self.in_range = in_range
        self.runtime = runtime


def _whole(low, high, runtime=None, word=None):
    form = f"{_WHOLE}|{word}" if word else _WHOLE
    return _Key(form, lambda text: text == word or low <= _number(text) <= high, runtime)


def _number(text):
    # Digits without end: int() refuses over 4,300 of them, and takes long before that.
    return int(text) if len(text) < 20 else _MAX + 1


# Keys of the other runtimes are read too: a wrong value is refused as such before the key is as a stranger's.
_KEYS = {
    "gen": _whole(1, _MAX),
    "ttl": _whole(1, 604800),
    "exp": _whole(0, _MAX),
    "reclaim": _whole(0, _MAX),
    "pressure": _Key("|".join(PRESSURES), lambda text: True),
    "gogc": _whole(1, 1000, "go", "off"),
    "memlimit": _whole(4194304, _TIB, "go", "none"),
    "rss": _whole(4194304, _TIB, "go"),
    "lambda": _Key(_WHOLE + r"(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", lambda text: 0 < float(text) <= 1, "go"),
    "gogc-min": _whole(1, 1000, "go"),
    "gogc-max": _whole(1, 1000, "go"),
    "soft-max-heap": _whole(0, _TIB, "java"),
    "g1-periodic-interval": _whole(0, 86400000, "java"),
    "min-heap-free": _whole(0, 100, "java"),
    "max-heap-free": _whole(0, 100, "java"),
    "heap-growing-percent": _whole(1, 400, "node"),
    "gc-thresholds": _Key(
        f"{_WHOLE},{_WHOLE},{_WHOLE}",
        lambda text: all(_number(number) <= 1000000000 for number in text.split(",")),
        "python",
    ),
    "freeze": _whole(0, _MAX, "python"),
}


class Line:
    """A line of this runtime: whole numbers, pressure from 0 to 3, thresholds as a tuple or None."""

    __slots__ = ("gen", "ttl", "exp", "reclaim", "freeze", "pressure", "thresholds")


def trim(data):
    """Line ends and spaces at the end do not count. One character for each byte."""
    return data.rstrip(b" \r\n").decode("latin-1")


def parse(text):
    """Reads a trimmed line, or raises Refused with the first reason that counts."""
    if len(text) > LONGEST:
        raise Refused("too-long", f"{len(text)} bytes, at most {LONGEST}")
    version, values = _words(text)
    if version != "v1":
        raise Refused("version", f'"{version}" is not v1')
    pairs = {}
    for key, value in values:
        if key in pairs:
            raise Refused("duplicate", f"{key} twice")
        pairs[key] = value
    for key in pairs:
        if key not in _KEYS:
            raise Refused("unknown", f'the key "{key}"')
    for key, value in pairs.items():
        if not _KEYS[key].form(value) or (key == "lambda" and not math.isfinite(float(value))):
            raise Refused("syntax", f"{key}={value}")
    for key in ("gen", "ttl", "exp"):
        if key not in pairs:
            raise Refused("syntax", f"no {key}")
    for key, value in pairs.items():
        if not _KEYS[key].in_range(value):
            raise Refused("range", f"{key}={value}")
    _together(pairs)
    for key in pairs:
        if _KEYS[key].runtime not in (None, "python"):
            raise Refused("unsupported", f"{key} is a key of {_KEYS[key].runtime}")

    line = Line()
    line.gen = int(pairs["gen"])
    line.ttl = int(pairs["ttl"])
    line.exp = int(pairs["exp"])
    line.reclaim = int(pairs.get("reclaim", "0"))
    line.freeze = int(pairs.get("freeze", "0"))
    line.pressure = PRESSURES.index(pairs.get("pressure", "normal"))
    thresholds = pairs.get("gc-thresholds")
    line.thresholds = None if thresholds is None else tuple(int(number) for number in thresholds.split(","))
    return line


def _words(text):
    if re.search("[^ -~]", text):
        raise Refused("syntax", "a byte that is no printable ASCII")
    words = text.split(" ")
    if len(words) < 2:
        raise Refused("syntax", "one word is no line")
    values = []
    for word in words[1:]:
        key, _, value = word.partition("=")
        if not key or not value or "=" in value:
            raise Refused("syntax", f'"{word}" is not key=value')
        values.append((key, value))
    if not words[0]:
        raise Refused("syntax", "a space at the start")
    return words[0], values


def _together(pairs):
    """Keys that do not go together."""
    for key, excluded in (("rss", ("gogc", "memlimit", "lambda")), ("lambda", ("gogc", "rss"))):
        for other in excluded:
            if key in pairs and other in pairs:
                raise Refused("range", f"{key} with {other}")
    for bound in ("gogc-min", "gogc-max"):
        if bound in pairs and "rss" not in pairs and "lambda" not in pairs:
            raise Refused("range", f"{bound} without rss or lambda")
    for low, high in (("gogc-min", "gogc-max"), ("min-heap-free", "max-heap-free")):
        if low in pairs and high in pairs and int(pairs[low]) > int(pairs[high]):
            raise Refused("range", f"{low} over {high}")
