"""Whether a helper of the file does nothing but to register a task.

One that also counts, refuses, limits or reports its tasks does so for those that were meant for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.cancellation import is_wide
from flake8_task_refs.analysis.helpers import find_helper
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.source import SourceFile, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.analysis.verdict import Judge

_CREATORS: Final = frozenset({"create_task", "ensure_future"})
_LOOPS: Final = frozenset({"asyncio.get_running_loop", "asyncio.get_event_loop"})
# What a name may be made with, and a log record.
_DESCRIBING: Final = frozenset({"format", "getattr", "id", "isinstance", "repr", "str", "type"})
_ASKING: Final = frozenset({"cancelled", "done", "exception", "get_coro", "get_name", "result"})
_QUIET_LOGS: Final = frozenset({"debug", "info", "log"})
_LOUD_LOGS: Final = frozenset({"critical", "error", "exception", "warning"})
# What gives back a logger with something added, such as an exception.
_LOGS_WITH: Final = frozenset({"bind", "opt"})
_LOGGERS: Final = frozenset({"log", "logger", "logging"})
_EFFECTS: Final = (
    syntax.Assert,
    syntax.AugAssign,
    syntax.Await,
    syntax.ClassDef,
    syntax.Del,
    syntax.FunctionDef,
    syntax.Global,
    syntax.Lambda,
    syntax.Nonlocal,
    syntax.Raise,
    syntax.While,
    syntax.Yield,
)


class HelperEffects:
    """Looks into the helpers of one file."""

    def __init__(self, file: SourceFile, judge: Judge) -> None:
        """Look into ``file``, which ``judge`` judges."""
        self._file = file
        self._judge = judge

    def only_registers(self, function: syntax.FunctionDef, container: str, task: str) -> bool:
        """Tell whether ``function`` only puts ``task`` into ``container``.

        It may make the task, name it, have it taken out and its failure logged when it is done,
        and give it back.
        """
        return all(self._is_part(statement, container, task) for statement in _statements(function))

    def _is_part(self, statement: syntax.Node, container: str, task: str) -> bool:
        match statement:
            case syntax.Pass() | syntax.Global() | syntax.Nonlocal():
                return True
            case syntax.Return():
                return statement.value is None or dotted(statement.value) == task
            case syntax.Assign():
                targets = [dotted(target.target) for target in statement.targets]
                return self._is_made(statement.value, targets == [task])
            case syntax.AnnAssign():
                return self._is_made(statement.value, dotted(statement.target) == task)
            case syntax.Expr(value=syntax.Call() as call):
                return self._registers(call, container, task)
            case syntax.Expr():
                return isinstance(
                    statement.value,
                    (syntax.SimpleString, syntax.ConcatenatedString, syntax.Ellipsis),
                )
        return False

    def _is_made(self, value: syntax.BaseExpression | None, is_task: bool) -> bool:
        """Tell whether ``value`` is a task of a variable, or the loop to make it on."""
        if value is None:
            return True
        if not isinstance(value, syntax.Call):
            return False
        if not is_task:
            path = self._judge.ownership.names.canonical(self._file.tree, value.func)
            return path in _LOOPS
        coroutine, others = value.args[:1], value.args[1:]
        return (
            last_name(value.func) in _CREATORS
            and bool(coroutine)
            and isinstance(coroutine[0].value, syntax.Name)
            and all(
                other.keyword is not None
                and other.keyword.value == "name"
                and self._only_describes(other.value)
                for other in others
            )
        )

    def _registers(self, call: syntax.Call, container: str, task: str) -> bool:
        callee, args = dotted(call.func), [arg.value for arg in call.args]
        if len(args) != 1 or call.args[0].star or call.args[0].keyword:
            return False
        if callee in (f"{container}.add", f"{container}.append"):
            return dotted(args[0]) == task
        if callee == f"{task}.set_name":
            return self._only_describes(args[0])
        if callee != f"{task}.add_done_callback":
            return False
        taken_out = (f"{container}.discard", f"{container}.remove")
        return dotted(args[0]) in taken_out or self._logs_failure(args[0])

    def _only_describes(self, value: syntax.Node) -> bool:
        return all(
            dotted(node.func) in _DESCRIBING
            if isinstance(node, syntax.Call)
            else not isinstance(node, (*_EFFECTS, syntax.NamedExpr))
            for node in self._file.inside(value)
        )

    def _logs_failure(self, callback: syntax.BaseExpression) -> bool:
        """Tell whether ``callback`` is a function of the file that only logs how a task failed."""
        found = find_helper(self._file.tree, callback, self._judge.ownership.parse)
        if found is None or found.function.asynchronous:
            return False
        params = [*found.function.params.posonly_params, *found.function.params.params]
        params = params[int(found.bound) :]
        return len(params) == 1 and self._only_logs(found.function, params[0].name.value)

    def _only_logs(self, function: syntax.FunctionDef, task: str) -> bool:
        logs = False
        for node in self._file.inside(function.body):
            match node:
                case syntax.Call():
                    logs |= _is_logging(node, _LOUD_LOGS)
                    if not (
                        _is_logging(node, _LOUD_LOGS | _QUIET_LOGS | _LOGS_WITH)
                        or dotted(node.func) in _DESCRIBING
                        or dotted(node.func) in {f"{task}.{method}" for method in _ASKING}
                        or _ignores_only_cancellation(node)
                    ):
                        return False
                case syntax.AssignTarget() | syntax.AnnAssign() | syntax.NamedExpr():
                    if not isinstance(node.target, syntax.Name):
                        return False
                case syntax.ExceptHandler():
                    if is_wide(node) and not any(
                        isinstance(inner, syntax.Call) and _is_logging(inner, _LOUD_LOGS)
                        for inner in self._file.inside(node.body)
                    ):
                        return False
                case _:
                    if isinstance(node, _EFFECTS):
                        return False
        return logs


def _statements(function: syntax.FunctionDef) -> Iterator[syntax.Node]:
    """Yield the statements of a function, those of one line one by one."""
    for statement in function.body.body:
        if isinstance(statement, syntax.SimpleStatementLine):
            yield from statement.body
        else:
            yield statement


def _is_logging(call: syntax.Call, methods: frozenset[str]) -> bool:
    """Tell whether ``call`` is one of the ``methods`` of a logger, known by its name."""
    if not isinstance(call.func, syntax.Attribute) or call.func.attr.value not in methods:
        return False
    logger = call.func.value
    if isinstance(logger, syntax.Call):
        return _is_logging(logger, _LOGS_WITH)
    return last_name(logger).lower().strip("_") in _LOGGERS


def _ignores_only_cancellation(call: syntax.Call) -> bool:
    """Tell whether ``call`` is ``suppress(CancelledError)``."""
    errors = [last_name(arg.value) for arg in call.args]
    return last_name(call.func) == "suppress" and errors == ["CancelledError"]
