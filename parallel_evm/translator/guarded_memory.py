"""Memory into which linear values can be stored without looking at them.

Solidity copies a struct to memory to look at one field of it. Here the copy of a linear field only
collapses (`state.linear`) when somebody reads its bytes. They are in place all the time; what is
remembered is where reading them is an observation.
"""

from __future__ import annotations

from typing import Any

from eth.vm.memory import Memory

from parallel_evm.state.linear import Linear, Word


class _Bytes(bytearray):
    """A bytearray that knows which of its words are linear."""

    def __init__(self) -> None:
        super().__init__()
        self._words: dict[int, Linear] = {}

    def __getitem__(self, key: Any) -> Any:
        if self._words:
            self._collapse(*self._span(key))
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        if type(value) is not Word:
            if self._words:
                self._overwrite(*self._span(key))
            super().__setitem__(key, value)
            return
        first, last = self._span(key)
        self._overwrite(first, last)
        super().__setitem__(slice(first, last), value.linear.now.to_bytes(32, "big"))
        self._words[first] = value.linear

    def _span(self, key: Any) -> tuple[int, int]:
        if isinstance(key, slice):
            first, last, _ = key.indices(len(self))
            return first, last
        return key, key + 1

    def _overwrite(self, first: int, last: int) -> None:
        """Forget words that disappear as a whole; what is left of others is looked at."""
        for start in [start for start in self._words if first <= start and start + 32 <= last]:
            del self._words[start]
        self._collapse(first, last)

    def _collapse(self, first: int, last: int) -> None:
        if first >= last:
            return
        for start in [start for start in self._words if first < start + 32 and start < last]:
            int(self._words.pop(start))


class GuardedMemory(Memory):
    """py-evm's memory over such bytes. Views of it would see past them: everybody gets copies."""

    __slots__ = ()

    def __init__(self) -> None:
        self._bytes = _Bytes()

    def read(self, start_position: int, size: int) -> memoryview:
        return memoryview(self.read_bytes(start_position, size))

    def copy(self, destination: int, source: int, length: int) -> None:  # type: ignore[override]
        self.write(destination, length, self.read_bytes(source, length))
