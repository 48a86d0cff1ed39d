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
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from keyword import iskeyword
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.analysis.sieve import word_offsets

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
# and `[`, as `for task in` does; any other needs an assignment or `:=` for it. Several statements
# may stand in one logical line.
_BEGIN: Final = r"(?:\A|[;:])\s*"
_DECLARING: Final = re.compile(rf"{_BEGIN}(?:async\s+)?(?:import|from|def|class|type)\b")
_BINDING: Final = re.compile(rf"{_BEGIN}(?:for|with|async|except|case|global|nonlocal|del)\b")
_CALL: Final = re.compile(r"(\w+)\s*\(")
_COMPREHENSION: Final = re.compile(r"\bfor\s+([\w\s,.()\[\]*]{1,200}?)\s+in\b")
# Calls that hand on what they get, or keep it.
_HANDING: Final = frozenset(
    {
        "gather", "shield", "wait", "wait_for", "as_completed", "list", "set", "tuple", "dict",
        "zip", "map", "filter", "sorted", "reversed", "enumerate", "chain", "partial", "cast",
        "append", "add", "extend", "update", "insert", "setdefault", "put", "put_nowait",
        "add_done_callback",
    }
)  # fmt: skip
_CHAIN: Final = re.compile(r"(?<![\w.])([^\W\d]\w*)(?:\s*\.\s*\w+)*")
_KEYWORD: Final = re.compile(r"\s*=(?!=)")
_OWNERS: Final = ("self", "cls")
# Methods with the names of creators and aggregates: whose are they?
_ASKED: Final = re.compile(r"\.\s*(?:wait|wait_for|acquire|create_task)\Z")
_WAITED: Final = re.compile(r"(?<![\w.])([^\W\d]\w*)\s*\.\s*wait\b")
_LOOP: Final = re.compile(r"\s*(?:async\s+)?for\s+(.+?)\s+in\b", re.DOTALL)
_ADDS: Final = re.compile(
    r"\s*([^\W\d][\w.]*)\.(?:add|append|insert|extend|update|setdefault|put\w*)\("
)
_SUBSCRIPT: Final = re.compile(r"(?<=[\w)\]])\[[^\[\]]*\]")
# Methods that give what the object holds.
_GIVING: Final = frozenset(
    {"pop", "popitem", "popleft", "get", "get_nowait", "values", "items", "keys", "copy"}
)
_CONTINUED: Final = re.compile(r"\s*[.(\[]")
_BRACKET: Final = re.compile(r"[(\[{]|[)\]}]")
_BRACKET_OR_EQUALS: Final = re.compile(r"[(\[{]|[)\]}]|(?<![=!<>:+\-*/%&|^@])=(?!=)")
_SPARING: Final = re.compile(
    r"\s*(?:(?P<jump>return|raise)\b[ \t]*"
    r"|(?:(?P<decorator>@)\s*[\w.]+|(?:async\s+)?def\s+\w+)\s*\()"
)
_FIRST_KEYWORD: Final = re.compile(r"(?:(?<=\()|,)\s*\w+\s*=(?!=)")
# What an application's events are called in decorators.
_EVENT: Final = re.compile("start|stop|shut|serv")
_SIGNATURE_PART: Final = re.compile(r"->|[=!<>]=|[()\[\]{},:=]")
# A value with one of these in it does more than to be there.
_NOT_SPARED: Final = re.compile(rf":=|;|\b(?:lambda|await)\b|{_STEERING.pattern}")
_WORD: Final = re.compile(r"\w+")
_LAST_WORD: Final = re.compile(r"\w+\Z")
# Characters.
_WORTH_CUTTING: Final = 12
_MAX_NAME: Final = 100
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
        """The lines that hold code, in order.

        Raises ``SourceError`` if a bracket is left open: a line within it begins where a statement
        would, and the skim took it for one.
        """
        base = self.region.start
        flat = self.outline.flat(base, self.region.end)
        lines: list[_Line] = []
        start = at = depth = 0
        pairs = [
            pair
            for pair in zip(_OPENING, _CLOSING, strict=True)
            if pair[0] in flat or pair[1] in flat
        ]
        for text in [*flat.split("\n"), ""]:
            if text and not text.isspace():
                for opening, closing in pairs:
                    depth += text.count(opening) - text.count(closing)
            at += len(text) + 1
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
        return [index for index, line in enumerate(self.lines) if _STEERING.search(line.code)]

    @cached_property
    def waited(self) -> set[str]:
        """What the lines that steer the control flow wait for: ``event`` of ``event.wait()``."""
        code = (self.lines[index].code for index in self.steering)
        return {name for line in code for name in _WAITED.findall(line)}

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
            return {match[1] for match in _CHAIN.finditer(self._lines[0].code)} - {*_OWNERS}
        found: set[str] = set()
        for index, on_line in self._marked.items():
            line = self._lines[index]
            held, called = _names_beside(line.code, [mark - line.start for mark in on_line])
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
            takers = set().union(*(_takers(self._lines[at].code, self._used) for at in using))
            names = takers - self._used - {*_OWNERS}
            self._used |= names

    def _naming(self, names: Iterable[str]) -> Iterator[tuple[int, int, str]]:
        """Yield (offset, index of its line, name) for ``names`` in the region, f-strings too."""
        region, lines = self.region, self._lines
        for name in names:
            for at in word_offsets(self.source, name, region.start, region.end):
                index = self._region_lines.at(at)
                if lines[index].start <= at < lines[index].end and self.source[at - 1 : at] != ".":
                    yield at, index, name

    def _may_bind(self, index: int, name: str) -> bool:
        """Tell whether the line ``index``, in which ``name`` stands, may bind it."""
        line = self._lines[index]
        # What an f-string binds is not in the blanked code.
        return self.source.find(":=", line.start, line.end) >= 0 or may_bind(line.code, name)

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
                    and asked.isdisjoint(_WORD.findall(self.source, start, end))
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
        """Raise ``Unseen`` if the annotation of the parameter ``name`` may be left out."""
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


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a statement that can be left out for ``filler``; ``parameter`` is whose it is."""

    start: int
    end: int
    filler: str = ""
    parameter: str = ""


def parts_to_spare(code: str) -> list[Cut]:
    """Return the annotations and defaults in a ``def`` line, or the value of a return or raise.

    Of a decorator, these are the keyword arguments.

    ``code`` is one logical line, its strings blanked. Left alone is what is short, and whatever
    may bind a name or wait.
    """
    begin = _SPARING.match(code)
    if begin is None or _NOT_SPARED.search(code, begin.end()):
        return []
    start, end = begin.end(), len(code)
    if begin["jump"]:
        return [Cut(start, end, "...")] if end - start > _WORTH_CUTTING else []
    if begin["decorator"]:
        keyword, close = _FIRST_KEYWORD.search(code, start), code.rfind(")")
        # An attribute may be what a rule looks for in a decorator.
        if keyword is None or _BRACKET.search(code, start, keyword.start()) or "." in code[start:]:
            return []
        return [Cut(keyword.start(), close)]
    cuts: list[Cut] = []
    depth, since, filler, parameter = 1, -1, "", ""
    inside = True  # the brackets of the parameters
    for match in _SIGNATURE_PART.finditer(code, start):
        part, at = match[0], match.start()
        depth += (part in _OPENING) - (part in _CLOSING)
        if inside:
            ends = (depth == 1 and part in (",", "=")) or depth == 0
            inside = depth > 0
        else:
            ends = depth == 0 and part == ":"
        if ends and since >= 0:
            if at - since > len(filler):
                cuts.append(Cut(since, at, filler, parameter))
            since = -1
        if inside and depth == 1 and part in (":", "=") and since < 0:
            parameter = _last_word(code, at) or parameter
            since, filler = (at, "") if part == ":" else (at + 1, "...")
        elif depth == 0 and part == "->":
            since, filler, parameter = at, "", ""
        elif depth == 0 and part == ":":
            break
    return cuts


def _last_word(code: str, end: int) -> str:
    """Return the name that ends at ``end``, blanks passed over; ``""`` if none does."""
    before = code[:end].rstrip()
    match = _LAST_WORD.search(before, max(0, len(before) - _MAX_NAME))
    return match[0] if match else ""


def _names_beside(code: str, marks: list[int]) -> tuple[set[str], set[str]]:
    """Return the names in the line ``code`` that may hold what the calls at ``marks`` return.

    The second set is what methods of interest are called of. Passed over are functions, keywords
    of calls, loop variables, and what is handed to a call that neither holds a mark nor hands on
    what it gets: of that, a coroutine is made.
    """
    held: set[str] = set()
    called: set[str] = set()
    marks = sorted(marks)
    before = until = 0  # marks that lie behind; where what is passed over ends
    for match in _CHAIN.finditer(code):
        name, start, end = match[1], match.start(), match.end()
        while before < len(marks) and marks[before] < start:
            call = _CALL.match(code, marks[before])
            if call and call[1] not in _HANDING:
                until = max(until, _closing(code, marks[before]))
            before += 1
        if before < len(marks) and marks[before] < end:
            called.add(name)  # what `loop` is in `loop.create_task(...)`
            continue
        if _ASKED.search(match[0]):
            called.add(name)  # what `event` is in `wait_for(event.wait(), 5)`
        if start < until:
            continue
        is_call = code.startswith("(", end)
        last = _WORD.findall(match[0])[-1]
        if is_call and last not in _HANDING:
            close = _closing(code, end)
            if bisect_left(marks, end) == bisect_left(marks, close):
                until = close
        if (
            iskeyword(name)
            or (is_call and (last == name or not (marks or last in _GIVING)))
            or (_KEYWORD.match(code, end) and code.find("(", 0, start) >= 0)
        ):
            continue
        held.add(name)
    if not _LOOP.match(code):
        for match in _COMPREHENSION.finditer(code):
            held.difference_update(_WORD.findall(match[1]))
    return held, called


def _takers(code: str, used: set[str]) -> set[str]:
    """Return the names that the statement ``code`` gives to what one of ``used`` holds.

    It is a loop over it, an assignment, or a call that puts it into something.
    """
    loop = _LOOP.match(code)
    adds = None
    split = 0
    if loop is None:
        split = _targets_end(code)
        adds = _ADDS.match(code) if not split else None
    if loop is not None:
        targets, value = loop[1], code[loop.end() :]
    elif adds is not None:
        targets, value = adds[1], code[adds.end() :]
    else:
        targets, value = code[:split].partition(":")[0], code[split:]
    if not targets or used.isdisjoint(_WORD.findall(value)):
        return set()
    held, _ = _names_beside(value, [])
    if held.isdisjoint(used):
        return set()
    return {match[1] for match in _CHAIN.finditer(_SUBSCRIPT.sub("", targets))}


def _targets_end(code: str) -> int:
    """Return where the last ``=`` of an assignment stands, 0 if ``code`` is none."""
    depth = targets = 0
    for match in _BRACKET_OR_EQUALS.finditer(code):
        if match[0] in _OPENING:
            depth += 1
        elif match[0] in _CLOSING:
            depth -= 1
        elif depth == 0:
            targets = match.start()
    return targets


def may_bind(code: str, name: str) -> bool:
    """Tell whether the statement ``code``, strings blanked, may bind the variable ``name``."""
    if _DECLARING.search(code):
        return True
    if ":=" in code or _BINDING.search(code):
        return _stands_alone(name, code, len(code))
    targets = _targets_end(code)
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
