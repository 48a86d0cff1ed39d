"""CPython's own parser: can this Python read a text, and as what? Standard library only."""

from __future__ import annotations

import ast
import contextlib
import threading
import warnings
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis.finding import TOO_COMPLEX, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

# It is no feature, and never will be.
_NO_FEATURE: Final = "nothing_of_this_name"
# The filter that warnings.simplefilter("ignore") puts before all others.
_ALL_IGNORED: Final = ("ignore", None, Warning, None, 0)
_ONE_AT_A_TIME: Final = threading.Lock()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let the parser work alone, and keep its warnings to itself."""
    # CPython 3.11 counts the depth of a tree under construction once for all threads.
    with _ONE_AT_A_TIME:
        if warnings.filters[:1] == [_ALL_IGNORED]:
            yield  # as in our worker processes
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield


def python_tree(text: str) -> ast.Module:
    """Return CPython's tree of ``text``.

    Raises ``SyntaxError``, or ``ValueError`` for null bytes before 3.12, or ``RecursionError`` or
    ``MemoryError`` where it is nested too deeply. The caller has seen to it that it is not nested
    a thousand deep: not every release survives that.
    """
    with _undisturbed():
        return ast.parse(text)


def is_surely_python(text: str) -> bool:
    """Tell whether this Python can parse ``text``; if not, ``syntax_error`` has the last word.

    It takes less than half the time of a tree: after the parse, and before anything else, Python
    looks for the features that are imported from the future, and stops at one that there is not.
    """
    try:
        with _undisturbed():
            asked = f"from __future__ import {_NO_FEATURE}\n{text}"
            compile(asked, "<source>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return _NO_FEATURE in error.msg
    except (RecursionError, MemoryError, ValueError):
        pass
    return False


def syntax_error(text: str) -> SourceError | None:
    """Return what this Python cannot parse in ``text``, ``None`` if it can.

    It is asked before libcst is, which takes the whole process down over brackets nested a thousand
    deep; Python allows 200.
    """
    if is_surely_python(text):
        return None
    try:
        with _undisturbed():
            ast.parse(text)
    except SyntaxError as error:
        return SourceError(error.msg, error.lineno or 0, error.offset or 0)
    except (RecursionError, MemoryError):
        return SourceError(TOO_COMPLEX)
    except ValueError as error:
        # Null bytes, before 3.12.
        return SourceError(str(error))
    return None
