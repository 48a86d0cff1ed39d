"""As much of a region as the questions put to it need.

Most lines of a function have nothing to do with the task that it creates, and parsing them costs
more than everything else together. An excerpt holds the statements with the marks (where a task
is mentioned), the headers around them, and what its ``Detail`` asks for: the statements that use
a name, those that may bind one, and those that steer the control flow. The rest is left out.

An excerpt never guesses. A question that it cannot answer as the whole region would, because a
statement that matters is left out, raises ``Unseen`` with the detail to ask for; the pipeline
looks closer and asks again.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from keyword import iskeyword
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis.sieve import CREATOR_WORDS, word_offsets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flake8_task_refs.analysis.outline import Outline, Region

# Statements that decide what runs after what; and calls that never return (see flow).
_STEERING: Final = re.compile(
    r"\b(?:return|raise|break|continue|yield|while|wait|serve_forever|run_forever|sleep_forever|Future|"
    r"create_future)\b"
)
_CLAUSE: Final = re.compile(r"\s*(?:elif|else|except|finally)\b")
_DEFINITION: Final = re.compile(r"\s*(?:async\s+)?(?:def|class)\b")
# Statements that bind names by their kind, as `def work(` does, or anywhere but before `.`, `(`
# and `[`, as `for task in` does; any other needs an assignment or `:=` for it.
_DECLARING: Final = re.compile(r"\s*(?:async\s+)?(?:import|from|def|class|type)\b")
_BINDING: Final = re.compile(r"\s*(?:for|with|async|except|case|global|nonlocal|del)\b")
_CREATOR: Final = re.compile(rf"(?:{'|'.join(CREATOR_WORDS)})\s*\(")
_CHAIN: Final = re.compile(r"(?<![\w.])([^\W\d]\w*)(?:\s*\.\s*\w+)*")
_KEYWORD: Final = re.compile(r"\s*=(?!=)")
_OWNERS: Final = ("self", "cls")
# Methods with the names of creators and aggregates: whose are they?
_ASKED: Final = re.compile(r"\.\s*(?:wait|wait_for|acquire|create_task)\Z")
_LOOP: Final = re.compile(r"\s*(?:async\s+)?for\s+(\w+)\s+in\s+(\w+)\b")
_ALIAS: Final = re.compile(r"\s*(\w+)\s*(?::[^=\n]+)?=\s*(\w+)(?:\.\w+)*\s*\Z")
_CONTINUED: Final = re.compile(r"\s*[.(\[]")
_BRACKET: Final = re.compile(r"[(\[{]|[)\]}]")
_BRACKET_OR_EQUALS: Final = re.compile(r"[(\[{]|[)\]}]|(?<![=!<>:+\-*/%&|^@])=(?!=)")
_OPENING: Final = "([{"
_CLOSING: Final = ")]}"


@dataclass(frozen=True, slots=True)
class Detail:
    """What an excerpt shows besides the statements with the marks.

    ``used`` are names whose every use is shown, ``bound`` names whose every binding is shown;
    ``steering`` shows what steers the control flow, ``everything`` leaves nothing out.
    """

    used: frozenset[str] = frozenset()
    bound: frozenset[str] = frozenset()
    steering: bool = False
    everything: bool = False

    def __or__(self, other: Detail) -> Detail:
        """Return the detail that shows what either shows."""
        return Detail(
            self.used | other.used,
            self.bound | other.bound,
            self.steering or other.steering,
            self.everything or other.everything,
        )


class Unseen(Exception):  # noqa: N818 (no error: a request to look closer)
    """A question about ``region`` needs ``detail``."""

    def __init__(self, region: Region, detail: Detail) -> None:
        """Keep what is missing for whoever can look closer."""
        super().__init__(region, detail)
        self.region = region
        self.detail = detail


@dataclass(slots=True)
class _Line:
    """One logical line: its text, strings and comments blanked, and where it stands."""

    start: int  # offsets in the source
    end: int
    code: str
    indent: int
    parent: int  # index of the line that it is indented under, -1 if there is none
    root: int  # index of the first line of its compound statement: `if` for `else`
    definition: int  # index of the innermost def or class around it, -1 if there is none


class RegionLines:
    """The logical lines of a region, read once however often its excerpt changes."""

    def __init__(self, outline: Outline, region: Region) -> None:
        """Split ``region`` of ``outline``'s source."""
        self.outline = outline
        self.region = region

    @cached_property
    def lines(self) -> list[_Line]:
        """The lines that hold code, in order."""
        base = self.region.start
        flat = self.outline.flat(base, self.region.end)
        lines: list[_Line] = []
        start = at = depth = 0
        for text in [*flat.split("\n"), ""]:
            if text and not text.isspace():
                for bracket in _OPENING:
                    depth += text.count(bracket)
                for bracket in _CLOSING:
                    depth -= text.count(bracket)
            at += len(text) + 1
            if (depth > 0 or text.endswith("\\")) and at <= len(flat):
                continue
            code = flat[start : at - 1]
            stripped = code.lstrip()
            if stripped:
                margin = code[: len(code) - len(stripped)]
                width = len(margin.expandtabs()) if "\t" in margin else len(margin)
                lines.append(_Line(base + start, base + start + len(code), code, width, -1, -1, -1))
            start, depth = at, 0
        _nest(lines)
        return lines

    @cached_property
    def _starts(self) -> list[int]:
        return [line.start for line in self.lines]

    @cached_property
    def steering(self) -> list[int]:
        """The indexes of the lines that steer the control flow."""
        return [index for index, line in enumerate(self.lines) if _STEERING.search(line.code)]

    def at(self, offset: int) -> int:
        """Return the index of the line that ``offset`` of the source lies in or after."""
        return max(0, bisect_right(self._starts, offset) - 1)


