"""Functions that never return in more than their own loops: what they await does not end.

``-> NoReturn``, ``await asyncio.sleep(math.inf)``, an event that nobody else knows, and coroutines
that loop for ever. The locals of such a frame live on.
"""

from __future__ import annotations

import re
import weakref
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.flow import Flow, Stays
from flake8_task_refs.analysis.helpers import find_coroutine
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.statement_text import closing
from flake8_task_refs.analysis.syntax import dotted_text, is_name, last_name
from flake8_task_refs.analysis.workers import Worker, is_called_endless

if TYPE_CHECKING:
    from flake8_task_refs.analysis.outline import Outline, Region
    from flake8_task_refs.analysis.ownership import Ownership
    from flake8_task_refs.analysis.tree import Scope, Tree

_NO_RETURN: Final = re.compile(r"\s*->\s*[\"']?(?:\w+\.)*(?:NoReturn|Never)\b")
# What may be awaited for ever: a number, what a local is made of, a coroutine.
_INFINITE: Final = re.compile(r"inf\b(?<!\winf)|Infinity")
_SIGN: Final = re.compile(r"(?:Event|Future|create_future)\(")
_AWAITED: Final = re.compile(
    r"await\s+(?:asyncio\.(?:gather|shield|wait_for)\(\s*)?(?:super\(\)\.)?(?:\w+\.)*(\w+)\("
)
_LOOPS: Final = re.compile(r"while[ \t]+(?:True|1)\b|await\b")
# What a coroutine of another file is called that leaves word where to send what comes, and ends.
_SUBSCRIBES: Final = re.compile(r"_*subscribe(?:_\w+)?(?<!_forever)(?<!_loop)\Z")
_MAX_DEPTH: Final = 3


def never_ends(ownership: Ownership, scope: Scope, start: syntax.Node) -> bool:
    """Tell whether the function of ``scope`` stays for ever after ``start``, in what it awaits."""
    tree, function = ownership.tree, scope.function.node
    if not isinstance(function, syntax.FunctionDef) or not function.asynchronous:
        return False
    if _says_so(tree, function):
        return True
    if not _may_wait(tree):
        return False
    tree.whole()
    return ownership.patient.never_leaves(start)


def patient_flow(ownership: Ownership) -> Flow:
    """Return what knows the control flow of a region, and the awaits there that do not end.

    ``ownership`` may keep it: it does not keep that in turn.
    """
    return Flow(ownership.tree, Patience(weakref.proxy(ownership)).stays_at)


def _says_so(tree: Tree, function: syntax.FunctionDef) -> bool:
    """Tell whether ``function`` is annotated to return never."""
    outline, region = tree.outline, tree.region
    if not outline.mentions(("NoReturn", "Never")):
        return False
    key = ("never returns", f"{function.name.value} in {region.start}")
    known = outline.answers.get(key)
    if known is None:
        heads = re.compile(rf"\bdef[ \t]+{function.name.value}[ \t]*\(")
        found = [
            _NO_RETURN.match(outline.source, closing(outline.code, head.end() - 1) + 1) is not None
            for head in heads.finditer(outline.code, region.start, region.end)
        ]
        known = outline.answers[key] = bool(found) and all(found)
    return known


def _may_wait(tree: Tree) -> bool:
    """Tell whether the text of the region has anything that ``Patience`` may know."""
    key = ("may wait for ever", str(tree.region.start))
    known = tree.outline.answers.get(key)
    if known is None:
        known = tree.outline.answers[key] = _has_long_wait(tree.outline, tree.region)
    return known


def _has_long_wait(outline: Outline, region: Region) -> bool:
    start, end = region.start, region.end
    if _INFINITE.search(outline.source, start, end) or _SIGN.search(outline.source, start, end):
        return True
    awaited = {match[1] for match in _AWAITED.finditer(outline.source, start, end)}
    return any(map(_seems_endless, awaited)) or any(
        item.name in awaited and _LOOPS.search(outline.code, item.header, item.end)
        for item in outline.definitions
    )


