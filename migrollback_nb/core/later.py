"""A sequence that is made when it is looked at: what takes long to make and is seldom read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar, overload

Item = TypeVar("Item")


class Later(Sequence[Item]):
    """A tuple that is not there yet: equal to it, shown as it, copied and pickled as it.

    Parameters
    ----------
    make : callable
        Makes it; called once, when something of it is asked for.

    Examples
    --------
    >>> Later(lambda: (1, 2))
    (1, 2)
    >>> Later(lambda: (1, 2)) == (1, 2)
    True
    """

    def __init__(self, make: Callable[[], tuple[Item, ...]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> tuple[Item, ...]:
        return self._make()

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, place: int | slice) -> Item | tuple[Item, ...]:
        return self._made[place]

    def __len__(self) -> int:
        return len(self._made)

    def __eq__(self, other: object) -> bool:
        return self._made == (other._made if isinstance(other, Later) else other)

    def __hash__(self) -> int:
        return hash(self._made)

    def __repr__(self) -> str:
        return repr(self._made)

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (self._made,)
