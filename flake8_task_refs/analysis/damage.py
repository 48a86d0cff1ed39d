"""Signs that a text is not Python, found without a parser.

Python's own parser takes a tenth of a second for a megabyte, which for a long file is more than all
the rest of the check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flake8_task_refs.analysis.outline import Outline

# Characters of a text that is parsed in a millisecond or two, whatever it looks like.
_SHORT: Final = 10_000
# What stands in no code: the marks of a merge, of a template or a shell, the quote of no string.
_FOREIGN: Final = ("<<<<<<<", "=======", ">>>>>>>", "{%", "%}", "?", "$", "`", "'", '"')
# What a file does not end with that was not cut off.
_GOES_ON: Final = (":", ",", "=", "+", "-", "*", "/", "\\")
_TAIL: Final = 2_000
_PAIRS: Final = ("()", "[]", "{}")


def may_be_damaged(outline: Outline) -> bool:
    """Tell whether only a parser can tell that the source of ``outline`` is Python.

    That is so for each short one. Of a long one, it is so where a string or a bracket is left open,
    a merge or a template has left its marks, or the end is missing; an error of other kinds, such
    as ``x = = 1``, has no sign.
    """
    source = outline.source
    if len(source) <= _SHORT:
        return True
    code = _code(outline)
    return (
        any(sign in code for sign in _FOREIGN)
        or any(code.count(opening) != code.count(closing) for opening, closing in _PAIRS)
        or _is_cut_off(outline)
    )


def _code(outline: Outline) -> str:
    """Return the source without its comments and strings, for each of which a space is left."""
    starts, ends, _ = zip(*outline.blanks, strict=True) if outline.blanks else ((), (), ())
    bounds = zip((0, *ends), (*starts, len(outline.source)), strict=True)
    return " ".join([outline.source[start:end] for start, end in bounds])


def _is_cut_off(outline: Outline) -> bool:
    """Tell whether the source ends where a statement must go on, comments passed over."""
    size = len(outline.source)
    start = max(0, size - _TAIL)
    code = outline.blanked(start, size).rstrip()
    strings = (end for _, end, kind in reversed(outline.blanks) if kind != "comment")
    return code.endswith(_GOES_ON) and next(strings, 0) <= start + len(code)
