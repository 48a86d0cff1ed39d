"""``scan``: paths in, each file's findings out. It puts the parts together for every door."""

from __future__ import annotations

import ast
import contextlib
import symtable
import threading
import warnings
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.analysis.sieve import may_create_tasks
from flake8_task_refs.files import FileError, decode, read_bytes
from flake8_task_refs.flake8_config import STDIN, load
from flake8_task_refs.processes import each

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Executor, Future

    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.files import SourceText
    from flake8_task_refs.options import Settings

# Files that an executor may have, read and not yet answered for.
_UNDER_WAY: Final = 256
# Encodings in which a word of ASCII letters has its own bytes and no others.
_LIKE_ASCII: Final = ("utf-8", "utf-8-sig", "ascii", "iso-8859-1")


_ONE_AT_A_TIME: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Scanned:
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
    that is lost raises what the executor raises. Raises ``flake8_config.ConfigError``.
    """
    config = load(options, paths)
    names = [name for name in config.files() if name != STDIN]
    items = [(name, config.codes(name)) for name in names]
    if executor is None:
        yield from each(partial(scan_file, config.settings), items, jobs or config.jobs)
    else:
        yield from _scan_through(executor, config.settings, items)


def _scan_through(
    executor: Executor, settings: Settings, items: Iterable[tuple[str, tuple[str, ...]]]
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


def describe(error: SourceError) -> str:
    """Return one line that says where a source stops being Python, and how."""
    where = f"line {error.line}, column {error.column}: " if error.line else ""
    return f"not valid Python: {where}{' '.join(str(error).split())}"


def syntax_error(text: str) -> SourceError | None:
    """Return what this Python cannot parse in ``text``, ``None`` if it can.

    libcst takes the whole process down over brackets nested a thousand deep; Python allows 200.
    """
    try:
        # CPython 3.11 counts the depth of a tree under construction once for all threads.
        with warnings.catch_warnings(), _ONE_AT_A_TIME:
            warnings.simplefilter("ignore")
            # A table of symbols takes a fifth of the time of a tree, and refuses more: if it
            # refuses, the tree tells.
            with contextlib.suppress(SyntaxError, RecursionError, MemoryError, ValueError):
                symtable.symtable(text, "<source>", "exec")
                return None
            ast.parse(text)
    except SyntaxError as error:
        return SourceError(error.msg, error.lineno or 0, error.offset or 0)
    except (RecursionError, MemoryError):
        return SourceError("nested too deeply")
    except ValueError as error:
        # Null bytes, before 3.12.
        return SourceError(str(error))
    return None


def may_hold_findings(data: bytes, settings: Settings) -> bool:
    """Tell whether a file is worth decoding: it mentions a task, or may not be Python text."""
    return may_create_tasks(data, settings) or not is_surely_text(data)


def is_surely_text(data: bytes) -> bool:
    """Tell whether ``data`` is text in any encoding that a Python source may have."""
    return data.isascii() and b"\0" not in data


def scan_file(settings: Settings, item: tuple[str, tuple[str, ...]]) -> Scanned:
    """Check one file; ``item`` is its name and the codes that may speak of it. Raises nothing."""
    name, codes = item
    try:
        data = read_bytes(name)
    except FileError as error:
        return Scanned(name, error=str(error))
    return scan_bytes(settings, name, data, codes)


def scan_bytes(settings: Settings, name: str, data: bytes, codes: tuple[str, ...]) -> Scanned:
    """Check ``data``, the content of the file ``name``, for ``codes``. Raises nothing."""
    # Most files end here, before anything is decoded.
    mentioned = may_create_tasks(data, settings)
    if not codes or (not mentioned and is_surely_text(data)):
        return Scanned(name)
    try:
        source = decode(data)
    except FileError as error:
        return Scanned(name, error=str(error))
    if not mentioned and source.encoding in _LIKE_ASCII:
        return Scanned(name)
    return scan_text(settings, name, source, codes)


def scan_text(settings: Settings, name: str, source: SourceText, codes: tuple[str, ...]) -> Scanned:
    """Check ``source``, read from the file ``name``, for ``codes``. Raises nothing."""
    if not codes:
        return Scanned(name)
    from flake8_task_refs.analysis.check import check_source  # noqa: PLC0415

    try:
        found = check_source(source.text, settings)
    except SourceError as error:
        # Python's own parser says better what is wrong, and where.
        return Scanned(name, error=describe(syntax_error(source.text) or error))
    except Exception as error:  # noqa: BLE001 (one file must not end the run for all others)
        return Scanned(name, error=internal_error(error))
    findings = tuple(finding for finding in found if finding.code in codes)
    # The analysis reads no more of a file than it needs; flake8 checks no file that is not Python.
    broken = syntax_error(source.text) if findings else None
    return Scanned(name, error=describe(broken)) if broken else Scanned(name, findings)


def internal_error(error: Exception) -> str:
    """Return one line about a fault of ours, to be reported."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return f"internal error, please report it: {reason}"
