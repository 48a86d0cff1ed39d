"""The line length that a project's formatter uses, read from its own configuration."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# black's and ruff's own default.
DEFAULT: Final = 88


def line_length_for(name: str, linters: int | None = None) -> int:
    """Return the line length, in characters, that holds for the file ``name``.

    The nearest directory upwards that sets one decides: ``[tool.black]`` or ``[tool.ruff]`` in
    its ``pyproject.toml``, or its ``ruff.toml``. The search ends at the root of a repository.
    Without any, it is ``DEFAULT``, or what the linter allows (``linters``) if that is less.
    """
    found = _for_directory(Path(name).absolute().parent)
    return found if found is not None else min(DEFAULT, linters or DEFAULT)


@lru_cache(maxsize=1024)
def _for_directory(directory: Path) -> int | None:
    tools = _table(_load(directory / "pyproject.toml"), "tool")
    for table in (
        _table(tools, "black"),
        _table(tools, "ruff"),
        _load(directory / ".ruff.toml"),
        _load(directory / "ruff.toml"),
    ):
        length = table.get("line-length")
        if isinstance(length, int) and length > 0:
            return length
    if directory.parent == directory or (directory / ".git").exists():
        return None
    return _for_directory(directory.parent)


def _load(path: Path) -> dict[str, Any]:
    """Read a TOML file; a file that is missing or broken says nothing about line lengths."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _table(parent: dict[str, Any], key: str) -> dict[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}
