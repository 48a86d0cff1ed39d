"""Signs that a text is not Python, found without a parser.

Python's own parser takes a tenth of a second for a megabyte, which for a long file is more than all
the rest of the check.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flake8_task_refs.analysis.outline import Outline

# Characters of a text that is parsed in a few milliseconds, whatever it looks like.
_SHORT: Final = 32_000
# What a merge or a template leaves in a file, at the beginning of a line or anywhere.
_MARKER: Final = re.compile(r"^(?:<{7}|={7}|>{7})(?: |$)", re.MULTILINE)
_FOREIGN: Final = ("?", "$", "`", "{%", "%}", "'", '"')  # a quote here is that of no string
# What a file does not end with that was not cut off.
_GOES_ON: Final = (":", ",", "=", "+", "-", "*", "/", "\\")
_PAIRS: Final = ("()", "[]", "{}")


def may_be_damaged(outline: Outline) -> bool:
    """Tell whether only a parser can tell that the source of ``outline`` is Python.

    That is so for each short one. Of a long one, it is so where a string or a bracket is left open,
    a merge or a template has left its marks, or the end is missing; an error of other kinds, such
    as ``x = = 1``, has no sign.
    """
    if len(outline.source) <= _SHORT:
        return True
    code = outline.code
    last = max((end for _, end, kind in outline.blanks[-1:] if kind != "comment"), default=0)
    return (
        any(code.count(opening) != code.count(closing) for opening, closing in _PAIRS)
        or any(sign in code for sign in _FOREIGN)
        or (last < len(code.rstrip()) and code.rstrip().endswith(_GOES_ON))
        or _MARKER.search(code) is not None
    )
