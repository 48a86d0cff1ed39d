"""What a line says, read as text: what it binds, to whom it gives what, what it can spare.

A line is code of one or more statements, its strings and comments blanked. ``may_bind`` leans
towards "yes"; ``names_beside`` and ``takers`` guess, and a wrong guess costs a second look.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from keyword import iskeyword
from typing import Final, NamedTuple

from flake8_task_refs.analysis.sieve import word_offsets

# Statements that decide what runs after what; and calls that never return (see flow).
STEERING: Final = re.compile(
    r"\b(?:return|raise|break|continue|yield|while|wait|serve_forever|run_forever|sleep_forever|Future|"
    r"create_future|_?exit)\b"
)
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
CHAIN: Final = re.compile(r"(?<![\w.])([^\W\d]\w*)(?:\s*\.\s*\w+)*")
_KEYWORD: Final = re.compile(r"\s*=(?!=)")
# Methods with the names of creators and aggregates: whose are they?
_ASKED: Final = re.compile(r"\.\s*(?:wait|wait_for|acquire|create_task)\Z")
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
_SIGNATURE_PART: Final = re.compile(r"->|[=!<>]=|[()\[\]{},:=]")
# A value with one of these in it does more than to be there.
_NOT_SPARED: Final = re.compile(rf":=|;|\b(?:lambda|await)\b|{STEERING.pattern}")
WORD: Final = re.compile(r"\w+")
# Characters.
_WORTH_CUTTING: Final = 12
_MAX_NAME: Final = 100
OPENING: Final = "([{"
CLOSING: Final = ")]}"


class Cut(NamedTuple):
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
        depth += (part in OPENING) - (part in CLOSING)
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
    before = code[:end].rstrip()[-_MAX_NAME:]
    start = len(before)
    while start and (before[start - 1].isalnum() or before[start - 1] == "_"):
        start -= 1
    return before[start:]


def names_beside(code: str, marks: list[int]) -> tuple[set[str], set[str]]:
    """Return the names in the line ``code`` that may hold what the calls at ``marks`` return.

    The second set is what methods of interest are called of. Passed over are functions, keywords
    of calls, loop variables, and what is handed to a call that neither holds a mark nor hands on
    what it gets: of that, a coroutine is made.
    """
    held: set[str] = set()
    called: set[str] = set()
    marks = sorted(marks)
    before = until = 0  # marks that lie behind; where what is passed over ends
    for match in CHAIN.finditer(code):
        name, start, end = match[1], match.start(), match.end()
        while before < len(marks) and marks[before] < start:
            call = _CALL.match(code, marks[before])
            if call and call[1] not in _HANDING:
                until = max(until, closing(code, marks[before]))
            before += 1
        if before < len(marks) and marks[before] < end:
            called.add(name)  # what `loop` is in `loop.create_task(...)`
            continue
        if _ASKED.search(match[0]):
            called.add(name)  # what `event` is in `wait_for(event.wait(), 5)`
        if start < until:
            continue
        is_call = code.startswith("(", end)
        last = WORD.findall(match[0])[-1]
        if is_call and last not in _HANDING:
            close = closing(code, end)
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
            held.difference_update(WORD.findall(match[1]))
    return held, called


def takers(code: str, used: set[str]) -> set[str]:
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
    if not targets or used.isdisjoint(WORD.findall(value)):
        return set()
    held, _ = names_beside(value, [])
    if held.isdisjoint(used):
        return set()
    return {match[1] for match in CHAIN.finditer(_SUBSCRIPT.sub("", targets))}


def _targets_end(code: str) -> int:
    """Return where the last ``=`` of an assignment stands, 0 if ``code`` is none."""
    depth = targets = 0
    for match in _BRACKET_OR_EQUALS.finditer(code):
        if match[0] in OPENING:
            depth += 1
        elif match[0] in CLOSING:
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


def closing(code: str, start: int) -> int:
    """Return where the first bracket after ``start`` is closed."""
    depth = 0
    for match in _BRACKET.finditer(code, start):
        depth += 1 if match[0] in OPENING else -1
        if depth <= 0:
            return match.start()
    return len(code)
