"""Runs every command of the guides in docs/ as a reader would, and compares what they print with what the guides show.

    run.py FOLDER-OF-THE-PROGRAMS FOLDER-OF-WHEELS [--show] [GUIDE …]

Each guide is one shell in a folder of its own, which holds a copy of the repository (`catproxy`), and in a network of its
own, so that the ports of the guides are free and nothing leaves the machine. In a guide

    ```sh             is run, and each of its commands must succeed
    ```sh exit=1      is run, and one command in it must fail with that status, no other
    ```sh not-run     is not; NOT_RUN says why
    ```text           is what the commands before it have printed; `…` stands for anything in a line and, by itself, for
                      any lines
    ```text about     is the same but for its numbers, each of which may be any other, and units of time
    ```toml file=NAME is a file that the reader writes, as is ```python file=NAME
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from programs import Bench, stop_in_order

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
#: How long a guide may take, in seconds; the longest takes about forty.
PATIENCE = 300
#: Guides at a time: they wait more than they work. What they show is a store that answers within its budget of 50 ms, which
#: it may not do on a machine with too much to do: so one that fails is tried again when the others are done.
SIDE_BY_SIDE = 3
AGAIN = 2
#: How long what a guide has left running may take to end when it is told to.
GRACE = 3
#: Pages of the book that are not followed step by step.
NO_GUIDES = {"SUMMARY.md", "introduction.md", "metrics.md", "traces.md"}
#: What of the repository's folder no clone has.
NOT_CLONED = shutil.ignore_patterns(".git", ".venv*", "target", "node_modules", "screenshots", "*.log")
#: By guide and first line: the blocks that do not run here, and why.
NOT_RUN = {
    ("first-hit.md", "cargo install --locked --path . --features demo      # catproxy"): "it builds for minutes",
    ("upgrading.md", "install -m 755 target/release/catproxy /usr/bin/catproxy"): "it takes systemd, and root",
}
#: Of a text that is only about what is printed: a status is what it is, a number any, a time of any unit.
PIECE = re.compile(
    r"(?P<status>(?:^|status=|HTTP/1\.1 )[2-5]0[0-4]\b)|(?P<number>\d+(?:\.\d+)*)|(?P<unit>\b(?:us|ms|s)\b)|(?P<space> +)|."
)
FENCE = re.compile(r"^```(\w*) ?(.*)$")

#: What stands before the commands of a guide: each that fails is written down as the step, line, status and command, and
#: ends the shell where it should not have failed.
BEFORE = """\
set -E -o pipefail
guide_failed() {
    printf '%s\\0%s\\0%s\\0%s\\0' "$guide_at" "$2" "$1" "$3" >>"$GUIDE/failures"
    [ "$guide_exit" != 0 ] || exit 1
}
trap 'guide_failed "$?" "$LINENO" "$BASH_COMMAND"' ERR
"""
STEP = """\
guide_at={line} guide_exit={exit}
. "$GUIDE/{line}.sh" >"$GUIDE/{line}.out" 2>&1
"""


class Wrong(Exception):
    """Something is not as the guide says."""


@dataclass
class Commands:
    """A block of commands, or a file that the reader writes, which is a command, too."""

    #: Of the fence, in the guide.
    line: int
    text: str
    exit: int = 0
    runs: bool = True
    #: What it prints, the line of that block, and whether its numbers may be others.
    prints: str | None = None
    prints_at: int = 0
    about: bool = False


def blocks(guide: Path) -> Iterator[tuple[int, str, str, str]]:
    """Every fenced block: its fence's line, kind, what else stands there, and the text."""
    begun: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(guide.read_text().splitlines(), 1):
        if begun is None:
            if "```" in line and not (fence := FENCE.match(line)):
                raise Wrong(f"{guide.name}:{number}: a fence that does not stand at the beginning of its line")
            if line.startswith("```"):
                begun, lines = (number, fence[1], fence[2]), []
        elif line == "```":
            yield *begun, "".join(f"{line}\n" for line in lines)
            begun = None
        else:
            lines.append(line)
    if begun is not None:
        raise Wrong(f"{guide.name}:{begun[0]}: a block that does not end")


