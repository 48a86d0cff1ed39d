"""Files: bytes to text and back without a loss, and atomic writing.

Nothing here knows what a task is.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import sys
import tempfile
import time
import tokenize
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

_O_BINARY: Final = getattr(os, "O_BINARY", 0)
_BOM: Final = b"\xef\xbb\xbf"
_CODING: Final = b"coding"
_ANYONE_WRITES: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
# What a killed process leaves behind, and after how many seconds it is surely nobody's any more.
_LEFTOVER_SUFFIX: Final = ".task-refs.tmp"
_LEFTOVER: Final = re.compile(r"\..*\.[a-z0-9_]{8}\.task-refs\.tmp", re.DOTALL)
_LEFT_FOR: Final = 60.0


class FileError(ValueError):
    """A file cannot be read or written as Python source. The text is one line, without the name."""


class SourceText(NamedTuple):
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
    if not data.startswith(_BOM) and _CODING not in data[: _end_of_second_line(data)]:
        with contextlib.suppress(UnicodeDecodeError):
            return SourceText(data.decode(), data, "utf-8", b"")
    # tokenize splits lines at "\n" alone, and looks at two lines.
    head = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(head).readline)
        mark = _BOM if data.startswith(_BOM) else b""
        encoding = encoding.removesuffix("-sig") if mark else encoding
        text = data[len(mark) :].decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise FileError(f"cannot decode: {_contradiction(head) or error}") from None
    source = SourceText(text, data, encoding, mark)
    if source.encode(text) != data:
        raise FileError(f"cannot keep its bytes: {encoding} has several spellings for one text")
    return source


def _contradiction(head: bytes) -> str:
    """Return how the byte order mark and the comment contradict each other, ``""`` if not so."""
    try:
        said, _ = tokenize.detect_encoding(io.BytesIO(head.removeprefix(_BOM)).readline)
    except SyntaxError:
        return ""
    if not head.startswith(_BOM) or said.startswith("utf-8"):
        return ""
    return f"its byte order mark says utf-8, its coding comment {said}"


def _end_of_second_line(data: bytes) -> int:
    end = data.find(b"\n", data.find(b"\n") + 1)
    return len(data) if end < 0 else end


def read(name: str) -> SourceText:
    """Read the regular file ``name``. Raises ``FileError``."""
    return decode(read_bytes(name))


def read_bytes(name: str) -> bytes:
    """Return the bytes of the regular file ``name``. Raises ``FileError``."""
    try:
        # Opening a pipe could wait for ever; a device may never end.
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _O_BINARY)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise FileError("not a regular file")
            data = os.read(descriptor, status.st_size + 1)
            if len(data) == status.st_size:
                return data
            # It grows, or its system does not know its size, or no more than 2 GB come at once.
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                return data + file.readall()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FileError(_reason(error)) from None


def read_stdin() -> bytes:
    """Return the bytes of standard input. Raises ``FileError``."""
    if sys.stdin is None:
        raise FileError("standard input is closed")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise FileError(_reason(error)) from None


def write(name: str, source: SourceText, text: str) -> None:
    """Put ``text`` into the file ``name``, which ``source`` was read from, all of it or nothing.

    A new file beside the old one takes its place in one step, when it is safe on the disk: whoever
    reads the file, and whatever ends this process, sees all of the old text or all of the new. It
    has the old one's mode, owner and extended attributes (so access lists, too). A symbolic link
    stays a link; another hard link keeps the old text, as with git and sed.

    Raises ``FileError``, with the file untouched, if it has changed since it was read, is
    read-only, or cannot be replaced as it is. A process that is killed may leave a file
    ``.NAME.XXXXXXXX.task-refs.tmp`` behind; the next repair in this directory removes it.
    """
    target = Path(os.path.realpath(name))
    data = source.encode(text)
    temporary = None
    try:
        before = target.stat()
        # root may write anything; a file without any permission to write is not meant to change.
        if not os.access(target, os.W_OK) or not before.st_mode & _ANYONE_WRITES:
            raise FileError("read-only")
        _remove_leftovers(str(target.parent))
        # A name has room for 255 bytes; what is cut off here need not be text.
        prefix = os.fsdecode(os.fsencode(f".{target.name}")[:200]) + "."
        descriptor, temporary = tempfile.mkstemp(_LEFTOVER_SUFFIX, prefix, target.parent)
        with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor has no path)
            file.write(data)
            file.flush()
            _take_over(temporary, target, before)
            os.fsync(descriptor)
        if target.read_bytes() != source.data:
            raise FileError("changed while it was being read; left alone")
        os.replace(temporary, target)  # noqa: PTH105 (it is a name)
        temporary = None
        _sync_directory(target.parent)
    except OSError as error:
        raise FileError(f"cannot write: {_reason(error)}") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


def _take_over(name: str, old: Path, before: os.stat_result) -> None:
    """Give the file ``name`` the owner, the mode and the attributes of ``old``, in this order.

    A change of owner clears mode bits, and an access list is one of the attributes.
    """
    made = os.stat(name)  # noqa: PTH116
    if hasattr(os, "chown") and (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.chown(name, before.st_uid, before.st_gid)
        except PermissionError as error:
            raise FileError(f"cannot keep its owner and group: {_reason(error)}") from None
    Path(name).chmod(stat.S_IMODE(before.st_mode))
    if sys.platform == "linux":
        for attribute in _attributes(old):
            value = os.getxattr(old, attribute)
            if attribute in _attributes(Path(name)) and os.getxattr(name, attribute) == value:
                continue  # a label that every file of this directory gets
            os.setxattr(name, attribute, value)


def _attributes(path: Path) -> list[str]:
    """Return the names of the extended attributes of ``path``, none where there are no such."""
    try:
        return os.listxattr(path) if sys.platform == "linux" else []
    except OSError:
        return []


@lru_cache(maxsize=256)
def _remove_leftovers(directory: str) -> None:
    """Remove what killed processes left in ``directory``, if it is old enough to be nobody's."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if (
                _LEFTOVER.fullmatch(entry.name)
                and entry.is_file(follow_symlinks=False)
                and time.time() - entry.stat(follow_symlinks=False).st_mtime > _LEFT_FOR
            ):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)  # noqa: PTH108


def _sync_directory(directory: Path) -> None:
    """Put the new name on the disk, where the system lets directories be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def shown(name: str) -> str:
    """Return a file's name as part of one line, with escapes for what would break it."""
    if name.isprintable():
        return name
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in name
    )


def _reason(error: OSError) -> str:
    """Return what the system says, without numbers and names."""
    return error.strerror or type(error).__name__
