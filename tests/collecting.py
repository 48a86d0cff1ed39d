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
    if kind == "script":
        _collect_from_now_on()
        runpy.run_path(f"{name}.py", run_name="__main__")
    elif kind == "aiohttp":
        from aiohttp import web

        app = import_module(name).app
        _collect_from_now_on()
        # run_app prints the address that such a socket got.
        web.run_app(app, sock=socket.create_server(("127.0.0.1", 0)))
    else:
        import uvicorn

        app = import_module(name).app
        _collect_from_now_on()
        uvicorn.run(app, port=0, access_log=False)


def _collect_from_now_on() -> None:
    # What was imported will stay: without it, a collection takes a hundredth of the time.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGALRM, _collect)
    signal.setitimer(signal.ITIMER_REAL, PERIOD)


def _collect(*_: object) -> None:
    gc.collect()
    # Only now: on a busy machine, collections would follow each other without a pause.
    signal.setitimer(signal.ITIMER_REAL, PERIOD)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    finally:
        # Before it ends, Python gives a signal with a handler its default back: to kill.
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
