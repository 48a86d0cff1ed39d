"""What becomes of containers that outlive the call: does anything take finished tasks out.

The container is often declared, filled and emptied in different functions, so these questions
are put to the whole module's code as text (strings and comments blanked out), by the
container's last name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.effects import CLOSERS
from flake8_task_refs.analysis.names import assigned_value
from flake8_task_refs.analysis.outline import ANNOTATION
from flake8_task_refs.analysis.sieve import word_offsets
from flake8_task_refs.analysis.syntax import dotted_text, last_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.analysis.outline import Outline
    from flake8_task_refs.analysis.ownership import Hold, Ownership
    from flake8_task_refs.analysis.tree import Tree

_NEW: Final = (
    r"(?:\{\}|\[\]|(?:\w+\.)*(?:set|list|dict|deque|defaultdict|OrderedDict)(?:\[[^\n()]*\])?"
    r"\([\w., ]*\)"
    r"|(?:\w+\.)*(?:field|ib|attrib)\(\s*(?:default_)?factory\s*=\s*(?:set|list|dict|deque)\s*\))"
)
# What a function is called that an outside event runs, again and again.
_RECURRING: Final = re.compile(
    r"_*(?:async_)?(?:on|handle|process|dispatch|submit|spawn|schedule|send|publish|emit|notify|trigger|enqueue|"
    r"fire|background|fork|track|add|receive|accept|launch|execute|broadcast|forward)(?:_|\Z)"
    r"|\w*_(?:handler|callback|received|message|request|event|task)\Z|_*(?:callback|handler|__call__)\Z"
)
_SET_UP: Final = re.compile(
    r"__init__|__post_init__|__aenter__|__enter__|_*(?:async_)?(?:start|setup|set_up|startup|run|main|init|initialize|"
    r"connect|open|boot|bootstrap|begin|prepare|launch_all|lifespan|on_start|on_startup|on_ready|setup_hook|on_load|"
    r"cog_load)(?:_\w+)?\Z"
)
# What stands before the name of an attribute, and after any name, where a container is made.
_ATTRIBUTE: Final = re.compile(r"\bself\.\Z|\A[ \t]+\Z")
_APP_STATE: Final = re.compile(r"(?:\A|[ \t.])app(?:lication)?\.(?:state|ctx)\.\Z")
# What a function is called, besides set-up code, that makes what an application's state has.
_MAKES_APPLICATION: Final = re.compile(r"\w*(?:app|application|lifespan)(?:_\w+)?\Z")
_BOUND: Final = re.compile(rf"[ \t]*{ANNOTATION}=(?!=)")
_NONE: Final = re.compile(rf"[ \t]*{ANNOTATION}=[ \t]*None[ \t]*$", re.MULTILINE)
_MADE: Final = re.compile(rf"[ \t]*{_NEW}")
_ROUTE: Final = re.compile(
    r"\.(?:get|post|put|patch|delete|websocket|route|api_route|event|on|command|listener|message_handler|middleware)\b"
)
# What a function is called that ends its object: what it does to a container comes too late.
_CLOSING: Final = re.compile(
    r"_*(?:async_|on_|a)?(?:close|stop|shut_?down|disconnect|clean_?up|tear_?down|terminate|unload|dispose)"
    r"(?:_\w+)?\Z"
)
# A key that no two tasks share; one of a device or a user is used again.
_UNIQUE_KEY: Final = re.compile(
    r"(?:\w+_)?(?:task|job|request|req|message|msg|event|call|command|operation|transaction|correlation|run|query|"
    r"interaction|invocation|execution|research)(?:_?(?:id|uuid|key|number|no))?\Z"
    r"|(?:\w+_)?(?:uuid|counter|nonce|sequence|seq)\Z",
    re.IGNORECASE,
)
_MAKES_UNIQUE: Final = frozenset({"id", "uuid4", "uuid1", "next", "token_hex", "get_name"})
# Uses of a container that leave its elements in it, by what stands after its name, and before.
_FILLING: Final = re.compile(
    rf"[ \t]*{ANNOTATION}=[ \t]*{_NEW}|[ \t]*[+|]=|\[[^\]\n:]+\][ \t]*=(?!=|[ \t]*None\b)"
    r"|\.(?:add|append|appendleft|extend|insert|update|setdefault)\("
)
_READING: Final = re.compile(r"\.(?:values|items|keys)\(\)|\.(?:get|copy|__len__)\(")
_HARMLESS_COPY: Final = re.compile(
    r"\b(?:len|list|tuple|set|frozenset|sorted|enumerate|iter|any|all|reversed|bool)\((?:\w+\.)*\Z"
)
_HARMLESS_TEST: Final = re.compile(r"\b(?:in|if|elif|not|and|or)[ \t]+(?:\w+\.)*\Z")
_HARMLESS_NEXT: Final = (" and ", " or ", " if ", " else ", " is ")
_HARMLESS_STAR: Final = re.compile(r"\*(?:\w+\.)*\Z")
# What a loop's condition is called that only says whether to go on.
_FLAG: Final = re.compile(
    r"True\Z|running|clos(?:ed|ing)|stop|alive|active|shut_?down|connected|exit|done|terminat|enabled|"
    r"finished|is_set|cancel|quit|started|should|keep",
    re.IGNORECASE,
)
_MAX_LINE: Final = 300  # characters
_METHOD: Final = 2  # definitions around what stands in a method: its class, and itself
_CANCELS: Final = re.compile(r"\.cancel\(")
# The conditions of an `__aexit__` that was told of an error.
_ASKS_FOR_ERROR: Final = re.compile(r"\bif[ \t]+[^\n]{0,200}\b(?:exc|et|err|typ)\w*\b")
_AWAITING: Final = re.compile(r"\b(?:gather|wait|as_completed|gracefully_\w+)\(")


class Containers:
    """Answers what a module does with the containers that its tasks are stored in."""

    def __init__(self, outline: Outline) -> None:
        """Ask the code of ``outline``; it is blanked out only if a question comes up."""
        self.outline = outline

    @property
    def code(self) -> str:
        """The module's source with strings and comments blanked out."""
        return self.outline.code

    def grow(self, ownership: Ownership, call: syntax.Call, holds: list[Hold]) -> bool:
        """Tell whether the tasks of ``call`` pile up for ever in the containers of ``holds``."""
        return all(self._grows(ownership, call, hold.node) for hold in holds)

    def _grows(self, ownership: Ownership, call: syntax.Call, container: syntax.Node) -> bool:
        path = dotted_text(container)
        tree = ownership.tree
        function = tree.function_around(call)
        if path is None or not isinstance(function, syntax.FunctionDef):
            return False
        name = last_name(container)
        return (
            self._only_grows(name, path)
            and not self._uses_slots(tree, function, path)
            and not self._is_awaited(ownership, call, name)
            and self._runs_again(ownership, call, function, name)
        )

    def _only_grows(self, name: str, path: str) -> bool:
        """Tell whether this module makes the container, and takes nothing out of it.

        ``path`` is how the function that fills it calls the container: ``request.app.state.jobs``.
        """
        owner = path[: -len(name)]
        home = "app.state" if _APP_STATE.search(owner) else "self" if owner else ""
        key = ("only grows", f"{home}.{name}")
        known = self.outline.answers.get(key)
        if known is None:
            known = self._is_declared(name, home) and not self._is_emptied(name)
            self.outline.answers[key] = known
        return known

    def _is_declared(self, name: str, home: str) -> bool:
        """Tell whether this module makes the container: once, empty, as what ``home`` says."""
        code = self.code
        bound = [
            (at, match.end())
            for at in word_offsets(code, name)
            if (match := _BOUND.match(code, at + len(name)))
        ]
        made = [(at, end) for at, end in bound if not self._is_none_at_first(at, at + len(name))]
        if len(made) != 1 or (len(bound) > 1 and not self._is_made_if_missing(made[0][0], name)):
            return False
        at, after = made[0]
        line = code[code.rfind("\n", 0, at) + 1 : at]
        if home == "app.state":
            is_home = _APP_STATE.search(line) is not None and self._is_made_once(at)
        else:
            is_home = _ATTRIBUTE.search(line) is not None if home else not line
        return is_home and _MADE.match(code, after) is not None

    def _is_none_at_first(self, start: int, end: int) -> bool:
        """Tell whether a new object has None for the container at ``start``, which comes later."""
        homes = self.outline.enclosing(start)
        return (
            _NONE.match(self.code, end) is not None
            and bool(homes)
            and (homes[-1].kind == "class" or homes[-1].name == "__init__")
        )

    def _is_made_if_missing(self, offset: int, name: str) -> bool:
        """Tell whether the statement at ``offset`` is all of an ``if self.tasks is None:``."""
        begin = self.code.rfind("\n", 0, offset) + 1
        before = self.code[max(begin - _MAX_LINE, 0) : begin].rstrip()
        guard = rf"\bif[ \t]+(?:not[ \t]+[\w.]*\b{name}|[\w.]*\b{name}[ \t]+is[ \t]+None)[ \t]*:\Z"
        return re.search(guard, before) is not None

    def _is_made_once(self, offset: int) -> bool:
        """Tell whether ``offset`` lies where an application is made or starts, not in its work."""
        around = self.outline.enclosing(offset)
        name = around[-1].name if around else ""
        return not name or any(how.match(name) for how in (_SET_UP, _MAKES_APPLICATION))

    def _is_emptied(self, name: str) -> bool:
        """Tell whether anything may take tasks out: any use that is not known to leave them in."""
        return not all(
            self._leaves_in(use.start(), use.end())
            for use in re.finditer(rf"\b{name}\b", self.code)
        )

    def _leaves_in(self, start: int, end: int) -> bool:
        """Tell whether the use of a container at ``start`` to ``end`` takes nothing out of it."""
        code = self.code
        if _FILLING.match(code, end) or _READING.match(code, end):
            return True
        if self._is_none_at_first(start, end):
            return True
        line = code.rfind("\n", 0, start) + 1
        before = code[line:start]
        after = code[end : end + 1]
        if _HARMLESS_COPY.search(before) or _HARMLESS_STAR.search(before):
            return after in "),\n"
        if _HARMLESS_TEST.search(before):
            return after in ":)],\n" or code.startswith(_HARMLESS_NEXT, end)
        if not before.strip() and re.match(r"[ \t]*:[^=\n]*\n", code[end : end + 200]):
            return True  # a bare annotation
        if re.search(r"\bdel\b", before) or after in ".[=" or re.match(r"\s*=(?!=)", code[end:]):
            return False
        return self._is_closing(start)

    def _is_closing(self, offset: int) -> bool:
        """Tell whether ``offset`` lies in a function that ends its object."""
        homes = self.outline.enclosing(offset)
        name = homes[-1].name if homes else ""
        return name in CLOSERS or _CLOSING.match(name) is not None

    def _uses_slots(self, tree: Tree, function: syntax.FunctionDef, path: str) -> bool:
        """Tell whether ``function`` stores under keys that may be used again."""
        for node in tree.walk(function.body):
            if not isinstance(node, syntax.Subscript) or dotted_text(node.value) != path:
                continue
            if isinstance(tree.parent[node], syntax.AssignTarget):
                keys = list(_keys(node))
                # What is called `command` beside another key, is one of a few.
                telling = keys[:1] + [key for key in keys if isinstance(key, syntax.Call)]
                return not any(
                    _is_unique(tree, key) or self._is_counter(tree, function, key)
                    for key in telling
                )
        return False

    def _is_counter(
        self, tree: Tree, function: syntax.FunctionDef, key: syntax.BaseExpression
    ) -> bool:
        """Tell whether ``function`` counts ``key`` up, and nobody sets it back."""
        counter = dotted_text(key)
        return (
            counter is not None
            and any(
                isinstance(node, syntax.AugAssign)
                and node.operator == "+="
                and dotted_text(node.target) == counter
                for node in tree.walk(function.body)
            )
            and sum(
                _BOUND.match(self.code, at + len(last_name(key))) is not None
                for at in word_offsets(self.code, last_name(key))
            )
            <= 1
        )

    def _is_awaited(self, ownership: Ownership, call: syntax.Call, name: str) -> bool:
        """Tell whether the container is awaited as a whole, time and again.

        An await after an endless loop that fills it, or when its owner closes, comes too late; but
        not at the end of a block that all its tasks belong to.
        """
        tree = ownership.tree
        for loop in _unbounded(ownership.flow.loops(call)):
            return _awaits(tree.code_of(loop), name) != []
        known = self.outline.answers.get(("awaited", name))
        if known is None:
            known = any(
                not self._is_closing(at) or self._is_end_of_scope(at)
                for at in _awaits(self.code, name)
            )
            self.outline.answers["awaited", name] = known
        return known

    def _is_end_of_scope(self, offset: int) -> bool:
        """Tell whether ``offset`` lies in the end of an ``async with``, and lets all tasks finish.

        So does a task group. What lives long cancels its tasks when it is closed; a group does
        after an error.
        """
        homes = self.outline.enclosing(offset)
        if len(homes) < _METHOD or homes[-2].kind != "class":
            return False
        method = homes[-1]
        code = self.code[method.header : offset]
        cancel, error = _CANCELS.search(code), _ASKS_FOR_ERROR.search(code)
        if cancel is not None and not (error is not None and error.start() < cancel.start()):
            return False
        if method.name == "__aexit__":
            return True
        called = re.compile(rf"\bself\.{method.name}\(")
        return any(
            called.search(self.code, end.header, end.end)
            for end in self.outline.functions("__aexit__", homes[-2].name)
        )

    def _runs_again(
        self, ownership: Ownership, call: syntax.Call, function: syntax.FunctionDef, container: str
    ) -> bool:
        """Tell whether ``function`` surely runs again and again for one container.

        Set-up code, guarded single starts and dictionary slots that are used again are not.
        """
        tree = ownership.tree
        loops = ownership.flow.loops(call)
        if _unbounded(loops):
            return True
        if any(
            isinstance(loop, syntax.While) and _names(tree, loop.test, container) for loop in loops
        ):
            return False  # `while len(tasks) < 3`
        given = {param.name.value for param in _parameters(function)} - {"self", "cls"}
        if self._is_guarded(tree, call, given):
            return False
        outer = function
        while isinstance(around := tree.function_around(outer), syntax.FunctionDef):
            outer = around
        first = call.args[0].value if call.args else None
        if isinstance(first, syntax.Name) and first.value in given:
            return True  # a spawner: it is given the coroutine
        if any(_ROUTE.search(tree.code_of(d.decorator)) for d in outer.decorators):
            return True
        name = outer.name.value
        if _SET_UP.match(name) or _CLOSING.match(name):
            return False
        if _RECURRING.match(name):
            return True
        return bool(given) and (self._is_callback(name) or self._is_never_read(container))

    def _is_never_read(self, container: str) -> bool:
        """Tell whether the module only ever puts something into ``container``."""
        uses = re.finditer(rf"\b{container}\b", self.code)
        return all(_FILLING.match(self.code, use.end()) for use in uses)

    def _is_callback(self, function: str) -> bool:
        """Tell whether the module hands ``function`` to something that may call it any time."""
        handed = rf"[(,=][ \t\n]*(?:self\.)?{function}[ \t\n]*[,)]"
        return re.search(handed, self.code) is not None

    @staticmethod
    def _is_guarded(tree: Tree, call: syntax.Call, given: set[str]) -> bool:
        """Tell whether an ``if not started:`` or an early return lets only one start happen.

        A condition on nothing but what the function is ``given`` says nothing of earlier calls.
        """
        for block, statement in tree.blocks(call):
            outer = tree.parent[block]
            if (
                isinstance(outer, syntax.If)
                and _is_negative(outer.test)
                and not _asks_only(tree, outer.test, given)
            ):
                return True
            for earlier in getattr(block, "body", ()):
                if earlier is statement:
                    break
                if (
                    isinstance(earlier, syntax.If)
                    and _returns(earlier)
                    and not _asks_only(tree, earlier.test, given)
                ):
                    return True
        return False

    def has_discard(self, ownership: Ownership, call: syntax.Call, hold: Hold) -> bool:
        """Tell whether the function around ``call`` has tasks taken out of the container again."""
        path = dotted_text(hold.node)
        if path is None:
            return False
        taken = rf"{re.escape(path)}\.(?:discard|remove|pop)\b"
        pattern = rf"add_done_callback\(\s*(?:lambda[^:]*:\s*)?{taken}"
        tree = ownership.tree
        function = tree.function_around(call)
        text = self.code if function is None else tree.code_of(function)
        return re.search(pattern, text) is not None


