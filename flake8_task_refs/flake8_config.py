"""flake8's own configuration, read by flake8's own code, so that lint and fixer agree.

The options of flake8 that say *which files* and *which codes* mean here what they mean there,
on the command line and in ``setup.cfg``, ``tox.ini`` or ``.flake8``.
"""

from __future__ import annotations

import contextlib
import io
import os
from configparser import Error as ConfigSyntaxError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import flake8
from flake8 import defaults
from flake8.exceptions import ExecutionError
from flake8.formatting.default import Nothing
from flake8.main import options as flake8_options
from flake8.options import aggregator
from flake8.options.config import load_config
from flake8.options.manager import OptionManager
from flake8.options.parse_args import parse_args
from flake8.plugins import finder
from flake8.style_guide import Decision, StyleGuide, StyleGuideManager

from flake8_task_refs.discovery import STDIN, find_files
from flake8_task_refs.options import ConfigError, LintConfig, settings_of
from flake8_task_refs.rules import RULES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

# Where the plugins live that we have flake8 load: ours, and Flake8-pyproject.
_LOADED: Final = (f"{__package__}.", "flake8p:")


@dataclass(frozen=True)
class Flake8:
    """What flake8 would do here: which files it reads and which codes it prints for each.

    ``options`` are flake8's own.
    """

    options: argparse.Namespace
    config: LintConfig
    guides: StyleGuideManager
    _codes: dict[StyleGuide, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def find_files(self) -> Iterator[tuple[list[str], bool]]:
        """Find the files to read, as ``discovery.find_files`` does."""
        return find_files(
            self.options.filenames,
            stdin_display_name=self.options.stdin_display_name,
            filename_patterns=self.options.filename,
            exclude=(*self.options.exclude, *self.options.extend_exclude),
        )

    def codes(self, name: str) -> tuple[str, ...]:
        """Return our codes that flake8 would print for the file ``name``, sorted."""
        guides = self.guides
        # Without per-file-ignores, one guide speaks of all files; flake8 would look for it anew.
        guide = (
            guides.default_style_guide
            if len(guides.style_guides) == 1
            else guides.style_guide_for(self.config.stdin_name if name == STDIN else name)
        )
        codes = self._codes.get(guide)
        if codes is None:
            codes = self._codes[guide] = tuple(
                rule.code
                for rule in RULES
                if (rule.default or rule.code in self.config.settings.enabled_codes)
                and guide.should_report_error(rule.code) is Decision.Selected
            )
        return codes


def load(options_given: Sequence[str] = (), paths: Sequence[str] = ()) -> Flake8:
    """Read flake8's configuration as ``flake8 OPTIONS PATHS`` would, from the current directory.

    Without ``paths``, the current directory is meant. Raises ``ConfigError``.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            options = _flake8_options(options_given)
        options.filenames = list(paths)
        config = _config_of(options)
        guides = StyleGuideManager(options, Nothing(options))
    except SystemExit:
        # argparse has written its usage and then, last, what is wrong.
        lines = complaint.getvalue().splitlines() or ["cannot read the options"]
        raise ConfigError(lines[-1].removeprefix("flake8: error: ")) from None
    except (ExecutionError, ConfigSyntaxError, ValueError, OSError) as error:
        raise ConfigError(" ".join(str(error).split())) from None
    except Exception as error:  # noqa: BLE001 (flake8's plugins read their options here, too)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"flake8 cannot read its options: {reason}") from None
    return Flake8(options, config, guides)


def _config_of(options: argparse.Namespace) -> LintConfig:
    jobs = options.jobs
    return LintConfig(
        settings=settings_of(options),
        jobs=max(1, (os.cpu_count() or 1) if jobs.is_auto else jobs.n_jobs),
        color=options.color,
        line_length=options.max_line_length,
        stdin_name=options.stdin_display_name,
    )


def _flake8_options(argv: Sequence[str]) -> argparse.Namespace:
    """Return the options that flake8 makes of ``argv`` and its configuration files.

    flake8 imports every plugin to learn its options, and a plugin can be as slow as it likes.
    Here only ours is asked, and the one that reads pyproject.toml. Where that is not enough,
    because ``argv`` has an option of another plugin or is wrong, flake8 itself has the last word.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return _options_of_flake8_and_ours(argv)
    except SystemExit:
        options = parse_args(argv)[1]
        if options.max_line_length == defaults.MAX_LINE_LENGTH:
            options.max_line_length = None  # as likely as not, nobody asked for it
        return options


def _options_of_flake8_and_ours(argv: Sequence[str]) -> argparse.Namespace:
    """Do as ``flake8.options.parse_args.parse_args`` does, without the other plugins."""
    first_parser = flake8_options.stage1_arg_parser()
    first, rest = first_parser.parse_known_args(argv)
    files, directory = load_config(first.config, first.append_config, isolated=first.isolated)
    plugin_options = finder.parse_plugin_options(
        files,
        directory,
        enable_extensions=first.enable_extensions,
        require_plugins=first.require_plugins,
    )
    wanted = [
        plugin
        for plugin in finder.find_plugins(files, plugin_options)
        if plugin.entry_point.value.startswith(_LOADED)
    ]
    plugins = finder.load_plugins(wanted, plugin_options)
    manager = OptionManager(
        version=flake8.__version__,
        plugin_versions=plugins.versions_str(),
        parents=[first_parser],
        formatter_names=[],
    )
    flake8_options.register_default_options(manager)
    manager.parser.set_defaults(max_line_length=None)
    manager.register_plugins(plugins)
    # Flake8-pyproject puts its own function there.
    return aggregator.aggregate_options(manager, files, directory, rest)
