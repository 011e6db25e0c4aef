"""A service whose memory is steered from outside: how much it keeps, allocates and leaks.

Under pressure it drops its cache and takes fewer requests. It needs nothing but Python, and an agent where there is one:
`python3 service.py --port 8080 --live 50 --rate 10 --limit 10`.
"""

import argparse
import http.server
import os
import random
import signal
import threading
import time
import urllib.parse

BLOCK = 16 * 1024  # bytes: 2,040 pointers and a header
PER_MB = 1024 * 1024 / BLOCK
STEPS = 50  # a second
LEVELS = ("normal", "warning", "high", "emergency")
# Requests a second that are taken at each level, times --limit; the others are refused with 429.
SHARE = (float("inf"), float("inf"), 1, 0.1)
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


def block():
    """A list that holds itself: once nobody has it, only the collector finds it, so that its thresholds decide how much of it lies about."""
    new = [None] * 2040
    new[0] = new
    return new


class Service:
    def __init__(self, flags):
        self.limit = flags.limit
        # What is set from outside: live and cache in MB, rate and leak in MB/s, alloc in KB a request.
        self.set = {"live": flags.live, "rate": flags.rate, "leak": 0.0, "cache": 50.0, "alloc": 16.0}
        self.lock = threading.Lock()
        self.live = []
        self.cache = []
        self.leaked = []
        self.level = 0
        self.tokens = 1.0
        self.tokens_at = time.monotonic()
        self.received = self.completed = self.shed = 0
        self.seconds = 0.0
        self.buckets = [0] * len(BUCKETS)
        self.fill(flags.live)

    def fill(self, megabytes):
        self.live = []  # first let go: the old and the new together may not fit
        self.live = [block() for _ in range(int(megabytes * PER_MB))]

    def pressure(self, name):
        self.level = LEVELS.index(name)
        if self.level >= 2:
            with self.lock:
                self.cache = []
        print(f"demo: pressure {name}", flush=True)

    def allocate(self):
        garbage = kept = 0.0
        while True:
            with self.lock:
                garbage += self.set["rate"] * PER_MB / STEPS
                while garbage >= 1:
                    garbage -= 1
                    new = block()
                    # One in four lives on in place of another: what is old becomes garbage, too.
                    if self.live and random.randrange(4) == 0:
                        self.live[random.randrange(len(self.live))] = new
                kept += self.set["leak"] * PER_MB / STEPS
                while kept >= 1:
                    kept -= 1
                    self.leaked.append(block())
            time.sleep(1 / STEPS)

    def admit(self):
        now = time.monotonic()
        rate = SHARE[self.level] * self.limit
        if rate == float("inf"):
            self.tokens = 2.0
        else:
            self.tokens = min(max(1, rate), self.tokens + rate * (now - self.tokens_at))
        self.tokens_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def work(self):
        begin = time.monotonic()
        with self.lock:
            self.received += 1
            if not self.admit():
                self.shed += 1
                return 429, "short of memory\n"
            for _ in range(round(self.set["alloc"] * 1024 / BLOCK)):
                block()
            if self.level == 0 and len(self.cache) < self.set["cache"] * PER_MB:
                self.cache.append(block())
            self.completed += 1
            seconds = time.monotonic() - begin
            self.seconds += seconds
            for index, bucket in enumerate(BUCKETS):
                self.buckets[index] += seconds <= bucket
        return 200, "ok\n"

    def admin(self, name, text):
        """`POST /admin/live?value=400`, and the same with rate, leak, cache and alloc; GET shows what is set."""
        if name not in self.set:
            return 404, f"there are {', '.join(self.set)}\n"
        if text is not None:
            try:
                value = float(text)
            except ValueError:
                value = -1.0
            if not 0 <= value <= 1048576:
                return 400, (
                    f"value {text}: give a number from 0 to 1048576, such as ?value=50; "
                    "MB for live and cache, MB/s for rate and leak, KB for alloc\n"
                )
            with self.lock:
                self.set[name] = value
                if name == "live":
                    self.fill(value)
                if name == "leak" and value == 0:
                    self.leaked = []
        return 200, f"{self.set[name]:g}\n"

    def metrics(self):
        lines = []

        def one(name, kind, value):
            lines.extend((f"# TYPE {name} {kind}", f"{name} {value}"))

        one("http_requests_received_total", "counter", self.received)
        one("http_requests_total", "counter", self.completed)
        one("http_requests_shed_total", "counter", self.shed)
        lines.append("# TYPE http_request_duration_seconds histogram")
        for bucket, count in zip(BUCKETS, self.buckets):
            lines.append(f'http_request_duration_seconds_bucket{{le="{bucket}"}} {count}')
        lines.append(f'http_request_duration_seconds_bucket{{le="+Inf"}} {self.completed}')
        lines.append(f"http_request_duration_seconds_sum {self.seconds}")
        lines.append(f"http_request_duration_seconds_count {self.completed}")
        one("demo_pressure", "gauge", self.level)
        one("demo_live_bytes", "gauge", len(self.live) * BLOCK)
        one("demo_leaked_bytes", "gauge", len(self.leaked) * BLOCK)
        one("demo_cache_bytes", "gauge", len(self.cache) * BLOCK)
        one("demo_allocation_rate_bytes", "gauge", int(self.set["rate"] * 1024 * 1024))
        with open("/proc/self/statm", encoding="ascii") as file:
            one("process_resident_memory_bytes", "gauge", int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        return "\n".join(lines) + "\n"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service = None

    def do_GET(self):
        self.respond(changes=False)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.respond(changes=True)

    def respond(self, changes):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/":
            status, text = self.service.work()
        elif url.path == "/healthz":
            status, text = 200, "ok\n"
        elif url.path == "/metrics":
            status, text = 200, self.service.metrics()
        elif url.path.startswith("/admin/"):
            value = urllib.parse.parse_qs(url.query).get("value", [""])[0] if changes else None
            status, text = self.service.admin(url.path[len("/admin/") :], value)
        else:
            status, text = 404, "there are /, /healthz, /metrics and /admin/{live,rate,leak,cache,alloc}\n"
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description="A service whose memory is steered from outside.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--limit", type=float, default=10, help="requests a second at pressure high")
    parser.add_argument("--live", type=float, default=50, help="MB")
    parser.add_argument("--rate", type=float, default=10, help="MB/s")
    service = Service(parser.parse_args())
    try:
        import flyball_agent

        flyball_agent.on_pressure(service.pressure)
        agent = "there"
    except ImportError:
        agent = "not there"
    Handler.service = service
    threading.Thread(target=service.allocate, daemon=True).start()
    server = http.server.ThreadingHTTPServer(("", parser.parse_args().port), Handler)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(f"demo: port {server.server_address[1]}, agent {agent}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
