"""The metrics of the contract in the text form, and the endpoint.

The endpoint speaks just enough HTTP for a scrape: http.server costs 7 MB of resident memory and 20 ms, this nearly nothing.
"""

import re
import socket
import sys

from ._decision import KNOB, REASONS

_NAME = "flyball_agent_"
_PATIENCE = 2  # seconds for a client to ask and to be answered


def render(state):
    """Text of all metrics. state: a dict. What is None or missing is left out: a runtime that can't tell says nothing."""
    decision = state["decision"]
    lines = []

    def write(name, kind, text, samples):
        known = [(labels, value) for labels, value in samples if value is not None]
        if not known:
            return
        lines.append(f"# HELP {_NAME}{name} {text}")
        lines.append(f"# TYPE {_NAME}{name} {kind}")
        for labels, value in known:
            lines.append(f"{_NAME}{name}{'{' + labels + '}' if labels else ''} {_number(value)}")

    def gauge(name, text, value):
        write(name, "gauge", text, [("", value)])

    def counter(name, text, value):
        write(name, "counter", text, [("", value)])

    version = ".".join(str(number) for number in sys.version_info[:3])
    info = f'runtime="python",version="{version}",collector="{sys.implementation.name}",agent="{state["version"]}"'
    write("info", "gauge", "What runs here.", [(info, 1)])
    gauge("source_readable", "Whether the file with the line is there.", int(decision.readable))
    gauge("seen_generation", "The highest generation that was taken.", decision.seen)
    gauge("applied_generation", "The generation in force, or 0.", decision.applied)
    write("rejected_total", "counter", "Lines refused.", [(f'reason="{reason}"', decision.rejected[reason]) for reason in REASONS])
    gauge("lease_seconds", "What is left of the lease.", state["lease"])
    counter("leases_ended_total", "Leases that ran out.", decision.leases_ended)
    counter("reclaims_total", "Collections that were commanded.", decision.reclaims)
    counter("breaker_trips_total", "How often the breaker tripped.", decision.trips)
    counter("foreign_writes_total", "How often somebody else moved a knob.", decision.foreign_writes)
    gauge("foreign", "Whether the agent took its hands off.", int(decision.foreign != 0 and decision.applied == 0))
    gauge("breaker_state", "0: closed, 2: boot values.", decision.breaker)
    gauge("pressure", "0 normal, 1 warning, 2 high, 3 emergency.", state["pressure"])
    thresholds = [(f'knob="{KNOB}",index="{index}"', number) for index, number in enumerate(state["thresholds"])]
    write("knob", "gauge", "The values now.", thresholds)
    write("knob_clamped", "gauge", "Whether a local bound is in force.", [(f'knob="{KNOB}"', int(decision.clamped))])
    gauge("container_limit_bytes", "The smallest limit of the container's control groups.", state["limit"])
    gauge("resident_bytes", "Resident memory of the process.", state["resident"])
    gauge("working_set_bytes", "The container's memory less inactive file pages.", state["working_set"])
    counter("gc_cpu_seconds_total", "Time of collections.", state["gc_seconds"])
    collections = [generation["collections"] for generation in state["stats"]]
    counter("gc_cycles_total", "Collections of all generations.", sum(collections))
    write(
        "gc_collections_total", "counter", "Collections of a generation.",
        [(f'generation="{index}"', count) for index, count in enumerate(collections)],
    )  # fmt: skip
    gauge("last_gc_time_seconds", "When the last collection ended, since 1970; 0: none yet.", state["last_gc"])
    return "\n".join(lines) + "\n"


def _number(value):
    return "+Inf" if value == float("inf") else repr(value)


def address(text):
    """":9465", "9465", "127.0.0.1:9465" or "[::1]:9465" as (host, port); None where it is no such thing."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]:|([^:\[\]]*):)?([0-9]{1,5})", text)
    if not found or int(found[3]) > 65535:
        return None
    return found[1] or found[2] or "", int(found[3])


def listen(host, port):
    """A listening socket, of both families where no host is named. Raises OSError."""
    if host:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(where[:2], family=family)
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if "in use" in str(error):
                raise
    return socket.create_server(("", port))


def answer(server, text):
    """Takes one connection and answers it with text()."""
    connection, _ = server.accept()
    with connection:
        connection.settimeout(_PATIENCE)
        asked = b""
        while b"\r\n\r\n" not in asked and len(asked) < 8192:
            more = connection.recv(8192)
            if not more:
                return
            asked += more
        method, _, rest = asked.partition(b" ")
        path = rest.split(b" ")[0].split(b"?")[0]
        status, body = b"200 OK", b""
        if path == b"/metrics" and method in (b"GET", b"HEAD"):
            body = text().encode("ascii")
        else:
            status = b"404 Not Found"
        head = (
            b"HTTP/1.1 " + status + b"\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            b"Content-Length: " + str(len(body)).encode("ascii") + b"\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(head if method == b"HEAD" else head + body)
