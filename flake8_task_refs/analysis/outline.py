"""A lexical skim of a module: where its statements, strings, comments and definitions lie.

It costs a few regular-expression steps a line and needs no parser, so a large file can be cut
into the few regions that mention a task before a parser sees any of it. The skim knows strings
(f-strings with their nested quotes too) and comments; where it is fooled by invalid code, the
region does not parse, and the caller falls back to the whole file.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Written without an alternation for each character, which would cost ten times as much.
_STRING_BODY = (
    r'"(?:""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""|[^"\\\n]*(?:\\.[^"\\\n]*)*")'
    r"|'(?:''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*'''|[^'\\\n]*(?:\\.[^'\\\n]*)*')"
)
_STRING = re.compile(_STRING_BODY, re.DOTALL)
_FSTRING_PREFIXES = ("f", "t", "fr", "rf", "tr", "rt")
# The indentation is looked at first and then taken as a whole, so that no part of it is tried.
_LINE_BODY = (
    r"(?:(?=(?P<indent>[ \t]*))(?P=indent)(?=[acdfi@])"
    r"(?:(?P<definition>def|class|async(?:[ \t\f]|\\\n)+def)(?:[ \t\f]|\\\n)+(?P<name>\w+)"
    r"|(?P<import>import|from)\b|(?P<decorator>@))"
    r"|(?!(?:else|elif|except|finally)\b)(?P<start>[A-Za-z_]))"
)
# A form feed at the margin is none of the indentation.
_FIRST_LINE = re.compile(rf"\f*{_LINE_BODY}")
_LINE = re.compile(rf"\n\f*{_LINE_BODY}")
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
_OPERATOR_PARTS = (*"-+*/%@|&^~.<>", "not", "lambda", "and", "or", "if", "await", "in", "is")
_LINK = re.compile(r"[)\]]\s*[.(\[]")  # f()(), a[0][0], a.b().c()
_SPACES = re.compile(r"[^\S\n]+")
_LINE_BREAK = re.compile(r" ?\n\s*")
_CONTINUED = re.compile(r"\n(?=[-+*/%@|&^.])|(?<=[-+*/%@|&^.])\n")
_SEPARATOR = re.compile(r"[,;=\n(){}\[\]]")
# The annotation of a variable, if there is one: in a line of data, each colon would be the
# beginning of one that goes on to the line's end.
ANNOTATION = r"(?::[^=\n]{1,500})?"
# Positions in one file for which it pays to know where all of its lines begin.
_OFTEN = 50
_MAX_NESTING = 200
_MAX_BLOCKS = 100
_FAR_RIGHT = re.compile(rf"\n[ \t]{{{_MAX_BLOCKS}}}")
_MAX_CHAIN = 1000
# These hold for all texts, whoever parses them, so that linter and fixer refuse the same.
# Each further level of a pattern takes libcst four times as long: eight take 0.2 seconds.
_MAX_PATTERN = 8
_CASE = re.compile(r"^[ \t]*case\b", re.MULTILINE)
# Characters, blanks, strings and comments not counted: libcst takes about 2 KB for each.
_MAX_CODE = 500_000
# The innermost code of an f-string's replacement fields.
_FIELD = re.compile(r"\{([^{}]*)")


def normalise_newlines(source: str) -> str:
    r"""Return ``source`` with ``\r\n`` and lone ``\r`` as ``\n``, as Python itself reads it."""
    if "\r" not in source:
        return source
    return source.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(eq=False)
class Definition:
    """A ``def`` or ``class``: where its decorators, header and last line lie (offsets)."""

    kind: str  # "def" or "class"
    name: str
    margin: str
    start: int
    header: int
    statement: int  # how many top-level statements began before its body
    outline: Outline = field(repr=False)
    around: tuple[Definition, ...] = field(repr=False)  # what its indentation puts it into

    @cached_property
    def end(self) -> int:
        """Where the first line begins that the definition's indentation does not hold."""
        outline = self.outline
        if not self.margin:
            if self.statement < len(outline.statements):
                return outline.statements[self.statement]
            return len(outline.source)
        pattern = _dedent_pattern(len(self.margin.expandtabs()))
        at = self.header
        while match := pattern.search(outline.source, at):
            before = match.start() - 1
            continued = outline.source[before] == "\\" and outline.is_code(before)
            if outline.is_plain(match.end()) and not continued:
                return match.start() + 1
            at = match.end()
        return len(outline.source)

    @cached_property
    def parents(self) -> tuple[Definition, ...]:
        """The definitions that hold this one, outermost first."""
        return tuple(outer for outer in self.around if self.start < outer.end)


