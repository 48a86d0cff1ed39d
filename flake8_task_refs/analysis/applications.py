"""Where an application begins and ends: lifespans, startup and shutdown handlers.

Recognised for FastAPI, Starlette, Litestar, Quart and aiohttp, by how a function is decorated,
annotated or registered in this file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name

if TYPE_CHECKING:
    from flake8_task_refs.analysis.names import Names
    from flake8_task_refs.analysis.outline import Outline
    from flake8_task_refs.analysis.tree import Tree

_APPLICATIONS: Final = re.compile(r"\b(?:FastAPI|Starlette|Litestar|Application|Quart|Sanic)\b")
# Names of lifespans, and of what they are given.
_OF_APPLICATION: Final = re.compile(
    r"life|(?:\A|_)(?:_|app|apps|application|server|bot|main|startup)(?:_|\Z)"
)
_STARTS: Final = ("startup", "before_serving", "before_server_start", "after_server_start")
_STOPS: Final = ("shutdown", "after_serving", "before_server_stop", "after_server_stop")
_START_LISTS: Final = ("on_startup",)
_STOP_LISTS: Final = ("on_shutdown", "on_cleanup")
# Quart's decorator of a generator that yields once, when it serves.
_WHILE_SERVING: Final = "while_serving"
# No application without one of these words in its file.
_MENTIONED: Final = (
    "asynccontextmanager",
    "cleanup_ctx",
    _WHILE_SERVING,
    "add_event_handler",
    *_STARTS,
    *_START_LISTS,
)
# A function, perhaps a module's or an object's, and perhaps called; then one word of it with and
# without its bracket.
_PATH: Final = r"(?:\w+\.)*\w+\(?"
_CALLED: Final = re.compile(r"((\w+)\(?)")


@dataclass(frozen=True, eq=False)
class Application:
    """A function that starts an application, and the code that runs when it stops.

    ``endings`` are where the bodies of shutdown handlers lie (offsets in the source); a
    lifespan's own ending is what stands after its ``yield``, of which ``yields`` tells. One that is
    not ``sure`` is called a lifespan, and nothing else in the file says that it is one: enough to
    end tasks with it, not enough to blame it.
    """

    function: syntax.FunctionDef
    yields: bool
    endings: tuple[tuple[int, int], ...]
    sure: bool = True


def application_of(tree: Tree, names: Names, function: syntax.FunctionDef) -> Application | None:
    """Return the application that ``function`` starts, None if it starts none."""
    outline = tree.outline
    if not outline.mentions(_MENTIONED):
        return None
    starts = _is_registered(tree, function, _STARTS, _START_LISTS) or _is_made(tree, function)
    if not starts and not function.decorators and not outline.mentions(("cleanup_ctx",)):
        return None  # Neither a handler nor a lifespan, whether it yields or not.
    if any(isinstance(node, syntax.Yield) for node in tree.jumps(function.body)):
        if _is_lifespan(tree, names, function):
            return Application(function, yields=True, endings=())
        if "lifespan" in function.name.value.lower() and _is_context_manager(tree, names, function):
            return Application(function, yields=True, endings=(), sure=False)
        return None
    if not starts:
        return None
    return Application(function, yields=False, endings=_endings(outline))


def stops_application(tree: Tree, function: syntax.FunctionDef) -> bool:
    """Tell whether ``function`` is a shutdown handler."""
    return _is_registered(tree, function, _STOPS, _STOP_LISTS)


def _is_lifespan(tree: Tree, names: Names, function: syntax.FunctionDef) -> bool:
    name = function.name.value
    code = tree.outline.code
    if "cleanup_ctx" in code and re.search(rf"\bcleanup_ctx\b.*\b{name}\b", code):
        return True
    if any(last_name(item.decorator) == _WHILE_SERVING for item in function.decorators):
        return True
    if not _is_context_manager(tree, names, function):
        return False
    if name == "lifespan" or re.search(
        rf"\blifespan(?:_context)?\s*=\s*(?:\[[^\]]{{0,2000}}\b|(?:\w+\.)*){name}\b", code
    ):
        return True
    first = next(iter(_parameters(function)), None)
    note = tree.annotation(first) if first is not None else None
    return note is not None and _APPLICATIONS.search(tree.code_of(note)) is not None


def may_be_lifespan(tree: Tree, function: syntax.FunctionDef) -> bool:
    """Tell whether a context manager may be an application's, by its names or by those around."""
    name, code = function.name.value, tree.outline.code
    notes = ((param, tree.annotation(param)) for param in _parameters(function))
    return (
        _OF_APPLICATION.search(name) is not None
        or re.search(rf"\blife\w*\b[^\n]*\b{name}\b", code) is not None
        or any(
            _OF_APPLICATION.search(param.name.value) is not None
            or (note is not None and _APPLICATIONS.search(tree.code_of(note)) is not None)
            for param, note in notes
        )
    )


