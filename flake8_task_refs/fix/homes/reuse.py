"""What the file already has for keeping tasks: helpers to call, containers to add to."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.from_python import expression_of
from flake8_task_refs.analysis.helpers import find_helper
from flake8_task_refs.analysis.sites import CREATORS
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.additions import LOG_FAILED
from flake8_task_refs.fix.container_ends import ContainerEnds
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.helper_effects import HelperEffects
from flake8_task_refs.fix.homes.lifespan import refusal
from flake8_task_refs.fix.homes.startup import is_started_by_application
from flake8_task_refs.fix.lifespan_body import lifespan_around
from flake8_task_refs.fix.registration import Registry
from flake8_task_refs.fix.repair_sites import by_statement, is_declared_future, is_returned
from flake8_task_refs.fix.source import dotted, last_part
from flake8_task_refs.fix.task_names import task_name
from flake8_task_refs.fix.worker import LikelyWorker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flake8_task_refs.fix.repair_sites import Site

_PAIRS: Final = {"discard": "add", "remove": "append"}
_CREATORS: Final = frozenset({"create_task", "ensure_future"})
_TASK: Final = re.compile(r"\bTask\b")
# What the tasks or coroutines of an annotation return, if that is one name.
_RESULT: Final = re.compile(r"\b(?:Task|Future|Coroutine|Awaitable)\[(?:[^\[\]]*,\s*)?([\w.]+)\]")


@dataclass(frozen=True, slots=True)
class Helper:
    """A function that registers a task; one that ``spawns`` makes it of a coroutine itself."""

    expression: str
    spawns: bool


@dataclass(frozen=True, slots=True)
class _Registration:
    """``container.add(task)`` and ``task.add_done_callback(container.discard)`` in one function.

    ``node`` is the second call.
    """

    node: syntax.Call
    function: syntax.FunctionDef
    container: str
    discard: str
    task: str
    logs: bool


class Reuse:
    """Calls a helper of the file, or adds to one of its registries."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context
        self._existing = Existing(context)

    def accepts(self, site: Site) -> bool:
        """Take the sites for which the file has a helper or a registry."""
        if site.code not in {"TSK001", "TSK002"}:
            return False
        around = lifespan_around(self._context, site)
        if around is not None and refusal(self._context, around, site):
            return False  # the reason is given there
        return self._helper(site) is not None or self._registry(site) is not None

    def _ends_with_application(self, site: Site) -> bool:
        """Tell whether an application ends the task of ``site``.

        Only a registry of its own says that this one does.
        """
        return lifespan_around(self._context, site) is not None or is_started_by_application(
            self._context, site
        )

    def _helper(self, site: Site) -> Helper | None:
        return None if self._ends_with_application(site) else self._existing.helper(site)

    def _registry(self, site: Site) -> tuple[Registry, bool] | None:
        if site.form == "expression" and not is_returned(self._context.file, site):
            return None
        if self._ends_with_application(site):
            return self._existing.registry_of_lifespan(site)
        return self._existing.registry(site)

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Use what there is."""
        context, found = self._context, Plan(fixed=[site.finding for site in sites])
        helpers: dict[Helper, list[Site]] = defaultdict(list)
        for site in sites:
            helper, registry = self._helper(site), self._registry(site)
            if helper is not None:
                helpers[helper].append(site)
            elif registry is not None:
                where, logs = registry
                task = task_name(context, site)
                log_failed = LOG_FAILED if logs else ""
                found.edits += context.writer.register(site, task, where, log_failed)
        for helper, users in helpers.items():
            for group in by_statement(users):
                write = context.writer.call_instead if helper.spawns else context.writer.wrap
                found.edits += write(group, helper.expression)
        return found


class Existing:
    """The registries of a file."""

    def __init__(self, context: Context) -> None:
        """Look through the file of ``context``."""
        self._context = context
        self._file = context.file
        self._names = context.names
        self._judge = context.judge
        self._registrations = list(self._find())
        self._ends = ContainerEnds(context)
        self._effects = HelperEffects(context.file, context.judge)

    def _find(self) -> Iterator[_Registration]:
        for node in self._file.all(syntax.Call):
            if last_name(node.func) != "add_done_callback":
                continue
            function = self._file.function(node)
            if not node.args or not isinstance(function, syntax.FunctionDef):
                continue
            if not isinstance(node.func, syntax.Attribute):
                continue
            task = dotted(node.func.value)
            for discard in self._discards(node.args[0].value, function):
                container = dotted(discard.value)
                add = _PAIRS.get(discard.attr.value)
                if (
                    add
                    and container
                    and self._calls(function, f"{container}.{add}", task)
                    and self._is_task(function, task)
                ):
                    logs = self._calls(function, f"{task}.add_done_callback", LOG_FAILED)
                    yield _Registration(node, function, container, discard.attr.value, task, logs)

    def _discards(
        self, callback: syntax.BaseExpression, function: syntax.FunctionDef
    ) -> Iterator[syntax.Attribute]:
        """Yield the methods that ``callback``, registered in ``function``, calls with its task.

        That is itself, what a lambda calls, or what a method of the same object calls.
        """
        if isinstance(callback, syntax.Attribute) and callback.attr.value in _PAIRS:
            yield callback
            return
        body: syntax.Node | None = None
        params: list[syntax.Param] = []
        if isinstance(callback, syntax.Lambda):
            body, params = callback.body, list(callback.params.params)
        elif isinstance(callback, syntax.Attribute) and dotted(callback.value) == "self":
            found = find_helper(self._file.tree, callback, self._judge.ownership.parse)
            owner = self._file.method_class(function)
            if found is None or owner is None:
                return
            method = found.function
            if found.tree is self._file.tree and self._file.method_class(method) is owner:
                body, params = method.body, list(method.params.params)[1:]
        if body is None or len(params) != 1:
            return
        for node in self._file.inside(body):
            if (
                isinstance(node, syntax.Call)
                and isinstance(node.func, syntax.Attribute)
                and [dotted(arg.value) for arg in node.args] == [params[0].name.value]
                and (isinstance(callback, syntax.Lambda) or dotted(node.func).startswith("self."))
            ):
                yield node.func

    def _is_task(self, function: syntax.FunctionDef, name: str) -> bool:
        """Tell whether ``name`` is a task in ``function``: made, annotated or named like one."""
        params = function.params
        for param in (*params.posonly_params, *params.params, *params.kwonly_params):
            if param.name.value == name:
                note = self._file.code(param.annotation.annotation) if param.annotation else name
                return "task" in note.lower()
        for node in self._file.inside(function):
            if not isinstance(node, (syntax.Assign, syntax.AnnAssign)) or name not in _targets(
                node
            ):
                continue
            if isinstance(node.value, syntax.Call):
                made = last_name(node.value.func)
                return (
                    made in _CREATORS
                    or made.endswith("task")
                    or made == "Task"
                    or self._makes_task(node.value)
                )
        return "task" in name.lower()

    def _makes_task(self, call: syntax.Call) -> bool:
        """Tell whether ``call`` is one of a function of the file that makes a task."""
        made = self._judge.ownership.sites.creator(self._file.tree, call.func)
        return made is not None

    def _calls(self, function: syntax.FunctionDef, callee: str, argument: str) -> bool:
        return any(
            isinstance(node, syntax.Call)
            and dotted(node.func) == callee
            and bool(node.args)
            and dotted(node.args[0].value) == argument
            for node in self._file.inside(function)
        )

    def helper(self, site: Site) -> Helper | None:
        """Return a helper that can be called at ``site``, and does nothing but to register."""
        for found in self._registrations:
            function = found.function
            if self._file.within(site.call, function) or not self._suits(found, site):
                continue
            owner = self._file.method_class(function)
            if owner is None and self._file.function(function) is not None:
                continue  # local to another function
            if owner is None and not self._is_known_at(function.name.value, site):
                continue
            if owner is not None and not (
                self._self_name(site, owner) and found.container.startswith("self.")
            ):
                continue
            params = [*function.params.posonly_params, *function.params.params]
            params = params[1:] if owner is not None else params
            if function.decorators or not _takes_one(function, params):
                continue
            creator = self._spawned_by(found, params[0].name.value)
            spawns = creator is not None
            if function.asynchronous or (params[0].name.value != found.task and not spawns):
                continue
            if creator is not None and not self._makes_the_same(creator, site):
                continue
            name = function.name.value
            expression = f"{self._self_name(site, owner)}.{name}" if owner else name
            if not self._returns(function) and site.form != "discard":
                continue
            if self._has_another(function, owner) or not self._effects.only_registers(
                function, found.container, found.task
            ):
                continue
            if owner is None and self._is_shadowed(name, site):
                continue
            return Helper(expression, spawns)
        return None

    def _has_another(self, helper: syntax.FunctionDef, owner: syntax.ClassDef | None) -> bool:
        """Tell whether a call of ``helper`` may run another of its name: one of a subclass, say."""
        classes = [owner, *(self._file.subclasses(owner.name.value) if owner is not None else ())]
        return any(
            function is not helper
            and function.name.value == helper.name.value
            and self._file.method_class(function) in classes
            for function in self._file.functions()
        )

    def _is_shadowed(self, name: str, site: Site) -> bool:
        """Tell whether a function around ``site`` has a variable of its own called ``name``."""
        return isinstance(site.function, syntax.FunctionDef) and (
            self._local_holder(site.function, name) is not None
        )

    def _returns(self, function: syntax.FunctionDef) -> bool:
        return any(
            isinstance(node, syntax.Return) and node.value is not None
            for node in self._file.inside(function, into_scopes=False)
        )

    def _spawned_by(self, found: _Registration, parameter: str) -> syntax.Call | None:
        """Return the call by which the helper makes its task of its parameter, a coroutine."""
        for node in self._file.inside(found.function):
            if (
                isinstance(node, syntax.Assign)
                and dotted(node.targets[0].target) == found.task
                and isinstance(node.value, syntax.Call)
                and last_name(node.value.func) in _CREATORS
                and bool(node.value.args)
                and dotted(node.value.args[0].value) == parameter
            ):
                return node.value
        return None

    def _makes_the_same(self, creator: syntax.Call, site: Site) -> bool:
        """Tell whether a helper that calls ``creator`` makes the task that ``site`` makes.

        On the same loop, that is, of a coroutine that is given by position.
        """
        if len(site.call.args) != 1 or site.call.args[0].keyword or site.call.args[0].star:
            return False
        canonical = self._names.canonical
        ours, theirs = canonical(site.call.func), canonical(creator.func)
        if ours in CREATORS and theirs in CREATORS:
            # `ensure_future` also takes futures, which `create_task` refuses.
            return theirs in (ours, "asyncio.ensure_future")
        # Loops: another may run in another thread, or not yet.
        loop = dotted(site.call.func)
        return loop.startswith("self.") and loop == dotted(creator.func)

    def _suits(self, found: _Registration, site: Site) -> bool:
        """Tell whether what becomes of the tasks in a container suits the task of ``site``."""
        owner = self._file.method_class(found.function)
        if found.container.startswith("self.") and owner is not None:
            if not self._exists_at(found.container, owner, site):
                return False
        elif self._has_own(site):
            return False
        notes = [
            self._file.code(node.annotation.annotation)
            for node in self._file.all(syntax.AnnAssign)
            if dotted(node.target) == found.container
        ]
        params = [*found.function.params.posonly_params, *found.function.params.params]
        notes += [self._file.code(p.annotation.annotation) for p in params if p.annotation]
        return self._are_met(notes, site) and self._ends.may_join(found.container, found.node, site)

    def _are_met(self, notes: Sequence[str], site: Site) -> bool:
        """Tell whether annotations of tasks and coroutines allow for what ``site`` runs."""
        if is_declared_future(self._file, site) and any(map(_TASK.search, notes)):
            return False
        worker = LikelyWorker.of(self._context, site).function
        if worker is None or worker.returns is None:
            return True
        returned = self._file.code(worker.returns.annotation)
        wanted = [found[1] for found in map(_RESULT.search, notes) if found is not None]
        return all(result in {"Any", "typing.Any", "object", returned} for result in wanted)

    def _has_own(self, site: Site) -> bool:
        """Tell whether the class around ``site`` has a registry of its own."""
        return any(
            found.container.startswith("self.")
            and self._self_name(site, self._file.method_class(found.function)) == "self"
            for found in self._registrations
            if self._file.method_class(found.function) is not None
        )

    def _exists_at(self, container: str, owner: syntax.ClassDef, site: Site) -> bool:
        """Tell whether an instance of ``owner`` surely has its ``container`` when ``site`` runs."""
        made = [
            node
            for node in self._file.assignments()
            if container in _targets(node) and self._file.within(node, owner)
        ]
        for node in made:
            method = self._file.function(node)
            if not isinstance(method, syntax.FunctionDef) or method.name.value != "__init__":
                return False  # it may be made later, or anew
            if dotted(node.value) == "None" if node.value is not None else True:
                return False
            if self._file.within(site.call, method) and not (
                self._file.span(node).end < self._file.span(site.call).start
            ):
                return False
        return True

    def _is_known_at(self, name: str, site: Site) -> bool:
        """Tell whether the module's function ``name`` exists when ``site`` runs."""
        if site.function is not None:
            return True
        for statement in self._file.module.body:
            if self._file.within(site.call, statement):
                return False
            if isinstance(statement, syntax.FunctionDef) and statement.name.value == name:
                return True
        return False

    def _self_name(self, site: Site, owner: syntax.ClassDef | None) -> str:
        """Return what a method of ``owner`` around ``site`` calls its instance, or ``""``."""
        for outer in self._file.ancestors(site.call):
            if isinstance(outer, syntax.FunctionDef) and self._file.method_class(outer) is not None:
                if self._file.method_class(outer) is not owner:
                    return ""
                params = [*outer.params.posonly_params, *outer.params.params]
                name = params[0].name.value if params else ""
                return name if not outer.decorators or self._is_instance(name, outer) else ""
        return ""

    def _is_instance(self, name: str, method: syntax.FunctionDef) -> bool:
        """Tell whether ``method``, whatever decorates it, gets its instance as ``name``."""
        kinds = {last_name(at.decorator) for at in method.decorators}
        return (
            name == "self"
            and not kinds & {"staticmethod", "classmethod"}
            and any(
                isinstance(node, syntax.Attribute) and dotted(node.value) == name
                for node in self._file.inside(method.body)
            )
        )

    def registry(self, site: Site) -> tuple[Registry, bool] | None:
        """Return a container for the task of ``site``, and whether failures are logged there."""
        for found in self._registrations:
            if (
                self._is_visible(found, site)
                and not self._is_weak(found.container)
                and self._suits(found, site)
            ):
                registry = Registry(found.container, _PAIRS[found.discard], found.discard)
                return registry, found.logs
        for name in () if is_declared_future(self._file, site) else self._empty_sets():
            if self._is_defined_before(name, site) and not self._is_shadowed(name, site):
                return Registry(name), False
        return None

    def registry_of_lifespan(self, site: Site) -> tuple[Registry, bool] | None:
        """Return the container that the generator around ``site`` keeps its own tasks in."""
        for found in self._registrations:
            holder = self._local_holder(found.function, found.container.partition(".")[0])
            if (
                holder is not None
                and self._is_visible(found, site)
                and self._ends.endings(found.container, found.node) is not None
            ):
                registry = Registry(found.container, _PAIRS[found.discard], found.discard)
                return registry, found.logs
        return None

    def _is_defined_before(self, name: str, site: Site) -> bool:
        """Tell whether the module binds ``name`` above the statement that holds ``site``."""
        for statement in self._file.module.body:
            if self._file.within(site.call, statement):
                return False
            if isinstance(statement, syntax.SimpleStatementLine) and any(
                name in _targets(node)
                for node in statement.body
                if isinstance(node, (syntax.Assign, syntax.AnnAssign))
            ):
                return True
        return False

    def _is_visible(self, found: _Registration, site: Site) -> bool:
        head, dot, rest = found.container.partition(".")
        if not dot:
            holder = self._local_holder(found.function, head)
            if holder is not None:
                # A local set keeps nothing after its function, except in one that yields.
                return self._file.within(site.call, holder) and any(
                    isinstance(node, syntax.Yield)
                    for node in self._file.inside(holder.body, into_scopes=False)
                )
            return self._is_defined_before(head, site) and not self._is_shadowed(head, site)
        if head != "self" or "." in rest:
            return False
        owner = self._file.method_class(found.function)
        return owner is not None and self._self_name(site, owner) == "self"

    def _local_holder(self, function: syntax.FunctionDef, name: str) -> syntax.FunctionDef | None:
        """Return the function, from ``function`` outwards, that has ``name`` as a local."""
        around = [
            function,
            *(a for a in self._file.ancestors(function) if isinstance(a, syntax.FunctionDef)),
        ]
        for outer in around:
            params = outer.params
            if any(
                param.name.value == name
                for param in (*params.posonly_params, *params.params, *params.kwonly_params)
            ):
                return outer
            for node in self._file.inside(outer.body, into_scopes=False):
                if isinstance(node, syntax.Assign):
                    if any(dotted(target.target) == name for target in node.targets):
                        return outer
                elif isinstance(node, syntax.AnnAssign) and dotted(node.target) == name:
                    return outer
        return None

    def _is_weak(self, container: str) -> bool:
        return any(
            isinstance(node.value, syntax.Call)
            and "Weak" in last_part(self._names.canonical(node.value.func))
            and container in _targets(node)
            for node in self._file.assignments()
        )

    def _empty_sets(self) -> Iterator[str]:
        """Yield the module's own empty sets of tasks that it does not use yet.

        One with a public name is for other files, which may read it.
        """
        for statement in self._file.module.body:
            if not isinstance(statement, syntax.SimpleStatementLine):
                continue
            for node in statement.body:
                if (
                    isinstance(node, syntax.AnnAssign)
                    and isinstance(node.target, syntax.Name)
                    and node.target.value.startswith("_")
                    and self._is_set_of_tasks(node.annotation.annotation)
                    and isinstance(node.value, syntax.Call)
                    and dotted(node.value.func) == "set"
                    and not node.value.args
                ):
                    name = node.target.value
                    if sum(other.value == name for other in self._file.all(syntax.Name)) == 1:
                        yield name

    def _is_set_of_tasks(self, annotation: syntax.BaseExpression) -> bool:
        """Tell whether ``annotation`` is ``set[asyncio.Task]``, of whatever result."""
        if isinstance(annotation, syntax.SimpleString) and isinstance(
            annotation.evaluated_value, str
        ):
            with contextlib.suppress(SyntaxError, ValueError):
                annotation = expression_of(annotation.evaluated_value)
        if not isinstance(annotation, syntax.Subscript) or last_name(annotation.value) not in {
            "set",
            "Set",
        }:
            return False
        index = annotation.slice[0].slice
        element = index.value if isinstance(index, syntax.Index) else None
        if isinstance(element, syntax.Subscript):
            element = element.value
        head, _, rest = dotted(element).partition(".")
        origin = self._names.analysis.module_origin(head) or ""
        return f"{origin}.{rest}".strip(".") in {"asyncio.Task", "asyncio.tasks.Task"}


def _targets(node: syntax.Assign | syntax.AnnAssign) -> list[str]:
    if isinstance(node, syntax.AnnAssign):
        return [dotted(node.target)]
    return [dotted(target.target) for target in node.targets]


def _takes_one(function: syntax.FunctionDef, params: Sequence[syntax.Param]) -> bool:
    """Tell whether ``function`` can be called with one positional argument."""
    if not params or params[0].default is not None:
        return False
    others = [*params[1:], *function.params.kwonly_params]
    return all(param.default is not None for param in others)