class Region(NamedTuple):
    """A slice of the source that parses alone behind ``prefix``, the headers of its classes."""

    start: int
    end: int
    prefix: str = ""


@dataclass(eq=False)
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
    # Answers to (question, subject) that hold for the whole source, so that each is found once.
    answers: dict[tuple[str, str], bool] = field(default_factory=dict, repr=False)
    _names_of: dict[str, frozenset[str]] = field(default_factory=dict, repr=False)
    # How many positions were asked for, and the last of them: its offset and line.
    _asked: int = field(default=0, repr=False)
    _last: tuple[int, int] = field(default=(0, 1), repr=False)
    _line: tuple[int, str] = field(default=(0, ""), repr=False)  # the last line of code, its start

    def release(self) -> None:
        """Undo the cycles, so that all of this is freed with the last reference to it.

        Its definitions cannot be asked where they end any more.
        """
        for definition in self.definitions:
            del definition.outline

    @cached_property
    def _line_starts(self) -> list[int]:
        lengths = map(len, self.source.split("\n"))
        return list(accumulate(map((1).__add__, lengths), initial=0))[:-1]

    def position(self, offset: int) -> tuple[int, int]:
        """Return the 1-based line and column (in characters) of ``offset``."""
        self._asked += 1
        if self._asked < _OFTEN:
            # For a few findings, to count lines is faster than to note where all of them begin.
            known, line = self._last
            if offset >= known:
                line += self.source.count("\n", known, offset)
            else:
                line -= self.source.count("\n", offset, known)
            self._last = offset, line
            return line, offset - self.source.rfind("\n", 0, offset)
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a 1-based line and column, as ``position`` tells them."""
        return self._line_starts[line - 1] + column - 1

    @cached_property
    def code(self) -> str:
        """The source with every string and comment blanked out, offsets unchanged."""
        return _blanked(self.source, self.blanks, 0, len(self.source))

    def blanked(self, start: int, end: int) -> str:
        """Return ``code[start:end]``; few sources need all of ``code``."""
        if "code" in self.__dict__:
            return self.code[start:end]
        first = bisect_right(self._blank_starts, start) - 1
        after = bisect_left(self._blank_starts, end)
        return _blanked(self.source, self.blanks[max(0, first) : after], start, end)

    def line_of_code(self, offset: int) -> tuple[str, int]:
        """Return the line of ``code`` that ``offset`` lies in, and where it begins."""
        begin, line = self._line
        if not begin <= offset <= begin + len(line):
            begin = self.source.rfind("\n", 0, offset) + 1
            end = self.source.find("\n", offset)
            line = self.blanked(begin, len(self.source) if end < 0 else end)
            self._line = begin, line
        return line, begin

    def has(self, pattern: str) -> bool:
        """Tell whether ``pattern`` is found in the code; ``^`` and ``$`` match at lines.

        Every function of a file may put the same question; it is answered once.
        """
        key = ("in the code", pattern)
        known = self.answers.get(key)
        if known is None:
            known = self.answers[key] = re.search(pattern, self.code, re.MULTILINE) is not None
        return known

    def mentions(self, words: tuple[str, ...]) -> bool:
        """Tell whether one of ``words`` stands anywhere in the source, in strings as well."""
        key = ("in the source", "|".join(words))
        known = self.answers.get(key)
        if known is None:
            known = self.answers[key] = any(word in self.source for word in words)
        return known

    def names_of(self, pattern: str) -> frozenset[str]:
        """Return what the group of ``pattern`` is in the code; ``^`` and ``$`` match at lines.

        So one look answers for all names that a question may be put of.
        """
        known = self._names_of.get(pattern)
        if known is None:
            found = re.findall(pattern, self.code, re.MULTILINE)
            known = self._names_of[pattern] = frozenset(found)
        return known

    def flat(self, start: int, end: int) -> str:
        """Return a slice of the source with comments and strings, newlines included, as spaces.

        Of an f-string, which is code, the quotes are left.
        """
        parts: list[str] = []
        last = start
        for at in range(max(0, bisect_right(self._blank_starts, start) - 1), len(self.blanks)):
            first, after, kind = self.blanks[at]
            if first >= end:
                break
            if after > last:
                first, after = max(first, last), min(after, end)
                blank = " " * (after - first)
                parts += (self.source[last:first], f'"{blank[2:]}"' if kind == "fstring" else blank)
                last = after
        parts.append(self.source[last:end])
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

    def has_complex_strings(self, region: Region) -> bool:
        """Tell whether the strings of ``region`` could overflow a parser's stack, or take minutes.

        What stands in an f-string is code to the parser, and strings in a row are nested.
        """
        first = bisect_left(self._blank_starts, region.start)
        last = bisect_left(self._blank_starts, region.end)
        blanks = self.blanks[first:last]
        for start, end, kind in blanks:
            # What stands in an f-string is code, to the parser.
            if kind == "fstring" and end - start > _MAX_NESTING:
                text = self.source[start:end]
                if _is_deep(text) or _is_long("\n".join(_FIELD.findall(text))):
                    return True
        return len(blanks) > _MAX_CHAIN and self._has_long_concatenation(blanks)

    def _has_long_concatenation(self, blanks: Sequence[tuple[int, int, str]]) -> bool:
        """Tell whether very many strings stand one behind the other: libcst nests them."""
        count = last = 0
        for start, end, kind in blanks:
            if kind != "comment":
                # Between two of them, there is nothing but code.
                between = self.source[last:start].strip(" \t\f\n\\rRbBuUfFtT")
                count = 1 if between else count + 1
                if count > _MAX_CHAIN:
                    return True
            last = end
        return False

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

    def count(self, name: str) -> int:
        """Return how many functions and classes are called ``name``."""
        return len(self._by_name.get(name, ()))

    def top_level(self, name: str) -> list[Definition]:
        """Return the module-level functions and classes called ``name``."""
        return [found for found in self._by_name.get(name, ()) if not found.parents]


def is_too_complex(code: str) -> bool:
    """Tell whether a parser could overflow its stack, or take minutes, over ``code``.

    CPython nests brackets 200 deep at the most; libcst crashes somewhere above that, and its
    time for a chain of operators grows with the square of the chain's length. Strings and
    comments are blanked out of ``code``.
    """
    return (
        (len(code) > _MAX_CODE and len(code) - code.count(" ") > _MAX_CODE)
        or _is_deep(code)
        or _is_long(code)
        or _is_indented(code)
        or _has_deep_pattern(code)
    )


def _is_deep(code: str) -> bool:
    """Tell whether brackets are nested deeper in ``code`` than Python allows."""
    if sum(map(code.count, "([{")) > _MAX_NESTING:
        depth = 0
        for match in _BRACKETS.finditer(code):
            depth += len(match[0]) if match[0][0] in "([{" else -len(match[0])
            if depth > _MAX_NESTING:
                return True
    return False


def _has_deep_pattern(code: str) -> bool:
    """Tell whether a pattern of a ``case`` is nested so deeply that libcst would take seconds."""
    for case in _CASE.finditer(code) if "case" in code else ():
        depth, end = 0, case.end()
        for match in _BRACKETS.finditer(code, end):
            if depth <= 0 and "\n" in code[end : match.start()]:
                break
            depth += len(match[0]) if match[0][0] in "([{" else -len(match[0])
            if depth > _MAX_PATTERN:
                return True
            end = match.end()
    return False


def _is_indented(code: str) -> bool:
    """Tell whether blocks are nested deeper in ``code`` than Python allows."""
    if not _FAR_RIGHT.search(code):
        return False
    margins: list[int] = []
    for line in code.split("\n"):
        if text := line.lstrip():
            margin = len(line) - len(text)
            while margins and margins[-1] >= margin:
                margins.pop()
            margins.append(margin)
            if len(margins) > _MAX_BLOCKS:
                return True
    return False


def _is_long(code: str) -> bool:
    """Tell whether ``code`` has a chain of very many operators, attributes or calls."""
    if len(code) < 2 * _MAX_CHAIN:
        return False
    # At least as many as there are, counted much faster than they are found.
    if (
        sum(map(code.count, _OPERATOR_PARTS)) < _MAX_CHAIN
        and sum(map(code.count, "])")) < _MAX_CHAIN
    ):
        return False
    # Blanked strings are long runs of spaces: shortened first, or the search is quadratic.
    joined = _CONTINUED.sub(" ", _LINE_BREAK.sub("\n", _SPACES.sub(" ", code)))
    return any(len(_LINK.findall(line)) > _MAX_CHAIN for line in joined.split("\n")) or any(
        len(_OPERATOR.findall(part)) > _MAX_CHAIN for part in _SEPARATOR.split(joined)
    )


def _fstring_end(source: str, quote_at: int) -> int:
    """Return the end of the f-string whose quotes begin at ``quote_at``.

    Quotes nested in a replacement field (PEP 701) do not end it; in a format spec they do not
    open a string.
    """
    plain = _STRING.match(source, quote_at)
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
            nested = _STRING.match(source, at)
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
    while at < len(source):
        for match in _LEXEME.finditer(source, at):
            if match.lastgroup == "word":
                yield match.start(), match[0]
            elif match.lastgroup == "fstring":
                at = _fstring_end(source, match.end())
                break
        else:
            return


def skim(source: str) -> Outline:
    r"""Read the outline of ``source``, whose newlines are ``\n`` (see ``normalise_newlines``)."""
    outline = Outline(source)
    outline.blanks = _blanks(source)
    lines = _lines(source, outline.blanks)
    open_: list[Definition] = []
    widths: list[int] = []  # of their margins
    decorated: tuple[int, str] | None = None
    statements = outline.statements
    for match in lines:
        start = match.start()
        start += source[start] == "\n"
        kind = match.lastgroup
        if kind == "start":
            statements.append(start)
            decorated = None
            continue
        margin = match["indent"]
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
            width = len(margin.expandtabs()) if "\t" in margin else len(margin)
            while open_ and (open_[-1].statement != len(statements) or widths[-1] >= width):
                open_.pop()
                widths.pop()
            definition = Definition(
                word,
                match["name"],
                margin,
                begin,
                match.end(),
                len(statements),
                outline,
                tuple(open_),
            )
            outline.definitions.append(definition)
            open_.append(definition)
            widths.append(width)
            decorated = None
        else:
            outline.imports.append(start + len(margin))
            if not margin:
                statements.append(start)
            decorated = None
    return outline


def _blanks(source: str) -> list[tuple[int, int, str]]:
    """Return (start, end, kind) of every comment, string and f-string, in order.

    Where the next of each sign stands is looked up: faster than one pattern for all of them.
    """
    found: list[tuple[int, int, str]] = []
    find, size, end = source.find, len(source), 0
    sharp = single = double = -1
    while True:
        # A sign that is nowhere stands at the end.
        if sharp < end:
            sharp = find("#", end)
            sharp = size if sharp < 0 else sharp
        if single < end:
            single = find("'", end)
            single = size if single < 0 else single
        if double < end:
            double = find('"', end)
            double = size if double < 0 else double
        if sharp < single and sharp < double:
            end = find("\n", sharp)
            end = size if end < 0 else end
            found.append((sharp, end, "comment"))
            continue
        start = min(double, single)
        if start == size:
            return found
        match = _STRING.match(source, start)
        if match is None:
            end = start + 1  # a quote that opens nothing
            continue
        end = match.end()
        prefix = start and source[start - 1].isalpha() and _fstring_prefix(source, start)
        if prefix:
            end = _fstring_end(source, start)
            found.append((start - prefix, end, "fstring"))
        else:
            found.append((start, end, "string"))


def _blanked(source: str, blanks: Sequence[tuple[int, int, str]], start: int, end: int) -> str:
    """Return ``source[start:end]`` with ``blanks`` as spaces, newlines kept."""
    parts: list[str] = []
    last = start
    for first, after, _ in blanks:
        if after > last:
            begin, until = max(first, last), min(after, end)
            blank = " " * (until - begin)
            if source.find("\n", begin, until) >= 0:
                blank = "\n".join([" " * len(line) for line in source[begin:until].split("\n")])
            parts += (source[last:begin], blank)
            last = until
    parts.append(source[last:end])
    return "".join(parts)


def _fstring_prefix(source: str, quote_at: int) -> int:
    """Return the length of the ``f``, ``rf``, ... before a string, 0 if it has no such prefix."""
    start = quote_at - 1
    if start and source[start - 1].isalpha():
        start -= 1
    before = source[start - 1] if start else " "
    if before.isalnum() or before == "_":
        return 0
    return quote_at - start if source[start:quote_at].lower() in _FSTRING_PREFIXES else 0


def _lines(source: str, blanks: list[tuple[int, int, str]]) -> Iterator[re.Match[str]]:
    """Yield the matches of lines that begin a definition, an import or a top-level statement."""
    first = _FIRST_LINE.match(source)
    if first is not None:
        yield first
    ends = iter(blanks)
    before = start = end = 0
    for match in _LINE.finditer(source):
        at = match.start()
        while end <= at:
            before = end
            start, end, _ = next(ends, (len(source), len(source) + 1, ""))
        # A backslash continues a line, unless it ends a comment.
        if not start <= at < end and (source[at - 1] != "\\" or before == at):
            yield match


@lru_cache(maxsize=64)
def _dedent_pattern(width: int) -> re.Pattern[str]:
    """Match the newline before a line of code that is indented by at most ``width`` columns."""
    tabs = width // 8
    return re.compile(rf"\n\f*(?:[ ]{{0,{width}}}|\t{{0,{tabs}}})(?=[^\s#)\]}}])")
