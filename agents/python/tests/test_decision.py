"""What the vectors can't tell: the breaker, freezing, local bounds, what is in force when."""

import unittest

from flyball_agent._decision import Bounds, Decision

GIB = 1073741824
WALL = 1795000000
LINE = "ttl=86400 exp=1795086400"
BOOT = (700, 10, 10)
A = (5000, 20, 20)
LINE_A = f"v1 gen=1 {LINE} gc-thresholds=5000,20,20"


class Process:
    def __init__(self, env=None):
        self.decision = Decision(BOOT, Bounds(env or {}))
        self.thresholds = BOOT
        self.commands = []

    def look(self, at, text):
        data = None if text is None else text.encode()
        self._carry_out(self.decision.look(at, WALL + at, data, self.thresholds))

    def guard(self, at, resident, limit=GIB):
        self._carry_out(self.decision.guard(at, resident, limit, self.thresholds))

    def _carry_out(self, effects):
        for effect, value in effects:
            if effect == "thresholds":
                self.thresholds = value
            elif effect in ("freeze", "unfreeze", "reclaim"):
                self.commands.append(effect)


class Breaker(unittest.TestCase):
    def test_trips_over_097_of_the_limit_and_only_then(self):
        process = Process()
        process.look(0, LINE_A)
        process.guard(1, 0.97 * GIB)
        self.assertEqual((process.thresholds, process.decision.breaker, process.decision.trips), (A, 0, 0))
        process.guard(2, 0.97 * GIB + 4096)
        self.assertEqual((process.thresholds, process.decision.breaker, process.decision.trips), (BOOT, 2, 1))
        self.assertEqual(process.decision.applied, 1)

    def test_needs_a_limit_and_a_generation(self):
        process = Process()
        process.guard(0, GIB)
        process.look(1, LINE_A)
        process.guard(2, GIB, float("inf"))
        self.assertEqual((process.thresholds, process.decision.trips), (A, 0))

    def test_is_latched_for_ten_minutes_then_the_knobs_come_back_once(self):
        process = Process()
        process.look(0, LINE_A)
        process.guard(1, GIB)
        process.look(2, LINE_A)
        process.look(3, LINE_A + " pressure=high")  # a renewal
        process.look(600, LINE_A)
        self.assertEqual((process.thresholds, process.decision.breaker, process.decision.foreign_writes), (BOOT, 2, 0))
        process.look(601, LINE_A)
        self.assertEqual((process.thresholds, process.decision.breaker), (A, 0))
        process.guard(602, GIB)
        process.look(1300, LINE_A)
        process.look(9000, LINE_A)
        self.assertEqual((process.thresholds, process.decision.breaker, process.decision.trips), (BOOT, 2, 2))

    def test_is_undone_by_what_is_new(self):
        for text, at, thresholds in (
            (f"v1 gen=2 {LINE} gc-thresholds=900,9,9", 5, (900, 9, 9)),
            ("", 5, BOOT),
            (None, 86400, BOOT),
        ):
            with self.subTest(text):
                process = Process()
                process.look(0, LINE_A)
                process.guard(1, GIB)
                process.look(at, text)
                self.assertEqual((process.thresholds, process.decision.breaker), (thresholds, 0))

    def test_somebody_else_who_moves_a_knob_meanwhile_is_foreign(self):
        process = Process()
        process.look(0, LINE_A)
        process.guard(1, GIB)
        process.thresholds = (1, 2, 3)
        process.look(2, LINE_A)
        process.look(700, LINE_A)
        self.assertEqual((process.thresholds, process.decision.foreign_writes, process.decision.applied), ((1, 2, 3), 1, 0))


class Freeze(unittest.TestCase):
    def test_is_a_command_like_reclaim(self):
        process = Process()
        process.look(0, f"v1 gen=1 {LINE} freeze=3")  # only remembered
        process.look(1, f"v1 gen=1 {LINE} freeze=2")
        process.look(2, f"v1 gen=1 {LINE} freeze=3")
        self.assertEqual(process.commands, [])
        process.look(3, f"v1 gen=1 {LINE} freeze=4")
        self.assertEqual(process.commands, ["freeze"])
        self.assertEqual(process.decision.applied, 1)

    def test_boot_values_unfreeze(self):
        for name, end in (
            ("the line is removed", lambda process: process.look(5, "")),
            ("the lease ends", lambda process: process.look(86400, None)),
            ("the breaker trips", lambda process: process.guard(5, GIB)),
        ):
            with self.subTest(name):
                process = Process()
                process.look(0, f"v1 gen=1 {LINE}")
                process.look(1, f"v1 gen=1 {LINE} freeze=1")
                end(process)
                self.assertEqual(process.commands, ["freeze", "unfreeze"])

    def test_who_froze_nothing_unfreezes_nothing(self):
        process = Process()
        process.look(0, LINE_A)
        process.look(5, "")
        self.assertEqual(process.commands, [])


class Local(unittest.TestCase):
    def test_bounds(self):
        told = []
        self.assertEqual(Bounds({}, told.append).threshold, 100)
        self.assertEqual(Bounds({"FLYBALL_GC_THRESHOLD_MIN": "500"}, told.append).threshold, 500)
        self.assertEqual(told, [])
        self.assertEqual(Bounds({"FLYBALL_GC_THRESHOLD_MIN": "5e2"}, told.append).threshold, 100)
        self.assertEqual(len(told), 1)

    def test_the_first_threshold_is_clamped(self):
        process = Process({"FLYBALL_GC_THRESHOLD_MIN": "6000"})
        process.look(0, LINE_A)
        self.assertEqual((process.thresholds, process.decision.clamped), ((6000, 20, 20), True))
        process.look(1, f"v1 gen=2 {LINE} gc-thresholds=6000,20,20")
        self.assertEqual((process.thresholds, process.decision.clamped), ((6000, 20, 20), False))

    def test_off_where_it_is_allowed(self):
        process = Process({"FLYBALL_GC_OFF": "allow"})
        process.look(0, f"v1 gen=1 {LINE} gc-thresholds=0,10,10")
        self.assertEqual((process.thresholds, process.decision.clamped, process.decision.applied), ((0, 10, 10), False, 1))

    def test_the_second_and_third_may_be_0(self):
        process = Process()
        process.look(0, f"v1 gen=1 {LINE} gc-thresholds=700,0,0")
        self.assertEqual(process.thresholds, (700, 0, 0))


class InForce(unittest.TestCase):
    def test_what_is_left_of_a_lease(self):
        process = Process()
        self.assertEqual(process.decision.lease(0, WALL), 0)
        process.look(0, f"v1 gen=1 ttl=100 exp={WALL + 50}")
        self.assertEqual(process.decision.lease(20, WALL + 20), 30)
        process.look(21, f"v1 gen=1 ttl=5 exp={WALL + 50}")
        self.assertEqual(process.decision.lease(22, WALL + 22), 4)

    def test_probation_is_marked_before_a_knob_moves(self):
        effects = [effect for effect, _ in Process().decision.look(0, WALL, LINE_A.encode(), BOOT)]
        self.assertLess(effects.index("mark"), effects.index("thresholds"))


if __name__ == "__main__":
    unittest.main()
