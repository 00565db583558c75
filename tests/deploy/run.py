"""Runs the static program as an image does: in a root that holds it and certificates alone, as a user without a name.

In front of the stand-in and a real redis-server, all in a network of their own (scripts/check-deploy makes it), where a
server of names knows every name. Takes the program's path, the stand-in's, and the unit whose filter of system calls must
let pass what it does.
"""

from __future__ import annotations

import http.client
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from programs import PATIENCE, Bench, NotReady, stop_in_order

#: What an image of it may have, in bytes.
LIMIT = 15_000_000
USER = "65532:65532"
UPSTREAM = "catalog.test"
LIST = "/api/Seller?PageNumber=1&PageSize=5"
PT_INTERP = 3


def check(so: bool, what: str) -> None:
    """Ends it all where something is not so."""
    if not so:
        sys.exit(f"not so: {what}")


def is_static(program: Path) -> bool:
    """Whether no loader is named in it, without which nothing else is loaded."""
    data = program.read_bytes()
    check(data[:5] == b"\x7fELF\x02", "it is a program of 64 bits")
    offset, size, count = struct.unpack_from("<Q", data, 32) + struct.unpack_from("<HH", data, 54)
    return all(struct.unpack_from("<I", data, offset + size * place)[0] != PT_INTERP for place in range(count))


def answer_names() -> None:
    """Says of every name that it is here, where an empty root has its server of names: at 127.0.0.1."""
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 53))

    def answer() -> None:
        while True:
            asked, whence = names.recvfrom(512)
            end = asked.index(b"\0", 12) + 5
            is_a = asked[end - 4 : end - 2] == b"\0\1"
            found = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" if is_a else b""
            counts = struct.pack(">HHHH", 1, is_a, 0, 0)
            names.sendto(asked[:2] + b"\x81\x80" + counts + asked[12:end] + found, whence)

    threading.Thread(target=answer, daemon=True).start()


def certify(folder: Path) -> tuple[Path, Path]:
    """An authority, and a certificate of the upstream's name with its key in one file."""
    authority, own = folder / "authority.pem", folder / "own.pem"
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    key = folder / "key.pem"
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*new, "-subj", "/CN=authority", "-keyout", key, "-out", authority], **quiet)
    issued = ["-CA", authority, "-CAkey", key, "-addext", "basicConstraints=critical,CA:FALSE"]
    named = ["-subj", f"/CN={UPSTREAM}", "-addext", f"subjectAltName=DNS:{UPSTREAM}"]
    subprocess.run([*new, *issued, *named, "-keyout", folder / "own.key", "-out", own], **quiet)
    own.write_text(own.read_text() + (folder / "own.key").read_text())
    return authority, own


