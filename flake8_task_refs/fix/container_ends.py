"""Who ends the tasks in a container that the file has, and whether one more may join them.

A container to which the file only adds takes any task. One that is cancelled when its owner
closes takes one more that is endless, or that only begins after some time, but not the one that
closes it: another that ends by itself is not for a close to cut short, and of one that is not known
to be endless nobody knows that it is not. One that is read for anything else (how many are there?
are all of them done?) takes no stranger.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.effects import is_log_method
from flake8_task_refs.analysis.hooks import STOPS
from flake8_task_refs.analysis.lifetime import is_main
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.analysis.workers import Worker
from flake8_task_refs.fix.container_uses import is_counted, is_wait, mentions, uses_of
from flake8_task_refs.fix.source import dotted
from flake8_task_refs.fix.worker import STARTS, LikelyWorker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flake8_task_refs.fix.contract import Context
    from flake8_task_refs.fix.repair_sites import Site

# A function that ends what its object or module started is called by one of these words,
_ENDS: Final = frozenset(
    {
        "aclose", "aexit", "cancel", "cleanup", "close", "del", "destroy", "disconnect", "dispose",
        "drain", "end", "exit", "finalize", "finish", "quit", "shutdown", "stop", "teardown",
        "terminate", "unload",
    }
)  # fmt: skip
# and by these: `join_channel`, `end_turn` and `close_room` end something smaller.
_OF_ALL: Final = frozenset(
    {
        "all", "and", "app", "application", "async", "asyncio", "background", "bot", "cog",
        "entry", "event", "events", "everything", "gracefully", "graceful", "handle", "handler",
        "internal", "jobs", "on", "pending", "perform", "remaining", "running", "server",
        "service", "services", "task", "tasks", "workers",
    }
)  # fmt: skip
_TWO_WORDS: Final = re.compile(r"(shut|tear|clean)_(down|up)")
# These may end something smaller, too, and what they ended is started anew.
_SMALLER: Final = frozenset({"cancel", "disconnect", "drain", "end", "finish", "stop"})
# Methods of the container that tell nothing of what is in it.
_KEEPING: Final = frozenset({"add", "append", "discard", "remove"})


class ContainerEnds:
    """Tells for the containers of one file who ends what is in them, and what may join that."""

    def __init__(self, context: Context) -> None:
        """Answer for the file of ``context``."""
        self._context = context
        self._file = context.file
        self._judge = context.judge
        self._known: dict[tuple[str, syntax.Node], set[syntax.FunctionDef] | None] = {}

    def may_join(self, container: str, near: syntax.Node, site: Site) -> bool:
        """Tell whether the task of ``site`` may join what is called ``container`` at ``near``."""
        endings = self.endings(container, near)
        if not endings:
            return endings is not None
        if any(self._file.within(site.call, function) for function in endings):
            return False
        if any(self._is_smaller(function) for function in endings) and not self._is_started(
            near, site
        ):
            return False
        # It would cancel itself, and wait for itself.
        names = {function.name.value for function in endings}
        worker = LikelyWorker.of(self._context, site)
        is_for_a_close = self._is_endless(site) or worker.is_delayed()
        return is_for_a_close and not worker.comes_to(names)

    def endings(self, container: str, near: syntax.Node) -> set[syntax.FunctionDef] | None:
        """Return the functions that cancel all that is in the container when its owner ends.

        None if anything else is done with it than that, but for adding tasks and discarding them.
        """
        key = (container, near)
        if key not in self._known:
            self._known[key] = self._find_endings(container, near)
        return self._known[key]

    def _find_endings(self, container: str, near: syntax.Node) -> set[syntax.FunctionDef] | None:
        found: set[syntax.FunctionDef] = set()
        for use in uses_of(self._file, container, near):
            if self._only_keeps(use) or self._only_makes(use):
                continue
            function = self._file.function(use)
            if not isinstance(function, syntax.FunctionDef) or not self._ends(function):
                return None
            if function not in found and not self._is_cancelled(dotted(use), function):
                return None
            found.add(function)
        return found

    def _only_keeps(self, use: syntax.Node) -> bool:
        """Tell whether ``use`` adds a task, takes one out, or hands over what does so."""
        holder = self._file.parent(use)
        return isinstance(holder, syntax.Attribute) and holder.attr.value in _KEEPING

    def _only_makes(self, use: syntax.Node) -> bool:
        """Tell whether ``use`` is where the container is made, and not changed for another."""
        holder = self._file.parent(use)
        if isinstance(holder, (syntax.NameItem, syntax.Param)):
            return True
        if not isinstance(holder, (syntax.AssignTarget, syntax.AnnAssign)):
            return False
        function = self._file.function(use)
        return holder.target is use and (
            (isinstance(use, syntax.Name) and self._file.tree.scope[use].binds(use.value))
            or not isinstance(function, syntax.FunctionDef)
            or function.name.value == "__init__"
        )

    def _ends(self, function: syntax.FunctionDef) -> bool:
        """Tell whether ``function`` is the end of the container's owner, and not one of many."""
        return self._ends_program(function) or (
            _is_called_like_an_end(function) and not self._is_called_midway(function)
        )

    def _ends_program(self, function: syntax.FunctionDef) -> bool:
        """Tell whether an application stops with ``function``, or the program."""
        return (
            self._judge.application(function) is not None
            or any(hook.function is function and hook.event in STOPS for hook in self._file.hooks)
            or is_main(self._file.tree, function)
        )

    def _is_called_midway(self, function: syntax.FunctionDef) -> bool:
        """Tell whether another function, which is no end, calls ``function`` of its own object."""
        owner, name = self._file.method_class(function), function.name.value
        path = name if owner is None else f"self.{name}"
        for call in self._file.all(syntax.Call):
            if dotted(call.func) != path or (owner and not self._file.within(call, owner)):
                continue
            caller = self._file.function(call)
            if isinstance(caller, syntax.FunctionDef) and not (
                _is_called_like_an_end(caller) or self._ends_program(caller)
            ):
                return True
        return False

    def _is_cancelled(self, container: str, function: syntax.FunctionDef) -> bool:
        """Tell whether ``function`` cancels what is in ``container`` before it waits for it.

        It may log how many they are, but give nobody their number, or the tasks.
        """
        file, cancelled = self._file, False
        names = {container}  # what has the tasks, or one of them
        for node in file.inside(function.body):
            match node:
                case syntax.Assign() if mentions(file, node.value, names):
                    names |= _names_of(target.target for target in node.targets)
                case syntax.AnnAssign() if node.value and mentions(file, node.value, names):
                    names |= _names_of([node.target])
                case syntax.For() if mentions(file, node.iter, names):
                    names |= _names_of([node.target])
                case syntax.ListComp() | syntax.SetComp() | syntax.GeneratorExp() if mentions(
                    file, node.for_in.iter, names
                ):
                    names |= _names_of([node.for_in.target])
                case syntax.Return() | syntax.Yield() if mentions(file, node, names):
                    return False
                case syntax.Await() if mentions(file, node, names) and not cancelled:
                    cancelled = self._cancels(node, names)
                    if not cancelled:
                        return False
                case syntax.Call() if is_wait(node) and mentions(file, node, names):
                    if not cancelled:
                        return False
                case syntax.Name() | syntax.Attribute():
                    if (
                        dotted(node) in names
                        and is_counted(file, node)
                        and not self._is_logged(node)
                    ):
                        return False
            cancelled |= self._is_cancel(node, names)
        return cancelled

    def _cancels(self, node: syntax.Node, names: set[str]) -> bool:
        return any(self._is_cancel(inner, names) for inner in self._file.inside(node))

    def _is_cancel(self, node: syntax.Node, names: set[str]) -> bool:
        """Tell whether ``node`` cancels one of ``names``, or has a function do so by its name."""
        if isinstance(node, syntax.Attribute) and node.attr.value == "cancel":
            return mentions(self._file, node.value, names)
        return (
            isinstance(node, syntax.Call)
            and "cancel" in last_name(node.func)
            and any(mentions(self._file, arg.value, names) for arg in node.args)
        )

    def _is_logged(self, node: syntax.Node) -> bool:
        return any(
            isinstance(outer, syntax.Call) and is_log_method(outer.func)
            for outer in self._file.ancestors(node)
        )

    def _is_smaller(self, function: syntax.FunctionDef) -> bool:
        """Tell whether ``function`` may be called while its object goes on."""
        return bool(_SMALLER & set(_words(function)))

    def _is_started(self, near: syntax.Node, site: Site) -> bool:
        """Tell whether what starts the tasks of the container starts that of ``site``, too."""
        started = LikelyWorker.of(self._context, site).path
        owner = self._file.tree.class_around(near)
        return any(
            STARTS.match(function.name.value)
            and self._file.method_class(function) is owner
            and any(
                isinstance(node, syntax.Call) and dotted(node.func) == started
                for node in self._file.inside(function.body)
            )
            for function in self._file.functions()
        )

    def _is_endless(self, site: Site) -> bool:
        """Tell whether what ``site`` starts surely goes on until somebody ends it."""
        coroutine = site.coroutine
        return (
            isinstance(coroutine, syntax.Call)
            and Worker(self._judge.ownership, coroutine).runs_until_ended()
        )


def _words(function: syntax.FunctionDef) -> list[str]:
    name = _TWO_WORDS.sub(r"\1\2", function.name.value.lower())
    return [word for word in name.split("_") if word]


def _is_called_like_an_end(function: syntax.FunctionDef) -> bool:
    words = set(_words(function))
    return bool(words & _ENDS) and words <= _ENDS | _OF_ALL


def _names_of(targets: Iterable[syntax.BaseExpression]) -> set[str]:
    """Return the variables among ``targets``, those of a tuple one by one."""
    found: set[str] = set()
    for target in targets:
        if isinstance(target, syntax.Tuple):
            found |= _names_of(element.value for element in target.elements)
        elif isinstance(target, syntax.Name):
            found.add(target.value)
    return found
