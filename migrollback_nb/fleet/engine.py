"""The engine `asyncio`: does one thing with each of many items, so many at a time, and waits for none for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: How many targets are asked or changed at a time, unless another number is given.
PARALLEL = 32


def each(
    items: Sequence[T],
    work: Callable[[T], R],
    *,
    parallel: int = PARALLEL,
    patience: float | None = None,
    late: Callable[[T], R] | None = None,
    done: Callable[[T, R], None] | None = None,
) -> list[R]:
    """What the work gives for each item, in their order. Writes what the work writes.

    Parameters
    ----------
    items : sequence
        What to work on.
    work : callable
        Called with one item in a thread of its own; it raises nothing.
    parallel : int
        So many at a time.
    patience : float, optional
        Seconds for one item; then `late` says what it gave, and its place goes to the next. By default no limit.
    late : callable, optional
        Called with an item that took longer; needed with patience.
    done : callable, optional
        Called with an item and its result, one at a time, as they come.
    """

    async def run_all() -> list[R]:
        places = asyncio.Semaphore(max(1, parallel))

        async def run_one(item: T) -> R:
            async with places:
                result = await _within(_in_thread(work, item), patience, late, item)
            if done is not None:
                done(item, result)
            return result

        return list(await asyncio.gather(*(run_one(item) for item in items)))

    return run(run_all)


def run(main: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Run a coroutine to its end, also where the caller's thread has a loop already, as a notebook's has."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    future: Future[R] = Future()
    threading.Thread(target=_settle, args=(future, lambda: asyncio.run(main())), daemon=True).start()
    return future.result()


async def _within(waited: asyncio.Future[R], patience: float | None, late: Callable[[T], R] | None, item: T) -> R:
    if patience is None or late is None:
        return await waited
    try:
        return await asyncio.wait_for(asyncio.shield(waited), patience)
    except TimeoutError:
        return late(item)


def _in_thread(work: Callable[[T], R], item: T) -> asyncio.Future[R]:
    """The work in a thread that no end of the program waits for: an executor's threads would be waited for."""
    future: Future[R] = Future()
    threading.Thread(target=_settle, args=(future, lambda: work(item)), daemon=True).start()
    return asyncio.wrap_future(future)


def _settle(future: Future[R], work: Callable[[], R]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001  # it goes to where the result is waited for
        future.set_exception(error)
