"""Files: bytes to text and back without a loss; ``writing`` puts them on the disk.

Nothing here knows what a task is.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from typing import Final, NamedTuple

_O_BINARY: Final = getattr(os, "O_BINARY", 0)
_BOM: Final = b"\xef\xbb\xbf"
_CODING: Final = b"coding"


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
    import tokenize  # noqa: PLC0415 (few files need it)

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
    import tokenize  # noqa: PLC0415

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
        raise FileError(reason(error)) from None


def read_stdin() -> bytes:
    """Return the bytes of standard input. Raises ``FileError``."""
    if sys.stdin is None:
        raise FileError("standard input is closed")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise FileError(reason(error)) from None


def shown(name: str) -> str:
    """Return a file's name as part of one line, with escapes for what would break it."""
    if name.isprintable():
        return name
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in name
    )


def reason(error: OSError) -> str:
    """Return what the system says, without numbers and names."""
    return error.strerror or type(error).__name__
