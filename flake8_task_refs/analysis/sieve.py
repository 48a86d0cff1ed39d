"""The first stage: can this source hold a finding at all? Standard library only.

Two questions, the cheaper first. ``may_create_tasks`` looks for words in the undecoded bytes,
which costs little more than reading them; ``mentions`` then finds the places in a source
that passed. The words are those of RULES: the task creators, asyncio's aggregates, the
done-callback, and what the settings add.
"""

from __future__ import annotations

import re
import string
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from flake8_task_refs.options import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# Words that create a task wherever they stand: called, handed over, or given another name.
_METHOD: Final = "create_task"
CREATOR_WORDS: Final = (_METHOD, "ensure_future")
# Words that speak only when called, and only in a file that mentions asyncio at all.
_CALLBACK: Final = "add_done_callback"
_AGGREGATE_WORDS: Final = (
    "Task", "gather", "shield", "run_coroutine_threadsafe", "wait", "wait_for",
)  # fmt: skip
_CREATOR_BYTES: Final = (_METHOD.encode(),)
# What speaks only in a file that mentions asyncio at all: the rest may be a loop's method.
_ASYNCIO_BYTES: Final = (b"ensure_future", _CALLBACK.encode())
_AGGREGATE_BYTES: Final = tuple(word.encode() for word in _AGGREGATE_WORDS)
# Of these, what a file calls that TSK202 reads: `wait` alone would be found in each `await`.
_CALLED_BYTES: Final = tuple(
    word + after
    for word in _AGGREGATE_BYTES
    for after in ((b"(", b" (") if word in (b"wait", b"Task") else (b"",))
)
_FROM_ASYNCIO: Final = "from asyncio"
_FROM_ASYNCIO_BYTES: Final = _FROM_ASYNCIO.encode()
_WORD_BYTES: Final = frozenset(
    letter.encode() for letter in f"_{string.ascii_letters}{string.digits}"
)
# `await asyncio.gather(...)` is the usual and the right use; it need not be parsed. Of these, only
# a shield leaves a task behind, where a time limit ends the await.
_AWAITED: Final = ("await ", "await asyncio.")
_LEAVING: Final = "shield"
# Called, as in `async with asyncio.timeout(5)`: `timeout=5` is in every other file.
_TIME_LIMITS: Final = ("timeout(", "timeout_at(", "fail_after(", "move_on_after(")
# What follows the module's name where it, or a part of it, gets another, or where one of its
# functions is called or named.
_AFTER_ASYNCIO: Final = re.compile(
    r"(?:\.\w+)?[\s\\]+as\s+(?P<alias>\w+)"
    r"|(?P<given>)(?=[ \t]*(?:$|[#;]))"
    r"|[\s\\]*\.[\s\\]*(?:(?:tasks|futures)\s*\.\s*)?"
    rf"(?:(?P<called>{'|'.join(_AGGREGATE_WORDS)})[\s\\]*\("
    rf"|(?P<named>{'|'.join(_AGGREGATE_WORDS)})\b)",
    re.MULTILINE,
)
# The same in bytes, and less exactly: is it called without an await, or may it get another name?
# What this lets pass, `mentions` looks at again; what it does not, nobody does.
_USE_OF_ASYNCIO: Final = re.compile(
    rb"(?P<alias>(?:\.\w+)?[\s\\]+as\b)|[ \t]*(?:$|[#;\r])"
    rb"|[\s\\]*\.[\s\\]*(?:(?:tasks|futures)\s*\.\s*)?(?P<called>"
    + "|".join(_AGGREGATE_WORDS).encode()
    + rb")[\s\\]*\(",
    re.MULTILINE,
)
_AWAITED_BYTES: Final = tuple(text.encode() for text in _AWAITED)
_LEAVING_BYTES: Final = _LEAVING.encode()
_TIME_LIMIT_BYTES: Final = tuple(word.encode() for word in _TIME_LIMITS)
_PART_ALIAS: Final = re.compile(r"\s+as\s+(\w+)")
# `except asyncio.TimeoutError as error` gives the module no name; `aio = asyncio` does.
_OTHER_AS: Final = re.compile(r"[ \t]*(?:except|case|with|async)\b")
_GIVEN: Final = re.compile(r"(\w+)[ \t]*=[ \t]*\Z")
# `from asyncio import gather as together`: an aggregate that goes by another name.
_OTHER_NAME: Final = re.compile(r"[ \t]+as[ \t]")
_CALLED: Final = re.compile(r"[\s\\]*\(")
# What a method's object may be called if the method is asyncio's: a module, a loop, a call's value.
# A bare name may be imported from asyncio, or be another name for it; any name may stand for a
# loop of the same file, but for a few that never do.
_SUBMODULES: Final = ("tasks", "futures")
_PARTS: Final = ("", "asyncio", *_SUBMODULES)
NO_LOOPS: Final = ("self", "cls", "tg", "hass", "group", "task_group", "nursery")
_LOOP_SOURCES: Final = ("loop", "Loop", "LOOP")
# A creator that gets another name: `import create_task as spawn`, `spawn = asyncio.create_task`.
_RENAMED: Final = re.compile(r"\s+as\b|[ \t]*(?:$|[#,)\]])", re.MULTILINE)


