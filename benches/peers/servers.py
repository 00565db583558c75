"""Starts what is compared, and what they all stand on: the origin and Redis.

A server counts as started with its first 200. Configurations are in `configurations/`.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import measure
from bodies import TOKEN, Bodies
from ground import CannotRun, Ground, configured, program
from programs import end, free_port
from rows import BEFORE, OURS

#: How long a server may take to its first answer, in seconds.
PATIENCE = 20
#: How catproxy is told to run with one worker.
ONE_WORKER = {"TOKIO_WORKER_THREADS": "1"}
#: A Varnish thread serves one busy connection.
VARNISH_THREADS = 700
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Server:
    """One that runs, seen from outside."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    #: From the process's start to its first 200, in milliseconds.
    started: float = 0.0

    def url(self, target: str) -> str:
        return f"http://127.0.0.1:{self.port}{target}"

    def get(self, target: str) -> tuple[int, dict[str, str], bytes]:
        """Status, header fields and body of one answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", target, headers=HEADERS)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def end(self) -> None:
        end(self.process)


class Servers:
    """Knows how each server is started, and what it stands on."""

    def __init__(self, ground: Ground, ours: Path, before: Path | None) -> None:
        self.ground = ground
        self.origin_port, self.cached_port, self.redis_port = free_port(), free_port(), free_port()
        self.bodies = Bodies(ground.folder / "data")
        given = {OURS: ours} | ({BEFORE: before} if before else {})
        # Copies: a build meanwhile must not change what is measured.
        self.programs = {name: Path(shutil.copy(path, ground.room(name) / "catproxy")) for name, path in given.items()}
        self.origin = self._origin()
        self._redis()

    def cache(self, name: str) -> Server:
        """One that answers from its cache, after its first answer."""
        starts: dict[str, Callable[[int], subprocess.Popen[bytes]]] = {
            "nginx": lambda port: self._nginx("nginx-cache", port, self.cached_port),
            "haproxy": lambda port: self._haproxy("haproxy-cache", port, self.cached_port),
            "varnish": self._varnish,
            "trafficserver": self._trafficserver,
        }
        return self._started(name, starts, self.bodies.small)

    def forwarder(self, name: str) -> Server:
        """One that forwards."""
        starts: dict[str, Callable[[int], subprocess.Popen[bytes]]] = {
            "nginx": lambda port: self._nginx("nginx-forward", port, self.origin_port),
            "haproxy": lambda port: self._haproxy("haproxy-forward", port, self.origin_port),
        }
        return self._started(name, starts, "/files/1KB")

    def _started(self, name: str, peers: dict[str, Callable[[int], subprocess.Popen[bytes]]], target: str) -> Server:
        start = peers.get(name) or (lambda port: self._catproxy(name, port))
        port = free_port()
        began = time.perf_counter()
        server = Server(name, start(port), port)
        self._first_answer(server, target, began)
        measure.pin(server.process.pid, self.ground.proxy_cpu)
        return server

    def _first_answer(self, server: Server, target: str, began: float) -> None:
        while time.perf_counter() - began < PATIENCE:
            if server.process.poll() is not None:
                break
            try:
                if server.get(target)[0] == 200:
                    server.started = 1000 * (time.perf_counter() - began)
                    return
            except (OSError, HTTPException):
                pass
            time.sleep(0.0005)
        server.end()
        raise CannotRun(f"{server.name} gave no 200 within {PATIENCE} s; it said:\n{self.ground.said(server.name)}")

    def _catproxy(self, name: str, port: int) -> subprocess.Popen[bytes]:
        path = configured("catproxy.toml", self.ground.folder / "catproxy.toml")
        command: list[str | Path] = [
            self.programs[name], "serve", "--config", path,
            "--listen", f"127.0.0.1:{port}",
            "--upstream", f"http://127.0.0.1:{self.origin_port}",
            "--redis-url", f"redis://127.0.0.1:{self.redis_port}",
        ]  # fmt: skip
        told = ONE_WORKER | {"CATPROXY_PREFIX": f"{name}_"}
        return self.ground.spawn(name, command, self.ground.proxy_cpu, told)

    def _nginx(self, template: str, port: int, origin: int) -> subprocess.Popen[bytes]:
        room = self.ground.room("nginx")
        memory = self.ground.memory / f"nginx-{port}"
        path = configured(
            f"{template}.conf", room / "nginx.conf",
            folder=room, memory=memory, port=port, origin=origin, files=self.ground.files,
        )  # fmt: skip
        return self.ground.spawn("nginx", [program("nginx"), "-e", "stderr", "-c", path], self.ground.proxy_cpu)

    def _haproxy(self, template: str, port: int, origin: int) -> subprocess.Popen[bytes]:
        room = self.ground.room("haproxy")
        # HAProxy wants two files for each connection, and some for itself.
        connections = min(12_000, self.ground.files // 2 - 100)
        path = configured(f"{template}.cfg", room / "haproxy.cfg", port=port, origin=origin, connections=connections)
        return self.ground.spawn("haproxy", [program("haproxy"), "-db", "-f", path], self.ground.proxy_cpu)

    def _varnish(self, port: int) -> subprocess.Popen[bytes]:
        room = self.ground.room("varnish")
        path = configured("varnish.vcl", room / "varnish.vcl", origin=self.cached_port)
        command: list[str | Path] = [
            program("varnishd"), "-F", "-n", room / "work", "-a", f"127.0.0.1:{port}", "-f", path,
            "-s", "malloc,256m", "-T", "none", "-j", "none",
            "-p", "thread_pools=1", "-p", f"thread_pool_min={VARNISH_THREADS}", "-p", "timeout_idle=600",
        ]  # fmt: skip
        return self.ground.spawn("varnish", command, self.ground.proxy_cpu)

    def _trafficserver(self, port: int) -> subprocess.Popen[bytes]:
        room = self.ground.room("trafficserver")
        for folder in ("cache", "run", "log"):
            (room / folder).mkdir()
        settings = {"folder": room, "port": port, "origin": self.cached_port, "connections": self.ground.files}
        for name in ("records.config", "remap.config", "storage.config", "ip_allow.yaml"):
            configured(f"trafficserver/{name}", room / "etc" / name, **settings)
        root = configured("trafficserver/runroot.yaml", room / "runroot.yaml", **settings)
        command = [program("traffic_server"), f"--run-root={root}"]
        return self.ground.spawn("trafficserver", command, self.ground.proxy_cpu)

    def asked(self) -> int:
        """How many requests the origin has had, this question among them."""
        said = self.origin.get("/requests")[2].decode()
        return int(said.splitlines()[2].split()[2])

    def _origin(self) -> Server:
        room = self.ground.room("origin")
        path = configured(
            "origin.conf", room / "nginx.conf",
            folder=room, data=self.bodies.folder, port=self.origin_port, cached_port=self.cached_port,
            files=self.ground.files,
        )  # fmt: skip
        command: list[str | Path] = [program("nginx"), "-e", "stderr", "-c", path]
        origin = Server("origin", self.ground.spawn("origin", command, self.ground.load_cpu), self.origin_port)
        self._first_answer(origin, "/files/1KB", time.perf_counter())
        return origin

    def _redis(self) -> None:
        command = [
            program("redis-server"), "--bind", "127.0.0.1", "--port", str(self.redis_port),
            "--save", "", "--appendonly", "no",
        ]  # fmt: skip
        process = self.ground.spawn("redis", command, self.ground.proxy_cpu)
        by = time.monotonic() + PATIENCE
        while "Ready to accept connections" not in self.ground.said("redis"):
            if process.poll() is not None or time.monotonic() > by:
                raise CannotRun(f"redis-server did not get ready; it said:\n{self.ground.said('redis')}")
            time.sleep(0.01)
