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
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.analysis.sieve import word_offsets
from flake8_task_refs.analysis.statement_text import (
    CHAIN,
    CLOSING,
    OPENING,
    STEERING,
    WORD,
    may_bind,
    names_beside,
    parts_to_spare,
    takers,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flake8_task_refs.analysis.outline import Outline, Region

_CLAUSE: Final = re.compile(r"\s*(?:elif|else|except|finally)\b")
_DEFINITION: Final = re.compile(r"\s*(?:async\s+)?(?:def|class)\b")
# Takes away from ASCII text what is no bracket, for `str.translate`.
_NO_BRACKETS: Final = {at: None for at in range(128) if chr(at) not in f"{OPENING}{CLOSING}\n"}
_OWNERS: Final = ("self", "cls")
_WAITED: Final = re.compile(r"(?<![\w.])([^\W\d]\w*)\s*\.\s*wait\b")
# Names for which it pays to note where all words of a region stand.
_OFTEN: Final = 40
# What an application's events are called in decorators.
_EVENT: Final = re.compile("start|stop|shut|serv")


class Detail(NamedTuple):
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
        self._asked = 0  # how many names were looked for

    @cached_property
    def lines(self) -> list[_Line]:
        """The lines that hold code, in order.

        Raises ``SourceError`` if a bracket is left open: a line within it begins where a statement
        would, and the skim took it for one.
        """
        base = self.region.start
        flat = self.outline.flat(base, self.region.end)
        lines: list[_Line] = []
        start = at = depth = 0
        texts = [*flat.split("\n"), ""]
        brackets = [*flat.translate(_NO_BRACKETS).split("\n"), ""]
        for text, on_line in zip(texts, brackets, strict=True):
            at += len(text) + 1
            if on_line:
                depth += _deeper(on_line)
            if (depth > 0 or text.endswith("\\")) and at <= len(flat):
                continue
            code = flat[start : at - 1]
            stripped = code.lstrip()
            if stripped:
                margin = code[: len(code) - len(stripped)]
                width = len(margin.expandtabs()) if "\t" in margin else len(margin)
                lines.append(_Line(base + start, base + start + len(code), code, width, -1, -1, -1))
            if depth:
                raise SourceError("a bracket is left open")
            start = at
        _nest(lines)
        return lines

    @cached_property
    def _starts(self) -> list[int]:
        return [line.start for line in self.lines]

    @cached_property
    def steering(self) -> list[int]:
        """The indexes of the lines that steer the control flow."""
        return [index for index, line in enumerate(self.lines) if STEERING.search(line.code)]

    @cached_property
    def waited(self) -> set[str]:
        """What the lines that steer the control flow wait for: ``event`` of ``event.wait()``."""
        code = (self.lines[index].code for index in self.steering)
        return {name for line in code for name in _WAITED.findall(line)}

    def where(self, name: str) -> list[int]:
        """Return the offsets of the source at which ``name`` stands in the region."""
        self._asked += 1
        if self._asked < _OFTEN:
            return word_offsets(self.outline.source, name, self.region.start, self.region.end)
        return self._words.get(name, [])

    @cached_property
    def _words(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for word in WORD.finditer(self.outline.source, self.region.start, self.region.end):
            found[word[0]].append(word.start())
        return found

    def at(self, offset: int) -> int:
        """Return the index of the line that ``offset`` of the source lies in or after."""
        return max(0, bisect_right(self._starts, offset) - 1)


@lru_cache(maxsize=256)  # most lines have the brackets of one call
def _deeper(brackets: str) -> int:
    """Return how many more of ``brackets`` open than close."""
    return sum(map(brackets.count, OPENING)) - sum(map(brackets.count, CLOSING))


def _nest(lines: list[_Line]) -> None:
    """Fill in what each line is indented under."""
    open_: list[int] = []
    around: dict[int, int] = {}  # a header's index to the definition that is around its block
    for index, line in enumerate(lines):
        before = -1
        while open_ and lines[open_[-1]].indent >= line.indent:
            before = open_.pop()
        parent = open_[-1] if open_ else -1
        line.parent = parent
        sibling = before >= 0 and lines[before].indent == line.indent
        line.root = lines[before].root if sibling and _CLAUSE.match(line.code) else index
        if parent >= 0:
            if parent not in around:
                is_definition = _DEFINITION.match(lines[parent].code) is not None
                around[parent] = parent if is_definition else lines[parent].definition
            line.definition = around[parent]
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
        self._binding: dict[tuple[int, str], bool] = {}
        # First what is asked for; then, too, what is guessed, and what was found to be shown.
        self._used = set(detail.used)
        self._bound = set(detail.bound)
        self._steering = detail.steering
        self._kept = self._choose()
        self._cuts: list[tuple[int, int]] = []  # what kept lines leave out, in the source, in order
        self._unannotated: set[str] = set()  # parameters whose annotation or default that is
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
        if self._used or self._steering:
            self._bound |= self._region_lines.waited
        self._keep_named(kept)
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
                kept[index] = kept[index] or kept[index + 1]
        # Whatever keeps one decorator keeps all below it, and what they decorate.
        for index, line in enumerate(lines[:-1]):
            if kept[index] and line.code.lstrip().startswith("@"):
                kept[index + 1] = True
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
            return {match[1] for match in CHAIN.finditer(self._lines[0].code)} - {*_OWNERS}
        found: set[str] = set()
        for index, on_line in self._marked.items():
            line = self._lines[index]
            held, called = names_beside(line.code, [mark - line.start for mark in on_line])
            found |= held
            self._bound |= called
        return found - {*_OWNERS}

    def _keep_named(self, kept: list[bool]) -> None:
        """Keep the lines that use the used names, and those that may bind the bound ones.

        Used are, from then on, the names that such a line gives to what is in a used one.
        """
        names = self._used | self._bound
        while names:
            using: set[int] = set()
            for _, index, name in self._naming(names):
                if name in self._used:
                    using.add(index)
                    self._keep(index, kept)
                elif not kept[index] and self._may_bind(index, name):
                    self._keep(index, kept)
            new = set().union(*(takers(self._lines[at].code, self._used) for at in using))
            names = new - self._used - {*_OWNERS}
            self._used |= names

    def _naming(self, names: Iterable[str]) -> Iterator[tuple[int, int, str]]:
        """Yield (offset, index of its line, name) for ``names`` in the region, f-strings too."""
        lines = self._lines
        for name in names:
            for at in self._region_lines.where(name):
                index = self._region_lines.at(at)
                if lines[index].start <= at < lines[index].end and self.source[at - 1 : at] != ".":
                    yield at, index, name

    def _may_bind(self, index: int, name: str) -> bool:
        """Tell whether the line ``index``, in which ``name`` stands, may bind it."""
        known = self._binding.get((index, name))
        if known is None:
            line = self._lines[index]
            # What an f-string binds is not in the blanked code.
            in_string = self.source.find(":=", line.start, line.end) >= 0
            known = self._binding[index, name] = in_string or may_bind(line.code, name)
        return known

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
            begin = line.start
            for start, end, filler in self._cuts_of(index):
                starts.append(at)
                offsets.append(begin)
                parts += (self.source[begin:start], filler)
                at += start - begin + len(filler)
                begin = end
            starts.append(at)
            offsets.append(begin)
            parts += (self.source[begin : line.end], "\n")
            at += line.end - begin + 1
            header = line if line.code.rstrip().endswith(":") else None
            empty = True
        if header is not None:
            parts.append(_filler(header, empty=empty))
        return "".join(parts), starts, offsets

    def _cuts_of(self, index: int) -> list[tuple[int, int, str]]:
        """Return what a kept line can do without: (start, end, what stands there instead).

        These are annotations and defaults of parameters, keyword arguments of decorators, and the
        values of statements that are shown for leaving their place; but nothing that a name which
        is asked for stands in.
        """
        line = self._lines[index]
        found: list[tuple[int, int, str]] = []
        if index not in self._marked:
            is_decorator = line.code.lstrip().startswith("@")
            asked = self._used | self._bound
            for cut in parts_to_spare(line.code):
                start, end = line.start + cut.start, line.start + cut.end
                if (
                    cut.parameter not in asked
                    and asked.isdisjoint(WORD.findall(self.source, start, end))
                    and not (is_decorator and _EVENT.search(self.source, start, end))
                ):
                    found.append((start, end, cut.filler))
                    self._cuts.append((start, end))
                    self._unannotated.add(cut.parameter)
        return found

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
            not self._kept[index] and self._may_bind(index, name)
            for _, index, _ in self._naming((name,))
        ):
            raise Unseen(self.region, Detail(bound=frozenset((name,))))
        self._bound.add(name)

    def shows_uses(self, name: str) -> None:
        """Raise ``Unseen`` if ``name`` stands in a statement that is left out."""
        if name in self._used:
            return
        if any(not self._shows(at, index) for at, index, _ in self._naming((name,))):
            raise Unseen(self.region, Detail(used=frozenset((name,)), steering=True))
        self._used.add(name)

    def _shows(self, at: int, index: int) -> bool:
        """Tell whether the text holds what stands ``at`` an offset in the line ``index``."""
        nearest = bisect_right(self._cuts, (at, len(self.source))) - 1
        return self._kept[index] and (nearest < 0 or at >= self._cuts[nearest][1])

    def shows_annotation(self, name: str) -> None:
        """Raise ``Unseen`` if the annotation or default of a parameter may be left out."""
        if name in self._unannotated:
            raise Unseen(self.region, Detail(bound=frozenset((name,))))

    def shows_steering(self) -> None:
        """Raise ``Unseen`` if what steers the control flow may be left out."""
        if not self._steering:
            raise Unseen(self.region, Detail(steering=True))

    def shows_everything(self) -> None:
        """Raise ``Unseen`` if anything is left out."""
        if self._cuts or not all(self._kept):
            raise Unseen(self.region, Detail(everything=True))


def _filler(header: _Line, *, empty: bool) -> str:
    """Return a body for ``header``; one that does nothing, such as a docstring, is a stub."""
    margin = header.code[: len(header.code) - len(header.code.lstrip())]
    return f"{margin} {'...' if empty else '0'}\n"
