"""TSK102: done-callbacks that cannot work."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.cancellation import ends_quietly, unguarded_results
from flake8_task_refs.analysis.helpers import Helper, find_coroutine, find_helper
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.outline import ANNOTATION
from flake8_task_refs.analysis.sites import is_done_callback
from flake8_task_refs.analysis.syntax import children, dotted_text, last_name

if TYPE_CHECKING:
    from flake8_task_refs.analysis.ownership import Ownership
    from flake8_task_refs.analysis.tree import Tree

_TAKERS: Final = frozenset({"discard", "remove", "pop", "clear"})
_ENOUGH: Final = 30  # bindings of one name: more of them tell nothing new
# What a function names that catches its cancellation.
_CATCHERS: Final = ("CancelledError", "BaseException")


class Callbacks:
    """Judges the ``add_done_callback`` calls of one region."""

    def __init__(self, ownership: Ownership) -> None:
        """Use the region, names and helper look-up of ``ownership``."""
        self.ownership = ownership
        self.tree = ownership.tree
        self._quiet: dict[syntax.Call, bool] = {}  # what `_ends_quietly` said
        # The calls whose values a function stores, by the code of where.
        self._stored: dict[tuple[syntax.Node | None, str], list[syntax.Call]] | None = None

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
        made = (assigned_value(self.tree, store) for store in stores)
        return bool(stores) and all(
            isinstance(value, syntax.Call) and self._is_foreign(value) for value in made
        )

    def raising(self) -> list[syntax.Call]:
        """Return the calls that register a callback which raises if the task was cancelled."""
        found: list[syntax.Call] = []
        for call in self.tree.marked_calls():
            if not is_done_callback(call.func) or not call.args:
                continue
            makers = self._makers(call)
            callback = self.registered(call) if makers is not None else None
            if makers is None or callback is None:
                continue
            if unguarded_results(*callback, of_thread=self._are_of_threads(makers)) and not (
                makers and all(self._ends_quietly(maker) for maker in makers)
            ):
                found.append(call)
        return found

    def is_of_thread(self, call: syntax.Call) -> bool:
        """Tell whether ``call`` adds its callback to a future of ``run_coroutine_threadsafe``."""
        return self._are_of_threads(self._makers(call) or [])

    def _are_of_threads(self, makers: list[syntax.Call]) -> bool:
        return bool(makers) and all(self._is_threadsafe(maker) for maker in makers)

    def _is_threadsafe(self, maker: syntax.Call) -> bool:
        aggregate = self.ownership.sites.aggregate(self.tree, maker.func)
        return aggregate == "asyncio.run_coroutine_threadsafe"

    def _ends_quietly(self, maker: syntax.Call) -> bool:
        """Tell whether ``maker`` makes a task of a function that catches each cancellation."""
        known = self._quiet.get(maker)
        if known is None:
            given = maker.args[0].value if maker.args else None
            known = isinstance(given, syntax.Call) and self.tree.outline.mentions(_CATCHERS)
            if known and isinstance(given, syntax.Call):
                found = find_coroutine(self.tree, given, self.ownership.parse)
                known = found is not None and ends_quietly(*found)
            self._quiet[maker] = known
        return known

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

    def _makers(self, call: syntax.Call) -> list[syntax.Call] | None:
        """Return the calls that make the task, or the future, which ``call`` adds a callback to.

        None if it is no task as far as the function shows, ``[]`` if it is one that others make.
        """
        receiver = call.func.value if isinstance(call.func, syntax.Attribute) else None
        if isinstance(receiver, syntax.Call):
            return [receiver] if self._creates(receiver) else None
        if isinstance(receiver, (syntax.Attribute, syntax.Subscript)):
            made = self._stored_under(receiver)
            return made or ([] if self._is_task_of_file(receiver) else None)
        if not isinstance(receiver, syntax.Name):
            return None
        if receiver.value in self.tree.scope[receiver].function.elsewhere:
            made = self._stored_under(receiver)
            if made:
                return made
        scope = self.tree.scope[receiver].owner(receiver.value)
        stores = scope.stores.get(receiver.value, ())[:_ENOUGH] if scope is not None else ()
        values = [assigned_value(self.tree, store) for store in stores]
        makers = [
            value for value in values if isinstance(value, syntax.Call) and self._creates(value)
        ]
        if makers:
            # What else it may be, is not known to end quietly, or to be of a thread.
            return makers if len(makers) == len(values) else []
        notes = [self.tree.annotation(self.tree.parent[store]) for store in stores]
        is_task = any(
            note is not None and re.search(r"\bTask\b", self.tree.code_of(note)) for note in notes
        )
        return [] if is_task else None

    def _stored_under(self, target: syntax.BaseExpression) -> list[syntax.Call]:
        """Return the calls whose tasks the function around ``target`` stores where it reads it."""
        tree, path = self.tree, self.tree.code_of(target)
        function = tree.function_around(target)
        if self._stored is None:
            self._stored = defaultdict(list)
            for call in tree.marked_calls():
                assign = tree.parent[call]
                if isinstance(assign, syntax.Assign):
                    around = tree.function_around(call)
                    for to in {tree.code_of(to.target) for to in assign.targets}:
                        self._stored[around, to].append(call)
        return [call for call in self._stored.get((function, path), ()) if self._creates(call)]

    def _is_task_of_file(self, receiver: syntax.Attribute | syntax.Subscript) -> bool:
        """Tell whether the file makes a task for an attribute that is called as ``receiver`` is."""
        if not isinstance(receiver, syntax.Attribute):
            return False
        creator = r"[\w.]*(?:\(\)\.)?(?:create_task|ensure_future)\("
        made = rf"\.{receiver.attr.value}[ \t]*{ANNOTATION}=[ \t]*{creator}"
        return self.tree.outline.has(made)

    def _creates(self, call: syntax.Call) -> bool:
        creator = self.ownership.sites.creator(self.tree, call.func)
        if creator == "asyncio.ensure_future" and _is_of_executor(call):
            return False
        return (
            creator is not None
            or last_name(call.func).endswith("create_task")
            or self._is_threadsafe(call)
        )

    def _is_broken(self, call: syntax.Call, callback: syntax.BaseExpression) -> bool:
        if isinstance(callback, syntax.Call):
            return self._is_called_already(callback) or self._gives_no_callback(call, callback)
        if isinstance(callback, syntax.Lambda):
            return not _takes_one(callback.params, bound=False) or (
                isinstance(callback.body, syntax.Call)
                and self._is_asynchronous(callback.body.func)
                and self._makers(call) is not None
            )
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

    def _gives_no_callback(self, call: syntax.Call, given: syntax.Call) -> bool:
        """Tell whether ``given``, which a task gets for a callback, is surely none that works.

        ``add_done_callback(self.clean_up(task))``: the function returns nothing, or a coroutine.
        """
        if self.ownership.names.canonical(self.tree, given.func) == "functools.partial":
            is_broken = bool(given.args) and self._is_asynchronous(given.args[0].value)
            return is_broken and self._makers(call) is not None
        found = self.function(given.func)
        if found is None or found.function.decorators or self._makers(call) is None:
            return False
        return found.function.asynchronous or all(
            isinstance(jump, syntax.Return) and jump.value is None
            for jump in found.tree.jumps(found.function.body)
            if isinstance(jump, (syntax.Return, syntax.Yield))
        )

    def _is_asynchronous(self, func: syntax.BaseExpression) -> bool:
        """Tell whether ``func`` is a coroutine function of this file."""
        found = self.function(func)
        return found is not None and found.function.asynchronous and not found.function.decorators

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
        tree.calls_near(task.partition(".")[0])
        registration = self.ownership.registrations.of(function, task)
        paths = registration.paths
        return (
            bool(paths)
            and target not in paths
            and None not in paths
            and not any(
                isinstance(other, syntax.Attribute) and dotted_text(other.value) in paths
                for other in registration.callbacks
            )
            and not any(self._may_be_alias(container) for container in registration.added_to)
        )

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


def _is_of_executor(call: syntax.Call) -> bool:
    """Tell whether ``ensure_future`` gets the future of an executor, which is no task."""
    given = call.args[0].value if call.args else None
    return isinstance(given, syntax.Call) and last_name(given.func) == "run_in_executor"


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
