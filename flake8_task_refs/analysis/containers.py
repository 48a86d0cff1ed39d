"""What becomes of containers that outlive the call: does anything take finished tasks out.

The container is often declared, filled and emptied in different functions, so these questions
are put to the whole module's code as text (strings and comments blanked out), by the
container's last name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
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
# Who connects anew mostly is a new one.
_KEY_OF_A_CLIENT: Final = re.compile(
    r"(?:\w+_)?(?:client|connection|conn|websocket|ws|socket|session)(?:_?(?:id|uuid))?\Z|sid\Z",
    re.IGNORECASE,
)
# A part of a longer key that is another one each time.
_CHANGING_PART: Final = re.compile(
    r"(?:\w+_)?(?:uuid|counter|nonce|sequence|seq|timestamp|stamp|(?:start|end)_time)\Z"
    r"|(?:\w+_)?(?:task|job|request|req|message|msg|call|run|query|interaction)_(?:id|number|no)\Z",
    re.IGNORECASE,
)
_MAKES_UNIQUE: Final = frozenset(
    {
        "id", "uuid4", "uuid1", "next", "token_hex", "get_name", "time", "time_ns", "monotonic",
        "now", "utcnow",
    }
)  # fmt: skip
# What only writes down what it is given, or its object.
_WRITES: Final = frozenset({"str", "int", "round", "repr"})
_WRITTEN: Final = frozenset({"isoformat", "strftime", "timestamp"})
# Uses of a container that leave its elements in it, by what stands after its name, and before.
_FILLING: Final = re.compile(
    rf"[ \t]*{ANNOTATION}=[ \t]*{_NEW}|[ \t]*[+|]=|\[[^\]\n:]+\][ \t]*=(?!=|[ \t]*None\b)"
    r"|\.(?:add|append|appendleft|extend|insert|update|setdefault)\("
)
_READING: Final = re.compile(
    r"\.(?:values|items|keys)\(\)|\.(?:get|copy|__len__)\("
    r"|\[[^\]\n:]+\]\.(?:cancel|cancelled|done|result|exception|add_done_callback)\("
)
# The same where the elements are containers, which may be emptied under other names.
_MAKING_INNER: Final = re.compile(rf"\[[^\]\n:]+\][ \t]*=[ \t]*{_NEW}[ \t]*$", re.MULTILINE)
_FILLING_INNER: Final = re.compile(
    rf"[ \t]*{ANNOTATION}=[ \t]*{_NEW}"
    r"|\[[^\]\n:]+\](?:\[[^\]\n:]+\][ \t]*=(?!=)|\.(?:add|append|appendleft)\()"
    r"|\.setdefault\((?:[^()\n]|\([^()\n]*\))*\)(?:\.(?:add|append)\(|\[[^\]\n:]+\][ \t]*=(?!=))"
)
_READING_INNER: Final = re.compile(r"\.(?:keys\(\)|__len__\()")
_ALL_INNER: Final = re.compile(r"\.(?:values|items)\(\)")
_ONE_INNER: Final = re.compile(r"\[[^\]\n:]+\]")
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
        tree = ownership.tree
        store = _Store.of(tree, container)
        function = tree.function_around(call)
        path = dotted_text(store.root)
        if path is None or not isinstance(function, syntax.FunctionDef):
            return False
        name = last_name(store.root)
        return (
            self._only_grows(name, path, nested=store.nested)
            and not self._uses_slots(tree, function, store, path)
            and not self._is_awaited(ownership, call, name)
            and self._runs_again(ownership, call, function, store)
        )

    def _only_grows(self, name: str, path: str, *, nested: bool) -> bool:
        """Tell whether this module makes the container, and takes nothing out of it.

        ``path`` is how the function that fills it calls the container: ``request.app.state.jobs``.
        ``nested`` tells that its elements are containers themselves.
        """
        owner = path[: -len(name)]
        home = "app.state" if _APP_STATE.search(owner) else "self" if owner else ""
        key = ("containers only grow" if nested else "only grows", f"{home}.{name}")
        known = self.outline.answers.get(key)
        if known is None:
            leaves_in = self._leaves_inner_in if nested else self._leaves_in
            known = self._is_declared(name, home) and all(
                leaves_in(use.start(), use.end()) for use in re.finditer(rf"\b{name}\b", self.code)
            )
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

    def _leaves_inner_in(self, start: int, end: int) -> bool:
        """Tell whether the use of a container of containers takes nothing out of any of them.

        That one of them is made anew is left to ``_makes_inner_anew``.
        """
        code = self.code
        if any(how.match(code, end) for how in (_FILLING_INNER, _MAKING_INNER, _READING_INNER)):
            return True
        if self._is_none_at_first(start, end):
            return True
        before = code[code.rfind("\n", 0, start) + 1 : start]
        if not before.strip() and re.match(r"[ \t]*:[^=\n]*\n", code[end : end + 200]):
            return True  # a bare annotation
        if _ALL_INNER.match(code, end):
            return self._is_closing(start)
        one = _ONE_INNER.match(code, end)
        after = one.end() if one is not None else end
        if _HARMLESS_COPY.search(before) or _HARMLESS_TEST.search(before):
            return code[after : after + 1] in "),:]\n" or code.startswith(_HARMLESS_NEXT, after)
        return False

    def _makes_inner_anew(self, name: str) -> bool:
        """Tell whether a container of the container ``name`` may be made where there is one."""
        key = ("makes inner anew", name)
        known = self.outline.answers.get(key)
        if known is None:
            known = self.outline.answers[key] = self._overwrites_inner(name)
        return known

    def _overwrites_inner(self, name: str) -> bool:
        for use in re.finditer(rf"\b{name}\b", self.code):
            if _MAKING_INNER.match(self.code, use.end()):
                begin = self.code.rfind("\n", 0, use.start()) + 1
                before = self.code[max(begin - _MAX_LINE, 0) : begin].rstrip()
                if not re.search(rf"\bif[ \t][^\n]*\bnot[ \t]+in[ \t]+[\w.]*\b{name}:\Z", before):
                    return True
        return False

    def _is_closing(self, offset: int) -> bool:
        """Tell whether ``offset`` lies in a function that ends its object."""
        homes = self.outline.enclosing(offset)
        name = homes[-1].name if homes else ""
        return name in CLOSERS or _CLOSING.match(name) is not None

    def _uses_slots(
        self, tree: Tree, function: syntax.FunctionDef, store: _Store, path: str
    ) -> bool:
        """Tell whether ``function`` stores under keys that may be used again."""

        def may_be_used_again(keys: list[syntax.BaseExpression]) -> bool:
            return not any(
                _is_unique(tree, key)
                or self._is_counter(tree, function, key)
                or _is_key_of_client(key)
                for key in keys
            )

        if store.nested:
            is_slot = store.is_slot or self._makes_inner_anew(last_name(store.root))
            return is_slot and may_be_used_again(list(store.keys))
        for node in tree.walk(function.body):
            if isinstance(node, syntax.DictComp) and _is_put_into(tree, node, path):
                return may_be_used_again([node.key])
            if not isinstance(node, syntax.Subscript) or dotted_text(node.value) != path:
                continue
            if isinstance(tree.parent[node], syntax.AssignTarget):
                keys = list(_keys(node))
                # What is called `command` beside another key, is one of a few.
                telling = keys[:1] + [key for key in keys if isinstance(key, syntax.Call)]
                is_counted = any(self._is_counter(tree, function, key) for key in keys[1:])
                return not is_counted and may_be_used_again(telling)
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
        self, ownership: Ownership, call: syntax.Call, function: syntax.FunctionDef, store: _Store
    ) -> bool:
        """Tell whether ``function`` surely runs again and again for one container.

        Set-up code, guarded single starts and dictionary slots that are used again are not.
        """
        tree, container = ownership.tree, last_name(store.root)
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
        if any(_is_key_of_client(key) and _root(key) in given for key in store.keys):
            return True
        if _SET_UP.match(name) or _CLOSING.match(name):
            return False
        if _RECURRING.match(name):
            return True
        return bool(given) and (
            self._is_callback(name) or self._is_never_read(container, nested=store.nested)
        )

    def _is_never_read(self, container: str, *, nested: bool) -> bool:
        """Tell whether the module only ever puts something into ``container``."""
        ways = (_FILLING_INNER, _MAKING_INNER) if nested else (_FILLING,)
        uses = re.finditer(rf"\b{container}\b", self.code)
        return all(any(way.match(self.code, use.end()) for way in ways) for use in uses)

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


@dataclass(frozen=True, eq=False)
class _Store:
    """How a task comes into a container.

    ``root`` is the container that outlives the call, ``keys`` are those under which the task, or
    the container that it is put into, stands in it. ``nested`` tells that it is put into such a
    one, ``is_slot`` that it is stored under a key in the end.
    """

    root: syntax.Node
    keys: tuple[syntax.BaseExpression, ...]
    nested: bool
    is_slot: bool

    @staticmethod
    def of(tree: Tree, container: syntax.Node) -> _Store:
        """Return how a task comes into ``container``, the node of its hold."""
        keys: list[syntax.BaseExpression] = []
        root, outer = container, tree.parent[container]
        while isinstance(root, syntax.Subscript):
            keys += _keys(root)
            root = root.value
        nested = root is not container
        is_slot = isinstance(outer, syntax.Subscript) and outer.value is container
        if isinstance(outer, syntax.Subscript) and is_slot:
            keys += _keys(outer)
        method = outer.attr.value if isinstance(outer, syntax.Attribute) else ""
        made = tree.parent[outer]
        if method in ("setdefault", "get") and isinstance(made, syntax.Call) and made.args:
            inner = tree.parent[made]
            if isinstance(inner, (syntax.Attribute, syntax.Subscript)):
                nested = True
                is_slot = isinstance(inner, syntax.Subscript)
                keys.append(made.args[0].value)
                if isinstance(inner, syntax.Subscript):
                    keys += _keys(inner)
        return _Store(root, tuple(keys), nested, is_slot)


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


def _is_put_into(tree: Tree, display: syntax.DictComp, path: str) -> bool:
    """Tell whether ``display`` is what the container ``path`` is updated by."""
    arg = tree.parent[display]
    call = tree.parent[arg] if isinstance(arg, syntax.Arg) else None
    method = call.func if isinstance(call, syntax.Call) else None
    if isinstance(method, syntax.Attribute):
        return method.attr.value == "update" and dotted_text(method.value) == path
    return isinstance(arg, syntax.AugAssign) and dotted_text(arg.target) == path


def _is_unique(tree: Tree, key: syntax.BaseExpression) -> bool:
    """Tell whether no two tasks share ``key``: the number of a request, an ``id()``."""
    while isinstance(key, (syntax.Attribute, syntax.Subscript)) and not dotted_text(key):
        key = key.value  # uuid4().hex[:8]
    match key:
        case syntax.FormattedString():
            parts = [
                p.expression for p in key.parts if not isinstance(p, syntax.FormattedStringText)
            ]
            return any(_makes_unique(tree, part) for part in parts)
        case syntax.BinaryOperation():
            return _makes_unique(tree, key.left) or _makes_unique(tree, key.right)
        case syntax.Call():
            name, args = last_name(key.func), key.args
            if name in _WRITES and args:
                return _is_unique(tree, args[0].value)
            if name in _WRITTEN and isinstance(key.func, syntax.Attribute):
                return _is_unique(tree, key.func.value)
            return name in _MAKES_UNIQUE
        case syntax.Name() if _is_made_unique(tree, key):
            return True
    return _UNIQUE_KEY.match(last_name(key)) is not None


def _makes_unique(tree: Tree, part: syntax.BaseExpression) -> bool:
    """Tell whether ``part`` makes a longer key another one each time."""
    if isinstance(part, syntax.Name) and _is_made_unique(tree, part):
        return True
    if isinstance(part, (syntax.Name, syntax.Attribute)) and dotted_text(part):
        return _CHANGING_PART.match(last_name(part)) is not None
    return _is_unique(tree, part)


def _is_made_unique(tree: Tree, name: syntax.Name) -> bool:
    """Tell whether the only binding of ``name`` makes something that is new each time."""
    scope = tree.scope[name].owner(name.value)
    stores = scope.stores.get(name.value, ()) if scope is not None else ()
    if len(stores) != 1 or tree.order[name] <= tree.order[stores[0]]:
        return False  # nor is what is made of itself
    made = assigned_value(tree, stores[0])
    if made is None or dotted_text(made) or tree.holds(made, name):
        return False
    return _is_unique(tree, made)


def _is_key_of_client(key: syntax.BaseExpression) -> bool:
    """Tell whether ``key`` is one client's, or one session's: `client`, `ctx.session.id`."""
    path = dotted_text(key)
    if path is None:
        return False
    owner, _, name = path.rpartition(".")
    if name in ("id", "uuid"):
        name = owner.rpartition(".")[2]
    return _KEY_OF_A_CLIENT.match(name) is not None


def _root(key: syntax.BaseExpression) -> str:
    return (dotted_text(key) or "").partition(".")[0]


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