def _is_context_manager(tree: Tree, names: Names, function: syntax.FunctionDef) -> bool:
    return any(
        last_name(item.decorator) == "asynccontextmanager"
        or names.canonical(tree, item.decorator) == "contextlib.asynccontextmanager"
        for item in function.decorators
    )


def _parameters(function: syntax.FunctionDef) -> list[syntax.Param]:
    params = [*function.params.posonly_params, *function.params.params]
    return [param for param in params if param.name.value not in ("self", "cls")]


def _is_registered(
    tree: Tree, function: syntax.FunctionDef, events: tuple[str, ...], lists: tuple[str, ...]
) -> bool:
    """Tell whether ``function`` is a handler of one of ``events``."""
    decorators = "".join(f"@{tree.code_of(item.decorator)}\n" for item in function.decorators)
    if _names_event(decorators, events):
        return True
    return function.name.value in _listed(tree.outline, events, lists)


def _names_event(decorators: str, events: tuple[str, ...]) -> bool:
    """Tell whether ``decorators`` name one of ``events``: as a method or a text, not as a path."""
    return re.search(rf"[.\"'](?:on_)?(?:{'|'.join(events)})\b", decorators) is not None


def _is_made(tree: Tree, function: syntax.FunctionDef) -> bool:
    """Tell whether the function around ``function`` makes startup handlers of it."""
    maker = tree.function_around(function)
    return isinstance(maker, syntax.FunctionDef) and (
        f"{maker.name.value}(" in _listed(tree.outline, _STARTS, _START_LISTS)
    )


@lru_cache(maxsize=2)  # as `_endings`; one for what starts and one for what stops
def _listed(outline: Outline, events: tuple[str, ...], lists: tuple[str, ...]) -> frozenset[str]:
    """Return the names that the module hands to ``add_event_handler`` or an ``on_startup`` list.

    What is called there is in it twice, the second time with its bracket: ``make(``.
    """
    if not outline.mentions(("add_event_handler", *lists)):
        return frozenset()
    either = "|".join(lists)
    handed = re.compile(
        rf"add_event_handler\(\s*[\"'](?:{'|'.join(events)})[\"'],\s*({_PATH})"
        rf"|\b(?:{either})(?:\s*\+?=\s*|\.extend\(\s*)(\[[^\]]{{0,2000}}|\([^)]{{0,2000}})"
        rf"|\b(?:{either})\.append\(\s*({_PATH})"
    )
    texts = ("".join(found) for found in handed.findall(outline.source))
    return frozenset(word for text in texts for name in _CALLED.findall(text) for word in name)


@lru_cache(maxsize=1)  # files come one after another, functions that ask in one file
def _endings(outline: Outline) -> tuple[tuple[int, int], ...]:
    """Return where the bodies of the module's shutdown handlers lie."""
    found: list[tuple[int, int]] = []
    listed = _listed(outline, _STOPS, _STOP_LISTS)
    for definition in outline.definitions:
        if definition.kind != "def":
            continue
        decorators = outline.source[definition.start : definition.header]
        if _names_event(decorators, _STOPS) or definition.name in listed:
            found.append((definition.header, definition.end))
    return tuple(found)