@lru_cache(maxsize=32)
def _creator_bytes(settings: Settings) -> tuple[bytes, ...]:
    """Return the words that create a task in a file that need not mention asyncio."""
    factories = (path.rsplit(".", 1)[-1] for path in settings.task_factories)
    return (*_CREATOR_BYTES, *(name.encode() for name in factories))


def may_create_tasks(source: str | bytes, settings: Settings | None = None) -> bool:
    """Tell whether ``source`` (text, or a file's bytes) mentions anything a rule speaks of."""
    settings = settings or Settings()
    if isinstance(source, str):
        source = source.encode("utf-8", "surrogatepass")
    # Loops and no generator expressions: this is asked of every file there is.
    for data in _creator_bytes(settings) if settings.task_factories else _CREATOR_BYTES:
        at = source.find(data)
        while at >= 0:
            # `async_create_task` is another word; what is not ASCII is left to the next look.
            end = at + len(data)
            if source[at - 1 : at] not in _WORD_BYTES and source[end : end + 1] not in _WORD_BYTES:
                return True
            at = source.find(data, end)
    if b"asyncio" not in source:
        return False
    if "TSK202" in settings.enabled_codes:
        # It speaks of other tasks than those that the file makes.
        return any(word in source for word in (*_ASYNCIO_BYTES, *_CALLED_BYTES))
    return _may_use_asyncio(source)


def _is_given(source: bytes, at: int) -> bool:
    """Tell whether an equals sign stands before ``at``, blanks passed over."""
    while source[at - 1 : at] in (b" ", b"\t"):
        at -= 1
    return source[at - 1 : at] == b"="


def _may_use_asyncio(source: bytes) -> bool:
    """Tell whether a file that mentions asyncio, and no task creator, may hold anything else."""
    for word in _ASYNCIO_BYTES:
        if word in source:
            return True
    at = source.find(b"asyncio")
    while at >= 0:
        end = at + len(b"asyncio")
        match = _USE_OF_ASYNCIO.match(source, end)
        if match is not None:
            called = match.start("called")
            if called < 0:
                # Does the module, or a part of it, get another name?
                if (match["alias"] or _is_given(source, at)) and any(
                    word in source for word in _AGGREGATE_BYTES
                ):
                    return True
            elif not source.endswith(_AWAITED_BYTES, 0, called) or (
                match["called"] == _LEAVING_BYTES
                and any(word in source for word in _TIME_LIMIT_BYTES)
            ):
                return True
        at = source.find(b"asyncio", end)
    return _FROM_ASYNCIO_BYTES in source and any(word in source for word in _AGGREGATE_BYTES)


class Mentions(NamedTuple):
    """Where a source may hold a creation site, as ascending offsets.

    ``may_rename`` tells whether it may give a creator or an aggregate another name.
    """

    offsets: list[int]
    may_rename: bool