def _unbounded(loops: list[syntax.While | syntax.For]) -> list[syntax.While | syntax.For]:
    """Return the loops that go on until somebody stops them: ``while True``, ``async for``."""
    return [
        loop
        for loop in loops
        if (waits_for_a_sign(loop.test) if isinstance(loop, syntax.While) else loop.asynchronous)
    ]


def waits_for_a_sign(test: syntax.BaseExpression) -> bool:
    """Tell whether a loop's condition is a constant, or a flag: ``not self.closed``."""
    if isinstance(test, syntax.UnaryOperation):
        test = test.expression
    if isinstance(test, syntax.BooleanOperation):
        return waits_for_a_sign(test.left) and waits_for_a_sign(test.right)
    if isinstance(test, syntax.Integer):
        return True
    return _FLAG.search(last_name(test.func if isinstance(test, syntax.Call) else test)) is not None


def _names(tree: Tree, test: syntax.BaseExpression, name: str) -> bool:
    return any(isinstance(node, syntax.Name) and node.value == name for node in tree.walk(test))


def _awaits(code: str, name: str) -> list[int]:
    """Return where ``code`` waits for everything in the container ``name``."""
    found: list[int] = []
    word = re.compile(rf"\b{name}\b")
    for match in _AWAITING.finditer(code):
        depth, end = 1, match.end()
        while depth and end < len(code):
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            end += 1
        if word.search(code, match.end(), end):
            found.append(match.start())
    each = (
        rf"\bfor (\w+) in [^\n]*\b{name}\b[^\n]*:\n(?:[^\n]*\n){{0,5}}?[^\n]*\bawait\b[^\n]*\b\1\b"
    )
    return found + [match.start() for match in re.finditer(each, code)]


