"""A view on which every slot is hot, for states of py-evm: what runs over it runs linearly."""

from __future__ import annotations

from typing import Any

from parallel_evm.state.guarded import GuardedRecorder, GuardedView


class Everywhere(dict[Any, bool]):
    """Every slot is hot."""

    def get(self, key: Any, default: Any = None) -> Any:
        return False

    def __missing__(self, key: Any) -> bool:
        return False


class Guarded(GuardedView):
    """In the form in which py-evm's states build their account database."""

    __slots__ = ()
    latest: Any = None

    def __init__(self, db: Any, state_root: bytes) -> None:
        super().__init__(GuardedRecorder(db), 0, Everywhere())
        Guarded.latest = self
