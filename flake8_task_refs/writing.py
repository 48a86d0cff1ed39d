"""Atomic writing of files: all of a text or nothing, with all that the file had beside it.

Nothing here knows what a task is.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flake8_task_refs.files import FileError, reason

if TYPE_CHECKING:
    from flake8_task_refs.files import SourceText

_ANYONE_WRITES: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
# What a killed process leaves behind, and after how many seconds it is surely nobody's any more.
_LEFTOVER_SUFFIX: Final = ".task-refs.tmp"
_LEFTOVER: Final = re.compile(r"\..*\.[a-z0-9_]{8}\.task-refs\.tmp", re.DOTALL)
_LEFT_FOR: Final = 60.0


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
        raise FileError(f"cannot write: {reason(error)}") from None
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
            raise FileError(f"cannot keep its owner and group: {reason(error)}") from None
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
