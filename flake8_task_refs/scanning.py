"""``scan``: paths in, each file's findings out. It puts the parts together for every door."""

from __future__ import annotations

import importlib
import sys
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.analysis.sieve import may_create_tasks
from flake8_task_refs.discovery import STDIN
from flake8_task_refs.files import FileError, decode, read_bytes
from flake8_task_refs.processes import Crew
from flake8_task_refs.worklist import Worklist

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Executor, Future

    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.files import SourceText
    from flake8_task_refs.options import Settings
    from flake8_task_refs.worklist import Item

# What checking a file that mentions a task takes, each after what it needs itself.
_NEEDED: Final = (
    "outline", "excerpt", "syntax", "tree", "names", "sites",
    "ownership", "check", "verdict", "noqa",
)  # fmt: skip
# Files that an executor may have, read and not yet answered for.
_UNDER_WAY: Final = 256
# Encodings in which a word of ASCII letters has its own bytes and no others.
_LIKE_ASCII: Final = ("utf-8", "ascii", "iso-8859-1")


class Scanned(NamedTuple):
    """What ``scan`` found in one file. ``error`` is one line, empty if the file could be read."""

    name: str
    findings: tuple[Finding, ...] = ()
    error: str = ""


def scan(
    paths: Sequence[str] = (),
    options: Sequence[str] = (),
    jobs: int | None = None,
    executor: Executor | None = None,
) -> Iterator[Scanned]:
    """Yield the findings of each Python file under ``paths``, sorted by name.

    ``options`` are flake8's, as strings; its configuration files are read as well. ``jobs`` is
    the number of processes, flake8's setting if ``None``. With an ``executor``, files are read
    here and checked by its workers, which get the source and need not see the files; a worker
    that is lost raises what the executor raises. Raises ``options.ConfigError``.
    """
    worklist = Worklist(options, paths)
    settings = worklist.config.settings
    if executor is not None:
        items = without_stdin(worklist.items())
        yield from _scan_through(executor, settings, items)
        return
    work = partial(scan_quietly, settings)
    with Crew(work, jobs or worklist.config.jobs, lost=unscanned, prepare=prepare) as crew:
        items = without_stdin(worklist.items(lambda first: crew.start(without_stdin(first))))
        yield from named(items, crew.each(items))


def without_stdin(items: Iterable[Item]) -> list[Item]:
    """Return ``items`` without standard input, which is not this process's to read."""
    return [item for item in items if item[0] != STDIN]


def _scan_through(
    executor: Executor, settings: Settings, items: Iterable[Item]
) -> Iterator[Scanned]:
    """Read files here and have them checked by ``executor``; yield in the order of ``items``."""
    waiting: deque[Scanned | Future[Scanned]] = deque()
    try:
        for name, codes in items:
            try:
                data = read_bytes(name)
            except FileError as error:
                waiting.append(Scanned(name, error=str(error)))
            else:
                # Most files are not worth sending.
                waiting.append(
                    executor.submit(scan_bytes, settings, name, data, codes)
                    if codes and may_hold_findings(data, settings)
                    else Scanned(name)
                )
            # Sources are held until their results are taken.
            while waiting and (len(waiting) > _UNDER_WAY or _is_there(waiting[0])):
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        for rest in waiting:
            if not isinstance(rest, Scanned):
                rest.cancel()


def _is_there(waiting: Scanned | Future[Scanned]) -> bool:
    return isinstance(waiting, Scanned) or waiting.done()


def _result(waiting: Scanned | Future[Scanned]) -> Scanned:
    return waiting if isinstance(waiting, Scanned) else waiting.result()


def prepare() -> None:
    """Import what checking a file that mentions a task takes."""
    for _ in preparing():
        pass


def preparing() -> Iterator[None]:
    """Import the same piece by piece, for whoever may have something better to do soon."""
    for name in _NEEDED:
        importlib.import_module(f"flake8_task_refs.analysis.{name}")
        yield


def unscanned(item: Item, reason: str) -> Scanned:
    """Return the result for a file whose process did not live to tell one."""
    return Scanned(item[0], error=reason)


