"""A virtual environment with our wheel and the tools that users have, made once a test run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from commands import ROOT
from filelock import FileLock

if TYPE_CHECKING:
    from pathlib import Path

# What pip and uv say when there is no package index to install from.
_NO_INDEX: Final = re.compile(
    r"Could not find a version|No matching distribution|Connection|Name or service|"
    r"not found in the package registry|error sending request|dns error|Failed to fetch",
)


class CannotInstallError(Exception):
    """There is no package index to install from."""


class Workshop:
    """The environment in one directory, and what was built on the way to it."""

    def __init__(self, directory: Path) -> None:
        """``directory`` need not exist; ``furnish`` makes it."""
        self.directory = directory
        self.dist = directory / "dist"
        self.bin = directory / "venv" / ("Scripts" if os.name == "nt" else "bin")

    @property
    def wheel(self) -> Path:
        [wheel] = self.dist.glob("*.whl")
        return wheel

    def furnish(self) -> None:
        """Build the distributions and install the wheel with the tools, unless that was done.

        Raises ``CannotInstallError``.
        """
        self.directory.mkdir(exist_ok=True)
        done = self.directory / "done"
        with FileLock(self.directory / "lock"):
            if not done.exists():
                # The wheel is built from the sdist, as a packager would.
                self._uv("build", "--quiet", "--out-dir", self.dist, ROOT)
                self._uv("venv", "--quiet", "--python", sys.executable, self.bin.parent)
                self.install(f"{self.wheel}[completion,dask,docs,ecosystem,fixit]")
                done.touch()

    def install(self, *requirements: str | Path) -> None:
        """Install ``requirements``. Raises ``CannotInstallError``."""
        self._uv("pip", "install", "--quiet", "--python", self.bin / "python", *requirements)

    def _uv(self, *arguments: str | Path) -> None:
        done = install(sys.executable, "-m", "uv", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def run(
        self, *command: str | Path, cwd: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``command`` with the environment's programs first on the path."""
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=cwd,
            env={**os.environ, "PATH": path, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )


def install(
    *command: str | Path, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a ``command`` that installs something. Raises ``CannotInstallError``."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode and _NO_INDEX.search(done.stdout + done.stderr):
        raise CannotInstallError(f"no package index: {done.stderr.strip()[-300:]}")
    return done
