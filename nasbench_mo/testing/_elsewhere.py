"""Call a function in another Python process, whose strings hash differently."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

_TIMEOUT_S = 300.0
_CHILD = "from nasbench_mo.testing._elsewhere import answer; answer()"


class ElsewhereError(Exception):
    """The function could not be sent to another process, or failed there."""


def call_elsewhere(function: Callable[..., Any], *arguments: object) -> Any:
    """Result of ``function(*arguments)`` in a fresh interpreter, by way of JSON.

    Parameters
    ----------
    function
        Importable by its name, as are the classes of the arguments.

    Raises
    ------
    ElsewhereError
        Something cannot be imported there, or the call failed.
    """
    try:
        request = pickle.dumps((function, arguments))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ElsewhereError(f"it cannot be imported by its name: {error}") from error
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=request,
        env=environment,
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ElsewhereError(f"it failed there: {''.join(last)}")
    return json.loads(done.stdout.splitlines()[-1])


def answer() -> None:
    """Do what the calling process asks for on standard input, and write the result as the last line."""
    function, arguments = pickle.load(sys.stdin.buffer)  # written by call_elsewhere and by nobody else
    result = json.dumps(function(*arguments))
    sys.stdout.write(f"\n{result}\n")
