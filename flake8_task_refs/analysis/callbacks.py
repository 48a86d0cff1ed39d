"""TSK102: done-callbacks that cannot work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.cancellation import unguarded_results
from flake8_task_refs.analysis.helpers import Helper, find_helper
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.outline import ANNOTATION
from flake8_task_refs.analysis.sites import is_done_callback
from flake8_task_refs.analysis.syntax import children, dotted_text, last_name

if TYPE_CHECKING:
    from flake8_task_refs.analysis.ownership import Ownership
    from flake8_task_refs.analysis.tree import Tree

_TAKERS: Final = frozenset({"discard", "remove", "pop", "clear"})
_FILLERS: Final = frozenset({"add", "append"})


class Callbacks:
    """Judges the ``add_done_callback`` calls of one region."""

    def __init__(self, ownership: Ownership) -> None:
        """Use the region, names and helper look-up of ``ownership``."""
        self.ownership = ownership
        self.tree = ownership.tree

    def broken(self) -> list[syntax.Call]:
        """Return the calls that register a callback which cannot work, in source order."""
        return [
            call
            for call in self.tree.marked_calls()
            if is_done_callback(call.func)
            and call.args
            and not (isinstance(call.func, syntax.Attribute) and self._is_foreign(call.func.value))
            and self._is_broken(call, call.args[0].value)
        ]

    def _is_foreign(self, receiver: syntax.BaseExpression) -> bool:
        """Tell whether ``receiver`` is surely no future: of another class, or ``self``."""
        if isinstance(receiver, syntax.Call):
            name = last_name(receiver.func).lstrip("_")
            return name[:1].isupper() and not name.endswith(("Task", "Future"))
        if not isinstance(receiver, syntax.Name):
            return False
        if receiver.value == "self":
            return True
        scope = self.tree.scope[receiver].owner(receiver.value)
        stores = scope.stores.get(receiver.value, ()) if scope is not None else ()
        made = [assigned_value(self.tree, store) for store in stores]
        return bool(made) and all(isinstance(v, syntax.Call) and self._is_foreign(v) for v in made)

    def raising(self) -> list[syntax.Call]:
        """Return the calls that register a callback which raises if the task was cancelled."""
        found: list[syntax.Call] = []
        for call in self.tree.marked_calls():
            if not is_done_callback(call.func) or not call.args or not self._is_on_task(call):
                continue
            callback = self.registered(call)
            if callback is not None and unguarded_results(*callback):
                found.append(call)
        return found

    def registered(
        self, call: syntax.Call
    ) -> tuple[Tree, syntax.FunctionDef | syntax.Lambda, str] | None:
        """Return what ``call`` registers, if it is of this file, and which parameter is the task.

        That is the first one that is given neither by a ``partial`` nor as the object of a method.
        """
        callback = self._named(call.args[0].value)
        if isinstance(callback, syntax.Lambda):
            task = _free_parameter(callback.params, 0, frozenset())
            return (self.tree, callback, task) if task else None
        given: list[syntax.Arg] = []
        if isinstance(callback, syntax.Call):
            path = self.ownership.names.canonical(self.tree, callback.func)
            if path != "functools.partial" or not callback.args:
                return None
            function, *given = callback.args
            if function.keyword is not None or any(arg.star for arg in callback.args):
                return None
            callback = function.value
        found = self.function(callback)
        if found is None:
            return None
        keywords = frozenset(arg.keyword.value for arg in given if arg.keyword is not None)
        before = found.bound + len(given) - len(keywords)
        task = _free_parameter(found.function.params, before, keywords)
        return (found.tree, found.function, task) if task else None

    def _named(self, callback: syntax.BaseExpression) -> syntax.BaseExpression:
        """Return the ``partial(...)`` or lambda that a local stands for; else ``callback``."""
        if not isinstance(callback, syntax.Name):
            return callback
        scope = self.tree.scope[callback].owner(callback.value)
        if scope is None or scope.kind != "function":
            return callback
        stores = scope.stores.get(callback.value, ())
        value = assigned_value(self.tree, stores[0]) if len(stores) == 1 else None
        return value if isinstance(value, (syntax.Call, syntax.Lambda)) else callback

    def _is_on_task(self, call: syntax.Call) -> bool:
        """Tell whether the callback is added to an asyncio task, as far as the function shows."""
        receiver = call.func.value if isinstance(call.func, syntax.Attribute) else None
        if isinstance(receiver, syntax.Call):
            return self._creates(receiver)
        if isinstance(receiver, syntax.Attribute):
            creator = r"[\w.]*(?:create_task|ensure_future)\("
            made = rf"\.{receiver.attr.value}[ \t]*{ANNOTATION}=[ \t]*{creator}"
            return re.search(made, self.tree.outline.code) is not None
        if not isinstance(receiver, syntax.Name):
            return False
        scope = self.tree.scope[receiver].owner(receiver.value)
        stores = scope.stores.get(receiver.value, ()) if scope is not None else ()
        for store in stores:
            value = assigned_value(self.tree, store)
            if isinstance(value, syntax.Call) and self._creates(value):
                return True
            note = self.tree.annotation(self.tree.parent[store])
            if note is not None and re.search(r"\bTask\b", self.tree.code_of(note)):
                return True
        return False

    def _creates(self, call: syntax.Call) -> bool:
        creator = self.ownership.sites.creator(self.tree, call.func)
        return creator is not None or last_name(call.func).endswith("create_task")

    def _is_broken(self, call: syntax.Call, callback: syntax.BaseExpression) -> bool:
        if isinstance(callback, syntax.Call):
            return self._is_called_already(callback)
        if isinstance(callback, syntax.Lambda):
            return not _takes_one(callback.params, bound=False)
        if isinstance(callback, syntax.Attribute) and callback.attr.value in ("discard", "remove"):
            return self._is_other_container(call, callback.value)
        found = self.function(callback)
        if found is None:
            return False
        function = found.function
        # Within a function, there may be any decorator.
        is_plain = not function.decorators or found.tree.method_class(function) is not None
        return (
            function.asynchronous
            or (is_plain and not _takes_one(function.params, bound=found.bound))
            or self._leaks_on_failure(found.tree, function)
        )

    @staticmethod
    def _is_called_already(callback: syntax.Call) -> bool:
        """``add_done_callback(tasks.discard(task))``: empties the set now, registers None."""
        func = callback.func
        return (
            isinstance(func, syntax.Attribute)
            and func.attr.value in _TAKERS - {"pop"}
            and (func.attr.value == "clear" or len(callback.args) == 1)
        )

    def _is_other_container(self, call: syntax.Call, discarded_from: syntax.BaseExpression) -> bool:
        """Tell whether the task was surely added to a container other than ``discarded_from``."""
        tree = self.tree
        function = tree.function_around(call)
        task = dotted_text(call.func.value) if isinstance(call.func, syntax.Attribute) else None
        target = dotted_text(discarded_from)
        if not isinstance(function, syntax.FunctionDef) or task is None or target is None:
            return False
        if self._may_be_alias(discarded_from):
            return False
        added: list[syntax.BaseExpression] = []
        for other in tree.calls_near(task.partition(".")[0]):
            filler = other.func
            if (
                isinstance(filler, syntax.Attribute)
                and filler.attr.value in _FILLERS
                and len(other.args) == 1
                and dotted_text(other.args[0].value) == task
                and tree.function_around(other) is function
            ):
                added.append(filler.value)
        paths = [dotted_text(container) for container in added]
        return (
            bool(added)
            and not self._is_discarded_from(task, paths, function)
            and target not in paths
            and None not in paths
            and not any(self._may_be_alias(container) for container in added)
        )

    def _is_discarded_from(
        self, task: str, paths: list[str | None], function: syntax.FunctionDef
    ) -> bool:
        """Tell whether another callback of ``task`` takes it out of one of ``paths``."""
        for call in self.tree.marked_calls():
            if not is_done_callback(call.func) or not call.args:
                continue
            callback = call.args[0].value
            if (
                isinstance(callback, syntax.Attribute)
                and isinstance(call.func, syntax.Attribute)
                and dotted_text(call.func.value) == task
                and dotted_text(callback.value) in paths
                and self.tree.function_around(call) is function
            ):
                return True
        return False

    def _may_be_alias(self, container: syntax.BaseExpression) -> bool:
        """Tell whether two names may mean one container: anything but a fresh or module one."""
        root: syntax.BaseExpression = container
        while isinstance(root, syntax.Attribute):
            root = root.value
        if not isinstance(root, syntax.Name):
            return True
        if isinstance(container, syntax.Attribute):
            name = container.attr.value
            made = rf"\.{name}[ \t]*{ANNOTATION}=[ \t]*(?:set\(|\{{\}}|\[\]|\w+\(default_factory)"
            return root.value != "self" or not self.tree.outline.has(made)
        scope = self.tree.scope[root].owner(root.value)
        if scope is None or scope.kind == "module":
            values = self.ownership.names.assigned(root.value)
            return not values or not all(
                re.match(r"set\(|\{\}|\[\]|list\(|dict\(", v) for v in values
            )
        makers = [assigned_value(self.tree, store) for store in scope.stores.get(root.value, ())]
        return not makers or not all(
            isinstance(maker, (syntax.List, syntax.Set, syntax.Dict))
            or (isinstance(maker, syntax.Call) and last_name(maker.func) in ("set", "list", "dict"))
            for maker in makers
        )

    def function(self, callback: syntax.BaseExpression) -> Helper | None:
        """Return the function of the same file that ``callback`` names."""
        tree = self.tree
        if isinstance(callback, syntax.Name):
            scope = tree.scope[callback].owner(callback.value)
            if scope is not None and scope.kind == "function":
                holders = [tree.parent[store] for store in scope.stores.get(callback.value, ())]
                only = holders[0] if len(holders) == 1 else None
                return (
                    Helper(tree, only, bound=False)
                    if isinstance(only, syntax.FunctionDef)
                    else None
                )
        return find_helper(tree, callback, self.ownership.parse)

    @staticmethod
    def _leaks_on_failure(home: Tree, function: syntax.FunctionDef) -> bool:
        """``t.result()`` before ``s.discard(t)``: a failed task is never taken out."""
        params = [*function.params.posonly_params, *function.params.params]
        body = function.body
        if not params or not isinstance(body, syntax.IndentedBlock):
            return False
        name = params[-1].name.value
        if not re.search(
            r"\.\s*result\b", home.outline.blanked(home.region.start, home.region.end)
        ):
            return False
        home.whole()
        raises = False
        for statement in body.body:
            if not isinstance(statement, syntax.SimpleStatementLine):
                continue
            for call in (node for small in statement.body for node in _calls(small)):
                func = call.func
                if not isinstance(func, syntax.Attribute):
                    continue
                if func.attr.value == "result" and dotted_text(func.value) == name:
                    raises = True
                elif (
                    raises
                    and func.attr.value in ("discard", "remove")
                    and any(dotted_text(arg.value) == name for arg in call.args)
                ):
                    return True
        return False


def _free_parameter(params: syntax.Parameters, before: int, keywords: frozenset[str]) -> str:
    """Return the parameter that a call with one argument fills if ``before`` are filled already.

    ``""`` if such a call is an error, ``keywords`` being given as well.
    """
    rest = [*params.posonly_params, *params.params][before:]
    left = [param for param in (*rest[1:], *params.kwonly_params) if param.default is None]
    if not rest or not keywords.issuperset(param.name.value for param in left):
        return ""
    return rest[0].name.value


def _takes_one(params: syntax.Parameters, *, bound: bool) -> bool:
    """Tell whether a function can be called with the task alone; ``bound`` adds ``self``."""
    positional = [*params.posonly_params, *params.params]
    required = [param for param in positional if param.default is None]
    needed = sum(param.default is None for param in params.kwonly_params)
    given = 2 if bound else 1
    most = len(positional)
    return (
        not needed
        and len(required) <= given
        and (most >= given or isinstance(params.star_arg, syntax.Param))
    )


def _calls(node: syntax.Node) -> list[syntax.Call]:
    """Return the calls in a simple statement, in no particular order."""
    found: list[syntax.Call] = []
    stack = [node]
    while stack:
        at = stack.pop()
        if isinstance(at, syntax.Call):
            found.append(at)
        stack += [child for _, child in children(at)]
    return found
