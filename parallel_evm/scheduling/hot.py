"""Hot slots: which of them are worth linear values, and which need order nobody any more.

A slot that several transactions of a block read and change would chain them all together. Where
what they do with it is only adding and comparing (`state.linear`), it need not. Whether it is, is
seen when it is tried; so hot slots are tried first while the transactions still run in order, which
costs nothing, and from then on the same function's access to it orders nobody.

What was learned says something of a function's access ("the balance of the first argument"), not
of a slot. An access that disappoints more often than now and then is left alone, each time for
longer. All this is about time: the judge accepts what holds, whatever was expected here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from parallel_evm.scheduling.expressions import Access, Call, Explainer
from parallel_evm.scheduling.forecast import Forecast
from parallel_evm.scheduling.lanes import Chains
from parallel_evm.speculation.result import Speculation
from parallel_evm.state.guarded import HotSlots
from parallel_evm.state.keys import Key

_TRIES: Final = 4
"""So many transactions of a block try an access of which nothing is known."""
_EVEN: Final = 1.2
"""By so much the longest lane may exceed the average: what is gained beyond that costs as much."""
_SHORT: Final = 0.5
"""A chain shorter than this part of an even lane finds room somewhere, ordered as it is."""
_EXCEPTIONS: Final = 8
"""One in so many may need a slot's value: it will run again, and the others keep their freedom."""
_MAX_TRUST: Final = 4 * _EXCEPTIONS
_PENANCE: Final = 8
_MAX_STRIKES: Final = 8
_MAX_ACCESSES: Final = 4096


@dataclass(frozen=True, slots=True)
class HotPlan:
    """What one block's transactions may do with its hot slots."""

    tried: Mapping[int, HotSlots] = field(default_factory=dict)
    """The slots that each transaction, by index, should run on as linear values."""
    free: frozenset[Key] = frozenset()
    """Slots that order nobody."""

    def in_lanes(self, lanes: Sequence[Sequence[int]]) -> HotPlan:
        """The same without what is no use: a free slot whose users are in one lane all the same."""
        first: dict[Key, int] = {}
        useful: set[Key] = set()
        for number, lane in enumerate(lanes):
            for index in lane:
                for key in self.tried.get(index, ()):
                    if first.setdefault(key, number) != number:
                        useful.add(key)
        useless = self.free - useful
        if not useless:
            return self
        kept = {
            index: {key: zero_is_one for key, zero_is_one in slots.items() if key not in useless}
            for index, slots in self.tried.items()
        }
        return HotPlan({index: slots for index, slots in kept.items() if slots}, self.free)


@dataclass(slots=True)
class _Reputation:
    trust: int = 0
    """Positive: it dissolves. Zero: worth a try. Negative: to be left alone so many times."""
    strikes: int = 0

    def note(self, dissolved: bool) -> None:
        if dissolved:
            self.trust = min(self.trust + 1, _MAX_TRUST)
        elif self.trust > _EXCEPTIONS:
            self.trust -= _EXCEPTIONS
        elif self.trust >= 0:
            self.trust = -(_PENANCE << self.strikes)
            self.strikes = min(self.strikes + 1, _MAX_STRIKES)


@dataclass(slots=True)
class _Function:
    """The accesses of one function of one contract that were tried."""

    fixed: dict[Key, _Reputation] = field(default_factory=dict)
    """Those that come to the same key in every call."""
    varying: dict[Access, _Reputation] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.fixed) + len(self.varying)

    def reputation(self, access: Access, key: Key) -> _Reputation | None:
        return self.fixed.get(key) if access.fixed else self.varying.get(access)

    def introduce(self, access: Access, key: Key) -> _Reputation:
        reputation = _Reputation()
        if access.fixed:
            self.fixed[key] = reputation
        else:
            self.varying[access] = reputation
        return reputation


def _long(
    forecasts: Sequence[Forecast], chains: Chains, lanes: Sequence[Sequence[int]]
) -> list[int]:
    """Positions of the transactions whose order makes a lane long."""
    enough = _SHORT * sum(forecast.gas for forecast in forecasts) / len(lanes)
    return [
        position
        for chain in chains
        if sum(forecasts[position].gas for position in chain) > enough
        for position in chain
    ]


def _are_even(forecasts: Sequence[Forecast], lanes: Sequence[Sequence[int]]) -> bool:
    gas = {forecast.index: forecast.gas for forecast in forecasts}
    longest = max(sum(gas[index] for index in lane) for lane in lanes)
    return longest * len(lanes) <= _EVEN * sum(gas.values())


