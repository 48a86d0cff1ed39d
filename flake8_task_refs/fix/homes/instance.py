"""A plain class: its instances hold their tasks, and end the endless ones when they are closed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.analysis.workers import cannot_leave, runs_for_ever
from flake8_task_refs.fix.closing import CLOSES, CloseMethod
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit, Place
from flake8_task_refs.fix.free_names import fresh, names_in
from flake8_task_refs.fix.plain_class import init_of, is_plain, self_of
from flake8_task_refs.fix.registration import Registry
from flake8_task_refs.fix.shutdown import (
    CONFLICT,
    GRACEFUL,
    PAUSES,
    TELLS,
    Cancellation,
    place,
    settled,
)
from flake8_task_refs.fix.source import (
    body_of,
    dotted,
    first_statement,
    has_docstring,
    last_part,
    statement_expression,
)
from flake8_task_refs.fix.task_names import local_lasts, task_name
from flake8_task_refs.fix.worker import LikelyWorker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.analysis.tree import Tree
    from flake8_task_refs.fix.repair_sites import Site

# A class with these may have tasks in another loop than that of its close method.
_OTHER_LOOPS: Final = frozenset(
    {
        "Thread",
        "run_coroutine_threadsafe",
        "call_soon_threadsafe",
        "new_event_loop",
        "run_forever",
        "run_until_complete",
    }
)


class Instances:
    """A set of each instance; where that is surely right, its close method ends the tasks."""

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context
        self._plain: dict[syntax.ClassDef, bool] = {}

    def accepts(self, site: Site) -> bool:
        """Take the statements in methods of a plain class whose instances live."""
        return (
            site.code in {"TSK001", "TSK002"}
            and site.form != "expression"
            and self._owner_of(site) is not None
        )

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Keep the tasks of ``sites`` in their instances."""
        owners: dict[syntax.ClassDef, list[Site]] = defaultdict(list)
        for site in sites:
            owner = self._owner_of(site)
            if owner is not None:
                owners[owner].append(site)
        found = Plan()
        for owner, group in owners.items():
            found.take(_plan(self._context, owner, group, list(owners)))
        return found

    def _owner_of(self, site: Site) -> syntax.ClassDef | None:
        """Return the class whose instance can hold the task of ``site``, None if it had better not.

        An instance that nobody holds, its set and the tasks in it are collected together. So either
        its close method ends the task, or the module itself holds the instance; a task that ends by
        itself is not for a close method to cut short.
        """
        context = self._context
        for outer in context.tree.ancestors(site.call):
            if isinstance(outer, syntax.FunctionDef):
                owner = context.file.method_class(outer)
                if owner is None:
                    continue
                names = {last_part(dotted(item.decorator)) for item in outer.decorators}
                if names & {"staticmethod", "classmethod"} or self_of(outer) != "self":
                    return None
                if outer.name.value in {"__new__", "__del__"} or _rebinds_self(
                    context, outer, site
                ):
                    return None
                if not self._is_plain(owner):
                    return None
                close = CloseMethod.of(context, owner)
                lives = close is None and _is_held_by_module(context, owner)
                return owner if lives or _is_ended(context, owner, site) else None
            if isinstance(outer, (syntax.Lambda, syntax.ClassDef)):
                return None
        return None

    def _is_plain(self, owner: syntax.ClassDef) -> bool:
        if owner not in self._plain:
            self._plain[owner] = is_plain(self._context, owner)
        return self._plain[owner]


def _is_held_by_module(context: Context, owner: syntax.ClassDef) -> bool:
    """Tell whether each ``owner()`` of the file is bound at top level, once and for all.

    The tasks of any other instance would be held by nothing but what they run in.
    """
    tree, name = context.tree, owner.name.value
    calls = context.file.all(syntax.Call)
    made = [call for call in calls if dotted(call.func) == name]
    if any(_is_of_own_class(call) and context.file.within(call, owner) for call in calls):
        return False
    # Whoever else names the class, may make instances of it, or of classes below it.
    if any(
        node.value == name and not _only_names_the_class(context, node)
        for node in context.file.all(syntax.Name)
    ):
        return False
    return bool(made) and all(_is_bound_for_good(tree, call) for call in made)