def describe(error: SourceError, text: str, wanted: str = "checked") -> str:
    """Return one line that says why ``text`` cannot be ``wanted``: Python cannot read it, or we."""
    from flake8_task_refs.analysis.python_parser import syntax_error  # noqa: PLC0415

    # Python's own parser says better what is wrong, and where.
    broken = syntax_error(text)
    kind = f"cannot be {wanted}: " if broken is None else "not valid Python: "
    # What a newer Python allows is an error here, which says nothing of that.
    reader = "" if broken is None else " (read by Python {}.{})".format(*sys.version_info)
    error = broken or error
    where = f"line {error.line}, column {error.column}: " if error.line else ""
    return f"{kind}{where}{' '.join(str(error).split())}{reader}"


def may_hold_findings(data: bytes, settings: Settings) -> bool:
    """Tell whether a file is worth decoding: it mentions a task, or may not be Python text."""
    return may_create_tasks(data, settings) or not is_surely_text(data)


def is_surely_text(data: bytes) -> bool:
    """Tell whether ``data`` is text in any encoding that a Python source may have."""
    return data.isascii() and b"\0" not in data


def scan_quietly(settings: Settings, item: Item) -> Scanned | None:
    """Check one file; ``item`` is its name and the codes that may speak of it. Raises nothing.

    Returns None if there is nothing to tell of it: that is so for most files, and costs less on the
    way from process to process.
    """
    name, codes = item
    try:
        data = read_bytes(name)
    except FileError as error:
        return Scanned(name, error=str(error))
    return _told(settings, name, data, codes)


def named(items: Iterable[Item], results: Iterable[Scanned | None]) -> Iterator[Scanned]:
    """Yield the results of ``scan_quietly`` for ``items``, each with the name of its file."""
    for (name, _), scanned in zip(items, results, strict=True):
        yield scanned or Scanned(name)


def scan_bytes(settings: Settings, name: str, data: bytes, codes: tuple[str, ...]) -> Scanned:
    """Check ``data``, the content of the file ``name``, for ``codes``. Raises nothing."""
    return _told(settings, name, data, codes) or Scanned(name)


def _told(settings: Settings, name: str, data: bytes, codes: tuple[str, ...]) -> Scanned | None:
    """Check ``data`` as ``scan_bytes`` does; None if there is nothing to tell."""
    # Most files end here, before anything is decoded.
    mentioned = may_create_tasks(data, settings)
    if not codes or (not mentioned and is_surely_text(data)):
        return None
    try:
        source = decode(data)
    except FileError as error:
        return Scanned(name, error=str(error))
    if not mentioned and source.encoding in _LIKE_ASCII:
        return None
    scanned = scan_text(settings, name, source, codes)
    return scanned if scanned.findings or scanned.error else None


def scan_text(settings: Settings, name: str, source: SourceText, codes: tuple[str, ...]) -> Scanned:
    """Check ``source``, read from the file ``name``, for ``codes``. Raises nothing."""
    if not codes:
        return Scanned(name)
    from flake8_task_refs.analysis.check import check_file  # noqa: PLC0415

    try:
        return Scanned(name, tuple(check_file(source.text, settings, codes)))
    except SourceError as error:
        return Scanned(name, error=describe(error, source.text))
    except Exception as error:  # noqa: BLE001 (one file must not end the run for all others)
        return Scanned(name, error=internal_error(error))


def internal_error(error: Exception) -> str:
    """Return one line about a fault of ours: what to do about it, what it is, where it came from.

    The text of an exception can be a fault in itself, or a whole tree: it is asked for with care.
    Raises ``KeyboardInterrupt`` if the user is behind it: libcst's position provider makes a
    ``KeyError`` of whatever passes through it.
    """
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        behind = behind.__context__
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    try:
        said = " ".join(str(error).split())[:200]
    except Exception:  # noqa: BLE001
        said = "(no text)"
    import traceback  # noqa: PLC0415 (there should be no such error)

    ours = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "flake8_task_refs" in frame.filename
    ]
    where = f" at {ours[-1]}" if ours else ""
    kind = type(error).__name__
    return f"internal error, please report it: {kind}{where}: {said}"