def over_tls(certificate: Path, behind: int) -> int:
    """A port that takes TLS and passes on what is in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    door = socket.create_server(("127.0.0.1", 0))

    def pour(source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve(client: socket.socket) -> None:
        try:
            inner = context.wrap_socket(client, server_side=True)
        except OSError:
            return
        server = socket.create_connection(("127.0.0.1", behind))
        threading.Thread(target=pour, args=(server, inner), daemon=True).start()
        pour(inner, server)

    def accept() -> None:
        while True:
            threading.Thread(target=serve, args=(door.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return door.getsockname()[1]


def ask(target: str, token: str) -> tuple[int, str]:
    """Status and `Cache-Status` of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=PATIENCE)
    connection.request("GET", target, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("Cache-Status", "")


def calls_let_pass(unit: Path) -> set[str]:
    """What a unit's SystemCallFilter leaves, read as systemd does: the first line says whether it is a list of those allowed,
    `~` takes away, `@` is a group."""
    listed = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], check=True, capture_output=True, text=True)
    groups: dict[str, list[str]] = {}
    for line in listed.stdout.splitlines():
        if line.startswith("@"):
            members = groups.setdefault(line.strip(), [])
        elif line.startswith("    ") and not line.strip().startswith("#"):
            members.append(line.strip())

    def flat(word: str) -> set[str]:
        return set().union(*map(flat, groups[word])) if word.startswith("@") else {word}

    allowed = flat("@default")
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit.read_text(), re.MULTILINE):
        named = set().union(*map(flat, line.lstrip("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


def calls_made(trace: Path) -> set[str]:
    """What was called from the program's own beginning on."""
    _, _, own = trace.read_text(errors="replace").partition('execve("/catproxy"')
    return set(re.findall(r"^\d+ +(\w+)\(", own, re.MULTILINE))


def run(bench: Bench, program: Path, stand_in: Path, unit: Path) -> None:
    """All of it, from the beginning to the end."""
    size = program.stat().st_size
    check(is_static(program), "it is static")
    check(size < LIMIT, f"it has less than {LIMIT:,} bytes ({size:,})")
    print(f"static, {size:,} bytes")

    root = bench.folder / "root"
    certificates = root / "etc/ssl/certs/ca-certificates.crt"
    certificates.parent.mkdir(parents=True)
    shutil.copy(program, root / "catproxy")
    authority, own = certify(bench.folder)
    shutil.copy(authority, certificates)
    # The folder is made for its maker alone.
    bench.folder.chmod(0o755)

    answer_names()
    redis = ["redis-server", "--bind", "127.0.0.1", "--port", "6379", "--save", ""]
    bench.start("redis", redis, "(Ready to accept)")
    said = r"(?s)Catalog API +(\S+)/api.*A token of demo:\n\S+\n"
    base = bench.start("stand-in", [stand_in, "--listen", "127.0.0.1:0"], said)
    token = re.search(r"A token of demo:\n(\S+)", bench.log("stand-in"))[1]
    port = over_tls(own, int(base.rpartition(":")[2]))
    told = {
        "CATPROXY_UPSTREAM": f"https://{UPSTREAM}:{port}",
        "CATPROXY_REDIS_URL": "redis://cache.test:6379",
        "CATPROXY_LISTEN": "0.0.0.0:8080",
        "CATPROXY_ADMIN_LISTEN": "127.0.0.1:9180",
        "CATPROXY_TIME_ZONE": "America/New_York",
    }
    inside: list[str | Path] = ["chroot", f"--userspec={USER}", root, "/catproxy"]
    traced = [] if not shutil.which("strace") else ["strace", "-f", "-qq", "-o", bench.folder / "calls"]
    bench.start("catproxy", [*traced, *inside, "serve"], r"( -> )", told)
    for target, status, said in [
        (LIST, 200, "fwd=miss; stored"),
        (LIST, 200, "hit"),
        ("/api/Lot?PageSize=1", 200, "fwd=bypass"),
        ("/ui/", 303, ""),
    ]:
        answered = ask(target, token)
        check(answered[0] == status and said in answered[1], f"{target} is {status} and {said!r}, not {answered}")
    told_status = subprocess.run([*inside, "status"], env=bench.environment(), capture_output=True, text=True)
    check(told_status.returncode == 0 and "ready        yes" in told_status.stdout, f"its status: {told_status}")
    print("in an empty root: names, TLS, Redis, a hit, its own status")

    pid = next(int(id) for id in os.listdir("/proc") if id.isdigit() and is_it(id))
    status = Path(f"/proc/{pid}/status").read_text()
    check(re.search(r"^Uid:\t65532\t65532", status, re.MULTILINE) is not None, "it is nobody's")
    os.kill(pid, signal.SIGHUP)
    wait_for(bench, "reloaded: ")
    os.kill(pid, signal.SIGTERM)
    code = bench.processes["catproxy"].wait(PATIENCE)
    check(code == 0, f"it stops well, not with {code}:\n{bench.log('catproxy')}")
    again = subprocess.run([*inside, "status"], env=bench.environment(), capture_output=True)
    check(again.returncode == 1, "its status says that it is gone")
    print("reloaded, stopped")

    if not traced or not shutil.which("systemd-analyze"):
        print("left out: the unit's filter of system calls (strace or systemd-analyze is not here)")
        return
    made = calls_made(bench.folder / "calls")
    check(len(made) > 30, f"calls were seen: {made}")
    # The program itself starts nothing; that it is started is systemd's own doing.
    stray = made - calls_let_pass(unit) - {"execve"}
    check(not stray, f"the unit lets pass all that it calls, but not {sorted(stray)}")
    print(f"{len(made)} system calls, all let pass by the unit")


def is_it(pid: str) -> bool:
    """Whether a process is the program in its root."""
    try:
        return os.readlink(f"/proc/{pid}/exe").endswith("/root/catproxy")
    except OSError:
        return False


def wait_for(bench: Bench, what: str) -> None:
    """Until the program has said so."""
    by = time.monotonic() + PATIENCE
    while what not in bench.log("catproxy"):
        if time.monotonic() > by:
            raise NotReady(f"it does not say {what!r}:\n{bench.log('catproxy')}")
        time.sleep(0.01)


def main() -> None:
    program, stand_in, unit = (Path(argument).resolve() for argument in sys.argv[1:4])
    stop_in_order()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="catproxy-deploy-")))
        try:
            run(Bench(stack, folder), program, stand_in, unit)
        except NotReady as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
