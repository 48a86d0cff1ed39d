"""What becomes of the tasks in a container that the file has, and whether one more suits there.

A container that is cancelled when its owner closes takes any task, but the one that closes it. One
that is only waited for takes tasks that end. One that is read for anything else (how many are
there? has each its turn?) takes no stranger.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.helpers import likely_function
from flake8_task_refs.analysis.hooks import STOPS
from flake8_task_refs.analysis.lifetime import is_main
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.analysis.workers import runs_for_ever
from flake8_task_refs.fix.source import SourceFile, dotted

if TYPE_CHECKING:
    from flake8_task_refs.analysis.verdict import Judge
    from flake8_task_refs.fix.repair_sites import Site

# Functions that end what their object or module started, once and for all.
_ENDS: Final = re.compile(
    r"(^|_)(a?close[d]?|stop|shutdown|cleanup|teardown|terminate|destroy|quit|exit|aexit|del|unload|"
    r"disconnect|join|drain|finish|wait|end|finalize|dispose)(_|$)"
    r"|^cancel(_(all|background|pending|running|remaining|tasks|workers|jobs))*$"
)
# Methods of the container that tell nothing of what is in it.
_KEEPING: Final = frozenset({"add", "append", "discard", "remove"})
_MAX_DEPTH: Final = 4


class Fates:
    """Tells for the containers of one file whether a further task may join them."""

    def __init__(self, file: SourceFile, judge: Judge) -> None:
        """Answer for ``file``, of whose applications ``judge`` knows."""
        self._file = file
        self._judge = judge

    def suit(self, container: str, owner: syntax.ClassDef | None, site: Site) -> bool:
        """Tell whether the task of ``site`` may join ``container``, which may be of ``owner``."""
        file = self._file
        cancelled = waited = False
        endings: set[str] = set()
        for use in self._uses(container, owner):
            if self._only_keeps(use) or self._only_counts(use):
                continue
            function = file.function(use)
            if not isinstance(function, syntax.FunctionDef) or not self._ends(function):
                return False
            if file.within(site.call, function):
                return False
            endings.add(function.name.value)
            if self._cancels(function):
                cancelled = True
            else:
                waited = True
        if cancelled and self._comes_to(site, endings):
            return False  # it would cancel itself, and wait for itself
        return not waited or self._ends_by_itself(site)

    def _uses(self, container: str, owner: syntax.ClassDef | None) -> list[syntax.Node]:
        """Return where ``container`` is read."""
        file = self._file
        kind: type[syntax.Node] = syntax.Attribute if "." in container else syntax.Name
        found = []
        for node in file.all(kind):
            if dotted(node) != container or (owner is not None and not file.within(node, owner)):
                continue
            holder = file.parent(node)
            if isinstance(holder, (syntax.AssignTarget, syntax.AnnAssign)):
                if isinstance(file.function(node), syntax.FunctionDef) and not self._is_init(node):
                    found.append(node)  # it is changed for another
                continue
            if isinstance(holder, (syntax.NameItem, syntax.Param)):
                continue
            if isinstance(holder, syntax.Attribute) and holder.attr is node:
                continue
            found.append(node)
        return found

    def _is_init(self, node: syntax.Node) -> bool:
        function = self._file.function(node)
        return isinstance(function, syntax.FunctionDef) and function.name.value == "__init__"

    def _only_keeps(self, use: syntax.Node) -> bool:
        """Tell whether ``use`` adds a task, takes one out, or hands over what does so."""
        holder = self._file.parent(use)
        return isinstance(holder, syntax.Attribute) and holder.attr.value in _KEEPING

    def _only_counts(self, use: syntax.Node) -> bool:
        """Tell whether ``use`` only says how many tasks there are, and nothing hangs on it."""
        arg = self._file.parent(use)
        call = self._file.parent(arg)
        if not (isinstance(arg, syntax.Arg) and isinstance(call, syntax.Call)):
            return False
        if last_name(call.func) != "len":
            return False
        for outer in self._file.ancestors(call):
            if isinstance(
                outer, (syntax.Comparison, syntax.BooleanOperation, syntax.UnaryOperation)
            ):
                return False
            if isinstance(outer, (syntax.If, syntax.While, syntax.IfExp)):
                return False
            if isinstance(outer, (syntax.BaseSmallStatement, syntax.BaseCompoundStatement)):
                return True
        return False

    def _ends(self, function: syntax.FunctionDef) -> bool:
        """Tell whether ``function`` is the end of the container's owner."""
        return (
            _ENDS.search(function.name.value.lower().strip("_")) is not None
            or self._judge.application(function) is not None
            or any(hook.function is function and hook.event in STOPS for hook in self._file.hooks)
            or is_main(self._file.tree, function)
        )

    def _cancels(self, function: syntax.FunctionDef) -> bool:
        return any(
            isinstance(node, syntax.Call) and last_name(node.func) == "cancel"
            for node in self._file.inside(function)
        )

    def _comes_to(self, site: Site, endings: set[str]) -> bool:
        """Tell whether the task of ``site`` may run one of the functions ``endings``."""
        coroutine = site.coroutine
        if not isinstance(coroutine, syntax.Call):
            return True  # who knows
        todo, seen = [coroutine], set[syntax.FunctionDef]()
        for _ in range(_MAX_DEPTH):
            deeper: list[syntax.Call] = []
            for call in todo:
                if last_name(call.func) in endings:
                    return True
                function = likely_function(self._file.tree, call)
                if function is not None and function not in seen:
                    seen.add(function)
                    deeper += [
                        node
                        for node in self._file.inside(function.body)
                        if isinstance(node, syntax.Call)
                    ]
            todo = deeper
        return False

    def _ends_by_itself(self, site: Site) -> bool:
        """Tell whether what ``site`` starts is here, and does not go on for ever."""
        coroutine = site.coroutine
        worker = (
            likely_function(self._file.tree, coroutine)
            if isinstance(coroutine, syntax.Call)
            else None
        )
        return worker is not None and not runs_for_ever(self._file.tree, worker)
