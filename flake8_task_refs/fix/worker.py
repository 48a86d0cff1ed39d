"""What probably runs as a task: whom it calls, how it goes on, and what it can be told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.cancellation import swallowers
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.syntax import is_name, last_name
from flake8_task_refs.analysis.workers import is_left
from flake8_task_refs.fix.free_names import names_in
from flake8_task_refs.fix.plain_class import methods
from flake8_task_refs.fix.source import (
    body_of,
    dotted,
    has_docstring,
    last_part,
    only_reports,
    statement_expression,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flake8_task_refs.fix.contract import Context
    from flake8_task_refs.fix.repair_sites import Site

# What every worker of an application is given.
EVERYWHERE: Final = frozenset(
    {"self", "cls", "asyncio", "app", "application", "state", "request", "logger", "logging"}
)

# A function of such a name starts what is to go on.
STARTS: Final = re.compile(r"_*(start|run|open|connect|begin|launch|setup|listen|serve)(_|\Z)")
# How a function gets what its connection has next.
GETS_MORE: Final = re.compile(
    r"(?:a?recv|receive|read|readline|get|next|accept|iter)(?:_\w+)?\Z|__anext__\Z"
)
# How many calls deep a worker is looked into, and how deep for a single name.
_DEPTH: Final = 3
_NAME_DEPTH: Final = 4
# What a coroutine of another file is called that does something now and then, and no more.
_BEATS: Final = re.compile(r"(?:\A|_)(?:heart_?beat|beats?|keep_?alive|ping|pinger|pings)(?:_|\Z)")
# What must be done, however late,
_SAVING: Final = "save|store|write|flush|commit|persist|sync|dump|publish|upload|charge|pay"
_SAVES: Final = re.compile(rf"(?:\A|_)(?:{_SAVING}|send|notify)(?:_|\Z)")
# and what a heartbeat does not do: that, or take anything out of a container.
_WORKS: Final = re.compile(rf"(?:\A|_)(?:{_SAVING}|pop|popleft|popitem|get_nowait)(?:_|\Z)")
# What somebody may have set, for it to be called when all is over.
_HOOK: Final = re.compile(
    r"(?:\A|_)(?:error|exception|fail|failure|failed|lost|close|closed|disconnect|disconnected"
    r"|shutdown|exit|stop|stopped)(?:_|\Z)"
)
# What tells another object of something that has happened, and may so come back to its own.
_TELLS_OTHERS: Final = re.compile(
    r"_?(?:dispatch|notify|emit|fire|trigger|handle|invoke|callback|on)(?:_\w+)?\Z"
)
# These hand a cancellation on to what they wait for; `shield()` and `wait()` do not.
_WAITS: Final = frozenset({"gather", "wait_for"})
_SPAWNS: Final = frozenset({"create_task", "ensure_future", "start_soon"})
# Methods that read or write, and call nobody.
_TRANSPORT: Final = re.compile(
    r"(?:a?recv|receive|read|get|accept|wait|next|join|acquire|sleep|fetch|pop|consume|listen"
    r"|send|write|put|ping|drain|flush|close|aclose|cancel)(?:_?\w+)?\Z|__anext__\Z"
)


@dataclass(frozen=True, slots=True)
class Used:
    """The names by which a shutdown could talk to some workers.

    ``owners`` are the last names of the objects whose methods run as the tasks, but for those that
    are found ``EVERYWHERE``; ``""`` stands for no object: a function is spawned.
    """

    names: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LikelyWorker:
    """What runs as a task, as far as it can be guessed.

    ``analysis.workers.Worker`` looks only into a function that certainly runs.
    ``function`` is its code, None if it is not in this file. ``coroutine`` is what makes it, in the
    function ``around``; it is left out where only the code is asked about.
    """

    context: Context
    function: syntax.FunctionDef | None
    coroutine: syntax.BaseExpression | None = None
    around: syntax.FunctionDef | syntax.Lambda | None = None

    @classmethod
    def of(cls, context: Context, site: Site) -> LikelyWorker:
        """Return what ``site`` starts."""
        coroutine = site.coroutine
        function = (
            likely_function(context.tree, coroutine) if isinstance(coroutine, syntax.Call) else None
        )
        return cls(context, function, coroutine, site.function)

    @property
    def path(self) -> str:
        """What is called to make the coroutine, as a dotted path; ``""`` if that is unknown."""
        return dotted(self.coroutine.func) if isinstance(self.coroutine, syntax.Call) else ""

    @property
    def name(self) -> str:
        """What its function is called, in this file or another; ``""`` if that is unknown."""
        if self.function is not None:
            return self.function.name.value
        return last_name(self.coroutine.func) if isinstance(self.coroutine, syntax.Call) else ""

    def inside(self) -> Iterator[syntax.Node]:
        """Yield the nodes of its own code."""
        if self.function is not None:
            yield from self.context.file.inside(self.function.body)

    # -- whom does it call? -----------------------------------------------------------------

    def calls(self) -> Iterator[syntax.Call]:
        """Yield the calls in it and in the functions of the file that it calls."""
        if self.function is None:
            return
        seen, todo = {self.function}, [self.function]
        for _ in range(_DEPTH):
            deeper: list[syntax.FunctionDef] = []
            for function in todo:
                for node in self.context.file.inside(function.body):
                    if isinstance(node, syntax.Call):
                        yield node
                        called = likely_function(self.context.tree, node)
                        if called is not None and called not in seen:
                            seen.add(called)
                            deeper.append(called)
            todo = deeper

    def comes_to(self, names: set[str]) -> bool:
        """Tell whether it may run a function that is called one of ``names``."""
        if not isinstance(self.coroutine, syntax.Call):
            return True  # who knows
        todo, seen = [self.coroutine], set[syntax.FunctionDef]()
        for _ in range(_NAME_DEPTH):
            deeper: list[syntax.Call] = []
            for call in todo:
                if last_name(call.func) in names:
                    return True
                function = likely_function(self.context.tree, call)
                if function is not None and function not in seen:
                    seen.add(function)
                    deeper += [
                        node
                        for node in self.context.file.inside(function.body)
                        if isinstance(node, syntax.Call)
                    ]
            todo = deeper
        return False

    def calls_hook(self, owner: syntax.ClassDef) -> bool:
        """Tell whether it calls what was given to its object, and may close that.

        ``owner`` is the class of the object. The close method would wait for the task that waits
        for it.
        """
        context, own = self.context, _methods_of(self.context, owner)
        if self._waits_for_strangers(own):
            return True
        for call in self.calls():
            if context.tree.class_around(call) not in _related(context, owner):
                continue  # it speaks of another object
            path = dotted(call.func)
            name = path.removeprefix("self.")
            if path == name or "." in name or name in own:
                continue
            if _HOOK.search(name) or any(dotted(arg.value) == "self" for arg in call.args):
                return True
        return False

    def runs_what_it_is_given(self, owner: syntax.ClassDef) -> bool:
        """Tell whether it runs anything that was given to it or to its object, an ``owner``."""
        own = _methods_of(self.context, owner)
        return any(_is_handed(self.context, call, own) for call in self.calls())

    def may_come_back(self) -> bool:
        """Tell whether it tells another object of itself or its own, which may stop it then."""
        for call in self.calls():
            receiver = dotted(call.func.value) if isinstance(call.func, syntax.Attribute) else ""
            if receiver in ("", "self", "cls"):
                continue
            if _TELLS_OTHERS.match(last_name(call.func)) or any(
                dotted(arg.value) == "self" for arg in call.args
            ):
                return True
        return False

    def _waits_for_strangers(self, own: set[str]) -> bool:
        """Tell whether it waits for children that run what was given to its object.

        These are not the worker itself: a close method that they call would wait for the worker,
        which waits for the child. ``own`` are the names of the methods of its class.
        """
        context = self.context
        return any(
            _is_stranger(context, call, own) or _leads_to_strangers(context, call, own)
            for spawning in self.calls()
            if _makes_children(context, spawning)
            for call in _given(context, spawning)
        )

    # -- how does it go on? -----------------------------------------------------------------

    def unstoppable(self) -> str:
        """Return why no shutdown could end it by cancelling it, or ``""``."""
        for function in self._awaited():
            if any(swallowers(self.context.tree, function)):
                return (
                    f"{function.name.value}() catches CancelledError in its loop and goes on, so "
                    "that a shutdown could not end it: let it re-raise first"
                )
        return ""

    def _awaited(self) -> Iterator[syntax.FunctionDef]:
        """Yield its own function and those of the file that it awaits, and these await."""
        todo = [] if self.function is None else [self.function]
        seen = set(todo)
        for _ in range(_DEPTH):
            yield from todo
            deeper = [
                function
                for outer in todo
                for node in self.context.file.inside(outer.body)
                if isinstance(node, syntax.Await) and isinstance(node.expression, syntax.Call)
                if (function := likely_function(self.context.tree, node.expression)) is not None
                if function.asynchronous and function not in seen
            ]
            seen.update(deeper)
            todo = deeper

    def is_delayed(self) -> bool:
        """Tell whether it sleeps first: what is closed then, wants it no more."""
        function = self.function
        if function is None or _SAVES.search(function.name.value):
            return False
        body = body_of(function)[int(has_docstring(function)) :]
        while len(body) == 1 and isinstance(body[0], syntax.Try):
            body = body_of(body[0])
        small = statement_expression(body[0]) if len(body) > 1 else None
        waits = small.value if isinstance(small, syntax.Expr) else None
        call = waits.expression if isinstance(waits, syntax.Await) else None
        return (
            isinstance(call, syntax.Call)
            and last_name(call.func) == "sleep"
            and bool(call.args)
            and self.context.file.code(call.args[0].value).strip("0.") != ""
        )

    def only_beats(self, served: set[str]) -> bool:
        """Tell whether it sleeps in between, and has nothing to do at its end.

        Each time, it does nothing but to speak to one of ``served``, variables of who starts it.
        """
        if self.function is None:
            return _BEATS.search(self.name) is not None
        known = served | self._given(served)
        inside = list(self.inside())
        awaits = [node.expression for node in inside if isinstance(node, syntax.Await)]
        calls = [node for node in awaits if isinstance(node, syntax.Call)]
        last = [*body_of(self.function)][-1:]
        return (
            any(last_name(call.func) == "sleep" for call in calls)
            and len(calls) == len(awaits)
            and all(last_name(call.func) == "sleep" or _speaks_to(call, known) for call in calls)
            and not any(GETS_MORE.match(last_name(call.func)) for call in calls)
            and not any(
                isinstance(node, syntax.Call) and _WORKS.search(last_name(node.func))
                for node in inside
            )
            and sum(isinstance(node, (syntax.While, syntax.For)) for node in inside) == 1
            and all(self._leaves_nothing(node, known) for node in inside)
            and any(isinstance(statement, syntax.While) for statement in last)
        )

    def _given(self, values: set[str]) -> set[str]:
        """Return its parameters that are given one of the variables, or attributes, ``values``."""
        coroutine, function = self.coroutine, self.function
        if not isinstance(coroutine, syntax.Call) or function is None:
            return set()
        is_method = self.context.file.method_class(function) is not None
        params = [*function.params.posonly_params, *function.params.params][int(is_method) :]
        given = [arg for arg in coroutine.args if arg.keyword is None and not arg.star]
        return {
            param.name.value
            for param, arg in zip(params, given, strict=False)
            if dotted(arg.value) in values
        }

    def _leaves_nothing(self, node: syntax.Node, known: set[str]) -> bool:
        """Tell whether ``node`` changes nothing that others see but what is ``known``."""
        if isinstance(node, (syntax.With, syntax.ExceptHandler, syntax.Finally, syntax.Nonlocal)):
            return False
        if isinstance(node, (syntax.AssignTarget, syntax.AugAssign, syntax.AnnAssign)):
            return isinstance(node.target, syntax.Name)
        if isinstance(node, syntax.Expr) and isinstance(node.value, syntax.Call):
            return _speaks_to(node.value, known) or only_reports(self.context.file, node)
        return not isinstance(node, (syntax.Global, syntax.Del))

    def shares_with(self, function: syntax.FunctionDef) -> set[str]:
        """Return the variables of ``function``, which starts it, that it is given or shares."""
        if not isinstance(self.coroutine, syntax.Call):
            return set()
        tree, scope = self.context.tree, self.context.tree.inner[function]
        called = self.coroutine.func.value if isinstance(self.coroutine.func, syntax.Name) else ""
        parts: list[syntax.Node] = [self.coroutine]
        parts += [
            nested.body
            for store in scope.stores.get(called, ())
            if isinstance(nested := tree.parent[store], syntax.FunctionDef)
        ]
        names = {
            node.value
            for part in parts
            for node in tree.walk(part)
            if isinstance(node, syntax.Name)
        }
        return {name for name in names - {"self", "cls", called} if scope.binds(name)}

    # -- what can it be told? ---------------------------------------------------------------

    def used(self) -> Used:
        """Return the names by which a shutdown could talk to it.

        Those are the names in the spawned call, what its variables were made of in the same
        function, and what its body mentions.
        """
        file, coroutine = self.context.file, self.coroutine
        if coroutine is None:
            return Used()
        found = set(names_in(file, coroutine))
        if self.around is not None:
            for node in file.each(syntax.Assign, self.around):
                if any(dotted(target.target) in found for target in node.targets):
                    found |= names_in(file, node.value)
        if self.function is not None:
            found |= names_in(file, self.function.body)
        asyncio = self.context.names.module_alias("asyncio")
        first = {self.path.partition(".")[0]} - {""}
        owner = last_part(self.path.rpartition(".")[0])
        return Used(
            (frozenset(found) - EVERYWHERE - {asyncio}) | first,
            frozenset({owner}) - EVERYWHERE,
        )

    def ends_with(self, event: syntax.BaseExpression, asked: str) -> bool:
        """Tell whether it waits for ``event``, and has no loop that goes on then.

        ``asked`` is the method by which it waits: ``get`` of a queue, ``wait`` of an event.
        """
        tree, file, coroutine = self.context.tree, self.context.file, self.coroutine
        if not isinstance(coroutine, syntax.Call):
            return False
        inside = list(self.inside())
        waited = [
            node.value
            for node in inside
            if isinstance(node, syntax.Attribute) and node.attr.value == asked
        ]
        name, path = last_name(event), dotted(event)
        # Handed over, or as it is known to both.
        given = self._given({path} - {""})
        waits = [node for node in waited if dotted(node) in given]
        if isinstance(event, syntax.Name):
            home = tree.scope[event].owner(name)
            waits += [
                node
                for node in waited
                if is_name(node, name) and tree.scope[node].owner(name) is home
            ]
        else:
            owner, _, _ = path.rpartition(".")
            is_its = bool(owner) and self.path.rpartition(".")[0] == owner
            waits += [node for node in waited if is_its and dotted(node) == f"self.{name}"]
        return bool(waits) and not any(
            node.asynchronous
            if isinstance(node, syntax.For)
            else isinstance(node, syntax.While)
            and ({name} | given).isdisjoint(names_in(file, node.test))
            and not is_left(tree, node, set())
            for node in inside
        )


def used_by(context: Context, sites: Sequence[Site]) -> Used:
    """Return the names by which a shutdown could talk to the tasks of ``sites``."""
    each = [LikelyWorker.of(context, site).used() for site in sites]
    return Used(
        frozenset[str]().union(*(used.names for used in each)),
        frozenset[str]().union(*(used.owners for used in each)),
    )


def root(node: syntax.BaseExpression) -> str:
    """Return the variable that ``node`` begins with: ``ws`` of ``ws.iter_text()``."""
    at: syntax.BaseExpression = node
    while isinstance(at, (syntax.Call, syntax.Attribute, syntax.Subscript)):
        at = at.func if isinstance(at, syntax.Call) else at.value
    return at.value if isinstance(at, syntax.Name) else ""


def _speaks_to(call: syntax.Call, known: set[str]) -> bool:
    """Tell whether ``call`` is a method of one of the variables ``known``, or is given one."""
    return root(call.func) in known or any(root(arg.value) in known for arg in call.args)


def _related(context: Context, owner: syntax.ClassDef) -> list[syntax.ClassDef]:
    lineage = context.file.lineage(owner.name.value)
    return [one for one in context.file.all(syntax.ClassDef) if one.name.value in lineage]


def _methods_of(context: Context, owner: syntax.ClassDef) -> set[str]:
    return {method.name.value for one in _related(context, owner) for method in methods(one)}


def _makes_children(context: Context, call: syntax.Call) -> bool:
    """Tell whether the function around ``call`` waits for tasks that run what ``call`` is given."""
    name = last_name(call.func)
    if name in _WAITS:
        return True
    if name not in _SPAWNS:
        return False
    receiver = dotted(call.func.value) if isinstance(call.func, syntax.Attribute) else "asyncio"
    in_group = receiver != "asyncio" and "loop" not in receiver.lower()
    return in_group or isinstance(context.file.parent(call), syntax.Await)


def _given(context: Context, spawning: syntax.Call) -> Iterator[syntax.Call]:
    """Yield the calls that make the coroutines for ``spawning``."""
    for arg in spawning.args:
        for made in values_of(context, arg.value):
            for node in context.file.inside(made):
                if isinstance(node, syntax.Call) and last_name(node.func) not in _WAITS | _SPAWNS:
                    yield node


def values_of(context: Context, node: syntax.BaseExpression) -> list[syntax.BaseExpression]:
    """Return ``node``, and what is assigned to it if it is a variable."""
    found = [node]
    if isinstance(node, syntax.Name):
        scope = context.tree.scope[node].owner(node.value)
        for store in scope.stores.get(node.value, ()) if scope is not None else ():
            value = assigned_value(context.tree, store)
            found += [value] if value is not None else []
    return found


def _is_stranger(context: Context, call: syntax.Call, own: set[str]) -> bool:
    """Tell whether ``call`` runs something that is known only to who made the object."""
    if _is_handed(context, call, own):
        return True
    root: syntax.Node = call.func
    while isinstance(root, (syntax.Attribute, syntax.Subscript)):
        root = root.value
    return (
        isinstance(call.func, syntax.Attribute)
        and not _TRANSPORT.match(call.func.attr.value)
        and isinstance(root, syntax.Name)
        and root.value not in ("self", "cls")
        and _is_variable(context, root)
    )


def _is_handed(context: Context, call: syntax.Call, own: set[str]) -> bool:
    """Tell whether ``call`` calls a variable, an item, or an attribute of its object."""
    called = call.func
    if isinstance(called, syntax.Attribute):
        return dotted(called.value) == "self" and called.attr.value not in own
    return not isinstance(called, syntax.Name) or _is_variable(context, called)


def _leads_to_strangers(context: Context, call: syntax.Call, own: set[str]) -> bool:
    function = likely_function(context.tree, call)
    return function is not None and any(
        _is_handed(context, inner, own) for inner in LikelyWorker(context, function).calls()
    )


def _is_variable(context: Context, name: syntax.Name) -> bool:
    """Tell whether ``name`` is a variable of a function, and no function or import in it."""
    tree = context.tree
    scope = tree.scope[name].owner(name.value)
    if scope is None or scope.kind == "module":
        return False
    return any(
        not isinstance(tree.parent[store], (syntax.FunctionDef, syntax.ClassDef))
        for store in scope.stores.get(name.value, ())
    )
