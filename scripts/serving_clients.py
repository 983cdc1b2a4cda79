"""Clients of `recsys-lab serve` on loopback: well-behaved and hostile ones; for its benchmark."""

from __future__ import annotations

import asyncio
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

P99 = 0.05  # seconds
LOAD = ("clients", "requests/s", "p50 ms", "p99 ms", "server, CPU ms each", "client, CPU ms each")
LAB = [sys.executable, "-c", "from recsys_lab.cli.main import main; main()"]


class Server:
    """A server process."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def memory_mib(self) -> float:
        """Resident memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+) kB", text)
        return int(match[1]) / 1024 if match else float("nan")

    def listens(self) -> bool:
        """Whether it accepts connections: the address is logged just before."""
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def cpu_s(self) -> float:
        """Processor time so far, of all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(source: Path, *options: str) -> Iterator[Server]:
    """Start a server, wait until it answers, and end it."""
    with tempfile.NamedTemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*LAB, "serve", str(source), "port=0", *options], stderr=log, text=True
        )
        try:
            while not (match := re.search(r"http://[^:]+:(\d+)", Path(log.name).read_text())):
                if process.poll() is not None:
                    raise SystemExit(Path(log.name).read_text())
                time.sleep(0.1)
            server = Server(process, int(match[1]))
            while not server.listens():
                time.sleep(0.01)
            yield server
        finally:
            process.terminate()
            if process.wait() != 0:
                print(Path(log.name).read_text()[-2000:], file=sys.stderr)


def post(body: bytes, path: str = "/recommend", extra: bytes = b"") -> bytes:
    """A request."""
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n".encode()
    return head + extra + b"\r\n" + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body; status 0 if the connection was closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        body = await reader.readexactly(int(length[1])) if length else b""
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0, b""
    return int(head.split(b" ", 2)[1]), body


async def ask(
    port: int, bodies: list[bytes], clients: int, goes_on: Callable[[], bool]
) -> tuple[list[float], Counter[int]]:
    """Closed loop of clients: latencies in seconds, and statuses."""
    seconds: list[float] = []
    statuses: Counter[int] = Counter()

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while goes_on():
            number += clients
            start = time.perf_counter()
            writer.write(post(bodies[number % len(bodies)]))
            status, _ = await read_answer(reader)
            seconds.append(time.perf_counter() - start)
            statuses[status] += 1
            if not status:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return seconds, statuses


class Connection:
    """One client of a closed loop: asks, waits for the answer, asks again."""

    def __init__(self, port: int, requests: list[bytes], number: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests, self._next = requests, number
        self._answer = b""
        self._start = 0.0

    def ask(self) -> None:
        """Send the next request."""
        self._next = (self._next + 1) % len(self._requests)
        self._start = time.perf_counter()
        self.socket.sendall(self._requests[self._next])

    def read(self) -> tuple[int, float] | None:
        """Status and seconds, once the answer is complete."""
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionError("the server closed a connection")
        self._answer += part
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        if not blank or len(body) < int(
            head[head.lower().index(b"content-length:") + 15 :].split()[0]
        ):
            return None
        self._answer = b""
        return int(head[9:12]), time.perf_counter() - self._start


def closed_loop(
    port: int, requests: list[bytes], clients: int, seconds: float
) -> tuple[list[float], Counter[int]]:
    """Latencies in seconds and statuses of so many clients, with next to no work per request."""
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    connections = [Connection(port, requests, 7 * number) for number in range(clients)]
    of = {one.socket.fileno(): one for one in connections}
    with select.epoll() as epoll:
        for number, one in of.items():
            epoll.register(number, select.EPOLLIN)
            one.ask()
        end, waiting = time.perf_counter() + seconds, len(of)
        while waiting:
            for number, _ in epoll.poll():
                answer = of[number].read()
                if answer is None:
                    continue
                statuses[answer[0]] += 1
                latencies.append(answer[1])
                if time.perf_counter() < end:
                    of[number].ask()
                else:
                    waiting -= 1
    for one in connections:
        one.socket.close()
    return latencies, statuses


def load(
    server: Server, bodies: list[bytes], seconds: float
) -> tuple[list[tuple[str, ...]], float, Counter[int]]:
    """Rows for the table (`LOAD`), the best rate, and all statuses."""
    rows, best, total = [], 0.0, Counter[int]()
    requests = [post(body) for body in bodies]
    for clients in (1, 2, 4, 8, 16, 24, 32, 48, 64, 96):
        closed_loop(server.port, requests, clients, 0.5)  # to warm up
        before = server.cpu_s(), time.process_time()
        start = time.perf_counter()
        latencies, statuses = closed_loop(server.port, requests, clients, seconds)
        rate = statuses[200] / (time.perf_counter() - start)
        spent = server.cpu_s() - before[0], time.process_time() - before[1]
        total += statuses
        p50, p99 = np.quantile(latencies, [0.5, 0.99])
        best = max(best, rate if p99 < P99 else 0.0)
        each = [f"{1000 * value / len(latencies):.2f}" for value in spent]
        rows.append((f"{clients}", f"{rate:,.0f}", f"{1000 * p50:.1f}", f"{1000 * p99:.1f}", *each))
    return rows, best, total


def hostile(rng: np.random.Generator, good: bytes) -> bytes:
    """One hostile request."""
    kind = rng.integers(8)
    if kind == 0:
        return bytes(rng.integers(256, size=rng.integers(1, 300), dtype=np.uint8)) + b"\r\n\r\n"
    if kind == 1:
        return post(b"[" * int(rng.integers(1, 100_000)))
    if kind == 2:
        return post(b" " * int(rng.integers(1 << 20, 3 << 20)))
    if kind == 3:
        return post(good, f"/{rng.integers(1 << 30)}.php?user=ann")
    if kind == 4:
        values = [
            "null",
            "NaN",
            "1e999",
            '"\\ud800"',
            "9" * 5000,
            '{"a":[]}',
            "true",
            f'"{"x" * 2000}"',
        ]
        value = values[rng.integers(len(values))]
        key = ("histories", "events", "users", "k")[rng.integers(4)]
        return post(f'{{"{key}": [[{value}]], "k": {rng.integers(-5, 300)}}}'.encode())
    if kind == 5:
        extra = [
            b"Content-Encoding: gzip\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Expect: 100-continue\r\n",
            b"X: " + b"y" * 70_000 + b"\r\n",
            b"Authorization: Bearer \xff\r\n",
        ]
        return post(good, extra=extra[rng.integers(len(extra))])
    body = bytearray(good)
    for _ in range(rng.integers(1, 6)):
        body[rng.integers(len(body))] = rng.integers(256)
    return post(bytes(body[: rng.integers(1, len(body) + 1)]))


async def attack(port: int, good: bytes, requests: int) -> Counter[int]:
    """Statuses of hostile requests, each on a connection of its own, 16 at a time."""
    rng, statuses, left = np.random.default_rng(0), Counter[int](), requests

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(hostile(rng, good))
                if rng.integers(10) == 0:
                    writer.close()  # without waiting for an answer
                    continue
                writer.write_eof()
                statuses[(await asyncio.wait_for(read_answer(reader), 60))[0]] += 1
            except OSError:  # the server has closed it
                statuses[0] += 1
            finally:
                writer.close()

    await asyncio.gather(*(client() for _ in range(16)))
    return statuses
