"""The chart of README: CPU time for a million requests, as bars. Drawn by hand, in light and in dark."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from statistics import median

from figures import Samples, middle, ratios
from rows import OURS, ROWS
from table import NAMES

#: The rows that are shown, and what is said of them.
SHOWN = {
    "hit-64": "a page from the cache, the same 2.5 KB of all",
    "whole-64": "the same question: ours answers with 2.5 KB, a plain cache with the API’s whole page of 48 KB",
    "large-64": "a page from the cache, the same 49 KB of all",
    "get-1KB": "1 KB forwarded",
}
NOTE = "less is better; on one core, 64 connections; in brackets: ours divided by theirs, in the same rounds"
WIDTH, MARGIN = 720, 20
#: Where bars begin, and how long the longest is.
BARS, LONGEST = 130, 480
BAR, GAP, TITLE, HEAD = 14, 4, 26, 54
STYLE = """
  .paper { fill: #ffffff; stroke: #d0d7de } text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .head { font-size: 15px; font-weight: 600 } .title { font-weight: 600 } .quiet { fill: #59636e }
  .ours { fill: #1a7f5a } .theirs { fill: #afb8c1 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; stroke: #3d444d } text { fill: #e6edf3 } .quiet { fill: #9198a1 }
    .ours { fill: #3fb98a } .theirs { fill: #57606a }
  }
"""


def drawn(rows: Mapping[str, Samples]) -> str:
    """The whole SVG."""
    shown = {name: rows[name] for name in SHOWN if name in rows}
    most = max(middle(own, "cpu") for samples in shown.values() for own in samples.values())
    parts: list[str] = []
    top = HEAD
    for name, samples in shown.items():
        parts.append(_text(MARGIN, top + 16, SHOWN[name], "title"))
        top += TITLE
        for server in samples:
            parts += _bar(top, server, samples, LONGEST / most)
            top += BAR + GAP
        top += GAP * 2
    height = top + MARGIN // 2
    head = [
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
        _text(MARGIN, 26, "Seconds of CPU time for a million requests", "head"),
        _text(MARGIN, 42, NOTE, "quiet"),
    ]
    frame = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {frame} role="img" aria-label="{_told(shown)}">']
    return "\n".join([*lines, f"<style>{STYLE}</style>", *head, *parts, "</svg>"]) + "\n"


def _bar(top: int, server: str, samples: Samples, scale: float) -> list[str]:
    value = middle(samples[server], "cpu")
    length = max(1.0, value * scale)
    said = f"{value:.1f} s"
    if server != OURS:
        said += f" ({median(ratios(samples, server, 'cpu')):.2f})"
    kind = "ours" if server == OURS else "theirs"
    return [
        _text(BARS - 8, top + 11, NAMES[server], "", "end"),
        f'<rect class="{kind}" x="{BARS}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2"/>',
        _text(round(BARS + length + 6), top + 11, said, "quiet"),
    ]


def _text(x: int, y: int, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _told(shown: Mapping[str, Samples]) -> str:
    """The chart in words, for who does not see it."""
    titles = {row.name: row.title for row in ROWS}
    told = ["CPU time for a million requests"]
    for name, samples in shown.items():
        each = [f"{NAMES[server]} {middle(own, 'cpu'):.1f} s" for server, own in samples.items()]
        told.append(f"{titles[name]}: {', '.join(each)}")
    return escape("; ".join(told), quote=True)
