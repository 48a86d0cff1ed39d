"""What a project asks of its code, read from its own configuration: layout, imports, Python."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from os.path import exists  # unlike Path.exists, it raises nothing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# black's and ruff's own default.
DEFAULT: Final = 88
_Found = TypeVar("_Found")
_SETUPS: Final = {
    "setup.cfg": re.compile(r"^python_requires\s*=\s*(.+)$", re.MULTILINE),
    "setup.py": re.compile(r"\bpython_requires\s*=\s*[\"']([^\"']+)"),
}
_LOWEST: Final = re.compile(r"(?:>=|~=|==|\^|~|>)\s*(\d+)\.(\d+)")
# How black and ruff are told: `py38`, `py310`.
_TARGET: Final = re.compile(r"py(\d)(\d+)\Z")


@dataclass(frozen=True, slots=True)
class ImportStyle:
    """How isort is told to write imports.

    ``lines_after`` is how many blank lines follow them, None for what isort does by itself;
    ``lines_between_types`` how many stand between ``import a`` and ``from b import c``.
    ``single_line`` has one name a line.
    """

    lines_after: int | None = None
    lines_between_types: int = 0
    single_line: bool = False


def line_length_for(name: str, linters: int | None = None) -> int:
    """Return the line length, in characters, that holds for the file ``name``.

    The nearest directory upwards that sets one decides: ``[tool.black]`` or ``[tool.ruff]`` in
    its ``pyproject.toml``, or its ``ruff.toml``. The search ends at the root of a repository.
    Without any, it is ``DEFAULT``, or what the linter allows (``linters``) if that is less.
    """
    found = _nearest(name, _line_length)
    return found if found is not None else min(DEFAULT, linters or DEFAULT)


def quote_for(name: str) -> str:
    """Return the quote that ruff's formatter or its linter wants in the file ``name``."""
    return "'" if _nearest(name, _quotes) == "single" else '"'


def import_style_for(name: str) -> ImportStyle:
    """Return how isort, or ruff's, is told to write the imports of the file ``name``."""
    return _nearest(name, _import_style) or ImportStyle()


def oldest_python_for(name: str) -> tuple[int, int] | None:
    """Return the oldest Python for which the file ``name`` is, None if nothing tells."""
    return _nearest(name, _oldest_python)


def _nearest(name: str, asked: Callable[[Path], _Found | None]) -> _Found | None:
    """Return what the nearest directory upwards, to the repository's root, has to say."""
    directory = Path(name).absolute().parent
    while True:
        found = asked(directory)
        is_last = directory.parent == directory or exists(directory / ".git")  # noqa: PTH110
        if found is not None or is_last:
            return found
        directory = directory.parent


@lru_cache(maxsize=1024)
def _line_length(directory: Path) -> int | None:
    black = _table(_project(directory), "tool", "black")
    for table in (black, *_ruff(directory)):
        length = table.get("line-length")
        if isinstance(length, int) and length > 0:
            return length
    return None


@lru_cache(maxsize=1024)
def _quotes(directory: Path) -> str | None:
    for ruff in _ruff(directory):
        for table, key in (
            (_table(ruff, "format"), "quote-style"),
            (_table(ruff, "lint", "flake8-quotes"), "inline-quotes"),
            (_table(ruff, "flake8-quotes"), "inline-quotes"),
        ):
            if table.get(key) in ("single", "double"):
                return str(table[key])
    return None


@lru_cache(maxsize=1024)
def _import_style(directory: Path) -> ImportStyle | None:
    tables = [_table(_project(directory), "tool", "isort")]
    for ruff in _ruff(directory):
        tables += [_table(ruff, "lint", "isort"), _table(ruff, "isort")]
    for table in filter(None, tables):
        told = {key.replace("_", "-"): value for key, value in table.items()}
        after, between = told.get("lines-after-imports"), told.get("lines-between-types")
        return ImportStyle(
            after if isinstance(after, int) and after >= 0 else None,
            between if isinstance(between, int) and between > 0 else 0,
            told.get("force-single-line") is True or told.get("profile") == "google",
        )
    return None


@lru_cache(maxsize=1024)
def _oldest_python(directory: Path) -> tuple[int, int] | None:
    project = _project(directory)
    told = [
        _table(project, "project").get("requires-python"),
        _table(project, "tool", "poetry", "dependencies").get("python"),
    ]
    for name, setting in _SETUPS.items():
        told += setting.findall(_read(directory / name))[:1]
    for versions in told:
        lowest = _LOWEST.search(versions) if isinstance(versions, str) else None
        if lowest is not None:
            return int(lowest[1]), int(lowest[2])
    targets: list[object] = [table.get("target-version") for table in _ruff(directory)]
    black = _table(project, "tool", "black").get("target-version")
    targets += black if isinstance(black, list) else [black]
    known = [_TARGET.match(target) for target in targets if isinstance(target, str)]
    return min(((int(one[1]), int(one[2])) for one in known if one is not None), default=None)


def _project(directory: Path) -> dict[str, Any]:
    return _load(directory / "pyproject.toml")


def _ruff(directory: Path) -> list[dict[str, Any]]:
    """Return what is said to ruff in ``directory``."""
    table = _table(_project(directory), "tool", "ruff")
    return [table, *(_load(directory / name) for name in (".ruff.toml", "ruff.toml"))]


@lru_cache(maxsize=64)
def _load(path: Path) -> dict[str, Any]:
    """Read a TOML file; a file that is missing or broken says nothing."""
    try:
        return tomllib.loads(_read(path))
    except ValueError:
        return {}


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return ""


def _table(parent: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        value = parent.get(key)
        parent = value if isinstance(value, dict) else {}
    return parent
