"""Source and names that a page or a terminal must not take at their word."""

from __future__ import annotations

# As a task's name, and within it: what could end an attribute, a text, a script or a line.
NAMES = (
    "</script><script>alert(1)</script>",
    "\" onmouseover='alert(1)' x=\"",
    "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "a\x1b[31mred\x07\r\nnext",
    "\u202egnp.exe\u2028",
    "&lt;&amp;",
    "\\udcff \U0001f40d",
)
SOURCE = "import asyncio\n\n\nasync def start():\n" + "".join(
    f"    asyncio.create_task(work(), name={name!r})\n" for name in NAMES
)
FILE = "<b>'\"&{{ 1 }}.py"
