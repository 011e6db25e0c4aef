import unittest

from flyball_agent._watermarks import Watermarks, marks

# Looks are (second, percent, level that holds afterwards).
CASES = {
    "a level counts after two looks 5 s apart": [(0, 79.9, 0), (5, 80, 0), (10, 80, 1)],
    "all looks in between count": [(0, 85, 0), (1, 85, 0), (4, 85, 0), (5, 85, 1)],
    "a look under the mark in between begins anew": [(0, 85, 0), (3, 79, 0), (5, 85, 0), (9, 85, 0), (10, 85, 1)],
    "a peak of 2 s tells nobody anything": [(0, 70, 0), (5, 94, 0), (6, 94, 0), (7, 70, 0), (12, 70, 0)],
    "emergency counts after three looks a second apart": [(0, 95, 0), (1, 95, 0), (2, 95, 3)],
    "two looks are no emergency, however far apart": [(0, 96, 0), (4, 96, 0), (5, 96, 3)],
    "high is the higher of two": [(0, 91, 0), (5, 91, 2)],
    "a level ends 3 points below its mark, held for 10 s": [
        (0, 82, 0), (5, 82, 1), (6, 78, 1), (20, 77.1, 1), (21, 77, 1), (30, 77, 1), (31, 77, 0),
    ],
    "a rise in between keeps it": [(0, 82, 0), (5, 82, 1), (6, 70, 1), (15, 78, 1), (16, 70, 1), (25, 70, 1), (26, 70, 0)],
    "levels end one after the other": [
        (0, 96, 0), (1, 96, 0), (2, 96, 3), (5, 96, 3), (6, 91, 3), (16, 91, 2), (17, 87, 2), (27, 87, 1), (28, 60, 1), (38, 60, 0),
    ],
}  # fmt: skip


class Levels(unittest.TestCase):
    def test_levels(self):
        for name, looks in CASES.items():
            watermarks = Watermarks((80, 90, 95))
            for at, percent, level in looks:
                with self.subTest(name, at=at):
                    self.assertEqual(watermarks.look(at, percent), level)

    def test_looks_are_close_while_a_level_is_near(self):
        watermarks = Watermarks((80, 90, 95))
        self.assertFalse(watermarks.close)
        watermarks.look(0, 85)
        self.assertTrue(watermarks.close)
        watermarks.look(1, 70)
        self.assertFalse(watermarks.close)

    def test_the_marks_of_the_environment(self):
        told = []
        self.assertEqual(marks(None, told.append), (80, 90, 95))
        self.assertEqual(marks("50,60,100", told.append), (50, 60, 100))
        self.assertIsNone(marks("off", told.append))
        self.assertEqual(told, [])
        for wrong in ("80,90", "90,80,95", "80,90,101", "0,90,95", "80, 90, 95", "none"):
            self.assertEqual(marks(wrong, told.append), (80, 90, 95), wrong)
        self.assertEqual(len(told), 6)


if __name__ == "__main__":
    unittest.main()
