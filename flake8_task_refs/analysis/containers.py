"""What becomes of containers that outlive the call: does anything take finished tasks out.

The container is often declared, filled and emptied in different functions, so these questions
are put to the whole module's code as text (strings and comments blanked out), by the
container's last name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.analysis.effects import CLOSERS
from flake8_task_refs.analysis.tree import Tree, dotted_text, last_name

if TYPE_CHECKING:
    from flake8_task_refs.analysis.outline import Outline
    from flake8_task_refs.analysis.ownership import Hold, Ownership

_NEW: Final = (
    r"(?:\{\}|\[\]|(?:\w+\.)*(?:set|list|dict|deque|defaultdict|OrderedDict)\([\w., ]*\)"
    r"|(?:\w+\.)*field\(\s*default_factory\s*=\s*(?:set|list|dict|deque)\s*\))"
)
# What a function is called that an outside event runs, again and again.
_RECURRING: Final = re.compile(
    r"_*(?:async_)?(?:on|handle|process|dispatch|submit|spawn|schedule|send|publish|emit|notify|trigger|enqueue|"
    r"fire|background|fork|track|add|receive|accept|launch|execute|broadcast|forward)(?:_|\Z)"
    r"|\w*_(?:handler|callback|received|message|request|event|task)\Z|_*(?:callback|handler|__call__)\Z"
)
_SET_UP: Final = re.compile(
    r"__init__|__post_init__|__aenter__|__enter__|_*(?:async_)?(?:start|setup|set_up|startup|run|main|init|initialize|"
    r"connect|open|boot|bootstrap|begin|prepare|launch_all|lifespan|on_start|on_startup|on_ready|setup_hook)"
    r"(?:_\w+)?\Z"
)
_ROUTE: Final = re.compile(
    r"\.(?:get|post|put|patch|delete|websocket|route|api_route|event|on|command|listener|message_handler|middleware)\b"
)


class Containers:
    """Answers what a module does with the containers that its tasks are stored in."""

    def __init__(self, outline: Outline) -> None:
        """Ask the code of ``outline``; it is blanked out only if a question comes up."""
        self.outline = outline

    @property
    def code(self) -> str:
        """The module's source with strings and comments blanked out."""
        return self.outline.code

    def grow(self, ownership: Ownership, call: cst.Call, holds: list[Hold]) -> bool:
        """Tell whether the tasks of ``call`` pile up for ever in the containers of ``holds``."""
        return all(self._grows(ownership, call, hold.node) for hold in holds)

    def _grows(self, ownership: Ownership, call: cst.Call, container: cst.CSTNode) -> bool:
        path = dotted_text(container)
        tree = ownership.tree
        function = tree.function_around(call)
        if path is None or not isinstance(function, cst.FunctionDef):
            return False
        name = last_name(container)
        return (
            self._is_declared(name, attribute="." in path)
            and not self._is_emptied(name)
            and not self._is_awaited(ownership, call, name)
            and self._runs_again(ownership, call, function)
        )

    def _is_declared(self, name: str, *, attribute: bool) -> bool:
        """Tell whether this module makes the container: once, empty."""
        before = r"(?:\bself\.|^[ \t]+)" if attribute else r"^"
        made = re.findall(
            rf"{before}{name}[ \t]*(?::[^=\n]+)?=[ \t]*{_NEW}", self.code, re.MULTILINE
        )
        bound = re.findall(rf"\b{name}[ \t]*(?::[^=\n]+)?=(?!=)", self.code)
        return len(made) == 1 == len(bound)

    def _is_emptied(self, name: str) -> bool:
        """Tell whether anything may take tasks out: any use that is not known to leave them in."""
        harmless = re.compile(
            rf"{name}[ \t]*(?::[^=\n]+)?=[ \t]*{_NEW}"
            rf"|{name}\.(?:add|append|appendleft|extend|insert|update|setdefault)\("
            rf"|(?<=len\(self\.){name}\)|(?<=len\(){name}\)"
            rf"|(?<=in self\.){name}[ \t]*(?=[:\n\]])|(?<=in ){name}[ \t]*(?=[:\n\]])"
            rf"|(?<=\*self\.){name}\b(?!\.)|(?<=\*){name}\b(?!\.)"
            rf"|(?<=if self\.){name}:|(?<=if ){name}:"
            rf"|{name}\[[^\]\n:]+\][ \t]*=(?!=)|{name}[ \t]*[+|]="
        )
        uses = {match.start() for match in re.finditer(rf"\b{name}\b", self.code)}
        known = {match.start() for match in harmless.finditer(self.code)}
        return bool(uses - known)

    def _is_awaited(self, ownership: Ownership, call: cst.Call, name: str) -> bool:
        """Tell whether the container is awaited as a whole, time and again.

        An await after an endless loop that fills it, or when its owner closes, comes too late.
        """
        awaited = re.compile(rf"\b(?:gather|wait|gracefully_\w+)\([^()]*\b{name}\b")
        tree = ownership.tree
        for loop in _unbounded(ownership.flow.loops(call)):
            return awaited.search(tree.module.code_for_node(loop)) is not None
        homes = [tree.outline.enclosing(match.start()) for match in awaited.finditer(self.code)]
        return any(not home or home[-1].name not in CLOSERS for home in homes)

    def _runs_again(self, ownership: Ownership, call: cst.Call, function: cst.FunctionDef) -> bool:
        """Tell whether ``function`` surely runs again and again for one container.

        Set-up code, guarded single starts and dictionary slots that are used again are not.
        """
        tree = ownership.tree
        if _unbounded(ownership.flow.loops(call)):
            return True
        if self._is_guarded(tree, call):
            return False
        outer = function
        while isinstance(around := tree.function_around(outer), cst.FunctionDef):
            outer = around
        if call.args and isinstance(call.args[0].value, cst.Name):
            handed = call.args[0].value.value
            if any(param.name.value == handed for param in _parameters(function)):
                return True  # a spawner: it is given the coroutine
        if any(_ROUTE.search(tree.module.code_for_node(d.decorator)) for d in outer.decorators):
            return True
        name = outer.name.value
        return _SET_UP.match(name) is None and _RECURRING.match(name) is not None

    @staticmethod
    def _is_guarded(tree: Tree, call: cst.Call) -> bool:
        """Tell whether an ``if not started:`` or an early return lets only one start happen."""
        for block, statement in tree.blocks(call):
            outer = tree.parent[block]
            if isinstance(outer, cst.If) and _is_negative(outer.test):
                return True
            for earlier in getattr(block, "body", ()):
                if earlier is statement:
                    break
                if isinstance(earlier, cst.If) and _returns(earlier):
                    return True
        return False

    def has_discard(self, ownership: Ownership, call: cst.Call, hold: Hold) -> bool:
        """Tell whether the function around ``call`` has tasks taken out of the container again."""
        path = dotted_text(hold.node)
        if path is None:
            return False
        taken = rf"{re.escape(path)}\.(?:discard|remove|pop)\b"
        pattern = rf"add_done_callback\(\s*(?:lambda[^:]*:\s*)?{taken}"
        tree = ownership.tree
        function = tree.function_around(call)
        text = self.code if function is None else tree.module.code_for_node(function)
        return re.search(pattern, text) is not None


def _unbounded(loops: list[cst.While | cst.For]) -> list[cst.While | cst.For]:
    """Return the loops that no list bounds: ``while`` and ``async for``."""
    return [loop for loop in loops if isinstance(loop, cst.While) or loop.asynchronous is not None]


def _parameters(function: cst.FunctionDef) -> list[cst.Param]:
    return [
        *function.params.posonly_params,
        *function.params.params,
        *function.params.kwonly_params,
    ]


def _is_negative(test: cst.BaseExpression) -> bool:
    """Tell whether a condition asks for the absence of something."""
    if isinstance(test, cst.UnaryOperation):
        return isinstance(test.operator, cst.Not)
    if isinstance(test, cst.BooleanOperation):
        return _is_negative(test.left) or _is_negative(test.right)
    return isinstance(test, cst.Comparison) and any(
        isinstance(target.operator, (cst.Is, cst.NotIn)) for target in test.comparisons
    )


def _returns(statement: cst.If) -> bool:
    """Tell whether the body of an ``if`` ends in a return."""
    last = statement.body.body[-1] if statement.body.body else None
    return isinstance(last, cst.SimpleStatementLine) and isinstance(last.body[-1], cst.Return)