def mentions(source: str, settings: Settings) -> Mentions:
    """Return what ``source`` mentions.

    Comments and strings are not told apart here; the outline does that.
    """
    # Each look through the source counts: those that answer for few files come last.
    speaks_of_asyncio = "asyncio" in source
    aliases, called, may_rename = _of_asyncio(source) if speaks_of_asyncio else (set(), [], False)
    modules = aliases.union(_PARTS)
    found = []
    unclear = []
    for word in CREATOR_WORDS if speaks_of_asyncio else (_METHOD,):
        for at in word_offsets(source, word):
            base = _base(source, at)
            may_rename = may_rename or _RENAMED.match(source, at + len(word)) is not None
            if base in modules or "loop" in base.lower():
                found.append(at)
            elif base not in NO_LOOPS:
                unclear.append(at)
    if unclear and any(word in source for word in _LOOP_SOURCES):
        found += unclear
    for path in settings.task_factories:
        found += word_offsets(source, path.rsplit(".", 1)[-1])
    if "TSK202" in settings.enabled_codes and may_create_tasks(source, settings):
        found += _calls(source, "cancel")
    if aliases or _FROM_ASYNCIO in source:
        for word in _AGGREGATE_WORDS:
            for at in word_offsets(source, word):
                end = at + len(word)
                if _CALLED.match(source, end):
                    base = _base(source, at)
                    known = base in modules if base else _FROM_ASYNCIO in source
                    if known and not _is_just_awaited(source, word, at):
                        found.append(at)
                elif _RENAMED.match(source, end):
                    may_rename = True
                    if _OTHER_NAME.match(source, end):
                        found.append(at)
    else:
        found += called
    if found or speaks_of_asyncio:
        found += _calls(source, _CALLBACK)
    return Mentions(sorted(set(found)), may_rename)


def _of_asyncio(source: str) -> tuple[set[str], list[int], bool]:
    """Return what ``source`` calls the module asyncio, and where it calls ``asyncio.gather(``...

    What is awaited where it is called, without a time limit, is left out. Last comes whether such
    a function may get another name.
    """
    aliases: set[str] = set()
    called: list[int] = []
    may_rename = False
    for start in word_offsets(source, "asyncio"):
        match = _AFTER_ASYNCIO.match(source, start + len("asyncio"))
        if match is None:
            continue
        kind = match.lastgroup
        if kind == "alias":
            if not _OTHER_AS.match(source, source.rfind("\n", 0, start) + 1, start):
                aliases.add(match["alias"])
        elif kind == "given":
            given = _GIVEN.search(source, source.rfind("\n", 0, start) + 1, start)
            if given:
                aliases.add(given[1])
        elif kind == "named":
            may_rename = may_rename or _RENAMED.match(source, match.end()) is not None
        else:
            at = match.start("called")
            if not _is_just_awaited(source, match["called"], at):
                called.append(at)
    if _FROM_ASYNCIO in source:
        ends = (at for part in _SUBMODULES for at in _ends_of(source, part))
        given_names = (_PART_ALIAS.match(source, at) for at in ends)
        aliases.update(match[1] for match in given_names if match)
    return aliases, called, may_rename


def _is_just_awaited(source: str, word: str, at: int) -> bool:
    """Tell whether the call of the aggregate ``word`` at ``at`` is awaited, without a limit."""
    return source.endswith(_AWAITED, 0, at) and not (
        word == _LEAVING and any(limit in source for limit in _TIME_LIMITS)
    )


def _ends_of(source: str, word: str) -> Iterator[int]:
    return (at + len(word) for at in word_offsets(source, word))


def _base(source: str, at: int) -> str:
    """Return the name before the dot before ``at``; ``""`` if there is no dot.

    The value of a call or subscript (``get_running_loop().create_task``) is a ``loop``.
    """
    end = at - 1
    while end > 0 and source[end] in " \t\f":
        end -= 1  # asyncio. Task(work())
    if end < 0 or source[end] != ".":
        return ""
    if source[end - 1] in ")] \n\t\\":
        return "loop"
    start = end
    while _continues(source, start - 1):
        start -= 1
    return source[start:end]


def _calls(source: str, word: str) -> list[int]:
    """Return where ``word`` is called in ``source``, or defined."""
    return [at for at in word_offsets(source, word) if _CALLED.match(source, at + len(word))]


def word_offsets(source: str, word: str, start: int = 0, end: int | None = None) -> list[int]:
    """Return where ``word`` stands in ``source`` as a whole name; it must not be empty."""
    if not word:
        raise ValueError("no word to look for")
    found: list[int] = []
    end = len(source) if end is None else end
    at = source.find(word, start, end)
    while at >= 0:
        after = at + len(word)
        # The characters beside it; there is none at either end of the source.
        left, right = source[at - 1 : at], source[after : after + 1]
        if not (left.isalnum() or left == "_" or right.isalnum() or right == "_"):
            found.append(at)
        at = source.find(word, after, end)
    return found


def _continues(source: str, at: int) -> bool:
    """Tell whether the character at ``at`` is part of a name."""
    return 0 <= at < len(source) and (source[at].isalnum() or source[at] == "_")