def _nest(lines: list[_Line]) -> None:
    """Fill in what each line is indented under."""
    open_: list[int] = []
    for index, line in enumerate(lines):
        before = -1
        while open_ and lines[open_[-1]].indent >= line.indent:
            before = open_.pop()
        parent = open_[-1] if open_ else -1
        line.parent = parent
        sibling = before >= 0 and lines[before].indent == line.indent
        line.root = lines[before].root if sibling and _CLAUSE.match(line.code) else index
        if parent >= 0:
            is_definition = _DEFINITION.match(lines[parent].code) is not None
            line.definition = parent if is_definition else lines[parent].definition
        open_.append(index)


class Excerpt:
    """The text of a region as ``detail`` asks for it, and where each part stands in the source."""

    def __init__(self, lines: RegionLines, marks: Iterable[int], detail: Detail) -> None:
        """Choose among ``lines``; ``marks`` are offsets in the source that tasks are mentioned at.

        The detail grows by what surely will be asked: the names that may hold a marked task.
        """
        self.region = lines.region
        self.source = lines.outline.source
        self._region_lines = lines
        self._lines = lines.lines
        self._marked: dict[int, list[int]] = {}  # a line's index to the marks on it
        for mark in marks:
            self._marked.setdefault(lines.at(mark), []).append(mark)
        self._used = set(detail.used)
        self._bound = set(detail.bound)
        self._steering = detail.steering
        self._kept = self._choose()
        self.text, self._starts, self._offsets = self._assemble(self._kept)
        self.code = "\n".join(
            line.code for line, keep in zip(self._lines, self._kept, strict=True) if keep
        )

    # -- choosing ---------------------------------------------------------------------------

    def _choose(self) -> list[bool]:
        lines = self._lines
        kept = [line.parent < 0 for line in lines]
        for index in self._marked:
            self._keep(index, kept)
        self._used |= self._holders()
        while self._used or self._bound:
            self._keep_named(kept)
            if not self._used:
                break
            aliases = self._aliases(kept)
            if aliases <= self._used:
                break
            self._used |= aliases
        self._steering |= bool(self._used)
        if self._steering:
            for index in self._region_lines.steering:
                definition = lines[index].definition
                if definition < 0 or kept[definition]:
                    self._keep(index, kept)
        for index in range(len(lines) - 1, -1, -1):
            line = lines[index]
            if line.root != index:
                kept[index] = kept[line.root]
            elif index + 1 < len(lines) and line.code.lstrip().startswith("@"):
                kept[index] = kept[index + 1] = kept[index] or kept[index + 1]
        return kept

    def _keep(self, index: int, kept: list[bool]) -> None:
        """Keep a line and the headers around it."""
        while index >= 0 and not kept[index]:
            kept[index] = True
            root = self._lines[index].root
            kept[root] = True
            index = self._lines[root].parent

    def _holders(self) -> set[str]:
        """Return the variables that may come to hold what is created at a mark.

        A guess that saves looking twice: names beside the call, but not those of its arguments.
        What the call is a method of, is added to the names whose bindings are shown.
        """
        if not self._marked:
            # A helper: it is asked what becomes of its parameters.
            return {match[1] for match in _CHAIN.finditer(self._lines[0].code)} - {*_OWNERS}
        found: set[str] = set()
        for index, on_line in self._marked.items():
            line = self._lines[index]
            at_marks = [mark - line.start for mark in on_line]
            arguments = [
                (mark, _closing(line.code, mark))
                for mark in at_marks
                if _CREATOR.match(line.code, mark)
            ]
            for match in _CHAIN.finditer(line.code):
                name, start, end = match[1], match.start(), match.end()
                if any(start <= mark < end for mark in at_marks):
                    self._bound.add(name)  # what `loop` is in `loop.create_task(...)`
                    continue
                if _ASKED.search(match[0]):
                    self._bound.add(name)  # what `event` is in `wait_for(event.wait(), 5)`
                if (
                    iskeyword(name)
                    or name in _OWNERS
                    or (line.code.startswith("(", end) and match[0] == name)
                    or any(first < start < last for first, last in arguments)
                    or (_KEYWORD.match(line.code, end) and "(" in line.code[:start])
                ):
                    continue
                found.add(name)
        return found

    def _aliases(self, kept: list[bool]) -> set[str]:
        """Return the names that kept statements give to used ones, or to what is in them."""
        found: set[str] = set()
        for index, line in enumerate(self._lines):
            match = (_ALIAS.match(line.code) or _LOOP.match(line.code)) if kept[index] else None
            if match and (index in self._marked or match[2] in self._used):
                found.add(match[1])
        return found

    def _keep_named(self, kept: list[bool]) -> None:
        """Keep the lines that use the used names, and those that may bind the bound ones."""
        for index, name in self._naming(self._used | self._bound):
            if not kept[index] and (name in self._used or may_bind(self._lines[index].code, name)):
                self._keep(index, kept)

    def _naming(self, names: Iterable[str]) -> Iterator[tuple[int, str]]:
        """Yield (index of the line, name) for each of ``names`` in the region, f-strings too."""
        region, lines = self.region, self._lines
        for name in names:
            for at in word_offsets(self.source, name, region.start, region.end):
                index = self._region_lines.at(at)
                if lines[index].start <= at < lines[index].end and self.source[at - 1 : at] != ".":
                    yield index, name

    def _assemble(self, kept: list[bool]) -> tuple[str, list[int], list[int]]:
        """Return the text, and the offsets in it and in the source at which its parts start."""
        lines, parts = self._lines, [self.region.prefix]
        starts, offsets = [0], [self.region.start]
        at = len(self.region.prefix)
        header: _Line | None = None
        empty = True  # whether the block under the header does nothing
        for index, line in enumerate(lines):
            if not kept[index]:
                empty &= line.code.strip() in ("pass", "...")
                continue
            if header is not None and line.indent <= header.indent:
                filler = _filler(header, empty=empty)
                parts.append(filler)
                at += len(filler)
            text = self.source[line.start : line.end]
            starts.append(at)
            offsets.append(line.start)
            parts += (text, "\n")
            at += len(text) + 1
            header = line if line.code.rstrip().endswith(":") else None
            empty = True
        if header is not None:
            parts.append(_filler(header, empty=empty))
        return "".join(parts), starts, offsets

    def offset(self, at: int) -> int:
        """Return where in the source the character at ``at`` of the text stands."""
        index = bisect_right(self._starts, at) - 1
        return self._offsets[index] + at - self._starts[index]

    # -- answering --------------------------------------------------------------------------

    def shows_bindings(self, name: str) -> None:
        """Raise ``Unseen`` if a statement that is left out may bind ``name``."""
        if name in self._used or name in self._bound:
            return
        if any(
            not self._kept[index] and may_bind(self._lines[index].code, name)
            for index, _ in self._naming((name,))
        ):
            raise Unseen(self.region, Detail(bound=frozenset((name,))))
        self._bound.add(name)

    def shows_uses(self, name: str) -> None:
        """Raise ``Unseen`` if ``name`` stands in a statement that is left out."""
        if name in self._used:
            return
        if any(not self._kept[index] for index, _ in self._naming((name,))):
            raise Unseen(self.region, Detail(used=frozenset((name,)), steering=True))
        self._used.add(name)

    def shows_steering(self) -> None:
        """Raise ``Unseen`` if what steers the control flow may be left out."""
        if not self._steering:
            raise Unseen(self.region, Detail(steering=True))

    def shows_everything(self) -> None:
        """Raise ``Unseen`` if anything is left out."""
        if not all(self._kept):
            raise Unseen(self.region, Detail(everything=True))


