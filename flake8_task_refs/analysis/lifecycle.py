"""Who ends a task that is kept, and who hears its errors: TSK201 to TSK204, TSK301 to TSK303.

The holders that ``ownership`` found give the names under which a task can be reached later. What
the end of its owner does with those names is read off the owner's code: a lifespan after its
``yield``, a shutdown handler, a close method. A name that turns up anywhere it need not is taken
as a sign that somebody looks after the task.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.analysis.applications import (
    Application,
    application_of,
    stops_application,
)
from flake8_task_refs.analysis.cancellation import is_endless, swallowers
from flake8_task_refs.analysis.effects import CLOSERS
from flake8_task_refs.analysis.helpers import find_helper
from flake8_task_refs.analysis.ownership import Hold, How, Ownership
from flake8_task_refs.analysis.tree import Tree, last_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.analysis.sites import CreationSite

# What an endless coroutine of another file is called.
_ENDLESS_NAME: Final = re.compile(
    r"(?:\w+_)?(?:run|loop|worker|listen|listener|consume|consumer|receive|poll|poller|watch|watcher|monitor|serve|"
    r"heartbeat|subscribe|periodic|keepalive|keep_alive|forever|scheduler|daemon|process_queue|dispatch_loop)"
    r"(?:_\w+)?\Z"
)
_SAFE_TO_AWAIT: Final = ("sleep", "wait", "acquire")
_LASTING: Final = (How.STORED, How.CONTAINER, How.ALIVE)
# Methods that look at a task and do not wait for it.
_QUESTIONS: Final = ("done", "cancelled", "get_name")
_RESULTS: Final = ("result", "exception")
# Calls that end none of the tasks that they are given.
_KEEPING: Final = ("add", "append", "setdefault", "add_done_callback", "print")


class Lifecycle:
    """Judges how the tasks of one region end."""

    def __init__(self, ownership: Ownership) -> None:
        """Use what ``ownership`` knows of the region."""
        self.ownership = ownership
        self.tree = ownership.tree
        self.code = ownership.tree.outline.code

    # -- TSK201, TSK204 ---------------------------------------------------------------------

    def never_ends(self, site: CreationSite, holds: list[Hold]) -> str | None:
        """Return the code for an endless task that its owner's end leaves running, or None.

        TSK201 for an application, TSK204 for a class with a close method.
        """
        # Whoever asks for a result says that the task is over, and does not bring it about.
        holders = [hold for hold in holds if not _asks_result(hold.node)]
        if site.kind != "task" or not all(hold.how in _LASTING for hold in holders):
            return None
        if not all(_is_own(hold.node) for hold in holders):
            return None
        function = self.tree.function_around(site.call)
        if not isinstance(function, cst.FunctionDef) or not self.is_endless(site):
            return None
        places = self._places(site, holders)
        application = application_of(self.tree, self.ownership.names, function)
        if application is not None and application.sure:
            return None if self._application_ends(application, site, places) else "TSK201"
        closer = self._close_method(site.call)
        if closer is None or any(hold.how is How.ALIVE for hold in holders):
            return None
        return None if self._mentioned_elsewhere(places, site) else "TSK204"

    def _application_ends(
        self, application: Application, site: CreationSite, places: set[str]
    ) -> bool:
        """Tell whether anything after the start deals with one of ``places``."""
        tree = self.tree
        if self._given_away(application.function, places):
            return True
        if application.yields:
            yielded = [
                tree.order[node]
                for node in tree.walk(application.function.body)
                if isinstance(node, cst.Yield) and tree.order[node] > tree.order[site.call]
            ]
            if any(
                _place(node) in places and not self._only_looked_at(node)
                for node in tree.walk(application.function.body, into_functions=True)
                if yielded and tree.order.get(node, 0) > yielded[0]
            ):
                return True
        elif any(
            re.search(_pattern(place), self._text(place)[start:end])
            for start, end in application.endings
            for place in places
        ):
            return True
        return self._mentioned_elsewhere(places, site)

    def _given_away(self, function: cst.FunctionDef, places: set[str]) -> bool:
        """Tell whether ``function`` hands an attribute on (``stack.callback(app.task.cancel)``).

        What becomes of a task under a local name, ``ownership`` has found out already.
        """
        for node in self.tree.walk(function.body):
            if not isinstance(node, cst.Arg):
                continue
            call = self.tree.parent[node]
            if isinstance(call, cst.Call) and last_name(call.func) in _KEEPING:
                continue
            if any(
                isinstance(inner, cst.Attribute) and _place(inner) in places
                for inner in self.tree.walk(node.value)
            ):
                return True
        return False

    def _only_looked_at(self, node: cst.CSTNode) -> bool:
        """Tell whether ``node`` is asked whether it is done, what it is called, or the like."""
        question = self.tree.parent[node]
        return (
            isinstance(question, cst.Attribute)
            and question.value is node
            and question.attr.value in (*_QUESTIONS, *_RESULTS)
            and not any(isinstance(outer, cst.While) for outer in self.tree.ancestors(node))
        )

    def _places(self, site: CreationSite, holds: list[Hold]) -> set[str]:
        """Return where the task of ``site`` can be reached, as ``_place`` names it."""
        places = {self._target(hold.node) for hold in holds}
        function = self.tree.function_around(site.call)
        grown = True
        while grown and function is not None:
            grown = False
            for node in self.tree.walk(function):
                found = self._bound_together(node, site, places)
                grown |= not found <= places
                places |= found
        return places - {"", "_"}

    def _target(self, node: cst.CSTNode) -> str:
        """Return the place that an assignment to ``node``, or to a slot of it, fills.

        For a slot of the application itself (``app["poller"]``) that is the key.
        """
        slot = node if isinstance(node, cst.Subscript) else self.tree.parent[node]
        while isinstance(node, cst.Subscript):
            node = node.value
        if isinstance(slot, cst.Subscript) and slot.value is node and self._is_application(node):
            index = slot.slice[0].slice
            return _place(index.value) if isinstance(index, cst.Index) else ""
        return _place(node)

    def _is_application(self, node: cst.CSTNode) -> bool:
        if last_name(node) in ("app", "application"):
            return True
        scope = self.tree.scope[node].owner(node.value) if isinstance(node, cst.Name) else None
        stores = scope.stores.get(last_name(node), ()) if scope is not None else ()
        return any(isinstance(self.tree.parent[store], cst.Param) for store in stores)

    def _bound_together(self, node: cst.CSTNode, site: CreationSite, places: set[str]) -> set[str]:
        """Return what an assignment or ``add`` ties to the task, or to one of ``places``."""
        if isinstance(node, (cst.Assign, cst.AnnAssign)) and node.value is not None:
            assigned = (
                [target.target for target in node.targets]
                if isinstance(node, cst.Assign)
                else [node.target]
            )
            targets = {self._target(target) for target in assigned} - {""}
            tied = self.tree.holds(node.value, site.call) or _place(node.value) in places
            return targets if tied or targets & places else set()
        if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
            adds = node.func.attr.value in ("add", "append", "setdefault")
            if adds and any(_place(arg.value) in places for arg in node.args):
                return {self._target(node.func.value)} - {""}
        return set()

    def _mentioned_elsewhere(self, places: set[str], site: CreationSite) -> bool:
        """Tell whether other functions of the file do more with ``places`` than to fill them."""
        function = self.tree.function_around(site.call)
        start, end = self._span(site.call)
        for place in places - self._local_names(function):
            pattern = _pattern(place)
            harmless = re.compile(
                rf"{pattern}\]?(?:\s*:[^=\n]+)?\s*=(?!=)"
                rf"|{pattern}\]?\.(?:add|append|discard|remove)\b"
            )
            text = self._text(place)
            text = text[:start] + text[end:]
            if len(re.findall(pattern, text)) > len(harmless.findall(text)):
                return True
        return False

    def _span(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return where the outermost function around ``node`` lies (offsets in the source)."""
        tree = self.tree
        around = [at for at in tree.ancestors(node) if isinstance(at, cst.FunctionDef)]
        if around:
            line = tree.position(around[-1].name)[0]
            for definition in tree.outline.definitions:
                if (
                    definition.name == around[-1].name.value
                    and tree.outline.position(definition.header)[0] == line
                ):
                    return definition.start, definition.end
        return tree.region.start, tree.region.end

    def _text(self, place: str) -> str:
        """Return the module's text to look for ``place`` in: with strings, if it may be a key."""
        return self.tree.outline.source if place.startswith(".") else self.code

    def _local_names(self, function: cst.FunctionDef | cst.Lambda | None) -> set[str]:
        scope = self.tree.inner.get(function) if function is not None else None
        return set(scope.stores) - scope.elsewhere if scope is not None else set()

    def _close_method(self, call: cst.Call) -> str | None:
        holder = self.tree.class_around(call)
        if holder is None:
            return None
        outline = self.tree.outline
        for name in CLOSERS:
            for definition in outline.functions(name, holder.name.value):
                header = self.code[definition.start : definition.header]
                if re.search(r"\basync\s+def\s", header):
                    return name
        return None

    # -- endless coroutines -----------------------------------------------------------------

    def is_endless(self, site: CreationSite) -> bool:
        """Tell whether the spawned coroutine loops: by its code if it is here, else by its name."""
        value = site.call.args[0].value if site.call.args else None
        if not isinstance(value, cst.Call):
            return False
        found = self.coroutine(value)
        if found is None:
            return _ENDLESS_NAME.match(last_name(value.func)) is not None
        return runs_for_ever(*found)

    def coroutine(self, call: cst.Call) -> tuple[Tree, cst.FunctionDef] | None:
        """Return the function of this file that ``call`` makes a coroutine of."""
        if isinstance(call.func, cst.Name):
            scope = self.tree.scope[call.func].owner(call.func.value)
            if scope is not None and scope.kind == "function":
                for store in scope.stores.get(call.func.value, ()):
                    holder = self.tree.parent[store]
                    if isinstance(holder, cst.FunctionDef):
                        return self.tree, holder
        helper = find_helper(self.tree, call.func, self.ownership.parse)
        return (helper.tree, helper.function) if helper is not None else None

    # -- TSK202 -----------------------------------------------------------------------------

    def unawaited_cancels(self) -> Iterator[cst.Call]:
        """Yield the ``cancel()`` calls of closing code after which nobody awaits the task."""
        tree = self.tree
        for call in tree.calls:
            func = call.func
            if not isinstance(func, cst.Attribute) or func.attr.value != "cancel":
                continue
            if any(arg.keyword is None or arg.keyword.value != "msg" for arg in call.args):
                continue
            function = tree.function_around(call)
            if (
                not isinstance(function, cst.FunctionDef)
                or function.asynchronous is None
                or not self._is_ending(function, call)
                or not self._is_task(func.value)
            ):
                continue
            names = self._cancelled_names(func.value)
            if names and not (
                self._awaited_after(function, call, names) or self._awaited_elsewhere(names)
            ):
                yield call

    def _is_ending(self, function: cst.FunctionDef, call: cst.Call) -> bool:
        if function.name.value in CLOSERS or stops_application(self.tree, function):
            return True
        application = application_of(self.tree, self.ownership.names, function)
        if application is None or not application.yields or not application.sure:
            return False
        return any(
            isinstance(node, cst.Yield) and self.tree.order[node] < self.tree.order[call]
            for node in self.tree.walk(function.body)
        )

    def _is_task(self, receiver: cst.BaseExpression) -> bool:
        """Tell whether this file binds a new task to the name that is cancelled."""
        names = self._cancelled_names(receiver)
        made = r"(?:create_task|ensure_future)\("
        return any(
            re.search(
                rf"\b{name}[\"']?\]?(?:\[[^\]\n]*\])?\s*(?::[^=\n]+)?=\s*[\w.()]*{made}",
                self.tree.outline.source,
            )
            or re.search(rf"\b{name}\.(?:add|append)\(\s*(?:\w+\)|[\w.()]*{made})", self.code)
            for name in names
        )

    def _cancelled_names(self, receiver: cst.BaseExpression) -> set[str]:
        """Return the last names of what is cancelled; of the container, if a loop goes over it."""
        names = {self._target(receiver).lstrip(".")}
        if isinstance(receiver, cst.Name):
            for outer in self.tree.ancestors(receiver):
                if isinstance(outer, cst.For) and last_name(outer.target) == receiver.value:
                    names |= {
                        last_name(node)
                        for node in self.tree.walk(outer.iter)
                        if isinstance(node, (cst.Name, cst.Attribute))
                    }
        return names - {"self", "list", "tuple", "values", ""}

    def _awaited_after(self, function: cst.FunctionDef, call: cst.Call, names: set[str]) -> bool:
        """Tell whether the function awaits one of ``names``, or hands it on, after ``call``."""
        tree = self.tree
        for node in tree.walk(function.body):
            if tree.order.get(node, 0) <= tree.order[call]:
                continue
            if isinstance(node, cst.Await) and _waits(node):
                return True
            awaiting = isinstance(node, cst.Await) or (
                isinstance(node, cst.Call) and not _is_cancel(node)
            )
            if awaiting and any(_place(inner).lstrip(".") in names for inner in tree.walk(node)):
                return True
        return False

    def _awaited_elsewhere(self, names: set[str]) -> bool:
        """Tell whether any function of the file awaits an attribute of one of ``names``."""
        return any(
            re.search(rf"\bawait\b[^\n]*(?:\([^)]*)?\.{name}\b(?!\.cancel\b)", self.code)
            for name in names
        )

    # -- TSK203 -----------------------------------------------------------------------------

    def swallowed(self, site: CreationSite) -> list[tuple[Tree, cst.CSTNode]]:
        """Return where the spawned coroutine's loops catch a cancellation and go on."""
        value = site.call.args[0].value if site.call.args else None
        found = self.coroutine(value) if isinstance(value, cst.Call) else None
        if found is None:
            return []
        tree, function = found
        return [
            (tree, catcher)
            for loop, catcher in swallowers(tree, function)
            if isinstance(loop, cst.While) and is_endless(loop)
        ]

    # -- TSK301, TSK303 ---------------------------------------------------------------------

    def is_unobserved(self, site: CreationSite, holds: list[Hold]) -> bool:
        """Tell whether the task is held for ever and nobody ever asks for its exception."""
        if site.kind != "task" or not holds:
            return False
        if not all(hold.how is How.STORED for hold in holds) or not self._may_fail(site):
            return False
        names = {last_name(hold.node) for hold in holds} - {""}
        if not names or any(not isinstance(hold.node, cst.Attribute) for hold in holds):
            return False
        harmless = (
            r"(?:\s*:[^=\n]+)?\s*=(?!=)|\.(?:cancel|cancelled|get_name|set_name)\("
            r"|\s+(?:is|is not)\s+None|\s*(?:and\b|or\b|:)"
        )
        for name in names:
            uses = re.findall(rf"\.{name}\b", self.code)
            if len(uses) != len(re.findall(rf"\.{name}\b(?={harmless})", self.code)):
                return False
            if re.search(rf"getattr\([^()]*[\"']{name}[\"']", self.tree.outline.source):
                return False
        return True

    def _may_fail(self, site: CreationSite) -> bool:
        """Tell whether the coroutine, as far as it is seen, can end with an exception."""
        value = site.call.args[0].value if site.call.args else None
        found = self.coroutine(value) if isinstance(value, cst.Call) else None
        if found is None:
            return False
        tree, function = found
        if function.decorators:
            return False  # a decorator may log what its function raises
        nodes = list(tree.walk(function.body))
        if any(isinstance(node, cst.ExceptHandler) and is_wide(node) for node in nodes):
            return False
        awaited = [node.expression for node in nodes if isinstance(node, cst.Await)]
        calls = [item for item in awaited if isinstance(item, cst.Call)]
        return any(last_name(call.func) not in _SAFE_TO_AWAIT for call in calls)

    def is_unnamed(self, site: CreationSite) -> bool:
        """Tell whether ``create_task`` is called without a name."""
        if site.path not in ("asyncio.create_task", "loop.create_task"):
            return False
        if site.kind != "task" or "set_task_factory" in self.code:
            return False
        if any(arg.star == "**" for arg in site.call.args) or self._is_named_later(site):
            return False
        return not any(arg.keyword and arg.keyword.value == "name" for arg in site.call.args)

    def _is_named_later(self, site: CreationSite) -> bool:
        """Tell whether the function calls ``set_name`` of what the task is assigned to."""
        assign = self.tree.parent[site.call]
        function = self.tree.function_around(site.call)
        if not isinstance(assign, (cst.Assign, cst.AnnAssign)) or function is None:
            return False
        targets = (
            [target.target for target in assign.targets]
            if isinstance(assign, cst.Assign)
            else [assign.target]
        )
        places = {_place(target) for target in targets} - {""}
        return any(
            isinstance(node, cst.Attribute)
            and node.attr.value == "set_name"
            and _place(node.value) in places
            for node in self.tree.walk(function)
        )