def _only_names_the_class(context: Context, node: syntax.Name) -> bool:
    """Tell whether ``node`` calls a class, defines it, or asks or says that something is of it."""
    outer = context.tree.parent.get(node)
    if isinstance(outer, syntax.Call) and outer.func is node:
        return True
    if isinstance(outer, syntax.ClassDef) and outer.name is node:
        return True
    call = context.tree.parent.get(outer) if isinstance(outer, syntax.Arg) else None
    if isinstance(call, syntax.Call) and last_name(call.func) in {
        "isinstance",
        "issubclass",
        "super",
    }:
        return True
    return any(isinstance(at, syntax.Annotation) for at in context.tree.ancestors(node))


def _is_of_own_class(call: syntax.Call) -> bool:
    """Tell whether a method makes an instance of its own class: ``cls()``, ``type(self)()``."""
    if isinstance(call.func, syntax.Call):
        return dotted(call.func.func) == "type"
    return dotted(call.func) in {"cls", "self.__class__"}


def _is_bound_for_good(tree: Tree, call: syntax.Call) -> bool:
    """Tell whether a statement of the module itself binds ``call`` to a name that has no other."""
    assign = tree.parent[call]
    if tree.parent.get(tree.statement_of(call)) is not tree.module:
        return False
    target = (
        assign.targets[0].target
        if isinstance(assign, syntax.Assign) and len(assign.targets) == 1
        else assign.target
        if isinstance(assign, syntax.AnnAssign)
        else None
    )
    if not isinstance(target, syntax.Name):
        return False
    name = target.value
    return len(tree.scope[target].stores[name]) == 1 and not any(
        name in scope.elsewhere for scope in tree.inner.values()
    )


def _is_ended(context: Context, owner: syntax.ClassDef, site: Site) -> bool:
    """Tell whether the close method of ``owner`` is surely the end of the task of ``site``.

    The task runs for ever, or waits for the close method to let it finish, and has nothing left to
    do when that has seen its sign.
    """
    close = CloseMethod.of(context, owner)
    if close is None or context.file.within(site.call, close.function):
        return False
    if any(last_name(call.func) == "cancel" for call in context.file.each(syntax.Call, owner)):
        return False
    worker = LikelyWorker.of(context, site)
    if (
        worker.function is None
        or context.file.method_class(worker.function) is not owner
        or worker.name in CLOSES
        or worker.unstoppable()
    ):
        return False
    if (
        close.may_be_midway(worker)
        or close.only_tells(worker)
        or _has_other_loops(context, owner)
        or worker.calls_hook(owner)
    ):
        return False
    kinds = close.kinds([site])
    if not any(set(found) - {TELLS, PAUSES} for found in kinds) and close.leaves_queue(worker):
        return False
    finishes = any(GRACEFUL in found for found in kinds)
    if place(settled(kinds)) is None:
        return False
    if not finishes:
        return runs_for_ever(context.tree, worker.function)
    if cannot_leave(context.tree, worker.function):
        return True
    ends = close.waits_for_its_end(worker)
    if ends is not None:
        return ends
    # Another task may give the sign: what waits for messages is not ended by it.
    loops = (node for node in worker.inside() if isinstance(node, syntax.For))
    return any(loop.asynchronous for loop in loops)


def _has_other_loops(context: Context, owner: syntax.ClassDef) -> bool:
    """Tell whether ``owner`` has to do with threads, or the file with several event loops.

    Nobody can wait for a task of another loop.
    """
    names = names_in(context.file, owner)
    return bool(names & _OTHER_LOOPS) or any(
        last_name(call.func) == "new_event_loop" for call in context.tree.calls
    )


def _rebinds_self(context: Context, method: syntax.FunctionDef, site: Site) -> bool:
    return site.function is not method and any(
        isinstance(node, syntax.Param) and node.name.value == "self"
        for node in context.file.inside(method.body)
    )


