"""The file of probation: which generation an earlier process of this container ended with."""

import os
import re


class Probation:
    """folder: FLYBALL_STATE_DIR; empty: no probation."""

    def __init__(self, folder, log):
        self._file = os.path.join(folder, "probation") if folder else ""
        self._log = log
        self._own = f"{os.getpid()} {_started(os.getpid())}"

    def found(self):
        """The generation that an ended process left, or 0. One that still lives is under way, not ended."""
        generation, _, alive = self._read()
        return 0 if alive else generation

    def mark(self, generation):
        if not self._file:
            return
        there, by, alive = self._read()
        # Another process has it on probation already: should the container end, that file says it.
        if alive and by != self._own and there == generation:
            return
        fresh = f"{self._file}.{os.getpid()}"
        try:
            with open(fresh, "w", encoding="ascii") as file:
                file.write(f"{generation} {self._own}\n")
            os.replace(fresh, self._file)  # never half a file
        except OSError as error:
            self._log(f"no probation: {error}")

    def unmark(self):
        if self._read()[1] != self._own:
            return
        try:
            os.unlink(self._file)
        except OSError as error:
            self._log(f"the file of probation stays: {error}")

    def _read(self):
        """The generation, whose it is, and whether that process lives; 0 where there is none."""
        try:
            with open(self._file, encoding="latin-1") as file:
                found = re.fullmatch(r"([0-9]{1,19})(?: (([0-9]+) ([0-9]+)))?\s*", file.read(100))
        except OSError:
            return 0, None, False
        if not found:
            return 0, None, False
        return int(found[1]), found[2], found[2] is not None and _started(found[3]) == found[4]


def _started(pid):
    """When a process started, in ticks since the machine did; "0" where there is no such process or no /proc."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "0"
