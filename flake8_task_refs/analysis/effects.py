"""What the calls and methods that everyone knows do with a handle that they are given.

Functions go by their canonical names, as ``Names.canonical`` returns them. A call that stands in
none of these tables is taken to keep what it is given.
"""

from __future__ import annotations

import re
from typing import Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name


def _words(text: str, prefix: str = "") -> frozenset[str]:
    return frozenset(prefix + word for word in text.split())


# Methods of a task that look at it, name it or hang something on it, and keep nothing.
OBSERVERS: Final = _words(
    """add_done_callback remove_done_callback set_name get_name get_coro get_loop get_context
    get_stack print_stack cancelled cancelling uncancel done result exception"""
)
# Methods that put their arguments into the container.
ADDERS: Final = _words(
    "add append appendleft extend extendleft insert put put_nowait update setdefault"
)
# Methods of a container whose value holds none of its elements.
CONTAINER_NEUTRAL: Final = ADDERS | _words(
    """remove discard clear index count sort reverse difference_update intersection_update
    __len__ __contains__ isdisjoint issubset issuperset move_to_end empty full qsize task_done"""
)
# Methods of a container whose value is, or holds, its elements.
CONTAINER_TAKERS: Final = _words(
    """pop popleft popitem get get_nowait copy values items keys union difference intersection
    symmetric_difference __getitem__ __iter__"""
)
# Calls that keep nothing of what they are given.
DROPPING: Final = _words(
    """print repr str len id bool isinstance type hash callable format dir issubclass hasattr any
    all ascii""",
    "builtins.",
) | _words(
    """asyncio.iscoroutine asyncio.isfuture inspect.isawaitable inspect.iscoroutine pprint.pprint
    sys.getrefcount"""
)
# Calls whose value is, or holds, the handles they are given.
PASS_ON: Final = _words(
    "list set tuple frozenset dict sorted reversed enumerate zip iter next filter min max sum",
    "builtins.",
) | _words(
    """collections.deque collections.OrderedDict collections.defaultdict itertools.chain
    itertools.chain.from_iterable typing.cast copy.copy asyncio.ensure_future
    asyncio.wrap_future functools.partial"""
)
# Context managers that give up what is awaited in them after a time.
TIME_LIMITS: Final = _words("timeout timeout_at", "asyncio.") | _words(
    "async_timeout.timeout async_timeout.timeout_at anyio.fail_after anyio.move_on_after"
)
# Calls whose value, bound to a local, is a container that dies with the function.
LOCAL_CONTAINERS: Final = PASS_ON | _words(
    """asyncio.Queue asyncio.LifoQueue asyncio.PriorityQueue queue.Queue queue.SimpleQueue
    builtins.map"""
)
# Containers that hold weakly what is added to them, or stored under a key; and their keys.
WEAK_FOR_VALUES: Final = _words("WeakSet WeakValueDictionary", "weakref.")
WEAK_FOR_KEYS: Final = _words("WeakKeyDictionary", "weakref.")
WEAK_CONTAINERS: Final = WEAK_FOR_VALUES | WEAK_FOR_KEYS
# Calls that refer to what they are given, but do not keep it alive.
WEAK: Final = WEAK_CONTAINERS | _words("ref proxy finalize", "weakref.")
LOG_METHODS: Final = _words("debug info warning warn error exception critical log trace success")
# The last name of what a log method is called on.
LOGGER: Final = re.compile(r"(?:\w*_)?(?:log|logger|logging|loguru)\Z", re.IGNORECASE)
# What a method is called that ends its object.
CLOSERS: Final = _words(
    """aclose close _close stop shutdown disconnect async_close async_stop cleanup teardown
    terminate cog_unload __aexit__"""
)
# Decorators of what a user or a client asks for, while the program goes on.
COMMANDS: Final = _words(
    """command hybrid_command slash_command group action tool callback on get post put patch delete
    route api_route websocket event listener on_message message message_handler callback_query"""
)


def is_log_method(func: syntax.Node) -> bool:
    """Tell whether ``func`` is a method of a logger, known by its name: ``self.log.warning``."""
    if not isinstance(func, syntax.Attribute) or func.attr.value not in LOG_METHODS:
        return False
    base = func.value.func if isinstance(func.value, syntax.Call) else func.value
    name = last_name(base)
    return LOGGER.match(name) is not None or name in ("getLogger", "get_logger")
