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

from flake8_task_refs.analysis.applications import Application, application_of
from flake8_task_refs.analysis.cancellation import cancels, swallower
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
        if site.kind != "task" or not all(hold.how in _LASTING for hold in holds):
            return None
        function = self.tree.function_around(site.call)
        if not isinstance(function, cst.FunctionDef) or not self._is_endless(site):
            return None
        names = self._names(site, holds)
        application = application_of(self.tree, self.ownership.names, function)
        if application is not None:
            return None if self._application_ends(application, site, names) else "TSK201"
        closer = self._close_method(site.call)
        if closer is None or any(hold.how is How.ALIVE for hold in holds):
            return None
        return None if self._mentioned_elsewhere(names, site) else "TSK204"

    def _application_ends(
        self, application: Application, site: CreationSite, names: set[str]
    ) -> bool:
        """Tell whether anything after the start deals with one of ``names``."""
        if application.yields:
            last = max(
                self.tree.order[node]
                for node in self.tree.walk(application.function.body)
                if isinstance(node, cst.Yield)
            )
            after = [
                node.value
                for node in self.tree.walk(application.function.body, into_functions=True)
                if isinstance(node, cst.Name) and self.tree.order[node] > last
            ]
            if names & set(after):
                return True
        elif any(re.search(rf"\b{name}\b", text) for text in application.endings for name in names):
            return True
        return self._mentioned_elsewhere(names, site)

    def _names(self, site: CreationSite, holds: list[Hold]) -> set[str]:
        """Return the names by which the task of ``site`` can be reached: locals, attributes."""
        names = {last_name(hold.node) for hold in holds}
        function = self.tree.function_around(site.call)
        grown = True
        while grown and function is not None:
            grown = False
            for node in self.tree.walk(function):
                found = self._bound_together(node, site, names)
                grown |= not found <= names
                names |= found
        return names - {"", "_"}

    def _bound_together(self, node: cst.CSTNode, site: CreationSite, names: set[str]) -> set[str]:
        """Return the names that an assignment or ``add`` ties to the task, or to ``names``."""
        if isinstance(node, cst.Assign):
            targets = {last_name(target.target) for target in node.targets} | {
                last_name(target.target.value)
                for target in node.targets
                if isinstance(target.target, cst.Subscript)
            }
            tied = self.tree.holds(node.value, site.call) or last_name(node.value) in names
            return targets - {""} if tied or targets & names else set()
        if isinstance(node, cst.AnnAssign) and node.value is not None:
            tied = self.tree.holds(node.value, site.call) or last_name(node.value) in names
            return {last_name(node.target)} if tied else set()
        if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
            adds = node.func.attr.value in ("add", "append", "setdefault")
            if adds and any(last_name(arg.value) in names for arg in node.args):
                return {last_name(node.func.value)} - {""}
        return set()

    def _mentioned_elsewhere(self, names: set[str], site: CreationSite) -> bool:
        """Tell whether other functions of the file do more with ``names`` than to fill them."""
        function = self.tree.function_around(site.call)
        inside = self._local_names(function)
        region = self.tree.region
        for name in names - inside:
            harmless = re.compile(
                rf"\b{name}(?:\s*:[^=\n]+)?\s*=(?!=)|\b{name}\.(?:add|append|discard|remove)\b"
            )
            text = self.code[: region.start] + self.code[region.end :]
            if len(re.findall(rf"\b{name}\b", text)) > len(harmless.findall(text)):
                return True
        return False

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

    def _is_endless(self, site: CreationSite) -> bool:
        """Tell whether the spawned coroutine loops: by its code if it is here, else by its name."""
        value = site.call.args[0].value if site.call.args else None
        if not isinstance(value, cst.Call):
            return False
        found = self.coroutine(value)
        if found is None:
            return _ENDLESS_NAME.match(last_name(value.func)) is not None
        tree, function = found
        return any(self._is_endless_loop(tree, node) for node in tree.walk(function.body))

    @staticmethod
    def _is_endless_loop(tree: Tree, node: cst.CSTNode) -> bool:
        """Tell whether ``node`` is a loop that nothing but an exception or its end stops."""
        if isinstance(node, cst.For):
            return node.asynchronous is not None
        if not isinstance(node, cst.While):
            return False
        tested = {last_name(inner) for inner in tree.walk(node.test)} - {""}
        return not any(
            isinstance(inner, (cst.Return, cst.Break))
            or (isinstance(inner, cst.AssignTarget) and last_name(inner.target) in tested)
            for inner in tree.walk(node.body)
        )

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
            if names and not self._awaited_after(function, call, names):
                yield call

    def _is_ending(self, function: cst.FunctionDef, call: cst.Call) -> bool:
        if function.name.value in CLOSERS:
            return True
        application = application_of(self.tree, self.ownership.names, function)
        if application is None or not application.yields:
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
            re.search(rf"\b{name}(?:\[[^\]\n]*\])?\s*(?::[^=\n]+)?=\s*[\w.()]*{made}", self.code)
            or re.search(rf"\b{name}\.(?:add|append)\(\s*(?:\w+\)|[\w.()]*{made})", self.code)
            for name in names
        )

    def _cancelled_names(self, receiver: cst.BaseExpression) -> set[str]:
        """Return the last names of what is cancelled; of the container, if a loop goes over it."""
        names = {last_name(receiver)} - {""}
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
            if awaiting and any(
                last_name(inner) in names
                for inner in tree.walk(node)
                if isinstance(inner, (cst.Name, cst.Attribute))
            ):
                return True
        return False

    # -- TSK203 -----------------------------------------------------------------------------

    def swallowed(self, site: CreationSite) -> list[tuple[Tree, cst.CSTNode]]:
        """Return where the spawned coroutine's loops catch a cancellation and go on."""
        value = site.call.args[0].value if site.call.args else None
        found = self.coroutine(value) if isinstance(value, cst.Call) else None
        if found is None:
            return []
        tree, function = found
        loops = [node for node in tree.walk(function.body) if isinstance(node, cst.While)]
        return [
            (tree, catcher)
            for loop in loops
            if not cancels(tree, loop.body)
            for node in tree.walk(loop.body)
            if (catcher := swallower(tree, loop, node)) is not None
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
            r"(?:\s*:[^=\n]+)?\s*=(?!=)|\.(?:cancel|cancelled|get_name|set_name)\(\)"
            r"|\s+(?:is|is not)\s+None|\s*(?:and\b|or\b|:)"
        )
        for name in names:
            uses = re.findall(rf"\b{name}\b", self.code)
            if len(uses) != len(re.findall(rf"\b{name}\b(?={harmless})", self.code)):
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
        if any(isinstance(node, cst.ExceptHandler) and _is_wide(node) for node in nodes):
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
        if any(arg.star == "**" for arg in site.call.args):
            return False
        return not any(arg.keyword and arg.keyword.value == "name" for arg in site.call.args)


def _is_wide(handler: cst.ExceptHandler) -> bool:
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
    return last_name(call.func) in ("cancel", "done", "discard")
