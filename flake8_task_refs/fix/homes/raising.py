"""A done-callback that raises if its task was cancelled: it looks at ``cancelled()`` first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.callbacks import Callbacks
from flake8_task_refs.analysis.cancellation import is_wide, unguarded_results
from flake8_task_refs.analysis.effects import is_log_method
from flake8_task_refs.analysis.syntax import is_name, last_name
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit, Place
from flake8_task_refs.fix.source import dotted, statement_expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.repair_sites import Site

# What reads better in brackets behind `else`, or must stand in them.
_LOOSE: Final = (syntax.IfExp, syntax.Lambda, syntax.NamedExpr, syntax.Yield)
_LEAVING: Final = (syntax.Return, syntax.Raise, syntax.Break, syntax.Continue)
# Where what stands in them may not be reached, by the field that always is.
_CONDITIONAL: Final = {
    syntax.BooleanOperation: "left",
    syntax.IfExp: "test",
    syntax.Comparison: "left",
    syntax.Assert: "test",
}
# What tells of a task, and changes nothing.
_ASKS: Final = frozenset(
    {
        "exception", "result", "cancelled", "done", "get_name", "get_coro", "print", "repr", "str",
        "type", "print_exception", "format_exception", "print_tb", "write", "join", "format",
    }
)  # fmt: skip
_LOGS: Final = re.compile(r"_*log(?:_\w+)?\Z")
_ANSWERS: Final = ("set_result", "set_exception")
# What a callback does when its task is over, however it ended; a sign is given without arguments.
_TIDIES: Final = frozenset({"discard", "remove", "pop", "clear", "release", "task_done"})
_SIGNS: Final = frozenset({"set"})
# What only tells the key of what is taken out.
_TELLS_KEY: Final = frozenset({"get_name", "id", "str", "list", "tuple"})
_COMPREHENSIONS: Final = (syntax.GeneratorExp, syntax.ListComp, syntax.SetComp, syntax.DictComp)
OTHER_USE: Final = (
    "a look at cancelled() would change more than the error, or does not fit where the result is "
    "asked for: look at it by hand"
)


class RaisingCallbacks:
    """Asks no cancelled task for its result: returns from the callback where it would raise.

    What a callback has done until then stays done, and what comes later does not run: only the
    error is not raised and logged any more. So it goes where nothing else runs in between. What
    comes later runs after all where it tidies up for failed tasks as well as for others.
    """

    def __init__(self, context: Context) -> None:
        """Repair in ``context``."""
        self._context = context

    def accepts(self, site: Site) -> bool:
        """Take every callback that asks a cancelled task for its result."""
        return site.code == "TSK302"

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Mend each callback once, however often it is registered."""
        found = Plan()
        callbacks = Callbacks(self._context.judge.ownership)
        mended: dict[syntax.Node, bool] = {}
        for site in sites:
            registered = callbacks.registered(site.call)
            if registered is None or registered[0] is not self._context.tree:
                found.decline([site], OTHER_USE)
                continue
            _, callback, task = registered
            if callback not in mended:
                of_thread = callbacks.is_of_thread(site.call)
                edits = self._edits(callback, task, of_thread=of_thread)
                mended[callback] = bool(edits)
                found.edits += edits
            if mended[callback]:
                found.fixed.append(site.finding)
            else:
                found.decline([site], OTHER_USE)
        return found

    def _edits(
        self, callback: syntax.FunctionDef | syntax.Lambda, task: str, *, of_thread: bool
    ) -> list[Edit]:
        """Return what lets ``callback`` look first, nothing if that could change more.

        ``task`` is the parameter that the task becomes.
        """
        look = f"{task}.cancelled()"
        asks = unguarded_results(self._context.tree, callback, task, of_thread=of_thread)
        # Who waits for the answer would wait on, and no error would tell; and what is done for a
        # cancelled task further down should be done.
        if any(
            isinstance(node, syntax.Call) and last_name(node.func) in (*_ANSWERS, "cancelled")
            for node in self._context.tree.walk(callback.body)
        ):
            return []
        if isinstance(callback, syntax.Lambda):
            return self._in_lambda(callback, asks, look)
        decorated = callback.decorators and self._context.tree.method_class(callback) is None
        if decorated or callback.asynchronous or self._is_called(callback):
            return []
        if len(self._context.tree.inner[callback].stores.get(task, ())) > 1:
            return []  # it is no longer the task
        edits: list[Edit] = []
        statements: list[syntax.Node] = []
        for ask in asks:
            statement = self._statement(ask)
            if statement is None:
                return []
            if any(self._runs_before(guarded, ask) for guarded in statements):
                continue
            going_on = self._goes_on(callback, ask, task)
            if not going_on:
                statements.append(statement)
                going_on = [self._guard(statement, look)]
            edits += [edit for edit in going_on if edit not in edits]
        return edits

    def _in_lambda(
        self, callback: syntax.Lambda, asks: Sequence[syntax.Call], look: str
    ) -> list[Edit]:
        """``lambda task: None if task.cancelled() else task.exception()``."""
        file, body = self._context.file, callback.body
        # Behind the first to be asked, nothing else is reached.
        if all(self._does_more(body, ask) for ask in asks):
            return []
        start, end = file.span(body)
        for _ in range(self._context.file.brackets(body)):
            inside, start = start, file.text.rindex("(", 0, start)
            if file.text[start + 1 : inside].strip():
                return []  # a comment
        first = f"None if {look} else "
        edits = [Edit(start, start, first)]
        if isinstance(body, syntax.IfExp) and self._is_asked_first(body, asks):
            start, _ = file.span(body.test)
            edits = [Edit(start, start, f"not {look} and ")]
        elif isinstance(body, _LOOSE) and not self._context.file.brackets(body):
            edits = [Edit(start, start, f"{first}("), Edit(end, end, ")")]
        writer = self._context.writer
        laid_out = writer.laid_out(file.statement(callback), edits)
        # Nobody breaks a lambda into lines.
        return [] if writer.makes_too_long(laid_out) else laid_out

    def _is_asked_first(self, choice: syntax.IfExp, asks: Sequence[syntax.Call]) -> bool:
        """Tell whether ``choice`` asks in its condition, and does nothing if that does not hold."""
        tree, test = self._context.tree, choice.test
        return (
            isinstance(choice.orelse, (syntax.Name, syntax.Integer))
            and not isinstance(test, (*_LOOSE, syntax.BooleanOperation))
            and any(tree.holds(test, ask) for ask in asks)
        )

    def _goes_on(self, callback: syntax.FunctionDef, ask: syntax.Call, task: str) -> list[Edit]:
        """Return what lets the rest of ``callback`` run, if that is for failed tasks, too.

        Nothing if there is no rest, or one that asks for the result again or does more than to
        tidy up: a task that is started anew would be so after a shutdown.
        """
        tree, look = self._context.tree, f"{task}.cancelled()"
        statement = tree.statement_of(ask)
        rest = self._rest(statement)
        # `if error:` behind `error = task.exception()` is still about the failure.
        after = rest[1:] if isinstance(statement_expression(statement), syntax.Assign) else rest
        if not rest or self._asks_again(task, rest) or not self._only_tidies(after):
            return []
        if isinstance(statement, syntax.If):
            return self._condition(callback, statement, look, rest)
        around = (outer for outer in tree.ancestors(ask) if isinstance(outer, syntax.Try))
        outer = next(around, None)
        below = self._rest(outer) if outer is not None else []
        if outer is not None and tree.holds(outer.body, ask) and below:
            return [] if self._binds_for(callback, outer, below) else self._handler(outer)
        if last_name(ask.func) == "result" or not isinstance(statement, syntax.SimpleStatementLine):
            return []
        small = statement_expression(statement)
        if isinstance(small, syntax.Assign) and small.value is ask:
            return self._assignment(callback, statement, look, rest)
        return self._indented(statement, look) if isinstance(small, syntax.Expr) else []

    def _condition(
        self,
        callback: syntax.FunctionDef,
        statement: syntax.If,
        look: str,
        rest: Sequence[syntax.Node],
    ) -> list[Edit]:
        """``if not task.cancelled() and task.exception():``."""
        tree, file, test = self._context.tree, self._context.file, statement.test
        if (
            self._leaves(statement)
            or self._binds_for(callback, statement, rest)
            or any(last_name(node) == "result" for node in tree.walk(test))
            or (isinstance(test, syntax.BooleanOperation) and test.operator != "and")
        ):
            return []
        start, end = file.span(test)
        first = f"not {look} and "
        edits = [Edit(start, start, first)]
        if isinstance(test, syntax.NamedExpr):
            edits = [Edit(start, start, f"{first}("), Edit(end, end, ")")]
        longer = sum(len(edit.text) for edit in edits)
        if (
            statement.orelse is None
            and not file.brackets(test)
            and not isinstance(test, (syntax.IfExp, syntax.Lambda))
            and self._context.writer.layout.fits(file.line_text(file.line_of(start)), longer)
        ):
            return edits
        indent, start = file.indent(statement), file.span(statement).start
        step = self._context.writer.layout.step
        edit = Edit(start, start, f"if {look}:\n{indent}{step}pass\n{indent}el")
        return [edit, *self._broken(test, indent)]

    def _broken(self, test: syntax.BaseExpression, indent: str) -> list[Edit]:
        """Return the edit that breaks ``test`` into lines if it is too long behind an ``elif``."""
        file, layout = self._context.file, self._context.writer.layout
        start, end = file.span(test)
        line = file.line_text(file.line_of(start))
        is_alone = file.line_of(start) == file.line_of(end) and not file.brackets(test)
        if not is_alone or not layout.fits(line) or layout.fits(line, len("el")):
            return []
        lines = layout.condition("elif", file.text[start:end], indent)
        return [Edit(start, end, "\n".join(lines).removeprefix(f"{indent}elif ").removesuffix(":"))]

    def _assignment(
        self,
        callback: syntax.FunctionDef,
        statement: syntax.SimpleStatementLine,
        look: str,
        rest: Sequence[syntax.Node],
    ) -> list[Edit]:
        """``error = None if task.cancelled() else task.exception()``, for ``if error:`` below."""
        tree, small = self._context.tree, statement_expression(statement)
        target = small.targets[0].target if isinstance(small, syntax.Assign) else None
        test = rest[0]
        if not isinstance(small, syntax.Assign) or not isinstance(target, syntax.Name):
            return []
        if not isinstance(test, syntax.If) or test.orelse is not None or len(rest) == 1:
            return []
        if self._leaves(test) or _asked_for(test.test) != target.value:
            return []
        uses = [
            node
            for node in tree.walk(callback.body, into_functions=True)
            if isinstance(node, syntax.Name) and node.value == target.value
        ]
        if not all(node is target or tree.holds(test, node) for node in uses):
            return []
        start = self._context.file.span(small.value).start
        edit = Edit(start, start, f"None if {look} else ")
        return self._context.writer.laid_out(statement, [edit])

    def _indented(self, statement: syntax.Node, look: str) -> list[Edit]:
        """``if not task.cancelled():`` around one statement that goes on if the task failed."""
        file, writer = self._context.file, self._context.writer
        if self._leaves(statement):
            return []
        first, last = file.first_line_with_comments(statement), file.last_line(statement)
        lines = [f"{file.indent(statement)}if not {look}:"]
        head = writer.insert_at(first, lines, Place.BEFORE_STATEMENT)
        return [head, *writer.indent_lines(first, last, [])]

    def _handler(self, outer: syntax.Try) -> list[Edit]:
        """``except asyncio.CancelledError: pass``, before a handler of all that fails."""
        context, file = self._context, self._context.file
        if not any(map(is_wide, outer.handlers)) or any(map(self._leaves, outer.handlers)):
            return []
        asyncio = context.additions.module("asyncio")
        indent = file.indent(outer)
        first = outer.handlers[0]
        lines = [
            f"{indent}except {asyncio}.CancelledError:",
            f"{indent}{context.writer.layout.step}pass",
        ]
        line = file.line_of(file.span(first).start)
        return [context.writer.insert_at(line, lines, Place.BEFORE_STATEMENT)]

    def _rest(self, statement: syntax.Node) -> list[syntax.Node]:
        """Return what of the callback runs after ``statement``, and a return would skip."""
        tree = self._context.tree
        found: list[syntax.Node] = []
        at = statement
        for block in tree.ancestors(statement):
            if isinstance(block, syntax.FunctionDef):
                break
            if isinstance(block, syntax.IndentedBlock):
                found += [
                    later
                    for later in block.body[block.body.index(at) + 1 :]
                    if not _does_nothing(later)
                ]
            at = block
        return found

    def _only_tidies(self, rest: Sequence[syntax.Node]) -> bool:
        """Tell whether ``rest`` does no more than to take something out, or to let others go on.

        What is assigned there may say how the task ended; ``None`` lets go of something.
        """
        nodes = [
            node for later in rest for node in self._context.tree.walk(later, into_functions=True)
        ]
        return all(map(_tidies, nodes)) and not any(
            isinstance(node, (syntax.AugAssign, syntax.Assign, syntax.AnnAssign))
            and not (isinstance(node, syntax.Assign) and is_name(node.value, "None"))
            for node in nodes
        )

    def _asks_again(self, task: str, rest: Sequence[syntax.Node]) -> bool:
        """Tell whether ``rest`` asks ``task`` for what came of it."""
        return any(
            isinstance(node, syntax.Call)
            and dotted(node.func) in {f"{task}.result", f"{task}.exception"}
            for later in rest
            for node in self._context.tree.walk(later, into_functions=True)
        )

    def _binds_for(
        self, callback: syntax.FunctionDef, part: syntax.Node, rest: Sequence[syntax.Node]
    ) -> bool:
        """Tell whether ``rest`` uses a name that ``part``, of which nothing may run, binds."""
        tree = self._context.tree
        bound = {
            name
            for name, stores in tree.inner[callback].stores.items()
            if any(tree.holds(part, store) for store in stores)
        }
        return any(
            isinstance(node, syntax.Name) and node.value in bound
            for later in rest
            for node in tree.walk(later, into_functions=True)
        )

    def _leaves(self, part: syntax.Node) -> bool:
        """Tell whether ``part`` may end the callback, or tells what follows how the task ended.

        So it may be if it does anything but to log.
        """
        return any(
            isinstance(node, _LEAVING) or (isinstance(node, syntax.Call) and not _only_tells(node))
            for node in self._context.tree.walk(part)
        )

    def _is_called(self, function: syntax.FunctionDef) -> bool:
        """Tell whether ``function`` may be called by the file itself, whom its error may reach."""
        return any(
            last_name(call.func) == function.name.value
            for call in self._context.file.all(syntax.Call)
        )

    def _statement(self, ask: syntax.Call) -> syntax.Node | None:
        """Return the outermost statement before which one can look, just as before ``ask``."""
        tree = self._context.tree
        statement = tree.statement_of(ask)
        if isinstance(statement, syntax.If):
            expression: syntax.Node = statement.test
            if not tree.holds(expression, ask):
                return None
        elif isinstance(statement, syntax.SimpleStatementLine):
            expression = statement
        else:
            return None
        if self._does_more(expression, ask):
            return None
        if self._is_entered(statement):
            return None
        block = tree.parent[statement]
        while isinstance(block, syntax.IndentedBlock) and block.body[0] is statement:
            # `try:` itself does nothing, so the look goes before it.
            outer = tree.parent[block]
            if not isinstance(outer, syntax.Try) or outer.body is not block or outer.finalbody:
                break
            statement, block = outer, tree.parent[outer]
        return statement if isinstance(block, syntax.IndentedBlock) else None

    def _is_entered(self, statement: syntax.Node) -> bool:
        """Tell whether a context manager, or an error on its way, would take a return otherwise."""
        tree = self._context.tree
        for outer in tree.ancestors(statement):
            if isinstance(outer, syntax.FunctionDef):
                break
            if isinstance(outer, (syntax.With, syntax.Finally)):
                return True
        return False

    def _does_more(self, expression: syntax.Node, ask: syntax.Call) -> bool:
        """Tell whether ``expression`` does anything before ``ask``, or may not come to it."""
        tree = self._context.tree
        inner: syntax.Node = ask
        later: list[syntax.Node] = []  # what stands before a condition and runs after it
        while inner is not expression:
            outer = tree.parent[inner]
            field = _CONDITIONAL.get(type(outer))
            if isinstance(outer, _COMPREHENSIONS) or (field and getattr(outer, field) is not inner):
                return True
            if isinstance(outer, syntax.IfExp):
                later.append(outer.body)
            inner = outer
        active = (
            syntax.Call,
            syntax.Await,
            syntax.Yield,
            syntax.NamedExpr,
            syntax.BaseSmallStatement,
        )
        return any(
            isinstance(node, active)
            and tree.order[node] < tree.order[ask]
            and not tree.holds(node, ask)
            and not any(tree.holds(part, node) for part in later)
            for node in tree.walk(expression)
        )

    def _runs_before(self, guarded: syntax.Node, ask: syntax.Call) -> bool:
        """Tell whether the look before the statement ``guarded`` is one before ``ask``, too."""
        tree = self._context.tree
        block = tree.parent[guarded]
        around = (ask, *tree.ancestors(ask))
        beside = next((at for at in around if tree.parent.get(at) is block), None)
        return beside is not None and tree.order[guarded] <= tree.order[beside]

    def _guard(self, statement: syntax.Node, look: str) -> Edit:
        file, writer = self._context.file, self._context.writer
        indent = file.indent(statement)
        lines = [f"{indent}if {look}:", f"{indent}{writer.layout.step}return"]
        return writer.insert_at(
            file.first_line_with_comments(statement), lines, Place.BEFORE_STATEMENT
        )


