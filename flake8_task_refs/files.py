"""Files: bytes to text and back without a loss, atomic writing, many files in several processes.

Nothing here knows what a task is, save ``scan``, which puts the parts together for the linter.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import signal
import stat
import tempfile
import time
import tokenize
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.analysis.sieve import may_create_tasks
from flake8_task_refs.flake8_config import STDIN, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.options import Settings

_In = TypeVar("_In")
_Out = TypeVar("_Out")

# Seconds of work after which a second process, with its own start and imports, pays.
_ALONE_FOR: Final = 0.5
_O_BINARY: Final = getattr(os, "O_BINARY", 0)
_BOM: Final = b"\xef\xbb\xbf"


class FileError(ValueError):
    """A file cannot be read or written as Python source. The text is one line, without the name."""


@dataclass(frozen=True, slots=True)
class SourceText:
    """A file's text and what is needed to write it back.

    ``text`` has its line ends as they are in the file, and no byte order mark; ``data`` is the
    file's bytes; ``encoding`` is that of PEP 263, without the mark; ``mark`` is the mark or empty.
    """

    text: str
    data: bytes
    encoding: str
    mark: bytes

    def encode(self, text: str) -> bytes:
        """Return the bytes of a file like this one with ``text`` in it. Raises ``FileError``."""
        try:
            return self.mark + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            character = text[error.start]
            raise FileError(f"cannot write {character!r} in {self.encoding}") from None

    def lines(self) -> list[str]:
        """Return the text's lines without their ends, split where Python splits them."""
        return io.StringIO(self.text, newline=None).read().split("\n")


def decode(data: bytes) -> SourceText:
    """Decode Python source by its byte order mark or PEP 263 comment, UTF-8 without.

    Raises ``FileError`` if the bytes are not text in that encoding, or would change on the way
    back.
    """
    # tokenize splits lines at "\n" alone, and looks at two lines.
    head = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(head).readline)
        mark = _BOM if data.startswith(_BOM) else b""
        encoding = encoding.removesuffix("-sig") if mark else encoding
        text = data[len(mark) :].decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise FileError(f"cannot decode: {error}") from None
    source = SourceText(text, data, encoding, mark)
    if source.encode(text) != data:
        raise FileError(f"cannot keep its bytes: {encoding} has several spellings for one text")
    return source


def read(name: str) -> SourceText:
    """Read the regular file ``name``. Raises ``FileError``."""
    return decode(read_bytes(name))


def read_bytes(name: str) -> bytes:
    """Return the bytes of the regular file ``name``. Raises ``FileError``."""
    try:
        # Opening a pipe could wait for ever; a device may never end.
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _O_BINARY)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileError("not a regular file")
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                return file.readall()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FileError(_reason(error)) from None


def write(name: str, source: SourceText, text: str) -> None:
    """Put ``text`` into the file ``name``, which ``source`` was read from, all of it or nothing.

    The new file takes the old one's place in one step and has its mode and owner; a symbolic link
    stays a link. Raises ``FileError``, with the file untouched, if it has changed since it was
    read, is read-only, or cannot be replaced.
    """
    target = Path(os.path.realpath(name))
    data = source.encode(text)
    temporary = None
    try:
        before = target.stat()
        if not os.access(target, os.W_OK):
            raise FileError("read-only")
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor has no path)
            file.write(data)
            file.flush()
            _take_over(temporary, before)
            os.fsync(descriptor)
        if target.read_bytes() != source.data:
            raise FileError("changed while it was being read; left alone")
        Path(temporary).replace(target)
        temporary = None
    except OSError as error:
        raise FileError(_reason(error)) from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


def _take_over(name: str, before: os.stat_result) -> None:
    """Give the file ``name`` the owner and then the mode of ``before``; chown clears mode bits."""
    made = os.stat(name)  # noqa: PTH116
    if hasattr(os, "chown") and (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
        os.chown(name, before.st_uid, before.st_gid)
    Path(name).chmod(stat.S_IMODE(before.st_mode))


def _reason(error: OSError) -> str:
    """Return what the system says, without numbers and names."""
    return error.strerror or type(error).__name__


def each(work: Callable[[_In], _Out], items: Sequence[_In], jobs: int = 1) -> Iterator[_Out]:
    """Yield ``work(item)`` for each item, in order, in up to ``jobs`` processes once it pays.

    ``work`` and what it takes and returns must be picklable, and ``work`` must not raise.
    """
    start = time.monotonic()
    done = 0
    while done < len(items) and (jobs < 2 or time.monotonic() - start < _ALONE_FOR):
        yield work(items[done])
        done += 1
    rest = items[done:]
    if not rest:
        return
    try:
        # An interrupt is the parent's to handle; the workers end with it.
        pool = ProcessPoolExecutor(
            min(jobs, len(rest)),
            initializer=signal.signal,
            initargs=(signal.SIGINT, signal.SIG_IGN),
        )
    except (ImportError, NotImplementedError, OSError):
        # No semaphores on this system.
        yield from map(work, rest)
        return
    try:
        yield from pool.map(work, rest, chunksize=max(1, min(16, len(rest) // (jobs * 4))))
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Scanned:
    """What ``scan`` found in one file. ``error`` is one line, empty if the file could be read."""

    name: str
    findings: tuple[Finding, ...] = ()
    error: str = ""


def scan(
    paths: Sequence[str] = (), options: Sequence[str] = (), jobs: int | None = None
) -> Iterator[Scanned]:
    """Yield the findings of each Python file under ``paths``, sorted by name.

    ``options`` are flake8's, as strings; its configuration files are read as well. ``jobs`` is
    the number of processes, flake8's setting if ``None``. Raises ``flake8_config.ConfigError``.
    """
    config = load(options, paths)
    names = [name for name in config.files() if name != STDIN]
    items = [(name, config.codes(name)) for name in names]
    yield from each(partial(scan_file, config.settings), items, jobs or config.jobs)


def describe(error: SourceError) -> str:
    """Return one line that says where a source stops being Python, and how."""
    where = f"line {error.line}, column {error.column}: " if error.line else ""
    return f"not valid Python: {where}{' '.join(str(error).split())}"


def syntax_error(text: str) -> SourceError | None:
    """Return what this Python cannot parse in ``text``, ``None`` if it can.

    libcst takes the whole process down over brackets nested a thousand deep; Python allows 200.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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
    return may_create_tasks(data, settings) or not data.isascii() or b"\0" in data


def scan_file(settings: Settings, item: tuple[str, tuple[str, ...]]) -> Scanned:
    """Check one file; ``item`` is its name and the codes that may speak of it. Raises nothing."""
    name, codes = item
    try:
        data = read_bytes(name)
        # Most files end here, before anything is decoded.
        if not codes or not may_hold_findings(data, settings):
            return Scanned(name)
        return scan_text(settings, name, decode(data), codes)
    except FileError as error:
        return Scanned(name, error=str(error))


def scan_text(settings: Settings, name: str, source: SourceText, codes: tuple[str, ...]) -> Scanned:
    """Check ``source``, read from the file ``name``, for ``codes``. Raises nothing."""
    if not codes or not may_create_tasks(source.text, settings):
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