class HotSlotBook:
    """Remembers which accesses dissolve. Bounded; the same calls always give the same plans."""

    def __init__(self) -> None:
        # By recipient and selector, least recently used first.
        self._functions: dict[bytes, _Function] = {}
        self._size = 0
        # By transaction, of the block at hand: what was called, and what is known of its slots.
        self._tried: dict[int, tuple[Call, dict[Key, _Reputation]]] = {}

    def plan(
        self,
        forecasts: Sequence[Forecast],
        chains: Chains,
        lanes: Sequence[Sequence[int]],
        holds: Callable[[Key], int | None],
    ) -> HotPlan:
        """``chains``, ``lanes``: as they are if nothing is free. While lanes are even, nothing need
        be; and nothing that orders only few.

        ``holds``: a slot before the block; None where that is not known.
        """
        self._tried = {}
        if _are_even(forecasts, lanes):
            return HotPlan()
        users: dict[Key, list[int]] = {}
        for position in sorted(_long(forecasts, chains, lanes)):
            forecast = forecasts[position]
            for key in forecast.reads & forecast.writes:
                if key[1] >= 0:
                    users.setdefault(key, []).append(position)
        users = {key: positions for key, positions in users.items() if len(positions) > 1}
        if not users:
            return HotPlan()
        several = frozenset(users)
        touched = dict.fromkeys(users, 0)
        sure = dict.fromkeys(users, 0)
        unknown: dict[Key, list[int]] = {}
        willing: list[tuple[int, Key]] = []
        for position, forecast in enumerate(forecasts):
            reads, writes = several & forecast.reads, several & forecast.writes
            for key in reads | writes:
                touched[key] += 1
            hot = sorted(reads & writes)
            if not hot or forecast.call is None:
                continue
            known = self._known(hot, forecast.call)
            self._tried[forecast.index] = forecast.call, known
            for key in hot:
                reputation = known.get(key)
                if reputation is not None and reputation.trust < 0:
                    reputation.trust += 1
                    continue
                willing.append((position, key))
                if reputation is not None and reputation.trust > 0:
                    sure[key] += 1
                else:
                    unknown.setdefault(key, []).append(position)
        free = frozenset(
            key
            for key, count in sure.items()
            if count > 1 and touched[key] - count <= touched[key] // _EXCEPTIONS
        )
        # Where there is nothing yet, the first puts something there, and the others need not wait.
        first = {key: users[key][0] for key in free if holds(key) == 0}
        tried: dict[int, dict[Key, bool]] = {}
        for position, key in willing:
            if key in free or position in unknown.get(key, ())[:_TRIES]:
                slots = tried.setdefault(forecasts[position].index, {})
                slots[key] = first.get(key, position) != position
        return HotPlan(tried, free)

    def learn(self, tried: HotSlots, speculation: Speculation, failed: Collection[Key]) -> None:
        """Take note of what became of the slots that a planned transaction ``tried``.

        ``failed``: keys whose observation did not hold.
        """
        outcome, observed = speculation.outcome, speculation.observations
        if outcome is None or outcome.is_error:
            return  # it did not get far enough to say
        call, known = self._tried[speculation.index]
        for key in sorted(tried):
            address, slot = key
            exact = slot in observed.slots.get(address, ())
            if not exact and slot not in observed.ranges.get(address, ()):
                continue
            reputation = known.get(key)
            if reputation is None:
                reputation = self._introduce(key, call, speculation)
            reputation.note(not exact and key not in failed)
        while self._size > _MAX_ACCESSES:
            self._size -= len(self._functions.pop(next(iter(self._functions))))

    def _introduce(self, key: Key, call: Call, speculation: Speculation) -> _Reputation:
        """Whatever access it was that came to ``key``, it has a reputation from now on."""
        access = Explainer(call, speculation.preimages or {}).access(key)
        function = self._functions.setdefault(call.function, _Function())
        reputation = function.reputation(access, key)
        if reputation is None:
            reputation = function.introduce(access, key)
            self._size += 1
        return reputation

    def _known(self, keys: Collection[Key], call: Call) -> dict[Key, _Reputation]:
        """What is known of those of ``keys`` that were tried in this function before."""
        function = self._functions.pop(call.function, None)
        if function is None:
            return {}
        self._functions[call.function] = function
        fixed = function.fixed
        found = {key: fixed[key] for key in keys if key in fixed}
        for access, reputation in function.varying.items():
            key = access.key(call)
            if key in keys:
                assert key is not None
                found[key] = reputation
        return found
