"""Names that a function reads before it binds them: what a repair must not bring about.

A name that is bound anywhere in a function is local to all of it (Python's execution model), so a
line that means the module's ``asyncio`` fails above an ``import asyncio`` of the function's own.
"""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

_Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef"
# Where statements stand in others.
_BLOCKS: Final = ("body", "handlers", "orelse", "finalbody", "cases")
# What has a namespace of its own; a comprehension's first part is read outside of it.
_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def read_too_early(text: str) -> set[tuple[str, str]]:
    """Return (path of a function, name) for what functions of ``text`` read above its binding.

    Loops are not followed. Nothing is found in what this Python cannot parse.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return set()
    return {(path, name) for path, function in _functions(module, "") for name in _early(function)}


def _functions(node: ast.AST, path: str) -> Iterator[tuple[str, _Function]]:
    """Yield the functions in the blocks of ``node``, each with its path."""
    for block in _BLOCKS:
        for child in getattr(node, block, ()):
            is_scope = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            inner = f"{path}.{child.name}" if is_scope else path
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield inner, child
            yield from _functions(child, inner)


def _early(function: _Function) -> set[str]:
    bound: dict[str, tuple[int, int]] = {}
    read: dict[str, tuple[int, int]] = {}
    elsewhere: set[str] = set()
    for node in _own_nodes(function):
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            elsewhere.update(node.names)
            continue
        place = (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
        for name in _bound_by(node):
            bound[name] = min(bound.get(name, place), place)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            read[node.id] = min(read.get(node.id, place), place)
    arguments = {arg.arg for arg in ast.walk(function.args) if isinstance(arg, ast.arg)}
    return {
        name
        for name, place in read.items()
        if name in bound and place < bound[name] and name not in elsewhere | arguments
    }


def _own_nodes(function: _Function) -> Iterator[ast.AST]:
    """Yield the nodes of a function's body, but not those in nested functions and classes."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, _SCOPES):
            todo += ast.iter_child_nodes(node)


def _bound_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.ExceptHandler) and node.name:
        return [node.name]
    return []