def read(guide: Path) -> list[Commands]:
    """The steps of a guide."""
    steps: list[Commands] = []
    for line, kind, word, text in blocks(guide):
        place = f"{guide.name}:{line}"
        if kind == "sh" and word == "not-run":
            steps.append(Commands(line, text, runs=False))
        elif kind == "sh" and (code := re.fullmatch(r"(?:exit=(\d+))?", word)):
            steps.append(Commands(line, text, exit=int(code[1] or 0)))
        elif kind == "text" and word in ("", "about"):
            if not steps or steps[-1].prints is not None:
                raise Wrong(f"{place}: no commands stand before this output")
            steps[-1].prints, steps[-1].prints_at, steps[-1].about = text, line, word == "about"
        elif kind in ("toml", "python") and (name := re.fullmatch(r"file=([\w./-]+)", word)):
            steps.append(Commands(line, f"cat > {name[1]} <<'END-OF-FILE'\n{text}END-OF-FILE\n"))
        else:
            raise Wrong(f"{place}: a block of no known kind: {kind} {word}")
    return steps


def literally(text: str, about: bool) -> str:
    """The expression that this text matches or, `about` it, another one with other numbers in columns of other widths."""
    return PIECE.sub(_about, text) if about else re.escape(text)


def _about(piece: re.Match[str]) -> str:
    loose = {"number": r"[\d.]+", "unit": "(?:us|ms|s)", "space": " +"}
    return loose.get(piece.lastgroup or "", re.escape(piece[0]))


def expression(expected: str, about: bool) -> str:
    """The expression that an output must match."""
    parts = []
    for line in expected.splitlines():
        if line == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(literally(part, about) for part in line.split("…")) + r"[ \t]*\n")
    return "".join(parts)


def matches(expected: str, printed: str, about: bool) -> bool:
    if printed and not printed.endswith("\n"):
        printed += "\n"
    return re.fullmatch(expression(expected, about), printed) is not None


def shown(text: str, limit: int = 60) -> str:
    """A text, indented, and not too long."""
    lines = text.splitlines() or ["(nothing)"]
    more = [f"… and {len(lines) - limit} lines more"] if len(lines) > limit else []
    return "\n".join(f"    {line}" for line in lines[:limit] + more)


@dataclass(frozen=True)
class Run:
    """One guide and what came of its commands."""

    guide: Path
    steps: list[Commands]
    #: Where what they have printed lies.
    folder: Path

    def printed(self, step: Commands) -> str | None:
        out = self.folder / f"{step.line}.out"
        return out.read_text(errors="replace").replace("\r", "") if out.exists() else None

    def failures(self) -> dict[int, list[tuple[int, int, str]]]:
        """By the step's line: line, status and command of each that failed."""
        found: dict[int, list[tuple[int, int, str]]] = {step.line: [] for step in self.steps}
        words = (self.folder / "failures").read_text(errors="replace").split("\0")[:-1]
        for step, line, status, command in zip(words[::4], words[1::4], words[2::4], words[3::4], strict=True):
            found[int(step)].append((int(line), int(status), command))
        return found

    def judge(self) -> str | None:
        """What is wrong first; nothing if all is as the guide says."""
        failures = self.failures()
        for step in (step for step in self.steps if step.runs):
            printed, failed = self.printed(step), failures[step.line]
            if printed is None:
                return f"{self.guide.name}:{step.line}: was not reached\n{shown(step.text)}"
            # A command in a subshell fails twice, there and here.
            if {status for _, status, _ in failed} != ({step.exit} if step.exit else set()):
                if failed:
                    line, status, command = failed[-1]
                    what = f"{self.guide.name}:{line}: exit status {status}, expected {step.exit}: {command}"
                else:
                    what = f"{self.guide.name}:{step.line}: nothing failed, expected exit status {step.exit}"
                return f"{what}\n  in\n{shown(step.text)}\n  which printed\n{shown(printed)}"
            if step.prints is not None and not matches(step.prints, printed, step.about):
                return (
                    f"{self.guide.name}:{step.prints_at}: not what the commands print\n{shown(step.text)}\n"
                    f"  expected\n{shown(step.prints)}\n  printed\n{shown(printed)}"
                )
        return None


def in_a_network_of_its_own(command: list[str | Path]) -> list[str | Path]:
    # Only root may have one just so; others where the system lets users be root in one.
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    return [*unshare, "sh", "-c", 'ip link set lo up && exec "$@"', "alone", *command]


def end_group(group: int) -> None:
    """Ends what a guide has left running, frozen or not."""
    by = time.monotonic() + GRACE
    try:
        os.killpg(group, signal.SIGTERM)
        os.killpg(group, signal.SIGCONT)
        while time.monotonic() < by:
            os.killpg(group, 0)
            time.sleep(0.02)
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def end_early(shell: subprocess.Popen[bytes]) -> None:
    """Ends a guide that is still under way, as where this process is told to stop."""
    if shell.poll() is None:
        end_group(shell.pid)