def _plan(
    context: Context,
    owner: syntax.ClassDef,
    sites: Sequence[Site],
    others: Sequence[syntax.ClassDef],
) -> Plan:
    """Keep the tasks of ``sites`` in a set of each instance of ``owner``.

    ``others`` are the classes of the file that get such a set as well.
    """
    init = init_of(owner)
    if init is None:
        raise ValueError("not a plain class")
    attribute = f"self.{_attribute(context, owner, others)}"
    found = Plan(fixed=[site.finding for site in sites])
    close = CloseMethod.of(context, owner)
    if close is not None:
        number = close.place(sites)
        if number is None:
            refused = Plan()
            refused.decline(sites, CONFLICT)
            return refused
        found.edits.append(_cancellation(context, close.function, number, attribute))
    found.edits.append(_declaration(context, init, attribute))
    for site in sites:
        task = task_name(context, site)
        lasts = site.form != "assign" and local_lasts(context, site)
        log_failed = context.additions.log_failed_task(site.call) if lasts else ""
        found.edits += context.writer.register(site, task, Registry(attribute), log_failed)
    return found


def _attribute(context: Context, owner: syntax.ClassDef, others: Sequence[syntax.ClassDef]) -> str:
    """Return a name that neither ``owner`` nor a class above or below it uses."""
    file, wanted = context.file, f"_{context.registry_name}"
    name = owner.name.value
    above, below = file.lineage(name), file.subclasses(name)
    related = [one for one in file.all(syntax.ClassDef) if one.name.value in above or one in below]
    taken = {name for one in related for name in names_in(file, one)}
    earlier = sum(1 for one in others[: list(others).index(owner)] if one in related)
    for _ in range(earlier):
        taken.add(fresh(wanted, taken))
    return fresh(wanted, taken)


def _declaration(context: Context, init: syntax.FunctionDef, attribute: str) -> Edit:
    """Make the set first, or after ``super().__init__()`` if that is first and runs nothing."""
    file, writer = context.file, context.writer
    asyncio = context.additions.module("asyncio")
    line = f"{attribute}: set[{asyncio}.Task[object]] = set()"
    owner = file.method_class(init)
    own = {node.name.value for node in file.all(syntax.ClassDef)}
    # The base may call what starts the task.
    has_bases = owner is not None and len(file.lineage(owner.name.value) & own) > 1
    begin = 1 if has_docstring(init) else 0
    for statement in () if has_bases else body_of(init)[begin : begin + 1]:
        small = statement_expression(statement)
        if (
            isinstance(small, syntax.Expr)
            and isinstance(small.value, syntax.Call)
            and last_name(small.value.func) == "__init__"
        ):
            lines = writer.layout.best(line, file.indent(statement))
            return writer.insert_after(statement, lines)
    first = first_statement(init)
    if body_of(init) and first is body_of(init)[0] and has_docstring(init):
        return writer.insert_after(first, writer.layout.best(line, file.indent(first)))
    lines = writer.layout.best(line, file.indent(first))
    where = file.first_line_with_comments(first)
    return writer.insert_at(where, lines, Place.AFTER_STATEMENT)


def _cancellation(context: Context, close: syntax.FunctionDef, number: int, attribute: str) -> Edit:
    file, writer = context.file, context.writer
    body = body_of(close)
    asyncio = context.additions.module("asyncio")
    # Whoever closes may itself be one of the tasks.
    others = f"{attribute} - {{{asyncio}.current_task()}}"
    cancellation = Cancellation.within(context, close, others)
    number = max(number, int(has_docstring(close)))
    lines = cancellation.lines(file.indent(body[0]), writer.layout)
    if number < len(body):
        where = file.first_line_with_comments(body[number])
        return writer.insert_at(where, lines, Place.BEFORE_STATEMENT)
    return writer.insert_after(body[-1], lines, Place.END_OF_BLOCK)
