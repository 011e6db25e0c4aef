"""The container's memory, from its control groups: version 1, version 2, or both mounted (hybrid: memory belongs to version 1 then)."""

import re

NONE = float("inf")
NO_LIMIT_V1 = 2**62  # version 1 writes the largest number of pages where there is none
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
V2 = ("memory.max", "memory.current", "inactive_file ")


def read_file(path):
    """The text of a file of the kernel. Raises OSError."""
    with open(path, encoding="latin-1") as file:
        return file.read()


class Container:
    def __init__(self, read=read_file):
        self._read = read
        self._files = V2
        self.groups = []  # from the process's own up to the highest that can be seen
        try:
            self._find()
        except OSError:
            pass  # no control groups: no limit

    def _find(self):
        paths = [line.split(":", 2) for line in self._read("/proc/self/cgroup").splitlines() if line.count(":") >= 2]
        mounts = [mount for mount in map(_mount, self._read("/proc/self/mountinfo").splitlines()) if mount]
        for _, controllers, path in paths:
            for root, point, kind, options in mounts:
                if "memory" in controllers.split(",") and kind == "cgroup" and "memory" in options:
                    self._files = V1
                    self.groups = _upward(root, point, path)
                    return
        for _, controllers, path in paths:
            for root, point, kind, _ in mounts:
                if not controllers and kind == "cgroup2":
                    self.groups = _upward(root, point, path)
                    return

    def limit(self):
        """
        The smallest limit in bytes (infinity: none), and the control group that has it. Read anew at each look: limits are resized in place.
        """
        smallest, smallest_group = NONE, self.groups[0] if self.groups else None
        for group in self.groups:
            limit = self._number(f"{group}/{self._files[0]}")
            if limit is not None and limit < smallest:
                smallest, smallest_group = limit, group
        return smallest, smallest_group

    def working_set(self, group):
        """Bytes of a control group that the kernel can't simply drop: usage less inactive file pages. None: unknown."""
        usage = self.usage(group)
        if usage is None:
            return None
        try:
            stat = self._read(f"{group}/memory.stat")
        except OSError:
            return None
        for line in stat.splitlines():
            if line.startswith(self._files[2]):
                return max(0, usage - int(line[len(self._files[2]) :]))
        return None

    def usage(self, group):
        """Page cache included, and cheaper. None: unknown."""
        return None if group is None else self._number(f"{group}/{self._files[1]}")

    def _number(self, path):
        try:
            text = self._read(path).strip()
        except OSError:
            return None
        if text == "max":
            return NONE
        if not re.fullmatch("[0-9]+", text):
            return None
        return NONE if int(text) >= NO_LIMIT_V1 else int(text)


def _mount(line):
    before, _, after = line.partition(" - ")
    fields, kind_and_options = before.split(" "), after.split(" ")
    if len(fields) < 5 or not kind_and_options[0].startswith("cgroup"):
        return None
    plain = [re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field) for field in fields[3:5]]
    return plain[0], plain[1], kind_and_options[0], kind_and_options[-1].split(",")


def _upward(root, point, path):
    """The folders of a control group and of those around it, as far as the mount shows them."""
    if root == "/":
        inside = path
    elif path == root or path.startswith(root + "/"):
        inside = path[len(root) :]
    else:
        inside = ""
    names = [name for name in inside.split("/") if name]
    if ".." in names:
        names = []  # outside of what this mount shows
    folders = [point]
    for name in names:
        folders.insert(0, f"{folders[0]}/{name}")
    return folders