def _tidies(node: syntax.Node) -> bool:
    """Tell whether ``node`` is no call, or one that a clean-up consists of."""
    if not isinstance(node, syntax.Call):
        return True
    name = last_name(node.func)
    if name in _TELLS_KEY:
        return True
    is_method = isinstance(node.func, syntax.Attribute)
    return is_method and (name in _TIDIES or (name in _SIGNS and not node.args))


def _only_tells(call: syntax.Call) -> bool:
    """Tell whether ``call`` logs, prints, or asks the task, and does nothing else."""
    name = last_name(call.func)
    if name in _ASKS or (isinstance(call.func, syntax.Name) and _LOGS.match(name)):
        return True
    return is_log_method(call.func)


def _asked_for(test: syntax.BaseExpression) -> str:
    """Return ``error`` for ``error`` and ``error is not None``."""
    if isinstance(test, syntax.Comparison):
        [first, *others] = test.comparisons
        is_set = first.operator == "is not" and last_name(first.comparator) == "None"
        return dotted(test.left) if is_set and not others else ""
    return dotted(test)


def _does_nothing(statement: syntax.Node) -> bool:
    small = statement_expression(statement)
    return isinstance(small, syntax.Pass) or (
        isinstance(small, syntax.Return) and (small.value is None or dotted(small.value) == "None")
    )
