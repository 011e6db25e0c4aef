"""All cases of the contract, without waiting and without the collector: the thresholds are a tuple here."""

import json
import pathlib
import re
import unittest

from flyball_agent._decision import KNOB, Bounds, Decision
from flyball_agent._line import PRESSURES

VECTORS = json.loads((pathlib.Path(__file__).parents[2] / "conformance/vectors.json").read_text(encoding="utf-8"))
OWN = VECTORS["runtimes"]["python"]
BOOT = (700, 10, 10)
FOREIGN = (777, 7, 7)  # none of the settings' values
INPUT = {"at", "wall", "file", "foreign", "restart"}


def cases():
    return [case for case in VECTORS["cases"] if "python" in case.get("only", ["python"])]


class Process:
    """A process of the container: `mark` is on the disk and outlives it."""

    def __init__(self, env):
        self.env = {key: value for key, value in env.items() if value is not None}
        self.state_dir = env.get("FLYBALL_STATE_DIR", "") is not None
        self.off = env.get("FLYBALL_AGENT") == "off"
        self.mark = 0
        self.reclaimed = 0
        self.start()

    def start(self):
        self.thresholds = BOOT
        self.decision = Decision(BOOT, Bounds(self.env), self.mark if self.state_dir else 0)

    def look(self, step):
        if step.get("restart"):
            self.start()
        if step.get("foreign"):
            self.thresholds = FOREIGN
        if self.off:
            return
        text = step["file"]
        data = None if text is None else re.sub(r"\{([A-Z])\}", lambda match: OWN[match[1]]["text"], text).encode()
        for effect, value in self.decision.look(step["at"], step["wall"], data, self.thresholds):
            if effect == "mark" and self.state_dir:
                self.mark = value
            elif effect == "unmark":
                self.mark = 0
            elif effect == "thresholds":
                self.thresholds = value
            elif effect == "reclaim":
                self.reclaimed += 1

    def found(self, field):
        decision = self.decision
        return {
            "applied": decision.applied,
            "seen": decision.seen,
            "knobs": self.thresholds,
            "pressure": PRESSURES[decision.pressure],
            "reclaims": decision.reclaims if decision.reclaims == self.reclaimed else "not as many as were made",
            "leasesEnded": decision.leases_ended,
            "readable": decision.readable,
            "rejected": {reason: count for reason, count in decision.rejected.items() if count},
        }[field]


def expected(field, value):
    if field != "knobs":
        return value
    if value == "boot":
        return BOOT
    if value == "foreign":
        return FOREIGN
    return tuple((OWN[value]["knobs"] if isinstance(value, str) else value)[KNOB])


class Conformance(unittest.TestCase):
    def test_the_vectors_are_of_this_contract(self):
        self.assertEqual(VECTORS["contract"], "v1")
        self.assertGreaterEqual(len(cases()), 80)

    def test_cases(self):
        for case in cases():
            process = Process(case.get("env", {}))
            for step in case["steps"]:
                process.look(step)
                for field in step.keys() - INPUT:
                    with self.subTest(case["name"], at=step["at"], field=field):
                        self.assertEqual(process.found(field), expected(field, step[field]))


if __name__ == "__main__":
    unittest.main()
