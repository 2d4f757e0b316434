"""Work on a Dask cluster, which begins an item again elsewhere when its worker dies."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from nasbench_mo.cluster.deployment import Deployment
from nasbench_mo.cluster.outcome import Outcome
from nasbench_mo.errors import SpecError, WorkerDiedError, require

Item = TypeVar("Item")
Result = TypeVar("Result")

_TIMEOUT = "10s"


def connected(cluster: str | Path) -> Any:
    """A Dask client of a running scheduler (address), or of a cluster that a YAML file describes.

    Raises
    ------
    SpecError
        Nothing answers at the address, or the file is wrong.
    MissingDependencyError
        Dask is not installed.
    """
    require("distributed", extra="cluster")
    if _is_file(cluster):
        started = Deployment.read(Path(cluster)).started()
        client = _client(started)
        client.nasbench_mo_cluster = started  # ours to close
        return client
    try:
        return _client(str(cluster), timeout=_TIMEOUT)
    except (OSError, ValueError) as error:
        _end_failed(error)
        raise SpecError(
            f"no Dask scheduler answers at {str(cluster)!r} ({' '.join(str(error).split())[:120]}); start one, or "
            "leave the address out to use local processes"
        ) from error


def _client(cluster: Any, **options: Any) -> Any:
    distributed = require("distributed", extra="cluster")
    try:
        return distributed.Client(cluster, set_as_default=False, **options)
    except AssertionError:  # its event loop has to start within ten seconds, which a busy machine may exceed
        return distributed.Client(cluster, set_as_default=False, **options)


def _end_failed(error: BaseException) -> None:
    """End the client whose making failed with an error.

    Otherwise it ends when it is collected, for which it takes a lock of all clients: if that happens while this thread
    holds the lock for another client, it waits without end.
    """
    client_class = require("distributed", extra="cluster").Client
    for frame, _ in traceback.walk_tb(error.__traceback__):
        client = frame.f_locals.get("self")
        if isinstance(client, client_class):
            client.close()
            return


def closing(client: Any) -> None:
    """Close a client, and the cluster too if it was started for it."""
    started = getattr(client, "nasbench_mo_cluster", None)
    client.close()
    if started is not None:
        started.close()


def outcomes_on_dask(
    client: Any, function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[Outcome[Result]]:
    """As they come.

    Dask gives an item up when ``distributed.scheduler.allowed-failures`` workers have died that had it, running or
    only queued: one that kills its workers takes innocent ones along. So each of these is tried again, alone, in the
    end.
    """
    distributed = require("distributed", extra="cluster")
    futures = client.map(function, items, pure=False)  # pure: an equal item would be the same task
    held = {future.key: (index, future) for index, future in enumerate(futures)}
    arriving = distributed.as_completed(futures, loop=client.loop)  # the default client is another one
    del futures
    suspects: list[int] = []
    try:
        for future in arriving:
            index, _ = held.pop(future.key)  # let go of it, so that the cluster forgets the result
            outcome = _outcome(index, future, killed=distributed.KilledWorker)
            if isinstance(outcome.error, WorkerDiedError):
                suspects.append(index)
            else:
                yield outcome
        for index in suspects:
            yield _outcome(index, client.submit(function, items[index], pure=False), killed=distributed.KilledWorker)
    finally:
        if held:  # the caller stopped early
            client.cancel([future for _, future in held.values()])


def _outcome(index: int, future: Any, *, killed: type[Exception]) -> Outcome[Any]:
    try:
        return Outcome(index=index, value=future.result())
    except killed as error:
        return Outcome(index=index, error=WorkerDiedError(f"Dask gave item {index} up: {error}"))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome of this item alone
        return Outcome(index=index, error=error)


def _is_file(cluster: str | Path) -> bool:
    return isinstance(cluster, Path) or cluster.endswith((".yaml", ".yml"))
