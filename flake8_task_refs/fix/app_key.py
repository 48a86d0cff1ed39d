"""Where an application of aiohttp's, which is a mapping, keeps the registry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flake8_task_refs.fix.contract import Context

AIOHTTP: Final = "aiohttp.web"
_STRING_KEY: Final = re.compile(r"\bapp\[[\"']")


def app_key(context: Context) -> str:
    """Return the key of the registry in an aiohttp application, in the style of the file.

    A string where the file has strings for keys; they are older than aiohttp 3.9's ``AppKey``.
    """
    source = context.tree.outline.source
    if "AppKey" not in source and _STRING_KEY.search(source):
        return context.writer.layout.string(context.registry_name)
    return context.additions.app_key(context.names.module_alias(AIOHTTP))
