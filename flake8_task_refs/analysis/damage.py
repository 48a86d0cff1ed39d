"""Signs that a text is not Python, found without a parser.

Python's own parser takes a tenth of a second for a megabyte, which for a long file is more than all
the rest of the check.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flake8_task_refs.analysis.outline import Outline

# Characters of a text that is parsed in a millisecond or two, whatever it looks like.
_SHORT: Final = 10_000
# What a merge or a template leaves in a file, at the beginning of a line or anywhere.
_MARKER: Final = re.compile(r"^(?:<{7}|={7}|>{7})(?: |$)", re.MULTILINE)
_FOREIGN: Final = ("?", "$", "`", "{%", "%}", "'", '"')  # a quote here is that of no string
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
    source, blanks = outline.source, outline.blanks
    if len(source) <= _SHORT:
        return True
    inside = "".join([source[start:end] for start, end, _ in blanks])

    def in_code(sign: str) -> int:
        return source.count(sign) - inside.count(sign)

    return (
        any(in_code(opening) != in_code(closing) for opening, closing in _PAIRS)
        or any(in_code(sign) for sign in _FOREIGN)
        or any(outline.is_code(match.start()) for match in _MARKER.finditer(source))
        or _is_cut_off(outline)
    )


def _is_cut_off(outline: Outline) -> bool:
    """Tell whether the source ends where a statement must go on, comments passed over."""
    size = len(outline.source)
    start = max(0, size - _TAIL)
    code = outline.blanked(start, size).rstrip()
    strings = (end for _, end, kind in reversed(outline.blanks) if kind != "comment")
    return code.endswith(_GOES_ON) and next(strings, 0) <= start + len(code)
