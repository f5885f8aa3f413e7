"""What is put off until the kernel has shown what it has. Does not write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def soon(action: Callable[[], None], *, after: float = 0.05) -> None:
    """Do it once the kernel has shown what it has, in the same thread; where nothing runs in a loop, at once."""
    loop = running_loop()
    if loop is None:
        action()
    else:
        loop.call_later(after, action)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, as a kernel's does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
