"""The first stage: can this source hold a finding at all? Standard library only, bytes-fast.

Only a source that mentions one of the words below is read any further, and only at the places
where it does. The words are those of the creation sites in RULES: a task creator, an awaitable
aggregate of asyncio, a done-callback, or a name that the settings add.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from flake8_task_refs.options import Settings

# A word that creates a task, wherever it stands: called, handed over, or given another name.
CREATOR_WORDS: Final = ("create_task", "ensure_future")
# Words that speak only when called; the lookbehind leaves `await asyncio.gather(...)` out, which
# is the usual and the right use.
_AGGREGATES = r"(?<!await asyncio\.)(?<!await )\b(?:gather|shield|run_coroutine_threadsafe|wait_for|wait)(?=\()"
_TASK_CLASS = r"\bTask(?=\()"
_CALLBACK = r"\badd_done_callback(?=\()"


@lru_cache(maxsize=32)
def mention_pattern(settings: Settings) -> re.Pattern[str]:
    """Return the pattern of every place that can hold a finding under ``settings``."""
    names = [*CREATOR_WORDS, *(factory.rsplit(".", 1)[-1] for factory in settings.task_factories)]
    words = "|".join(sorted({re.escape(name) for name in names}))
    return re.compile(rf"\b(?:{words})\b|{_TASK_CLASS}|{_AGGREGATES}|{_CALLBACK}")


def may_create_tasks(source: str, settings: Settings | None = None) -> bool:
    """Tell whether ``source`` mentions anything that a rule could speak of."""
    return mention_pattern(settings or Settings()).search(source) is not None
