"""A flow's tasks before and after a rewrite as bars over time: one SVG, without scripts or links."""

from __future__ import annotations

from html import escape
from xml.sax.saxutils import quoteattr

from prefect_autopilot.models import Timeline

_WIDTH, _LEFT, _RIGHT = 760, 16, 16
_BAR, _GAP, _HEAD = 16, 4, 44
_MOST_ROWS = 40
_COLOURS = ("#2563eb", "#0f766e", "#b45309", "#7c3aed", "#be123c", "#4d7c0f", "#0369a1", "#6b7280")
_STYLE = (
    "text{font:12px sans-serif;fill:#1f2937}.on{fill:#fff}.end{stroke:#1f2937;stroke-dasharray:3 3}"
    "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}.on{fill:#fff}.end{stroke:#e5e7eb}}"
)


def picture(title: str, before: Timeline, after: Timeline) -> str:
    """Return the two timelines, one above the other on one scale, as SVG text."""
    longest = max(before.makespan_s, after.makespan_s) or 1.0
    names = list(dict.fromkeys(bar.name for bar in (*before.bars, *after.bars)))
    colours = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}
    parts: list[str] = []
    top = 28
    for head, line in (("before", before), ("after", after)):
        drawn, top = _draw(head, line, longest, colours, top)
        parts += drawn
    told = f"{title}: {_length(before)} before, {_length(after)} after"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img" '
        f"aria-label={quoteattr(told)}><style>{_STYLE}</style>"
        f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(told)}</text>{"".join(parts)}</svg>\n'
    )


def _length(line: Timeline) -> str:
    return f"{line.makespan_s:.2f} s" if line.measured else f"{line.makespan_s:.0f} units"


def _draw(
    head: str, line: Timeline, longest: float, colours: dict[str, str], top: int
) -> tuple[list[str], int]:
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    rows: list[float] = []
    bound = max(line.critical_path_s, 0.0)
    unit = "s" if line.measured else "units"
    told = f"{head}: {line.work_s:.4g} {unit} of work, longest chain of values {bound:.4g} {unit}"
    parts = [f'<text x="{_LEFT}" y="{top + 18}">{escape(told)}</text>']
    for bar in sorted(line.bars, key=lambda one: (one.start_s, one.end_s)):
        row = next((index for index, end in enumerate(rows) if end <= bar.start_s + 1e-9), len(rows))
        if row == len(rows):
            rows.append(0.0)
        rows[row] = bar.end_s
        if row >= _MOST_ROWS:
            continue
        x, y = _LEFT + bar.start_s * scale, top + 26 + row * (_BAR + _GAP)
        width = max((bar.end_s - bar.start_s) * scale, 1.0)
        words = f"{bar.name}: {bar.start_s:.2f} to {bar.end_s:.2f} {unit}"
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colours[bar.name]}">'
            f"<title>{escape(words)}</title></rect>"
        )
        if width > 7 * len(bar.name) + 8:
            parts.append(f'<text class="on" x="{x + 4:.1f}" y="{y + 12}">{escape(bar.name)}</text>')
    bottom = top + 26 + min(len(rows), _MOST_ROWS) * (_BAR + _GAP)
    x = _LEFT + line.makespan_s * scale
    parts.append(f'<line class="end" x1="{x:.1f}" x2="{x:.1f}" y1="{top + 22}" y2="{bottom}"/>')
    return parts, bottom + _HEAD - 26
