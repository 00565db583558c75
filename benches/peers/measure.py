"""What a server cost: the CPU time and the memory of all its processes, as the kernel counts them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

#: Of a CPU clock's name: all threads of a process, by the scheduler's count. As clock_getcpuclockid(3) makes it.
SCHEDULER = 2
TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Of a process and all its descendants, since they were started."""

    #: Seconds of CPU time, to the nanosecond.
    cpu: float
    #: Of it outside of the kernel, to the tick, of which there are a hundred in a second.
    user: float


def family(process: int) -> list[int]:
    """A process and its descendants."""
    found = [process]
    for one in found:
        try:
            tasks = Path(f"/proc/{one}/task").iterdir()
            found += [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def pin(process: int, cpu: int) -> None:
    """Binds all its threads to one CPU: Traffic Server frees its own from what its starter has said."""
    for one in family(process):
        for task in Path(f"/proc/{one}/task").iterdir():
            os.sched_setaffinity(int(task.name), {cpu})


def cost(process: int) -> Cost:
    """Threads that have ended are counted; processes that have are not."""
    cpu = user = 0.0
    for one in family(process):
        cpu += time.clock_gettime(~one << 3 | SCHEDULER)
        after_name = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        user += int(after_name[11]) * TICK
    return Cost(cpu, user)


def busy(cpu: int) -> float:
    """Seconds for which a CPU has done something for anybody."""
    lines = Path("/proc/stat").read_text().splitlines()
    counts = next(line.split()[1:] for line in lines if line.startswith(f"cpu{cpu} "))
    # All but what it was idle, or idle while a disk worked; guests are counted in another one already.
    return sum(int(count) for place, count in enumerate(counts[:8]) if place not in (3, 4)) * TICK


def resident(process: int, what: str = "VmRSS") -> int:
    """Bytes in memory now, or with `VmHWM` at most since the peak was forgotten. Pages that processes share count for
    each."""
    total = 0
    for one in family(process):
        lines = Path(f"/proc/{one}/status").read_text().splitlines()
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))
    return total


def forget_peak(process: int) -> None:
    """`VmHWM` counts from now on."""
    for one in family(process):
        Path(f"/proc/{one}/clear_refs").write_text("5")
