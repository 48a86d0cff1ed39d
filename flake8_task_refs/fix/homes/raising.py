"""A done-callback that raises if its task was cancelled: it looks at ``cancelled()`` first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.callbacks import Callbacks
from flake8_task_refs.analysis.cancellation import unguarded_results
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.contract import Context, Plan
from flake8_task_refs.fix.edits import Edit, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.repair_sites import Site

# What binds less tightly than `or`.
_LOOSE: Final = (syntax.IfExp, syntax.Lambda, syntax.NamedExpr, syntax.Yield)
# Where what stands in them may not be reached, by the field that always is.
_CONDITIONAL: Final = {
    syntax.BooleanOperation: "left",
    syntax.IfExp: "test",
    syntax.Comparison: "left",
    syntax.Assert: "test",
}
_ANSWERS: Final = ("set_result", "set_exception")
_COMPREHENSIONS: Final = (syntax.GeneratorExp, syntax.ListComp, syntax.SetComp, syntax.DictComp)
OTHER_USE: Final = (
    "a look at cancelled() would change more than the error, or does not fit where the result is "
    "asked for: look at it by hand"
)


class RaisingCallbacks:
    """Returns from the callback of a cancelled task where it would raise.

    What a callback has done until then stays done, and what comes later does not run: only the
    error is not raised and logged any more. So it goes where nothing else runs in between.
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
            tree, callback = callbacks.registered(site.call)
            if callback is None or tree is not self._context.tree:
                found.decline([site], OTHER_USE)
                continue
            if callback not in mended:
                edits = self._edits(callback)
                mended[callback] = bool(edits)
                found.edits += edits
            if mended[callback]:
                found.fixed.append(site.finding)
            else:
                found.decline([site], OTHER_USE)
        return found

    def _edits(self, callback: syntax.FunctionDef | syntax.Lambda) -> list[Edit]:
        """Return what lets ``callback`` look first, nothing if that could change more."""
        params = [*callback.params.posonly_params, *callback.params.params]
        look = f"{params[-1].name.value}.cancelled()"
        asks = unguarded_results(self._context.tree, callback)
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
        if len(self._context.tree.inner[callback].stores.get(params[-1].name.value, ())) > 1:
            return []  # it is no longer the task
        statements: list[syntax.Node] = []
        for ask in asks:
            statement = self._statement(ask)
            if statement is None:
                return []
            if not any(self._runs_before(guarded, ask) for guarded in statements):
                statements.append(statement)
        return [self._guard(statement, look) for statement in statements]

    def _in_lambda(
        self, callback: syntax.Lambda, asks: Sequence[syntax.Call], look: str
    ) -> list[Edit]:
        """``lambda task: task.cancelled() or task.exception()``."""
        file, body = self._context.file, callback.body
        if any(self._does_more(body, ask) for ask in asks):
            return []
        start, end = file.span(body)
        for _ in range(self._context.file.brackets(body)):
            inside, start = start, file.text.rindex("(", 0, start)
            if file.text[start + 1 : inside].strip():
                return []  # a comment
        edits = [Edit(start, start, f"{look} or ")]
        loose = isinstance(body, _LOOSE) or (
            isinstance(body, syntax.BooleanOperation) and body.operator == "and"
        )
        if loose and not self._context.file.brackets(body):
            edits = [Edit(start, start, f"{look} or ("), Edit(end, end, ")")]
        return self._context.writer.laid_out(file.statement(callback), edits)

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
        while inner is not expression:
            outer = tree.parent[inner]
            field = _CONDITIONAL.get(type(outer))
            if isinstance(outer, _COMPREHENSIONS) or (field and getattr(outer, field) is not inner):
                return True
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
