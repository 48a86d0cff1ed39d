"""Who is to end a task: an application, an object that is closed, a module that is stopped.

An owner's end is known by the names in the code that runs then, functions of the file that it
calls included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.applications import Application, application_of
from flake8_task_refs.analysis.effects import CLOSERS, COMMANDS
from flake8_task_refs.analysis.outline import ANNOTATION
from flake8_task_refs.analysis.ownership import How
from flake8_task_refs.analysis.syntax import last_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flake8_task_refs.analysis.applications import Application
    from flake8_task_refs.analysis.names import Names
    from flake8_task_refs.analysis.outline import Outline
    from flake8_task_refs.analysis.ownership import Hold
    from flake8_task_refs.analysis.tree import Tree

_DECORATOR: Final = re.compile(r"^[ \t]*@(?:\w+\.)*(\w+)", re.MULTILINE)
_WORD: Final = re.compile(r"[^\W\d]\w*")
# The attributes that a class states to have: by a value that is no new task, or in its body.
_MADE: Final = r"[\w.]*(?:create_task|ensure_future)\("
_STATED: Final = rf"\bself\.(\w+)[ \t]*{ANNOTATION}=(?![ \t]*{_MADE})"
_DECLARED: Final = r"^[ \t]+(\w+)[ \t]*[:=]"
_MAX_DEPTH: Final = 3  # of functions that the end calls
# A function of the module that starts something, and the names of the one that ends it.
_STARTER: Final = re.compile(
    r"_*(start|startup|init|initialize|setup|connect|open|launch)(_\w+)?\Z"
)
_STOPPERS: Final = "stop|shutdown|close|cleanup|teardown|disconnect|aclose"
# Bases that bring no close method of their own.
_PLAIN_BASES: Final = ("object", "ABC", "Generic", "Protocol")
_APPLICATION_NAMES: Final = ("self", "cls", "app", "application", "state", "_")


@dataclass(frozen=True)
class Owner:
    """``code`` is the rule that speaks of its tasks; ``end`` the names in the code of its end."""

    code: str
    end: frozenset[str]


class Owners:
    """Finds out who is to end the tasks of one region."""

    def __init__(self, tree: Tree, names: Names) -> None:
        """Answer for ``tree``."""
        self._tree = tree
        self._names = names
        self._applications: dict[syntax.FunctionDef, Application | None] = {}
        # What the end of a lifespan names, by the first yield that it comes after.
        self._ends: dict[syntax.Node | None, frozenset[str]] = {}

    def application(self, function: syntax.FunctionDef) -> Application | None:
        """Return the application that ``function`` starts, None if it starts none."""
        if function not in self._applications:
            self._applications[function] = application_of(self._tree, self._names, function)
        return self._applications[function]

    def owner(self, call: syntax.Call, holds: list[Hold], codes: frozenset[str]) -> Owner | None:
        """Return who is to end the task of ``call``, which ``holds`` keep; None if nobody is known.

        Only owners of which one of ``codes`` speaks are looked for.
        """
        tree = self._tree
        function = tree.function_around(call)
        if not isinstance(function, syntax.FunctionDef):
            return None
        application = self.application(function)
        if application is not None and application.sure:
            if not all(_is_of_application(tree, hold, application) for hold in holds):
                return None
            return Owner("TSK201", self._end_of(application, call))
        if "TSK204" not in codes or any(hold.how is How.ALIVE for hold in holds):
            return None
        found = _closers(tree, call) if all(_is_of_self(tree, h.node) for h in holds) else set()
        if not found and all(isinstance(hold.node, syntax.Name) for hold in holds):
            found = _stoppers(tree, function)
        return Owner("TSK204", with_helpers(tree, found, call)) if found else None

    def _end_of(self, application: Application, call: syntax.Call) -> frozenset[str]:
        """Return the names in an application's end and in the helpers that it calls.

        The end is what comes after the ``yield``, or the shutdown handlers.
        """
        tree = self._tree
        if not application.yields:
            code = tree.outline.code
            words = {word for start, end in application.endings for word in _words(code[start:end])}
            return with_helpers(tree, words, call)
        body = application.function.body
        suspended = next(
            (
                node
                for node in tree.jumps(body)
                if isinstance(node, syntax.Yield) and tree.order[node] > tree.order[call]
            ),
            None,
        )
        known = self._ends.get(suspended)
        if known is None:
            found = {
                last_name(node)
                for node in tree.walk(body, into_functions=True)
                if suspended is not None and tree.order.get(node, 0) > tree.order[suspended]
            } - {""}
            known = self._ends[suspended] = with_helpers(tree, found, call)
        return known


def _closers(tree: Tree, call: syntax.Call) -> set[str]:
    """Return the names in the close methods of the class around ``call``; none if it has none."""
    holder = tree.class_around(call)
    if holder is None:
        return set()
    outline = tree.outline
    closers = [
        definition
        for name in CLOSERS
        for definition in outline.functions(name, holder.name.value)
        if not tree.holds(holder, call) or definition.name != _function_name(tree, call)
        if COMMANDS.isdisjoint(
            _DECORATOR.findall(outline.code, definition.start, definition.header)
        )
    ]
    # One that cannot wait for a task may leave that to somebody else.
    if not any(_is_async(outline, closer.start, closer.header) for closer in closers):
        return set()
    return {word for closer in closers for word in _words(outline.code[closer.header : closer.end])}


def _stoppers(tree: Tree, function: syntax.FunctionDef) -> set[str]:
    """Return the names in the module's function that ends what ``function`` starts."""
    starter = _STARTER.match(function.name.value)
    if starter is None or tree.scope[function].kind != "module":
        return set()
    outline = tree.outline
    wanted = re.compile(rf"_*(?:{_STOPPERS}){starter[2] or ''}\Z")
    found = [
        definition
        for definition in outline.definitions
        if definition.kind == "def" and not definition.margin and wanted.match(definition.name)
    ]
    if not any(_is_async(outline, stopper.start, stopper.header) for stopper in found):
        return set()
    return {word for item in found for word in _words(outline.code[item.header : item.end])}


