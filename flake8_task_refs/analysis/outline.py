"""A lexical skim of a module: where its statements, strings, comments and definitions lie.

It costs a few regular-expression steps a line and needs no parser, so a large file can be cut
into the few regions that mention a task before libcst sees any of it. The skim knows strings
(f-strings with their nested quotes too) and comments; where it is fooled by invalid code, the
region does not parse, and the caller falls back to the whole file.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STRING_BODY = (
    r'"""(?:[^"\\]|\\.|"(?!""))*"""'
    r"|'''(?:[^'\\]|\\.|'(?!''))*'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'(?:[^'\\\n]|\\.)*'"
)
_SKIM = re.compile(
    rf"""
    (?P<comment>\#[^\n]*)
  | (?P<fstring>(?<!\w)(?:[fFtT][rR]?|[rR][fFtT])(?=["']))
  | (?P<string>{_STRING_BODY})
  | ^(?P<indent>[ \t]*)(?:(?P<definition>(?:async[ \t]+)?def|class)[ \t]+(?P<name>\w+)
                        |(?P<import>import|from)\b
                        |(?P<decorator>@))
  | ^(?!(?:else|elif|except|finally)\b)(?P<start>[^\W\d])
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_LEXEME = re.compile(
    rf"""
    (?P<comment>\#[^\n]*)
  | (?P<fstring>(?<!\w)(?:[fFtT][rR]?|[rR][fFtT])(?=["']))
  | (?P<string>(?:(?<!\w)[rRbBuU]{{1,2}})?(?:{_STRING_BODY}))
  | (?P<number>\d[\w.]*)
  | (?P<word>[^\W\d]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)
_BRACKETS = re.compile(r"[(\[{]+|[)\]}]+")
_OPERATOR = re.compile(r"[-+*/%@|&^~.<>]|\b(?:not|lambda|and|or|if|await|in|is)\b")
_LINK = re.compile(r"[)\]]\s*[.(\[]")  # f()(), a[0][0], a.b().c()
_CONTINUED = re.compile(r"\s*\n\s*(?=[-+*/%@|&^.])|(?<=[-+*/%@|&^.])\s*\n\s*")
_SEPARATOR = re.compile(r"[,;=\n(){}\[\]]")
_MAX_NESTING = 200
_MAX_CHAIN = 1000
_PLAIN_STRING = re.compile(_STRING_BODY, re.DOTALL)


def normalise_newlines(source: str) -> str:
    r"""Return ``source`` with ``\r\n`` and lone ``\r`` as ``\n``, as Python itself reads it."""
    if "\r" not in source:
        return source
    return source.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(frozen=True, slots=True)
class Definition:
    """A ``def`` or ``class``: where its decorators, header and last line lie (offsets)."""

    kind: str  # "def" or "class"
    name: str
    margin: str
    start: int
    header: int
    end: int
    parents: tuple[Definition, ...]


@dataclass(frozen=True, slots=True)
class Region:
    """A slice of the source that parses alone behind ``prefix``, the headers of its classes."""

    start: int
    end: int
    prefix: str = ""


@dataclass
class Outline:
    """The skim of ``source``: definitions, top-level statements, imports, strings, comments.

    ``source`` has normalised newlines. All offsets are in characters. ``statements`` are the
    starts of top-level statements, ``imports`` the starts of import statements at any depth,
    ``blanks`` the (start, end, kind) of comments and strings, in order.
    """

    source: str
    definitions: list[Definition] = field(default_factory=list)
    statements: list[int] = field(default_factory=list)
    imports: list[int] = field(default_factory=list)
    blanks: list[tuple[int, int, str]] = field(default_factory=list)

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.source))]

    def position(self, offset: int) -> tuple[int, int]:
        """Return the 1-based line and column (in characters) of ``offset``."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    @cached_property
    def code(self) -> str:
        """The source with every string and comment blanked out, offsets unchanged."""
        parts: list[str] = []
        last = 0
        for start, end, _ in self.blanks:
            parts += (self.source[last:start], re.sub(r"[^\n]", " ", self.source[start:end]))
            last = end
        parts.append(self.source[last:])
        return "".join(parts)

    @cached_property
    def _blank_starts(self) -> list[int]:
        return [start for start, _, _ in self.blanks]

    def is_code(self, offset: int) -> bool:
        """Tell whether ``offset`` lies outside comments and strings (f-strings hold code)."""
        at = bisect_right(self._blank_starts, offset) - 1
        if at < 0:
            return True
        _, end, kind = self.blanks[at]
        return offset >= end or kind == "fstring"

    def is_plain(self, offset: int) -> bool:
        """Tell whether ``offset`` lies outside comments and strings of every kind."""
        at = bisect_right(self._blank_starts, offset) - 1
        return at < 0 or offset >= self.blanks[at][1] or offset == self.blanks[at][0]

    @cached_property
    def _definition_starts(self) -> list[int]:
        return [definition.start for definition in self.definitions]

    def enclosing(self, offset: int) -> tuple[Definition, ...]:
        """Return the definitions around ``offset``, outermost first."""
        at = bisect_right(self._definition_starts, offset) - 1
        if at < 0:
            return ()
        nearest = self.definitions[at]
        return tuple(outer for outer in (*nearest.parents, nearest) if offset < outer.end)

    def region(self, offset: int) -> Region:
        """Return the outermost function around ``offset``, else its top-level statement."""
        for definition in self.enclosing(offset):
            if definition.kind == "def":
                return self.region_of(definition)
        at = bisect_right(self.statements, offset)
        start = self.statements[at - 1] if at else 0
        end = self.statements[at] if at < len(self.statements) else len(self.source)
        return Region(start, end)

    def is_too_complex(self, region: Region) -> bool:
        """Tell whether a parser could overflow its stack, or take minutes, over ``region``.

        CPython nests brackets 200 deep at the most; libcst crashes somewhere above that, and its
        time for a chain of operators grows with the square of the chain's length.
        """
        depth = 0
        for match in _BRACKETS.finditer(self.code, region.start, region.end):
            depth += len(match[0]) if match[0][0] in "([{" else -len(match[0])
            if depth > _MAX_NESTING:
                return True
        code = self.code[region.start : region.end]
        links, operators = _LINK.findall(code), _OPERATOR.findall(code)
        if len(links) < _MAX_CHAIN and len(operators) < _MAX_CHAIN:
            return False
        joined = _CONTINUED.sub(" ", code)
        return any(len(_LINK.findall(line)) > _MAX_CHAIN for line in joined.split("\n")) or any(
            len(_OPERATOR.findall(part)) > _MAX_CHAIN for part in _SEPARATOR.split(joined)
        )

    def region_of(self, definition: Definition) -> Region:
        """Return the region that holds ``definition`` alone, within the classes around it."""
        prefix = "".join(f"{outer.margin}class {outer.name}:\n" for outer in definition.parents)
        outermost = (*definition.parents, definition)[0]
        if outermost.margin:
            prefix = f"if 1:\n{prefix}"
        return Region(definition.start, definition.end, prefix)

    @cached_property
    def _by_name(self) -> dict[str, list[Definition]]:
        by_name: dict[str, list[Definition]] = {}
        for definition in self.definitions:
            by_name.setdefault(definition.name, []).append(definition)
        return by_name

    def functions(self, name: str, class_name: str = "") -> list[Definition]:
        """Return the module's functions called ``name``, or the methods of one of its classes."""
        return [
            definition
            for definition in self._by_name.get(name, ())
            if definition.kind == "def"
            and (definition.parents[-1].name if definition.parents else "") == class_name
            and all(parent.kind == "class" for parent in definition.parents)
        ]

    def top_level(self, name: str) -> list[Definition]:
        """Return the module-level functions and classes called ``name``."""
        return [found for found in self._by_name.get(name, ()) if not found.parents]


def _fstring_end(source: str, quote_at: int) -> int:
    """Return the end of the f-string whose quotes begin at ``quote_at``.

    Quotes nested in a replacement field (PEP 701) do not end it; in a format spec they do not
    open a string.
    """
    plain = _PLAIN_STRING.match(source, quote_at)
    if plain is not None and plain[0].count("{") == plain[0].count("}"):
        return plain.end()
    quote = source[quote_at : quote_at + 3]
    if quote not in ('"""', "'''"):
        quote = source[quote_at]
    at = quote_at + len(quote)
    # One entry a replacement field: [bracket depth, whether we are in its format spec].
    fields: list[list[int]] = []
    while at < len(source):
        char = source[at]
        literal = not fields or fields[-1][1]
        if char == "\\":
            at += 2
        elif literal and source.startswith(quote, at):
            return at + len(quote)
        elif char == "{":
            if literal:
                if not fields and source.startswith("{{", at):
                    at += 1
                else:
                    fields.append([0, 0])
            else:
                fields[-1][0] += 1
            at += 1
        elif char == "}":
            if fields:
                if fields[-1][0] and not fields[-1][1]:
                    fields[-1][0] -= 1
                else:
                    fields.pop()
            at += 1
        elif not literal and char in "\"'":
            nested = _PLAIN_STRING.match(source, at)
            at = nested.end() if nested else at + 1
        else:
            if not literal:
                if char in "([":
                    fields[-1][0] += 1
                elif char in ")]":
                    fields[-1][0] -= 1
                elif char == ":" and not fields[-1][0]:
                    fields[-1][1] = 1
            at += 1
    return len(source)


def lexemes(source: str) -> Iterator[tuple[int, str]]:
    """Yield (offset, word) for every name and keyword of ``source`` outside its strings."""
    at = 0
    while match := _LEXEME.search(source, at):
        at = match.end()
        if match.lastgroup == "word":
            yield match.start(), match[0]
        elif match.lastgroup == "fstring":
            at = _fstring_end(source, at)


def skim(source: str) -> Outline:
    r"""Read the outline of ``source``, whose newlines are ``\n`` (see ``normalise_newlines``)."""
    outline = Outline(source)
    blanks, statements = outline.blanks, outline.statements
    headers: list[_Header] = []
    decorated: tuple[int, str] | None = None
    search = _SKIM.search
    at = 0
    while match := search(source, at):
        start, at = match.span()
        kind = match.lastgroup
        if kind in ("comment", "string"):
            blanks.append((start, at, str(kind)))
            continue
        if kind == "fstring":
            at = _fstring_end(source, at)
            blanks.append((start, at, "fstring"))
            continue
        margin = match["indent"] or ""
        if kind == "decorator":
            if decorated is None or decorated[1] != margin:
                decorated = (start, margin)
                if not margin:
                    statements.append(start)
        elif kind == "name":
            begin = decorated[0] if decorated is not None and decorated[1] == margin else start
            if not margin and begin == start:
                statements.append(start)
            word = "class" if match["definition"] == "class" else "def"
            headers.append(_Header(word, match["name"], margin, begin, at, len(statements)))
            decorated = None
        else:
            if kind == "import":
                outline.imports.append(start + len(margin))
            if not margin:
                statements.append(start)
            decorated = None
    _place(outline, headers)
    return outline


@dataclass(frozen=True, slots=True)
class _Header:
    kind: str
    name: str
    margin: str
    start: int
    header: int
    statement: int  # how many top-level statements began before its body


def _place(outline: Outline, headers: list[_Header]) -> None:
    """Turn headers into definitions: find where each ends and what stands around it."""
    around: list[tuple[Definition, int]] = []
    for header in headers:
        width = len(header.margin.expandtabs())
        while around and (
            around[-1][1] != header.statement
            or len(around[-1][0].margin.expandtabs()) >= width
            or around[-1][0].end <= header.start
        ):
            around.pop()
        definition = Definition(
            header.kind,
            header.name,
            header.margin,
            header.start,
            header.header,
            _end(outline, header),
            tuple(outer for outer, _ in around),
        )
        outline.definitions.append(definition)
        around.append((definition, header.statement))


def _end(outline: Outline, header: _Header) -> int:
    """Return where the first line after ``header`` begins that its indentation does not hold."""
    if not header.margin:
        if header.statement < len(outline.statements):
            return outline.statements[header.statement]
        return len(outline.source)
    pattern = _dedent_pattern(len(header.margin.expandtabs()))
    at = header.header
    while match := pattern.search(outline.source, at):
        if outline.is_plain(match.end()):
            return match.start() + 1
        at = match.end()
    return len(outline.source)


@lru_cache(maxsize=64)
def _dedent_pattern(width: int) -> re.Pattern[str]:
    """Match the newline before a line of code that is indented by at most ``width`` columns."""
    tabs = width // 8
    return re.compile(rf"\n(?:[ ]{{0,{width}}}|\t{{0,{tabs}}})(?=[^\s#)\]}}])")