def _keys(node: syntax.Subscript) -> Iterator[syntax.BaseExpression]:
    """Yield the parts of a key: ``a[b, c]`` and ``a[(b, c)]`` are the same."""
    for element in node.slice:
        if isinstance(element.slice, syntax.Index):
            value = element.slice.value
            if isinstance(value, syntax.Tuple):
                yield from (part.value for part in value.elements)
            else:
                yield value


def _is_unique(tree: Tree, key: syntax.BaseExpression) -> bool:
    """Tell whether no two tasks share ``key``: the number of a request, an ``id()``."""
    if isinstance(key, syntax.Call):
        name = last_name(key.func)
        if name == "str" and key.args:
            return _is_unique(tree, key.args[0].value)
        return name in _MAKES_UNIQUE
    if isinstance(key, syntax.Name):
        scope = tree.scope[key].owner(key.value)
        stores = scope.stores.get(key.value, ()) if scope is not None else ()
        made = assigned_value(tree, stores[0]) if len(stores) == 1 else None
        if isinstance(made, syntax.Call) and _is_unique(tree, made):
            return True
    return _UNIQUE_KEY.match(last_name(key)) is not None


def _asks_only(tree: Tree, test: syntax.BaseExpression, given: set[str]) -> bool:
    """Tell whether a condition looks at nothing but the parameters ``given``."""
    nodes = list(tree.walk(test))
    attributes = [node.attr for node in nodes if isinstance(node, syntax.Attribute)]
    names = {
        node.value for node in nodes if isinstance(node, syntax.Name) and node not in attributes
    }
    return bool(names) and names <= given | {"None", "True", "False", "isinstance", "len", "str"}


def _parameters(function: syntax.FunctionDef) -> list[syntax.Param]:
    return [
        *function.params.posonly_params,
        *function.params.params,
        *function.params.kwonly_params,
    ]


def _is_negative(test: syntax.BaseExpression) -> bool:
    """Tell whether a condition asks for the absence of something."""
    if isinstance(test, syntax.UnaryOperation):
        return test.operator == "not"
    if isinstance(test, syntax.BooleanOperation):
        return _is_negative(test.left) or _is_negative(test.right)
    return isinstance(test, syntax.Comparison) and any(
        target.operator in ("is", "not in") for target in test.comparisons
    )


def _returns(statement: syntax.If) -> bool:
    """Tell whether the body of an ``if`` ends in a return."""
    last = statement.body.body[-1] if statement.body.body else None
    return isinstance(last, syntax.SimpleStatementLine) and isinstance(last.body[-1], syntax.Return)
