"""Pace: is a block worth the workers' trouble, and which share of it is the coordinator's?

Responsible for: what calls cost in this process, what blocks of such calls cost in other ways, both
as measured, the choice of a way for the next block, and `Costs` for its lanes.
Talks to: nobody. It is told times and answers with a `Choice`, which a report can name.
Never: changes what a block results in; a wrong choice costs time.

A call is known by its contract and selector. What it costs in another way than alone is remembered
as a ratio, for blocks of about as many transactions (in powers of two): what has to be sent and
waited for in any case is little for a large block and too much for a small one. Blocks whose
senders are known are apart from others: there is less to help with.

A way that promises something is given a trial of a few blocks, since workers have to learn and to
translate first; then the fastest is kept, and the others get another trial ever later.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from parallel_evm.scheduling.lanes import Costs

_LATEST: Final = 0.25
"""How much the latest measurement counts in an average."""
_UNKNOWN_SECONDS: Final = {False: 0.0002, True: 0.002}
"""For what was never measured: plain transfers, and calls (which may have to be translated)."""
_LOYALTY: Final = 0.05
"""Another way must be better by this share: two ways that are alike do not alternate."""
_TRIAL: Final = 3
"""Blocks. Of a trial the fastest one counts: workers have to learn, and whatever else happens on a
machine makes blocks slower, never faster."""
_FIRST_TRY: Final = 6
"""At this block a way is tried that promises nearly as much as the present one takes."""
_HOPE: Final = 1.15
_FIRST_RETRY: Final = 32
_LAST_RETRY: Final = 2048
"""After so many blocks another way is tried again."""
_UNKNOWN_BURDEN: Final = 0.5
_UNKNOWN_BURDEN_OF_LANES: Final = 0.1
_UNKNOWN_FREIGHT: Final = 0.2
_NEARLY: Final = 0.8
"""Of the senders that were recovered here, this share is to begin with: fewer are made up for while
others are waited for, more cannot be given back."""
_MAX_CALLS: Final = 1 << 14
_ADDRESS_BYTES: Final = 20


class Way(StrEnum):
    """How a block can run."""

    ALONE = "in this process"
    ASSISTED = "in this process, senders recovered by workers"
    TOGETHER = "with workers"


_UNKNOWN_RATIO: Final[Mapping[Way, float]] = {Way.ALONE: 1.0, Way.ASSISTED: 0.9, Way.TOGETHER: 0.8}
"""Optimistic for large blocks, so that workers get a trial."""
_UNKNOWN_RATIO_OF_TWO: Final = {**_UNKNOWN_RATIO, Way.TOGETHER: 1.0}
"""With a single worker beside the coordinator, which has to learn and to translate what the other
knows already, running transactions there has rarely saved more than recovering senders there does,
and the first such blocks take several times as long: it is tried late."""
_UNKNOWN_TRIP: Final[Mapping[Way, float]] = {Way.ASSISTED: 0.0005, Way.TOGETHER: 0.004}
"""Seconds that a way with workers is expected to lose, before anybody measured it."""


_Kind = tuple[int, bool]
"""What blocks have in common that cost alike: their number of transactions, in powers of two, and
whether their senders are known beforehand."""


@dataclass(slots=True)
class _Rate:
    """What one call costs."""

    seconds: float
    """To run it, without what is the same for every transaction."""
    ratios: dict[tuple[_Kind, Way], float] = field(default_factory=dict)
    """By kind of block: its seconds in this way to its seconds alone."""


@dataclass(slots=True)
class _Habit:
    """What is done with blocks of one kind."""

    rest: float = 0.0
    """Seconds per transaction of such a block alone that no transaction's run accounts for."""
    way: Way = Way.ALONE
    trial: int = 1
    """So many more blocks go the same way, whatever they show."""
    blocks: int = 0
    again: dict[Way, int] = field(default_factory=dict)
    """The block at which a way that was given up gets its next trial."""
    pause: dict[Way, int] = field(default_factory=dict)
    """How long it waited for that."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How a block is to run, and why."""

    way: Way
    seconds: Mapping[Way, float]
    """What each way is expected to take."""
    why: str | None = None
    """Why it had to be this way, if it was no choice."""
    teaches: bool = False
    """Is the next one probably the first for long that runs together? Then forecasts had better
    learn from this one."""

    def __str__(self) -> str:
        if self.why is not None:
            return f"{self.way}: {self.why}"
        others = ", ".join(
            f"{seconds * 1e3:.1f} ms {way}"
            for way, seconds in self.seconds.items()
            if way is not self.way
        )
        return f"{self.way}: {self.seconds[self.way] * 1e3:.1f} ms expected; {others}"