def run(guide: Path, programs: Path, wheels: Path, stack: ExitStack) -> tuple[Run, str | None]:
    """Runs a guide; also what is wrong with it."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"catproxy-{guide.stem}-")))
    desk, ours, path = folder / "desk", folder / "guide", folder / "bin"
    for made in (desk, ours, path, folder / "home"):
        made.mkdir()
    for program in ("catproxy", "fake-abconnect"):
        (path / program).symlink_to(programs / program)
    # The one that the wheels are for.
    (path / "python3").symlink_to(sys.executable)
    shutil.copytree(ROOT, desk / "catproxy", ignore=NOT_CLONED)
    done = Run(guide, read(guide), ours)
    script = BEFORE
    for step in (step for step in done.steps if step.runs):
        # So far down that the shell's line numbers are those of the guide.
        (ours / f"{step.line}.sh").write_text("\n" * step.line + step.text + ":\n")
        script += STEP.format(line=step.line, exit=step.exit)
    (ours / "script").write_text(script)
    (ours / "failures").touch()
    told = {
        "GUIDE": str(ours),
        "HOME": str(folder / "home"),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{path}:{os.environ['PATH']}",
        "TZ": "UTC",
        # What `pip install` would fetch is here already.
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_COMPILE": "1",
        "PIP_NO_INDEX": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    with (ours / "log").open("wb") as log:
        shell = subprocess.Popen(
            in_a_network_of_its_own(["bash", ours / "script"]),
            cwd=desk,
            env=Bench(stack, folder).environment() | told,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(end_early, shell)
        try:
            shell.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            at = max((step.line for step in done.steps if done.printed(step) is not None), default=0)
            return done, f"{guide.name}:{at}: these commands, or those before, are not done after {PATIENCE} s"
        finally:
            end_group(shell.pid)
            shell.wait()
    if said := (ours / "log").read_text(errors="replace"):
        return done, f"{guide.name}: the shell says\n{shown(said)}"
    return done, done.judge()


def not_as_known(guides: list[Path]) -> list[str]:
    """Blocks that do not run and of which nothing is known, and the other way round."""
    found = {(guide.name, step.text.splitlines()[0]) for guide in guides for step in read(guide) if not step.runs}
    known = {key for key in NOT_RUN if key[0] in {guide.name for guide in guides}}
    return [f"{guide}: does not run, and NOT_RUN does not say why: {line}" for guide, line in sorted(found - known)] + [
        f"{guide}: NOT_RUN names what is not there: {line}" for guide, line in sorted(known - found)
    ]


def show(done: Run) -> None:
    for step in (step for step in done.steps if step.runs):
        printed = done.printed(step)
        print(f"--- {done.guide.name}:{step.line}\n{step.text}---\n{'(not reached)' if printed is None else printed}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the commands of the guides.")
    parser.add_argument("programs", type=Path)
    parser.add_argument("wheels", type=Path)
    parser.add_argument("guides", nargs="*", metavar="GUIDE", help="such as sizing; default: all")
    parser.add_argument("--show", action="store_true", help="what every block prints, for who writes one")
    asked = parser.parse_intermixed_args()
    stop_in_order()
    all_guides = [guide for guide in sorted(DOCS.glob("*.md")) if guide.name not in NO_GUIDES]
    guides = [guide for guide in all_guides if not asked.guides or guide.stem in asked.guides]
    if len(guides) < (len(asked.guides) or 7):
        print(f"FAILED: only {len(guides)} guides were found in {DOCS}")
        return 1
    try:
        wrong = not_as_known(guides)
    except Wrong as error:
        wrong = [str(error)]
    if wrong:
        print("\n".join(f"FAILED {what}" for what in wrong))
        return 1
    failed = commands = 0
    begun = time.monotonic()
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads, ExitStack() as stack:
        programs, wheels = asked.programs.resolve(), asked.wheels.resolve()
        runs = [threads.submit(run, guide, programs, wheels, stack) for guide in guides]
        try:
            first = [one.result() for one in runs]
            for done, what in first:
                for _ in range(AGAIN if what else 0):
                    if what is not None:
                        print(f"  once more, by itself: {what.splitlines()[0]}", flush=True)
                        done, what = run(done.guide, programs, wheels, stack)
                ran = [step for step in done.steps if step.runs]
                commands += len(ran)
                if asked.show:
                    show(done)
                if not ran and what is None:
                    what = f"{done.guide.name}: there are no commands in it"
                failed += what is not None
                print(f"  FAILED {what}" if what else f"  ok {done.guide.name}: {len(ran)} blocks of commands", flush=True)
        finally:
            # Where this is left early, those that wait do not begin, and the stack ends the others.
            threads.shutdown(wait=False, cancel_futures=True)
    took = time.monotonic() - begun
    print(f"{len(guides) - failed} guides passed, {failed} failed; {commands} blocks of commands in {took:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
