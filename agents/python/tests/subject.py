"""A process under an agent that a sitecustomize brought; the API is used for what the application is told."""

import gc
import json
import os
import sys
import threading

import flyball_agent

levels = []
ballast = []


@flyball_agent.on_pressure
def fails(level):
    raise ValueError("a function that fails")


@flyball_agent.on_pressure
def remember(level):
    levels.append(level)


def collections(objects):
    """Collections while so many objects are made and kept."""
    gc.collect()
    kept = [None] * objects
    before = sum(generation["collections"] for generation in gc.get_stats())
    for index in range(objects):
        kept[index] = []
    return sum(generation["collections"] for generation in gc.get_stats()) - before


def cycles(count):
    """Garbage that only the collector finds."""
    gc.disable()
    for _ in range(count):
        one = [bytes(100)]
        one.append(one)


def in_a_child(seconds):
    """What a forked child's agent says, its thread, and whether the parent's own goes on."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        threading.Event().wait(seconds)
        text = flyball_agent.metrics()
        os.write(write, json.dumps([text, [thread.name for thread in threading.enumerate()]]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        text, threads = json.loads(file.read())
    os.waitpid(pid, 0)
    return [text, threads, [thread.name for thread in threading.enumerate()]]


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


DOES = {
    "metrics": flyball_agent.metrics,
    "levels": lambda: levels,
    "set": lambda *thresholds: gc.set_threshold(*thresholds),
    "exit": sys.exit,
    "raise": lambda: 1 / 0,
    "collections": collections,
    "cycles": cycles,
    "enable": gc.enable,
    "resident": resident,
    "frozen": gc.get_freeze_count,
    "in_a_child": in_a_child,
}

for line in sys.stdin:
    what, *arguments = json.loads(line)
    print(json.dumps(DOES[what](*arguments)), flush=True)