def runs_for_ever(tree: Tree, function: cst.FunctionDef) -> bool:
    """Tell whether ``function`` has a loop that nothing but an exception or its end stops."""
    return any(_is_endless_loop(tree, node) for node in tree.walk(function.body))


def _is_endless_loop(tree: Tree, node: cst.CSTNode) -> bool:
    if isinstance(node, cst.For):
        return node.asynchronous is not None
    if not isinstance(node, cst.While):
        return False
    tested = {last_name(inner) for inner in tree.walk(node.test)} - {""}
    return not any(
        isinstance(inner, cst.Return)
        or (isinstance(inner, cst.Break) and _loop_of(tree, inner) is node)
        or (isinstance(inner, (cst.AssignTarget, cst.AugAssign)) and _fills(inner, tested))
        for inner in tree.walk(node.body)
    )


def _place(node: cst.CSTNode) -> str:
    """Name what may hold a task: ``x`` for a variable, ``.x`` for an attribute or a string key."""
    if isinstance(node, cst.Attribute):
        return f".{node.attr.value}"
    if isinstance(node, cst.SimpleString) and isinstance(node.evaluated_value, str):
        return f".{node.evaluated_value}"
    return last_name(node)


def _pattern(place: str) -> str:
    """Return a regular expression for the mentions of ``place``."""
    if not place.startswith("."):
        return rf"\b{place}\b"
    name = re.escape(place[1:])
    return rf"(?:\.{name}\b|[\"']{name}[\"'])"


