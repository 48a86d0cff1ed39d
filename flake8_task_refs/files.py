"""Files: bytes to text and back without a loss, and atomic writing.

Nothing here knows what a task is.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tempfile
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_O_BINARY: Final = getattr(os, "O_BINARY", 0)
_BOM: Final = b"\xef\xbb\xbf"
_CODING: Final = b"coding"


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
        raise FileError(f"cannot decode: {error}") from None
    source = SourceText(text, data, encoding, mark)
    if source.encode(text) != data:
        raise FileError(f"cannot keep its bytes: {encoding} has several spellings for one text")
    return source


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
