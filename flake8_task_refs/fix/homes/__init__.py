"""The homes, in the order in which they are asked: each takes what no other before it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.fix.homes.aggregate import Aggregates
from flake8_task_refs.fix.homes.callback import BrokenCallbacks
from flake8_task_refs.fix.homes.cancelled import Cancelled
from flake8_task_refs.fix.homes.container import GrowingContainers
from flake8_task_refs.fix.homes.context_manager import ContextManagers
from flake8_task_refs.fix.homes.handed_over import HandedOver
from flake8_task_refs.fix.homes.instance import Instances
from flake8_task_refs.fix.homes.lifespan import Lifespans
from flake8_task_refs.fix.homes.local_worker import LocalWorkers
from flake8_task_refs.fix.homes.module import ModuleRegistry
from flake8_task_refs.fix.homes.raced import Raced
from flake8_task_refs.fix.homes.raising import RaisingCallbacks
from flake8_task_refs.fix.homes.reuse import Reuse
from flake8_task_refs.fix.homes.startup import StartupHandlers
from flake8_task_refs.fix.homes.unnamed import Unnamed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flake8_task_refs.fix.contract import Context, Home

HOMES: Final[Sequence[Callable[[Context], Home]]] = (
    BrokenCallbacks,
    RaisingCallbacks,
    GrowingContainers,
    Cancelled,
    Unnamed,
    Aggregates,
    HandedOver,
    Raced,
    LocalWorkers,
    ContextManagers,
    Reuse,
    Lifespans,
    StartupHandlers,
    Instances,
    ModuleRegistry,
)