def _asks_result(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Call) and last_name(node.func) in _RESULTS


def _loop_of(tree: Tree, node: cst.Break) -> cst.CSTNode | None:
    """Return the loop that a ``break`` leaves."""
    return next((at for at in tree.ancestors(node) if isinstance(at, (cst.While, cst.For))), None)


def _fills(node: cst.AssignTarget | cst.AugAssign, names: set[str]) -> bool:
    return last_name(node.target) in names


def is_wide(handler: cst.ExceptHandler) -> bool:
    """Tell whether ``handler`` catches every error."""
    kind = handler.type
    if kind is None:
        return True
    kinds = [element.value for element in kind.elements] if isinstance(kind, cst.Tuple) else [kind]
    return any(last_name(item) in ("Exception", "BaseException") for item in kinds)


def _waits(node: cst.Await) -> bool:
    """Tell whether an ``await`` waits for something that the tasks may bring about."""
    call = node.expression
    return isinstance(call, cst.Call) and last_name(call.func) in ("wait", "join", "wait_closed")


def _is_cancel(call: cst.Call) -> bool:
    """Tell whether a call looks after a task without waiting for it."""
    return last_name(call.func) in ("cancel", "done", "discard", "remove", "clear")


def _is_own(node: cst.CSTNode) -> bool:
    """Tell whether a task is stored on an object that this file looks after."""
    while isinstance(node, (cst.Attribute, cst.Subscript)):
        if not isinstance(node.value, (cst.Attribute, cst.Subscript)):
            return last_name(node.value) in ("self", "cls", "app", "application", "state", "_")
        node = node.value
    return True
