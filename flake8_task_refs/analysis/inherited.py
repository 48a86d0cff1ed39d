"""Wrappers that a class inherits, and those that another class overrides, in one file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.analysis.outline import Outline
    from flake8_task_refs.analysis.sites import Wrapper

_BASES: Final = re.compile(r"[ \t]*(?:\[[^\[\]]*\])?[ \t]*\(([^()]*)\)")
_MAX_DEPTH: Final = 10  # of classes


def with_inherited(
    outline: Outline, wrappers: dict[tuple[str, str], Wrapper]
) -> dict[tuple[str, str], Wrapper]:
    """Return ``wrappers`` as their callers meet them, by (class or function, name).

    A class has those of its bases as well. A wrapper that a class below overrides by something else
    is left out: which of the two is called, depends on the object.
    """
    classes = {owner for owner, _ in wrappers if owner and len(outline.top_level(owner)) == 1}
    if not classes:
        return wrappers
    below = _below(outline)
    found: dict[tuple[str, str], Wrapper] = {}
    for (owner, name), wrapper in wrappers.items():
        heirs = list(_heirs(below, owner)) if owner in classes else []
        own = [heir for heir in heirs if outline.functions(name, heir)]
        if any((heir, name) not in wrappers for heir in own):
            continue
        found[owner, name] = wrapper
        if not own:
            found.update(
                ((heir, name), wrapper) for heir in heirs if _comes_first(outline, heir, owner)
            )
    return found


def _below(outline: Outline) -> dict[str, list[str]]:
    """Return the module's classes that derive from each of its names."""
    below: dict[str, list[str]] = {}
    for definition in outline.definitions:
        if definition.kind == "class" and not definition.parents:
            for base in bases_of(outline, definition.name):
                below.setdefault(base, []).append(definition.name)
    return below


def bases_of(outline: Outline, name: str) -> list[str]:
    """Return the bases of the module's class ``name``, without what they are subscribed by."""
    classes = outline.top_level(name)
    header = _BASES.match(outline.code, classes[0].header) if len(classes) == 1 else None
    if header is None:
        return []
    given = re.sub(r"\[[^\[\]]*\]", "", header[1])
    return [base.strip() for base in given.split(",") if base.strip() and "=" not in base]


def heirs(outline: Outline, owner: str) -> Iterator[str]:
    """Yield the module's classes that derive from its class ``owner``, directly or not."""
    yield from _heirs(_below(outline), owner)


def _heirs(below: dict[str, list[str]], owner: str) -> Iterator[str]:
    """Yield the classes that derive from ``owner``, directly or not."""
    todo, seen = [owner], {owner}
    while todo:
        for heir in below.get(todo.pop(), ()):
            if heir not in seen:
                seen.add(heir)
                todo.append(heir)
                yield heir


def _comes_first(outline: Outline, heir: str, owner: str) -> bool:
    """Tell whether ``heir`` looks for a method in ``owner`` before it does in any other base.

    A first base of another file may have a method of that name.
    """
    at = heir
    for _ in range(_MAX_DEPTH):
        bases = bases_of(outline, at)
        if not bases:
            return False
        at = bases[0]
        if at == owner:
            return True
    return False
