"""Edits of a source text by position: what is not edited stays byte for byte."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from prefect_autopilot.effects.module import split_lines


@dataclass(frozen=True, order=True)
class TextEdit:
    """Replace the characters from ``start`` up to ``end`` (an insertion where they are equal)."""

    start: int
    end: int
    text: str


class SourceText:
    """A source text with the positions that syntax trees speak of (lines from 1, columns in UTF-8 bytes)."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines = split_lines(source)
        self._starts = [0]
        for line in self.lines:
            self._starts.append(self._starts[-1] + len(line))
        self.newline = "\r\n" if self.lines and self.lines[0].endswith("\r\n") else "\n"

    def offset(self, line: int, column: int) -> int:
        """Return the character offset of a line and a UTF-8 column."""
        text = self.lines[line - 1]
        return self._starts[line - 1] + len(text.encode("utf-8")[:column].decode("utf-8"))

    def start(self, node: ast.expr | ast.stmt) -> int:
        """Return the offset of a node's first character."""
        return self.offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt) -> int:
        """Return the offset behind a node's last character."""
        return self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)

    def of(self, node: ast.expr | ast.stmt) -> str:
        """Return the text of a node."""
        return self.source[self.start(node) : self.end(node)]

    def line_start(self, line: int) -> int:
        """Return the offset of a line's first character."""
        return self._starts[line - 1]

    def indent(self, node: ast.stmt) -> str:
        """Return the white space before a statement."""
        return self.source[self.line_start(node.lineno) : self.start(node)]

    def starts_line(self, node: ast.stmt) -> bool:
        """Tell whether nothing but white space stands before a statement on its line."""
        return not self.indent(node).strip()

    def ends_line(self, node: ast.stmt) -> bool:
        """Tell whether nothing but a comment stands behind a statement on its line."""
        rest = self.lines[(node.end_lineno or node.lineno) - 1].encode("utf-8")[node.end_col_offset or 0 :]
        return not rest.strip() or rest.lstrip().startswith(b"#")

    def insertion(self, before: ast.stmt, texts: Iterable[str], indent: str | None = None) -> TextEdit:
        """Return an edit that puts whole lines before a statement, indented like it."""
        at = self.line_start(before.lineno)
        pad = self.indent(before) if indent is None else indent
        return TextEdit(at, at, "".join(f"{pad}{text}{self.newline}" for text in texts))


def apply_edits(source: str, edits: Iterable[TextEdit]) -> str:
    """Return the text with all edits made; insertions at one place keep their order."""
    parts: list[str] = []
    reached = 0
    for edit in sorted(edits, key=lambda one: (one.start, one.end)):
        if edit.start < reached:
            raise ValueError(f"edits overlap at offset {edit.start}")
        parts += [source[reached : edit.start], edit.text]
        reached = edit.end
    return "".join([*parts, source[reached:]])


def overlap(some: Iterable[TextEdit], others: Iterable[TextEdit]) -> bool:
    """Tell whether two groups of edits touch the same characters, or insert at the same place."""
    rest = list(others)
    return any(one.start <= other.end and other.start <= one.end for one in some for other in rest)


def unified_diff(old: str, new: str, file: str) -> str:
    """Return what changes between two texts of a file, in the form that ``patch`` and git read."""
    if old == new:
        return ""
    lines = difflib.unified_diff(split_lines(old), split_lines(new), f"a/{file}", f"b/{file}")
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )
