"""The ``nasbench-mo`` command. Nothing in the library imports it."""

from __future__ import annotations

import logging
import sys


def main() -> None:
    """Run the command line: exit 0 done, 2 the input is wrong (one sentence on stderr), 1 our fault."""
    from nasbench_mo.cli.app import app
    from nasbench_mo.errors import NasbenchMoError

    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        app()
    except (NasbenchMoError, OSError) as error:
        sys.stderr.write(f"error: {_sentence(error)}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write(
            "interrupted; a search with --out, an experiment, a board's runs, a table's build and a validation go on "
            "when the same command is given again\n"
        )
        raise SystemExit(130) from None


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)
