"""The settings, declared once: flake8 and the fixer both read this table.

``LintConfig`` is what the configuration of a run says.

Every option carries the prefix ``--tsk-``: two flake8 plugins with one option name stop flake8.
"""

from __future__ import annotations

from keyword import iskeyword
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flake8_task_refs.rules import codes_named

if TYPE_CHECKING:
    from argparse import Namespace


class Settings(NamedTuple):
    """What a user can set about the analysis.

    ``task_factories``: dotted names of functions that return a task as ``create_task`` does.
    ``managed_spawners``: globs of dotted callees that keep the tasks they create.
    ``allow_underscore``: ``_ = create_task(...)`` is taken as meant.
    ``registry_name``: what a new registry is called (a module's gets a leading underscore).
    ``enabled_codes``: rules that are off by default and were asked for by name.
    ``disable_noqa``: ``# noqa`` comments do not silence anything.
    """

    task_factories: tuple[str, ...] = ()
    managed_spawners: tuple[str, ...] = ()
    allow_underscore: bool = False
    registry_name: str = "background_tasks"
    enabled_codes: frozenset[str] = frozenset()
    disable_noqa: bool = False


class ConfigError(ValueError):
    """The options or a configuration file cannot be used. The text is one line."""


class LintConfig(NamedTuple):
    """What flake8's configuration says about a run.

    ``jobs`` is the number of processes allowed, at least one; ``color`` is ``auto``, ``always`` or
    ``never``; ``line_length`` is the ``max-line-length`` in characters, None if none was set;
    ``stdin_name`` is what to call standard input.
    """

    settings: Settings
    jobs: int
    color: str
    line_length: int | None
    stdin_name: str


class Option(NamedTuple):
    """One command-line and configuration option. ``kind`` is ``list``, ``flag`` or ``name``."""

    flag: str
    field: str
    kind: str
    help: str


OPTIONS: Final = (
    Option(
        "--tsk-task-factories",
        "task_factories",
        "list",
        "Dotted names of functions that return a task, as asyncio.create_task does.",
    ),
    Option(
        "--tsk-managed-spawners",
        "managed_spawners",
        "list",
        "Globs of dotted callees that keep the tasks they create, e.g. *.spawn,app.add_task.",
    ),
    Option(
        "--tsk-allow-underscore",
        "allow_underscore",
        "flag",
        "Accept `_ = asyncio.create_task(...)` as a deliberate fire-and-forget.",
    ),
    Option(
        "--tsk-registry-name",
        "registry_name",
        "name",
        "Name of a registry that the fixer adds (default: background_tasks).",
    ),
)


def settings_from(values: dict[str, Any], **more: Any) -> Settings:
    """Make ``Settings`` of parsed option values, keyed ``tsk_<field>`` as argparse names them.

    Raises ``ValueError`` if ``registry_name`` is not an identifier.
    """
    known: dict[str, Any] = {}
    for option in OPTIONS:
        value = values.get(f"tsk_{option.field}")
        if value is None:
            continue
        known[option.field] = tuple(value) if option.kind == "list" else value
    settings = Settings(**known, **more)
    if not settings.registry_name.isidentifier() or iskeyword(settings.registry_name):
        raise ValueError(f"--tsk-registry-name: {settings.registry_name!r} is not a Python name")
    return settings


def settings_of(options: Namespace) -> Settings:
    """Return the settings in flake8's parsed ``options``.

    A rule that is off by default is on only where ``select`` or ``extend-select`` names it.
    Raises ``ValueError`` for a value that cannot be used.
    """
    named = codes_named([*(options.select or ()), *(options.extend_select or ())])
    return settings_from(
        vars(options), enabled_codes=named, disable_noqa=bool(options.disable_noqa)
    )
