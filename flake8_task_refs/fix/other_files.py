"""What other files of a project take from a module by its name, or from an instance of a class."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from os.path import exists  # unlike Path.exists, it raises nothing
from pathlib import Path
from typing import Final

# Where a project begins.
_ROOTS: Final = (".git", "pyproject.toml", "setup.py", "setup.cfg")
_FOREIGN: Final = frozenset({"node_modules", "site-packages", "__pycache__", "build", "dist"})
_ENVIRONMENT: Final = "pyvenv.cfg"
# In a tree of more files, or of more directories, nobody looks.
_MAX_FILES: Final = 20_000
_MAX_DIRECTORIES: Final = 20_000


def is_taken(file: str, name: str) -> bool:
    """Tell whether another file of its project may take ``name`` from the module ``file``.

    It may where it mentions both as in `from prog import name`, `patch("prog.name")` or
    `patch.object(prog, "name")`; and in a tree that is too large to be looked through.
    """
    path = Path(file).absolute()
    others = _others(path)
    return others is None or any(
        _takes(_read(other), re.escape(path.stem), name) for other in others
    )


def is_asked_for(file: str, owner: str, name: str) -> bool:
    """Tell whether another file of the project of ``file`` may use ``name``, an attribute.

    It may where it mentions that and ``owner``, its class; and in a tree that is too large.
    """
    others = _others(Path(file).absolute())
    return others is None or any(_asks_for(_read(other), owner, name) for other in others)


def _others(path: Path) -> list[str] | None:
    """Return the other files of the project of ``path``, None if it is too large a tree."""
    root = _root(path)
    files = _files(root) if root is not None else list(map(str, path.parent.glob("*.py")))
    return None if files is None else [other for other in files if other != str(path)]


def _asks_for(text: bytes, owner: str, name: str) -> bool:
    """Tell whether ``text``, a file, mentions the class ``owner`` and an attribute ``name``."""
    if name.encode() not in text or owner.encode() not in text:
        return False
    used = re.search(rf"\.[ \t]*{name}\b".encode(), text)
    return used is not None and re.search(rf"\b{owner}\b".encode(), text) is not None


def _takes(text: bytes, module: str, name: str) -> bool:
    """Tell whether ``text``, a file, may take ``name`` from ``module``."""
    if name.encode() not in text or not re.search(rf"\b{module}\b".encode(), text):
        return False
    dotted = rf"\b{module}\.{name}\b"
    # All of it, or a list in brackets, which may have comments, or on continued lines.
    listed = rf"\((?:[^)#]|#[^\n]*\n)*\b{name}\b"
    imported = rf"\b{module}[ \t]+import[ \t]+(?:\*|{listed}|(?:[^\n\\]|\\\n)*\b{name}\b)"
    # The module may go by another name here.
    renamed = rf"\b(?!asyncio\b|\w*loop\b)\w+\.{name}\b"
    # A string that begins with it, or one that is put together; an argument of patch.multiple().
    quoted = rf"[\"'](?:[^\"'\n]*(?:\}}|%s))?\.?{name}\b|\b{name}[ \t]*="
    return re.search(f"{dotted}|{imported}|{renamed}|{quoted}".encode(), text) is not None


def _read(file: str) -> bytes:
    """Return the text of ``file``; one that cannot be read says nothing."""
    try:
        return Path(file).read_bytes()
    except OSError:
        return b""


def _root(path: Path) -> Path | None:
    """Return where the project of ``path`` begins: its repository, or what has a configuration."""
    for mark in _ROOTS:
        for directory in path.parents:
            if exists(directory / mark):  # noqa: PTH110
                return directory
    return None


@lru_cache(maxsize=16)
def _files(root: Path) -> list[str] | None:
    """Return the Python files below ``root``, None if it is too large a tree."""
    found: list[str] = []
    for count, (directory, below, names) in enumerate(os.walk(root)):
        if _ENVIRONMENT in names:
            below.clear()
            continue
        below[:] = [name for name in below if name not in _FOREIGN and not name.startswith(".")]
        found += [str(Path(directory, name)) for name in names if name.endswith(".py")]
        if len(found) > _MAX_FILES or count > _MAX_DIRECTORIES:
            return None
    return found