class Pace:
    """Measures one chain's blocks. Bounded; not for use by two threads at once."""

    def __init__(self, workers: int) -> None:
        """``workers``: the coordinator is one of them."""
        self._unknown_ratio = _UNKNOWN_RATIO if workers > 2 else _UNKNOWN_RATIO_OF_TWO
        self._rates: dict[bytes, _Rate] = {}
        self._habits: dict[_Kind, _Habit] = {}
        self._absent = 0
        """Blocks for which workers need not be asked for."""
        self._patience = _FIRST_RETRY
        self._burden = {False: _UNKNOWN_BURDEN, True: _UNKNOWN_BURDEN_OF_LANES}
        self._freight = _UNKNOWN_FREIGHT
        self._own_senders: dict[Way, float] = {}
        """The share of senders that was recovered here where workers could be asked."""
        self._at_hand: tuple[Sequence[Any], list[bytes]] = ((), [])
        """The block chosen for, which is asked about again and again, and what its transactions
        call."""

    def choose(self, transactions: Sequence[Any], knows_senders: bool = False) -> Choice:
        """For the next block. ``knows_senders``: nobody has to recover them."""
        calls = list(map(_call, transactions))
        self._at_hand = transactions, calls
        kind = _kind(calls, knows_senders)
        habit = self._habits.setdefault(kind, _Habit())
        expected, known = self._expected(calls, kind, habit)
        if knows_senders:
            del expected[Way.ASSISTED]
        if len(calls) == 1:
            return Choice(Way.ALONE, expected, "a single transaction")
        habit.blocks += 1
        if self._absent:
            self._absent -= 1
            return Choice(Way.ALONE, expected)
        best = habit.way if habit.trial else _best(habit, expected)
        if best is habit.way:
            return Choice(best, expected, teaches=_precedes_workers(habit, expected))
        is_due = habit.blocks >= _due(best, habit, expected)
        self._give_up(habit)
        habit.way = best
        habit.trial = _TRIAL if best is not Way.ALONE and (is_due or best not in known) else 0
        return Choice(best, expected)

    def note_absence(self) -> None:
        """There were no workers to be had for the block just chosen for."""
        self._absent = self._patience
        self._patience = min(2 * self._patience, _LAST_RETRY)

    def own_senders(self, way: Way, unknown: int) -> int:
        """How many of the ``unknown`` senders the coordinator had best recover itself, before it
        turns to other things: not quite as many as it came to lately, as it will take over more
        wherever it would have to wait."""
        return int(_NEARLY * unknown * self._own_senders.get(way, 0.0))

    def note_senders(self, way: Way, share: float) -> None:
        """Of a block whose senders workers could be asked for: what ``share`` of those that were
        unknown the coordinator recovered itself."""
        before = self._own_senders.get(way, share)
        self._own_senders[way] = before + _LATEST * (share - before)

    def costs(self, transactions: Sequence[Any], whole: bool = False) -> Costs:
        """What to lay lanes by, for a block with workers. ``whole``: the coordinator will have
        nothing to judge before all lanes are done."""
        runs = list(map(self._seconds, self._calls(transactions)))
        return Costs(runs, self._burden[whole], self._freight)

    def note(
        self,
        way: Way,
        transactions: Sequence[Any],
        runs: Sequence[float],
        seconds: float,
        knows_senders: bool = False,
    ) -> None:
        """A block ran: how long each transaction, in whatever process, and the block as a whole.
        ``knows_senders``: as for `choose`."""
        if not transactions:
            return
        spent: defaultdict[bytes, list[float]] = defaultdict(list)
        for call, run in zip(self._calls(transactions), runs, strict=True):
            spent[call].append(run)
        rates = [(self._note_runs(call, its), len(its)) for call, its in spent.items()]
        self._at_hand = (), []  # it is done
        kind = _kind(transactions, knows_senders)
        habit = self._habits.setdefault(kind, _Habit())
        on_trial = habit.way is way and habit.trial > 0
        begins = on_trial and habit.trial == _TRIAL
        if on_trial:
            habit.trial -= 1
        if way is Way.ALONE:
            rest = max(0.0, seconds - sum(runs)) / len(runs)
            habit.rest += (_LATEST if habit.rest else 1.0) * (rest - habit.rest)
            return
        self._patience = _FIRST_RETRY
        running = sum(count * rate.seconds for rate, count in rates)
        ratio = seconds / (running + habit.rest * len(runs) or 1.0)
        for rate, _ in rates:
            before = ratio if begins else rate.ratios.get((kind, way), ratio)
            rate.ratios[kind, way] = (
                min(before, ratio) if on_trial else before + _LATEST * (ratio - before)
            )

    def note_shares(
        self, own: float, others: float, coordinator: float, workers: float, whole: bool = False
    ) -> None:
        """Of a block with workers, in seconds: the runs in the coordinator and those in workers,
        what the coordinator spent while workers ran, its own runs included, and what the workers
        spent. ``whole``: as for `costs`."""
        runs = own + others
        if runs:
            burden = max(0.0, coordinator - own) / runs
            self._burden[whole] += _LATEST * (burden - self._burden[whole])
        if others:
            freight = max(0.0, workers / others - 1)
            self._freight += _LATEST * (freight - self._freight)

    def _expected(
        self, calls: Sequence[bytes], kind: _Kind, habit: _Habit
    ) -> tuple[dict[Way, float], set[Way]]:
        """Seconds of each way, and the ways that were measured for most of such calls."""
        counts = Counter(calls)
        rates = {call: self._rates.get(call) for call in counts}
        times = {call: n * (habit.rest + self._seconds(call)) for call, n in counts.items()}
        alone = sum(times.values())
        expected, known = {Way.ALONE: alone}, {Way.ALONE}
        for way in (Way.ASSISTED, Way.TOGETHER):
            unknown = self._unknown_ratio[way] + (_UNKNOWN_TRIP[way] / alone if alone else 1.0)
            unmeasured = 0
            expected[way] = 0.0
            for call, rate in rates.items():
                ratio = rate.ratios.get((kind, way)) if rate else None
                if ratio is None:
                    unmeasured += counts[call]
                    ratio = unknown
                expected[way] += times[call] * ratio
            if 2 * unmeasured < len(calls):
                known.add(way)
        return expected, known

    def _calls(self, transactions: Sequence[Any]) -> list[bytes]:
        chosen_for, calls = self._at_hand
        if transactions is chosen_for and len(calls) == len(transactions):
            return calls
        return list(map(_call, transactions))

    def _give_up(self, habit: _Habit) -> None:
        """The way so far gets another trial, later each time."""
        way = habit.way
        pause = habit.pause[way] = min(2 * habit.pause.get(way, _FIRST_RETRY // 2), _LAST_RETRY)
        habit.again[way] = habit.blocks + pause

    def _seconds(self, call: bytes) -> float:
        rate = self._rates.get(call)
        return rate.seconds if rate else _UNKNOWN_SECONDS[len(call) > _ADDRESS_BYTES]

    def _note_runs(self, call: bytes, runs: Sequence[float]) -> _Rate:
        """``runs``: what that call took each time, the latest last."""
        rate = self._rates.get(call)
        if rate is None:
            while len(self._rates) >= _MAX_CALLS:
                del self._rates[next(iter(self._rates))]
            rate = self._rates[call] = _Rate(runs[0])
        for run in runs:
            rate.seconds += _LATEST * (run - rate.seconds)
        return rate


def _precedes_workers(habit: _Habit, expected: Mapping[Way, float]) -> bool:
    """Would the next block, if it is like this one, run together, as this one does not?"""
    if habit.way is Way.TOGETHER or habit.trial > 1:
        return False
    return _best(habit, expected, ahead=1) is Way.TOGETHER


def _best(habit: _Habit, expected: Mapping[Way, float], ahead: int = 0) -> Way:
    """For the block at hand, or so many ``ahead``: the fastest way, unless another one is due for a
    trial."""
    best = min(expected, key=expected.__getitem__)
    if expected[best] >= expected[habit.way] * (1 - _LOYALTY):
        best = habit.way
    for way in expected:
        if way is not habit.way and habit.blocks + ahead >= _due(way, habit, expected):
            best = way
    return best


def _due(way: Way, habit: _Habit, expected: Mapping[Way, float]) -> int:
    """The block at which that way gets its next trial."""
    promises = expected[way] < min(expected[Way.ALONE], _HOPE * expected[habit.way])
    return habit.again.get(way, _FIRST_TRY if promises else _FIRST_RETRY)


def _kind(transactions: Sequence[Any], knows_senders: bool) -> _Kind:
    return len(transactions).bit_length(), knows_senders


def _call(transaction: Any) -> bytes:
    """What is called. Payments are alike, whoever gets them: most recipients are new."""
    try:
        data = transaction.data[:4]
        return bytes(transaction.to + data) if data else b""
    except (AttributeError, NotImplementedError, TypeError):  # py-evm will say what is wrong
        return b""
