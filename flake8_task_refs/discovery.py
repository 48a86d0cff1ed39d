"""Which files flake8 would read, found in one walk over the directories.

The answer is that of ``flake8.discover_files.expand_paths``, which asks each pattern about each
path and costs more than reading the files does (tests/test_discovery.py holds the two together).
Three things are ours: a file that two names lead to is there once, virtual environments below the
given paths are passed over, and a directory that cannot be read is there itself, so that whoever
reads it learns why.
"""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
import sys
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# A file: its name, and where it really is.
_Found: TypeAlias = tuple[str, str]

STDIN: Final = "-"
# Files that keep several processes busy for longer than it takes to start them.
MANY: Final = 1000
DEFAULT_STDIN_NAME: Final = "stdin"
_PLAIN_NAME: Final = re.compile(r"[^/\\*?\[]*")
_SPECIAL: Final = re.compile(r"[*?\[]")
_ENVIRONMENT: Final = "pyvenv.cfg"


def find_files(
    paths: Sequence[str],
    *,
    stdin_display_name: str,
    filename_patterns: Sequence[str],
    exclude: Sequence[str],
) -> Iterator[tuple[list[str], bool]]:
    """Yield the names of the files to read, sorted, and True; ``-`` stands for standard input.

    If there are many, yield those that are found first before, and False, as soon as there are
    ``MANY``. ``paths`` are files, directories or ``-``; without any, the current directory is
    meant. ``filename_patterns`` and ``exclude`` are flake8's, its paths absolute.
    """
    walk = _Walk(paths, stdin_display_name, filename_patterns, exclude)
    found = (pair for path in paths or ["."] for pair in walk.below(path))
    targets: dict[str, str] = {}
    for name, target in found:
        targets[name] = target
        if len(targets) == MANY:
            yield list(targets), False
            break
    targets.update(found)
    by_target: dict[str, str] = {}
    for name in sorted(targets):
        by_target.setdefault(targets[name], name)
    yield list(by_target.values()), True


class _Walk:
    """One walk with flake8's patterns, each set of them compiled to one."""

    def __init__(
        self,
        paths: Sequence[str],
        stdin_display_name: str,
        filename_patterns: Sequence[str],
        exclude: Sequence[str],
    ) -> None:
        # Whatever the user named is never taken for a virtual environment to pass over.
        self._given = {os.path.normpath(path) for path in paths}
        self._stdin_display_name = stdin_display_name
        self._is_wanted = _matcher(filename_patterns) if filename_patterns else _always
        self._excludes_name = _matcher(exclude) if exclude else _never
        # No plain name, such as `.git`, is a path from the root.
        of_paths = [p for p in exclude if not _PLAIN_NAME.fullmatch(p)]
        self._excludes_path = _matcher(of_paths) if of_paths else _never

    def below(self, path: str) -> Iterator[_Found]:
        """Yield (name, real path) of the files that ``path``, given by the user, stands for."""
        if path == STDIN:
            name = self._stdin_display_name
            if name == DEFAULT_STDIN_NAME or not self._leaves_out(name):
                yield path, path
        elif not self._leaves_out(path):
            if os.path.isdir(path):
                yield from self._files(path)
            else:
                yield path, os.path.realpath(path)

    def _leaves_out(self, path: str) -> bool:
        basename = os.path.basename(path)
        return bool(
            (basename not in {".", ".."} and self._excludes_name(basename))
            or self._excludes_path(os.path.abspath(path))
        )

    def _files(self, top: str) -> Iterator[_Found]:
        """Yield the files below the directory ``top``. Links to directories are not followed."""
        wanted, excludes_name = self._is_wanted, self._excludes_name
        excludes_path = self._excludes_path
        # A name as flake8 builds it, its absolute form, and where it really is.
        stack = [(top, os.path.abspath(top), os.path.realpath(top))]
        while stack:
            directory = stack.pop()
            entries = _entries(directory[0])
            if entries is None:
                yield directory[0], directory[2]
                continue
            if _ENVIRONMENT in entries and os.path.normpath(directory[0]) not in self._given:
                continue
            root, absolute, real = (os.path.join(at, "") for at in directory)
            for name, entry in entries.items():
                joined = root + name
                if _is_directory(entry):
                    if not (
                        excludes_name(name) or excludes_path(absolute + name) or _is_link(entry)
                    ):
                        stack.append((joined, absolute + name, real + name))
                elif not (
                    not wanted(joined) or excludes_name(name) or excludes_path(absolute + name)
                ):
                    yield joined, os.path.realpath(joined) if _is_link(entry) else real + name


def _entries(directory: str) -> dict[str, os.DirEntry[str]] | None:
    """Return what stands in ``directory`` by name, None if it cannot be read.

    In one that is gone by now, nothing stands.
    """
    try:
        with os.scandir(directory) as entries:
            return {entry.name: entry for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError:
        return None


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_link(entry: os.DirEntry[str]) -> bool:
    """Tell whether ``entry`` leads elsewhere: a symbolic link, or a junction of Windows."""
    try:
        return entry.is_symlink() or (sys.version_info >= (3, 12) and entry.is_junction())
    except OSError:
        return False


def _matcher(patterns: Sequence[str]) -> Callable[[str], object]:
    """Return a test for paths that one of the shell ``patterns`` matches, as fnmatch matches."""
    normal = [os.path.normcase(pattern) for pattern in patterns]
    # Most patterns are as simple as these, which cost less than what fnmatch makes of them.
    names = frozenset(pattern for pattern in normal if not _SPECIAL.search(pattern))
    ends = tuple(p[1:] for p in normal if p.startswith("*") and not _SPECIAL.search(p, 1))
    others = [p for p in normal if p not in names and not (p.startswith("*") and p[1:] in ends)]
    matches = re.compile("|".join(map(fnmatch.translate, others))).match if others else _never
    if os.path is posixpath:  # where a path's case is never changed
        return lambda path: path in names or path.endswith(ends) or matches(path)

    def matches_any(path: str) -> object:
        path = os.path.normcase(path)
        return path in names or path.endswith(ends) or matches(path)

    return matches_any


def _never(path: str) -> bool:
    del path
    return False


def _always(path: str) -> bool:
    del path
    return True
