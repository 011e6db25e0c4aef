"""Prints what the agent costs: start of a process, a fork, and processor time and memory of an idle service. ABBA order, medians."""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

PACKAGE = pathlib.Path(__file__).parent
STARTS = 40  # of each kind
ROUNDS = 4  # forward and backward
SECONDS = 20

# A service that does nothing; with a second to settle, as the agent starts then.
SERVICE = f"""
import http.server, json, os, resource, threading, time
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
time.sleep(3)
before = used()
time.sleep({SECONDS})
resident = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
print(json.dumps([(used() - before) / {SECONDS}, resident]))
"""

FORKS = """
import os, time
time.sleep(1.5)
def fork():
    begin = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return time.perf_counter() - begin
times = sorted(fork() for _ in range(101))
print(times[50] * 1000)
"""


def abba(names, rounds, run):
    """Calls run(name) for all names forward, then backward, and so on. Returns the results by name."""
    results = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            results[name].append(run(name))
    return results


def python(script, env):
    """Milliseconds by the clock and of a core, and the standard output."""
    begin, used = time.perf_counter(), of_children()
    out = subprocess.run([sys.executable, "-c", script], env=env, check=True, capture_output=True, text=True).stdout
    return (time.perf_counter() - begin) * 1000, (of_children() - used) * 1000, out


def of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main():
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        pathlib.Path(folder, "runtime").write_text("v1 gen=1 ttl=604800 exp=9000000000 gc-thresholds=5000,20,20", encoding="ascii")
        base = {**os.environ, "FLYBALL_LOG": "off"}
        base.pop("PYTHONPATH", None)
        agent = {**base, "PYTHONPATH": str(PACKAGE)}
        kinds = {
            "no agent": base,
            "nothing mounted": {**agent, "FLYBALL_RUNTIME_DIR": os.path.join(folder, "none")},
            "in force, metrics served": {**agent, "FLYBALL_RUNTIME_DIR": folder, "FLYBALL_METRICS_ADDRESS": "127.0.0.1:0"},
        }
        two = list(kinds)[:2]
        print(f"Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print(f"start to end of an empty script, median of {STARTS}:")
        for name, times in abba(two, STARTS, lambda name: python("pass", kinds[name])[:2]).items():
            clock, core = (statistics.median(one[index] for one in times) for index in (0, 1))
            print(f"  {name:26} {core:.2f} ms of a core, {clock:.2f} ms by the clock")
        print("a fork and its end, median of 101, median of 4:")
        for name, times in abba(two, 4, lambda name: float(python(FORKS, kinds[name])[2])).items():
            print(f"  {name:26} {statistics.median(times):.2f} ms")
        print(f"an idle service for {SECONDS} s, median of {ROUNDS}:")
        for name, found in abba(list(kinds), ROUNDS, lambda name: json.loads(python(SERVICE, kinds[name])[2])).items():
            cpu = statistics.median(one[0] for one in found)
            resident = statistics.median(one[1] for one in found)
            print(f"  {name:26} {100 * cpu:.4f} % of a core, {resident / 1e6:.1f} MB resident")


if __name__ == "__main__":
    main()
