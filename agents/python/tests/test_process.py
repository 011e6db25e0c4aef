"""Real processes under the agent, and a folder that is swapped as the kubelet does."""

import os
import pathlib
import re
import shutil
import socket
import unittest
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from .pod import PACKAGE, Pod, find, wait_for

LINE = "ttl=3600 exp=9000000000"
LINE_A = f"v1 gen=1 {LINE} gc-thresholds=5000,20,20"
# What a process sets before its first line is its boot value, so that the tests need no default of a version.
BOOT = [700, 10, 10]
METRICS = "flyball_agent.metrics()"


class Processes(unittest.TestCase):
    def test_all(self):
        """Each case waits for an agent most of its time, so they run beside each other."""
        names = [name for name in dir(self) if name.startswith("check_")]
        with ThreadPoolExecutor(8) as pool:
            results = [(name, pool.submit(getattr(self, name))) for name in names]
        for name, result in results:
            with self.subTest(name[len("check_") :].replace("_", " ")):
                result.result()

    def booted(self, pod, **env):
        """A subject whose agent has started, with thresholds of its own."""
        subject = pod.subject(**env)
        wait_for(lambda: subject.ask("metrics"), "the agent")
        subject.ask("set", *BOOT)
        return subject

    def check_the_knob_arrives_acts_and_goes_with_the_line(self):
        with Pod() as pod:
            pod.write("")
            subject = self.booted(pod)
            # A collection comes with the object after as many as the threshold says; the agent's thread makes a few objects, too.
            objects = 200000
            self.assertAlmostEqual(subject.ask("collections", objects), objects / 701, delta=5)
            pod.write(f"v1 gen=7 {LINE} gc-thresholds=5000,20,20")
            subject.until("applied_generation", 7)
            self.assertEqual(subject.thresholds(), [5000, 20, 20])
            self.assertAlmostEqual(subject.ask("collections", objects), objects / 5001, delta=5)
            pod.write("")
            subject.until("applied_generation", 0)
            self.assertEqual(subject.thresholds(), BOOT)
            self.assertAlmostEqual(subject.ask("collections", objects), objects / 701, delta=5)

    def check_a_lease_ends(self):
        with Pod() as pod:
            pod.write("")
            subject = self.booted(pod)
            pod.write("v1 gen=1 ttl=2 exp=9000000000 gc-thresholds=5000,20,20 pressure=high")
            subject.until("applied_generation", 1)
            subject.until("leases_ended_total", 1)
            self.assertEqual(subject.thresholds(), BOOT)
            self.assertEqual(subject.metric("applied_generation"), 0)
            wait_for(lambda: subject.ask("levels") == ["high", "normal"], "both levels")

    def check_garbage_moves_nothing_and_ends_nothing(self):
        with Pod() as pod:
            pod.write(LINE_A)
            subject = pod.subject()
            subject.until("applied_generation", 1)
            for index in range(50):
                pod.write(os.urandom(1 + index * 97 % 4000))
            pod.write(os.urandom(200000))  # more than is read
            subject.until('rejected_total{reason="too-long"}', lambda count: count > 0)
            os.unlink(os.path.join(pod.mount, "..data"))  # a link that leads nowhere
            subject.until("source_readable", 0)
            os.unlink(os.path.join(pod.mount, "runtime"))
            os.mkdir(os.path.join(pod.mount, "runtime"))  # a folder where the file should be
            self.assertEqual(subject.metric("applied_generation"), 1)
            self.assertEqual(subject.thresholds(), [5000, 20, 20])

    def check_probation_over_a_process_that_was_killed(self):
        with Pod() as pod:
            pod.write(LINE_A)
            first = pod.subject()
            first.until("applied_generation", 1)
            first.kill()
            second = pod.subject()
            second.until('rejected_total{reason="probation"}', 1)
            self.assertEqual(second.metric("applied_generation"), 0)
            self.assertNotEqual(second.thresholds(), [5000, 20, 20])
            pod.write(f"v1 gen=2 {LINE} gc-thresholds=6000,20,20")
            second.until("applied_generation", 2)

    def check_a_process_that_ends_of_itself_leaves_no_probation_one_that_fails_does(self):
        for what, code, refused in (("exit", 0, 0), ("raise", 1, 1)):
            with Pod() as pod:
                pod.write(LINE_A)
                first = pod.subject()
                first.until("applied_generation", 1)
                first.child.stdin.write(f'["{what}"]\n')
                first.child.stdin.flush()
                self.assertEqual(first.child.wait(), code)
                second = pod.subject()
                second.until("source_readable", 1)
                self.assertEqual(second.metric('rejected_total{reason="probation"}'), refused, what)

    def check_what_another_process_has_on_probation_is_under_way(self):
        with Pod() as pod:
            pod.write(LINE_A)
            first = pod.subject()
            first.until("applied_generation", 1)
            mark = pathlib.Path(pod.state, "probation").read_text(encoding="ascii")
            self.assertTrue(mark.startswith(f"1 {first.child.pid} "), mark)
            second = pod.subject()
            second.until("applied_generation", 1)
            second.child.stdin.close()
            second.child.wait()
            self.assertEqual(pathlib.Path(pod.state, "probation").read_text(encoding="ascii"), mark)

    def check_nothing_mounted_nothing_happens(self):
        with Pod() as pod:
            script = f"import flyball_agent, time; time.sleep(1.5); print({METRICS})"
            code, out, err = pod.run(script, FLYBALL_LOG="", FLYBALL_METRICS_ADDRESS="127.0.0.1:0")
            self.assertEqual((code, err), (0, ""))
            self.assertEqual(find(out, "source_readable"), 0)
            self.assertEqual(find(out, "applied_generation"), 0)
            self.assertEqual(os.listdir(pod.state), [])

    def check_who_is_switched_off_or_ends_soon_has_no_agent(self):
        with Pod() as pod:
            pod.write(LINE_A)
            script = f"import flyball_agent, time; time.sleep(1.5); print(repr({METRICS}))"
            self.assertEqual(pod.run(script, FLYBALL_AGENT="off")[1], "''\n")
            script = "import sys; print([name for name in sys.modules if name.startswith('flyball_agent')])"
            self.assertEqual(pod.run(script)[1], "['flyball_agent']\n")

    def check_adoption_by_an_import_and_by_a_pth(self):
        with Pod() as pod:
            pod.write(LINE_A)
            site = os.path.join(pod.folder, "site")
            os.mkdir(site)
            shutil.copytree(PACKAGE / "flyball_agent", os.path.join(site, "flyball_agent"))
            by_import = f"import flyball_agent, time; time.sleep(2); print({METRICS})"
            self.assertEqual(find(pod.run(by_import, PYTHONPATH=site)[1], "applied_generation"), 1)
            shutil.copy(PACKAGE / "flyball_agent.pth", site)
            by_pth = "import site, sys, time; site.addsitedir(sys.path[1]); time.sleep(2); import gc; print(gc.get_threshold())"
            self.assertEqual(pod.run(by_pth, PYTHONPATH=site)[1], "(5000, 20, 20)\n")

    def check_a_sitecustomize_of_the_installation_runs_too(self):
        with Pod() as pod:
            other = os.path.join(pod.folder, "other")
            os.mkdir(other)
            pathlib.Path(other, "sitecustomize.py").write_text("print(__name__, __file__.endswith('other/sitecustomize.py'))", encoding="ascii")
            code, out, err = pod.run("print('main')", PYTHONPATH=f"{PACKAGE}:{other}")
            self.assertEqual((code, out, err), (0, "sitecustomize True\nmain\n", ""))

    def check_pressure_comes_in_order_and_one_that_fails_stops_no_other(self):
        with Pod() as pod:
            pod.write("")
            subject = self.booted(pod)
            for gen, (level, number) in enumerate((("warning", 1), ("emergency", 3), ("normal", 0))):
                pod.write(f"v1 gen=1 ttl={100 + gen} exp=9000000000 pressure={level}")
                subject.until("pressure", number)
            wait_for(lambda: subject.ask("levels") == ["warning", "emergency", "normal"], "all levels")

    def check_others_who_move_a_knob_are_seen(self):
        with Pod() as pod:
            pod.write(LINE_A)
            subject = pod.subject()
            subject.until("applied_generation", 1)
            subject.ask("set", 900, 9, 9)
            subject.until("foreign", 1)
            self.assertEqual(subject.thresholds(), [900, 9, 9])
            self.assertEqual(subject.metric("applied_generation"), 0)
            self.assertEqual(subject.metric("foreign_writes_total"), 1)
            pod.write(f"v1 gen=2 {LINE} gc-thresholds=6000,20,20")
            subject.until("applied_generation", 2)
            self.assertEqual(subject.metric("foreign"), 0)

    def check_reclaim_and_freeze(self):
        with Pod() as pod:
            pod.write(f"v1 gen=1 {LINE} reclaim=4 freeze=2")
            subject = pod.subject()
            subject.until("applied_generation", 1)
            subject.ask("cycles", 500000)  # 100 MB at least: a list of one, bytes of 100
            before = subject.ask("resident")
            own = subject.ask("frozen")  # some hundred with Python 3.12
            self.assertEqual((subject.metric("reclaims_total"), own < 1000), (0, True))
            pod.write(f"v1 gen=1 {LINE} reclaim=5 freeze=2")
            subject.until("reclaims_total", 1)
            wait_for(lambda: subject.ask("resident") < before - 60e6, "memory that is given back")
            pod.write(f"v1 gen=1 {LINE} reclaim=5 freeze=3")
            wait_for(lambda: subject.ask("frozen") > own + 1000, "frozen objects")
            pod.write("")
            wait_for(lambda: subject.ask("frozen") == 0, "objects that are not frozen any more")

    def check_metrics_by_http_and_a_second_process_serves_nowhere(self):
        with Pod() as pod:
            pod.write(f"v1 gen=3 {LINE} gc-thresholds=5000,20,20")
            port = free_port()
            subject = pod.subject(FLYBALL_METRICS_ADDRESS=f"127.0.0.1:{port}")
            subject.until("applied_generation", 3)
            subject.ask("collections", 100000)
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: open_port(port), "the endpoint")
            silent = socket.create_connection(("127.0.0.1", port))  # one that asks nothing holds up nobody for long
            with urllib.request.urlopen(url + "/metrics") as answer:
                text = answer.read().decode()
            silent.close()
            self.assertRegex(text, r'(?m)^flyball_agent_info\{runtime="python",version="[0-9.]+",collector="[a-z]+",agent="[0-9.]+"\} 1$')
            self.assertEqual(find(text, "applied_generation"), 3)
            self.assertGreater(find(text, "gc_cpu_seconds_total"), 0)
            self.assertGreater(find(text, 'gc_collections_total{generation="0"}'), 0)
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(url + "/")
            self.assertEqual(refused.exception.code, 404)
            refused.exception.close()
            code, _, err = pod.run("import time; time.sleep(2)", FLYBALL_LOG="", FLYBALL_METRICS_ADDRESS=f"127.0.0.1:{port}")
            self.assertEqual(code, 0)
            self.assertTrue(re.search("metrics are not served by process [0-9]+: .*in use", err), err)

    def check_a_forked_child_has_an_agent_of_its_own(self):
        with Pod() as pod:
            pod.write(f"v1 gen=3 {LINE} gc-thresholds=5000,20,20")
            port = free_port()
            subject = pod.subject(FLYBALL_METRICS_ADDRESS=f"127.0.0.1:{port}")
            subject.until("applied_generation", 3)
            wait_for(lambda: open_port(port), "the endpoint")
            pod.write(f"v1 gen=4 {LINE} gc-thresholds=6000,20,20")
            text, threads, own = subject.ask("in_a_child", 2.5)
            self.assertEqual(find(text, "applied_generation"), 4)
            self.assertEqual(threads.count("flyball"), 1)
            self.assertEqual(own.count("flyball"), 1)
            subject.until("applied_generation", 4)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                self.assertEqual(find(answer.read().decode(), "applied_generation"), 4)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def open_port(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    except OSError:
        return False


if __name__ == "__main__":
    unittest.main()