def with_helpers(tree: Tree, names: set[str], at: syntax.Node) -> frozenset[str]:
    """Add the names in the file's own functions that ``names`` mention, and in theirs.

    ``at`` is a node of the class whose methods are meant, if it is a class's.
    """
    outline = tree.outline
    around = tree.class_around(at)
    classes = ("", around.name.value) if around is not None else ("",)
    known, new = set(names), set(names)
    for _ in range(_MAX_DEPTH):
        bodies = [
            outline.code[item.header : item.end]
            for name in new
            for class_name in classes
            for item in outline.functions(name, class_name)
        ]
        new = {word for body in bodies for word in _words(body)} - known
        known |= new
    return frozenset(known)


def _words(text: str) -> Iterable[str]:
    return _WORD.findall(text)


def _is_async(outline: Outline, start: int, header: int) -> bool:
    return re.search(r"\basync\s+def\s", outline.code[start:header]) is not None


def _function_name(tree: Tree, call: syntax.Call) -> str:
    function = tree.function_around(call)
    return function.name.value if isinstance(function, syntax.FunctionDef) else ""


def _root(node: syntax.Node) -> syntax.Node:
    while isinstance(node, (syntax.Attribute, syntax.Subscript)):
        node = node.value
    return node


def _is_of_application(tree: Tree, hold: Hold, application: Application) -> bool:
    """Tell whether an application's own code has the task: in a variable, or on the application."""
    if hold.how is How.ALIVE:
        return True
    root = _root(hold.node)
    if not isinstance(root, syntax.Name):
        return False
    params = application.function.params
    given = [param.name.value for param in (*params.posonly_params, *params.params)]
    slotted = isinstance(tree.parent[root], (syntax.Attribute, syntax.Subscript))
    if slotted and (root.value in given or root.value in _APPLICATION_NAMES):
        return True
    return not isinstance(hold.node, syntax.Attribute) and _is_of_module(tree, root)


def _is_of_self(tree: Tree, node: syntax.Node) -> bool:
    """Tell whether ``node`` is an attribute that the class around it gives its instances."""
    while isinstance(node, syntax.Subscript):
        node = node.value
    around = tree.class_around(node)
    if not isinstance(node, syntax.Attribute) or last_name(node.value) != "self" or around is None:
        return isinstance(node, syntax.Name) and _is_of_module(tree, node)
    name, names_of = node.attr.value, tree.outline.names_of
    if name in names_of(_STATED) or name in names_of(_DECLARED):
        return True
    # A base of another file may have the attribute, and end what is in it.
    return _has_only_own_bases(tree, around)


def _has_only_own_bases(tree: Tree, holder: syntax.ClassDef) -> bool:
    """Tell whether the bases of ``holder`` are classes of this file, or such that have no tasks."""
    bases = {last_name(base.value) for base in holder.bases if last_name(base.value)}
    outline = tree.outline
    # Each task of the class asks the same.
    key = ("bases", f"{holder.name.value}({','.join(sorted(bases))})")
    known = outline.answers.get(key)
    if known is None:
        # A region shows no more of a class than its name.
        header = re.search(rf"\bclass[ \t]+{holder.name.value}[ \t]*\(([^)]*)", outline.code)
        bases |= set(_words(header[1])) if header else set()
        own = {item.name for item in outline.definitions if item.kind == "class"}
        known = outline.answers[key] = bases <= own | set(_PLAIN_BASES)
    return known


def _is_of_module(tree: Tree, name: syntax.Name) -> bool:
    """Tell whether this module makes the variable ``name``: an imported one has other users."""
    scope = tree.scope[name].owner(name.value)
    if scope is not None and scope.kind == "function":
        stores = scope.stores.get(name.value, ())
        return not any(isinstance(tree.parent[store], syntax.Param) for store in stores)
    made = rf"^{name.value}[ \t]*[:=]"
    return re.search(made, tree.outline.code, re.MULTILINE) is not None or (
        name.value in tree.scope[name].function.elsewhere
    )