class Patience:
    """Knows awaits of one region that do not end."""

    def __init__(self, ownership: Ownership, depth: int = 0) -> None:
        """``depth`` is that of functions within functions."""
        self._ownership = ownership
        self._depth = depth
        self._known: dict[syntax.Node, Stays] = {}
        self._ours: dict[tuple[syntax.Node, tuple[str, ...]], bool] = {}

    def stays_at(self, awaited: syntax.BaseExpression) -> Stays:
        """Tell how long control stays in the await of ``awaited``."""
        known = self._known.get(awaited)
        if known is None:
            known = self._known[awaited] = self._stays_at(awaited)
        return known

    def _stays_at(self, awaited: syntax.BaseExpression) -> Stays:
        if isinstance(awaited, syntax.Name):
            return (
                Stays.FOR_EVER if self._is_ours(awaited, ("Future", "create_future")) else Stays.NOT
            )
        if not isinstance(awaited, syntax.Call):
            return Stays.NOT
        func = awaited.func
        name, given = last_name(func), [arg.value for arg in awaited.args]
        if name == "sleep" and given:
            return Stays.FOR_EVER if _is_infinite(given[0]) else Stays.NOT
        if name == "wait" and isinstance(func, syntax.Attribute) and not given:
            is_ours = isinstance(func.value, syntax.Name) and self._is_ours(func.value, ("Event",))
            return Stays.FOR_EVER if is_ours else Stays.NOT
        path = dotted_text(func)
        if path == "asyncio.gather":
            calls = (value for value in given if isinstance(value, syntax.Call))
            return max(map(self._runs, calls), default=Stays.NOT)
        if given and (
            path == "asyncio.shield"
            or (path == "asyncio.wait_for" and any(is_name(value, "None") for value in given[1:]))
        ):
            return self.stays_at(given[0])
        return self._runs(awaited)

    def _is_ours(self, name: syntax.Name, makers: tuple[str, ...]) -> bool:
        """Tell whether ``name`` is a local sign that is only waited for: nobody gives it."""
        tree = self._ownership.tree
        scope = tree.scope[name].owner(name.value)
        stores = scope.stores.get(name.value, ()) if scope is not None else ()
        if scope is None or scope.kind != "function" or len(stores) != 1:
            return False
        store = stores[0]
        known = self._ours.get((store, makers))
        if known is None:
            made = assigned_value(tree, store)
            known = self._ours[store, makers] = (
                isinstance(made, syntax.Call)
                and not made.args
                and last_name(made.func) in makers
                and not scope.loads.get("locals")
                and isinstance(tree.parent[store], (syntax.AssignTarget, syntax.AnnAssign))
                and len(getattr(tree.parent[tree.parent[store]], "targets", ())) < 2
                and all(self._only_waits(use) for use in scope.uses(store.value))
            )
        return known

    def _only_waits(self, use: syntax.Name) -> bool:
        outer = self._ownership.tree.parent[use]
        return isinstance(outer, syntax.Await) or (
            isinstance(outer, syntax.Attribute) and outer.attr.value == "wait"
        )

    def _runs(self, call: syntax.Call) -> Stays:
        """Tell whether ``call`` makes a coroutine that loops for ever, as far as is known."""
        ownership = self._ownership
        found = find_coroutine(ownership.tree, call, ownership.parse)
        if found is None:
            endless = (
                _seems_endless(last_name(call.func)) and Worker(ownership, call).runs_until_ended()
            )
            return Stays.UNTIL_AN_ERROR if endless else Stays.NOT
        home, function = found
        if not function.asynchronous or self._depth == _MAX_DEPTH:
            return Stays.NOT
        home.whole()
        inner = ownership.of(home)
        flow = Flow(home, Patience(inner, self._depth + 1).stays_at)
        stays = flow.stays_in(function.body)
        return min(stays, Stays.UNTIL_AN_ERROR)


def _seems_endless(name: str) -> bool:
    """Tell whether what a coroutine is called says that who awaits it does not come back.

    A task that runs ``client.subscribe()`` may well loop for ever; ``await bus.subscribe(handler)``
    goes on at once.
    """
    return is_called_endless(name) and _SUBSCRIBES.match(name) is None


def _is_infinite(value: syntax.BaseExpression) -> bool:
    """Tell whether ``value`` is ``math.inf`` or ``float("inf")``."""
    if isinstance(value, syntax.Call):
        text = value.args[0].value if value.args else None
        return (
            last_name(value.func) == "float"
            and isinstance(text, syntax.SimpleString)
            and text.value.strip("\"'+").lower() in ("inf", "infinity")
        )
    return last_name(value) == "inf"
