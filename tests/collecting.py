"""Runs an application while full garbage collections interrupt it, twenty times a second.

``python collecting.py KIND NAME``: ``KIND`` is ``aiohttp`` or ``uvicorn``, which serve the ``app``
of the module ``NAME``, or ``script``. The module lies in the current directory.
"""

from __future__ import annotations

import gc
import runpy
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path

PERIOD = 0.05


def main(kind: str, name: str) -> None:
    sys.path.insert(0, str(Path.cwd()))
    signal.signal(signal.SIGALRM, lambda *_: gc.collect())
    signal.setitimer(signal.ITIMER_REAL, PERIOD, PERIOD)
    try:
        _run(kind, name)
    finally:
        # Python gives the signal back its default, to kill, before it ends.
        signal.setitimer(signal.ITIMER_REAL, 0)


def _run(kind: str, name: str) -> None:
    if kind == "script":
        runpy.run_path(f"{name}.py", run_name="__main__")
    elif kind == "aiohttp":
        from aiohttp import web

        # run_app prints the address that such a socket got.
        web.run_app(import_module(name).app, sock=socket.create_server(("127.0.0.1", 0)))
    else:
        import uvicorn

        uvicorn.run(f"{name}:app", port=0, access_log=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