def _filler(header: _Line, *, empty: bool) -> str:
    """Return a body for ``header``; one that does nothing, such as a docstring, is a stub."""
    margin = header.code[: len(header.code) - len(header.code.lstrip())]
    return f"{margin} {'...' if empty else '0'}\n"


def may_bind(code: str, name: str) -> bool:
    """Tell whether the statement ``code``, strings blanked, may bind the variable ``name``."""
    if _DECLARING.match(code):
        return True
    if ":=" in code or _BINDING.match(code):
        return _stands_alone(name, code, len(code))
    depth = targets = 0
    for match in _BRACKET_OR_EQUALS.finditer(code):
        if match[0] in _OPENING:
            depth += 1
        elif match[0] in _CLOSING:
            depth -= 1
        elif depth == 0:
            targets = match.start()
    return targets > 0 and _stands_alone(name, code, targets)


def _stands_alone(name: str, code: str, end: int) -> bool:
    """Tell whether ``name`` stands in ``code`` neither called nor with an attribute or index."""
    return any(
        code[at - 1 : at] != "." and not _CONTINUED.match(code, at + len(name))
        for at in word_offsets(code, name, 0, end)
    )


def _closing(code: str, start: int) -> int:
    """Return where the first bracket after ``start`` is closed."""
    depth = 0
    for match in _BRACKET.finditer(code, start):
        depth += 1 if match[0] in _OPENING else -1
        if depth <= 0:
            return match.start()
    return len(code)
