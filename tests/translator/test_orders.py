"""Translations that somebody else makes meanwhile: late, lost or refused, and nothing differs."""

from __future__ import annotations

import contextlib
import marshal
import pickle
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth.vm import forks, opcode_values
from eth.vm.base import VM
from eth.vm.logic import arithmetic
from eth.vm.opcode import as_opcode

from parallel_evm.speculation.rules import Liberties, speculative_state
from parallel_evm.translator import NotRecorded, orders, program, translating
from parallel_evm.translator.cache import Cache
from parallel_evm.translator.orders import Lost, Order, described, fill
from parallel_evm.translator.program import FREE_TRACES
from parallel_evm.translator.trace import NoWayOn
from parallel_evm.translator.translation import Made, Wanted, translate
from parallel_evm.workers.assistant import ProcessAssistant
from tests.strategies import mostly_slow
from tests.translator.guarded import Guarded

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT:DeprecationWarning")

VMS: list[Any] = [vm for vm in vars(forks).values() if isinstance(vm, type) and issubclass(vm, VM)]


class Late:
    """An assistant who has to be asked again and again, and may refuse or lose what it is given."""

    def __init__(
        self, seed: int = 0, patience: int = 3, losing: float = 0.0, refusing: float = 0.0
    ) -> None:
        """It delivers after it was asked ``patience`` times at most. ``losing``, ``refusing``: the
        shares of orders with which it does that."""
        self.asked: list[Order] = []
        self.made: list[tuple[Any, Made | None]] = []
        """What was delivered, with its key."""
        self.losing = losing
        self.refusing = refusing
        self._chance = random.Random(seed)
        self._patience = patience
        self._waiting: list[tuple[int, Callable[[], None]]] = []

    @property
    def is_awaited(self) -> bool:
        return bool(self._waiting)

    def order(self, order: Order, deliver: Callable[[Made | None], None], lost: Lost) -> bool:
        if self._chance.random() < self.refusing:
            return False
        self.asked.append(order)
        # Directions that are seen from now on may be known to whoever fills it, or may not be.
        early = filled(order) if self._chance.random() < 0.5 else None

        def answer() -> None:
            if self._chance.random() < self.losing:
                lost()
                return
            made = early if early is not None else filled(order)
            self.made.append((order.wanted.key, made))
            deliver(made)

        self._waiting.append((self._chance.randint(1, self._patience), answer))
        return True

    def take_in(self) -> None:
        waiting, self._waiting = self._waiting, []
        for times, answer in waiting:
            if times > 1:
                self._waiting.append((times - 1, answer))
            else:
                answer()


def filled(order: Order) -> Made | None:
    """As another process would: all that it has is what travels."""
    return fill(pickle.loads(pickle.dumps(order, protocol=5)))


def twins_of(
    lab: Any,
    assistant: Any,
    fork: str = "cancun",
    threshold: int = 2,
    paths: bool = True,
    cache: Cache | None = None,
) -> Any:
    """Twins with an assistant. ``paths``: whether whole calls are translated, or blocks only."""
    computation = lab.state_class_of(fork).computation_class
    rules = translating(computation, threshold=threshold, cache=cache, assistant=assistant)
    return twins_by(lab, rules, fork, paths)


def twins_by(lab: Any, rules: Any, fork: str = "cancun", paths: bool = True) -> Any:
    twins = lab.Twins(fork, 1)
    twins.programs = rules.programs
    twins.fast = type("Fast", (twins.fast,), {"computation_class": rules})
    if not paths:
        rules.programs.dialect.patience = 10**9
    return twins


@pytest.fixture
def never_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this process translates itself after all fails."""

    def never(*arguments: Any) -> Any:
        raise AssertionError("translated here")

    monkeypatch.setattr(program, "translate", never)


@pytest.fixture
def process() -> Iterator[ProcessAssistant]:
    assistant = ProcessAssistant(None)
    yield assistant
    assistant.close()


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


# Counts slot 0 up, three times; then calls somebody, hashes and logs.
COUNTER = bytes.fromhex(
    "6003 5b 60005460010160005560019003 80600257"
    "6000600060006000600073" + "a2" * 20 + "5af1 31 3d 60005260206000 20 60206000a1"
    "5b60405160005500"
)
# Branches on two bits of its argument, stores at the place that it names and hashes all that.
LEAVING = bytes.fromhex(
    "600435 80 6001 16 600f 57 6007 6000 52 5b 80 6002 16 601c 57 6009 6003 55 5b 429052 59 6000 20"
    "6001 55 60206000f3"
)
INPUTS = [bytes(4) + word(place) for place in (0, 1, 3)]
"""The usual way through it, another one, and one that leaves that."""


def world_of(lab: Any, code: bytes) -> Any:
    return lab.World({lab.ADDRESSES[0]: code, lab.ADDRESSES[1]: bytes.fromhex("3360005500")}, {})


def heat(twins: Any, world: Any, inputs: list[bytes], rounds: int = 16) -> None:
    """One input after the other, each of them ``rounds`` times; all is equal every time."""
    for data in inputs:
        for _ in range(rounds):
            found = twins.differences(world, data=data)
            assert not found, (data.hex(), found)


def cold_visits(twins: Any) -> int:
    return sum(each._cold_visits for each in twins.programs)


def check_all_is_hot(twins: Any, world: Any, inputs: list[bytes]) -> None:
    """Nothing is awaited, and not one block of these calls runs cold."""
    assert not any(each._ordered for each in twins.programs)
    before = cold_visits(twins)
    heat(twins, world, inputs, rounds=2)
    assert cold_visits(twins) == before


def kinds_of(assistant: Late) -> list[str]:
    """Of what it has delivered: blocks, calls, or what goes on from ways out of these."""
    keys = [key for key, _ in assistant.made]
    return [
        "block" if isinstance(key, int) else "call" if len(key) == 2 else "onward" for key in keys
    ]


# -- delivered -----------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", (1, 3, 8))
def test_blocks_that_are_translated_elsewhere(lab: Any, never_here: None, patience: int) -> None:
    assistant = Late(patience=patience)
    twins = twins_of(lab, assistant, paths=False)
    world = world_of(lab, COUNTER)
    heat(twins, world, [b""], rounds=30)
    assert kinds_of(assistant) == ["block"] * twins.translated
    assert twins.translated > 2
    check_all_is_hot(twins, world, [b""])
    assert not any(each._visits[pc] for each in twins.programs for pc in each.functions)


@pytest.mark.parametrize("patience", (1, 3, 8))
def test_calls_that_are_translated_elsewhere(lab: Any, never_here: None, patience: int) -> None:
    assistant = Late(patience=patience)
    twins = twins_of(lab, assistant, threshold=24)
    world = world_of(lab, COUNTER)
    heat(twins, world, [b""], rounds=24)
    assert kinds_of(assistant).count("call") == len(list(twins.programs)) == 2
    assert all(each.calls.keys() == {(0, b"")} for each in twins.programs)
    check_all_is_hot(twins, world, [b""])


@pytest.mark.parametrize("patience", (1, 3, 8))
def test_ways_out_that_are_gone_on_from_elsewhere(
    lab: Any, never_here: None, patience: int
) -> None:
    assistant = Late(patience=patience)
    twins = twins_of(lab, assistant)
    world = world_of(lab, LEAVING)
    heat(twins, world, INPUTS, rounds=30)
    onward = [key for key, _ in assistant.made if isinstance(key, tuple) and len(key) > 2]
    assert [len(key) for key in onward] == [3, 4]  # the second one leaves the first
    check_all_is_hot(twins, world, INPUTS)


@pytest.mark.parametrize("code", (COUNTER, LEAVING), ids=("a loop", "ways out"))
def test_nothing_is_ordered_again_while_it_is_awaited(lab: Any, code: bytes) -> None:
    assistant = Late(patience=20)
    heat(twins_of(lab, assistant), world_of(lab, code), INPUTS, rounds=40)
    asked = [(order.content, order.wanted.key) for order in assistant.asked]
    assert len(set(asked)) == len(asked) > 4


def test_code_runs_cold_for_as_long_as_it_takes(lab: Any, never_here: None) -> None:
    assistant = Late(seed=1, patience=10**9)
    twins = twins_of(lab, assistant)
    heat(twins, world_of(lab, LEAVING), INPUTS)
    assert assistant.is_awaited
    assert twins.translated == 0


def test_a_path_that_leads_nowhere_is_not_asked_for_again(lab: Any) -> None:
    """The stack overflows behind the end of what is recorded."""
    code = bytes.fromhex("5b" * 2001 + "6001" * 1100 + "00")
    assistant = Late()
    twins = twins_of(lab, assistant, threshold=16)
    heat(twins, world_of(lab, code), [b""], rounds=20)
    assert [made for key, made in assistant.made if isinstance(key, tuple)] == [None]
    assert [order for order in assistant.asked if order.wanted.trail] == assistant.asked[:1]


def test_what_goes_on_nowhere_is_a_way_out_and_nothing_else(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(code: Any, seen: Any, notes_sha3: bool, wanted: Wanted) -> Made:
        if len(wanted.trail) > 1:
            raise NoWayOn
        return translate(code, seen, notes_sha3, wanted)

    monkeypatch.setattr(orders, "translate", nowhere)
    assistant = Late()
    twins = twins_of(lab, assistant)
    heat(twins, world_of(lab, LEAVING), INPUTS, rounds=30)
    onward = [made for key, made in assistant.made if isinstance(key, tuple) and len(key) > 2]
    assert onward == [None]


# -- the same ------------------------------------------------------------------------------------


class Comparing(Late):
    """Refuses everything, and knows what it would have made."""

    def __init__(self) -> None:
        super().__init__()
        self.expected: list[Any] = []

    def order(self, order: Order, deliver: Callable[[Made | None], None], lost: Lost) -> bool:
        self.expected.append(contents(filled(order)))
        return False


def contents(made: Made | None) -> Any:
    """All of it. The same trail, packed, may be different bytes."""
    if made is None:
        return None
    consts = [
        marshal.loads(const) if isinstance(const, bytes) else const for const in made.code.co_consts
    ]
    return made.operations, made.code.co_code, made.code.co_names, consts


@pytest.fixture
def made_here(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What this process translates itself."""
    made: list[Any] = []

    def noted(*arguments: Any) -> Made:
        made.append(None)
        one = translate(*arguments)
        made[-1] = contents(one)
        return one

    monkeypatch.setattr(program, "translate", noted)
    return made


@pytest.mark.parametrize("fork", ("frontier", "byzantium", "istanbul", "london", "prague"))
def test_an_assistant_makes_what_would_be_made_here(
    lab: Any, made_here: list[Any], fork: str
) -> None:
    assistant = Comparing()
    twins = twins_of(lab, assistant, fork)
    for seed in range(4):
        codes, chance = lab.some_programs(fork, seed)
        lab.check(twins, codes[0], chance, codes[1:])
    heat(twins, world_of(lab, LEAVING), INPUTS)
    assert assistant.expected == made_here
    assert len(made_here) > 5


def test_an_assistant_knows_what_stands_for_what_in_a_speculation(
    lab: Any, made_here: list[Any]
) -> None:
    """SHA3 notes preimages there, and whoever looks at a balance gets a number."""
    assistant = Comparing()
    state = speculative_state(lab.state_class_of("cancun"), Liberties(direct=False), assistant)
    dialect = state.computation_class.programs.dialect
    dialect.threshold, dialect.patience = 2, 1
    twins = twins_by(lab, state.computation_class)
    twins.fast = type("Fast", (twins.fast,), {"preimages": {}, "exact_balances": False})
    for code in (LEAVING, COUNTER):
        heat(twins, world_of(lab, code), INPUTS)
    assert assistant.expected == made_here
    assert len(made_here) > 5
    assert dialect.description[0]


@pytest.mark.parametrize("vm", VMS, ids=lambda vm: vm.__name__)
def test_every_table_can_be_described(vm: Any) -> None:
    state = vm.get_state_class()
    stock = state.computation_class
    speculative = speculative_state(state, Liberties()).computation_class
    noted = set()
    for dialect in (translating(stock).programs.dialect, speculative.programs.dialect):
        assert dialect.description is not None
        notes_sha3, named = pickle.loads(pickle.dumps(dialect.description))
        meanings = orders._meanings((notes_sha3, named))
        assert meanings.keys() == dialect.opcodes.keys()
        assert all(meanings[value] is operation for value, operation in stock.opcodes.items())
        assert notes_sha3 == dialect.notes_sha3
        noted.add(notes_sha3)
    assert noted == {False, True}


# -- not delivered -------------------------------------------------------------------------------


@pytest.mark.parametrize("code", (COUNTER, LEAVING), ids=("a loop", "ways out"))
def test_what_was_lost_is_ordered_again(lab: Any, never_here: None, code: bytes) -> None:
    assistant = Late(losing=1.0)
    twins = twins_of(lab, assistant)
    world = world_of(lab, code)
    heat(twins, world, INPUTS)
    assert twins.translated == 0
    asked = [(order.content, order.wanted.key) for order in assistant.asked]
    assert len(set(asked)) < len(asked)
    assistant.losing = 0.0
    heat(twins, world, INPUTS, rounds=40)
    check_all_is_hot(twins, world, INPUTS)


def test_what_was_lost_uses_up_no_allowance(lab: Any) -> None:
    """A program may have FREE_TRACES at once, and has to earn more: one that lost them has none."""
    threshold = 16
    assistant = Late(patience=1, losing=1.0)
    twins = twins_of(lab, assistant, threshold=threshold, paths=False)
    world = world_of(lab, bytes.fromhex("60003556") + b"\x5b\x00" * FREE_TRACES)

    def visit_all() -> None:
        for block in range(1, FREE_TRACES):
            assert not twins.differences(world, data=word(4 + 2 * block))

    for _ in range(threshold):
        visit_all()
    assert len(assistant.asked) >= FREE_TRACES - 1
    assistant.losing = 0.0
    for _ in range(threshold):
        visit_all()
    assert twins.translated >= FREE_TRACES - 1


@pytest.mark.parametrize("code", (COUNTER, LEAVING), ids=("a loop", "ways out"))
def test_what_was_lost_is_translated_here_where_nobody_takes_orders_any_more(
    lab: Any, code: bytes
) -> None:
    assistant = Late(losing=1.0)
    twins = twins_of(lab, assistant)
    world = world_of(lab, code)
    heat(twins, world, INPUTS, rounds=3)
    assert assistant.asked and twins.translated == 0
    assistant.refusing = 1.0
    heat(twins, world, INPUTS, rounds=40)
    assert assistant.made == []
    check_all_is_hot(twins, world, INPUTS)


@pytest.mark.parametrize("code", (COUNTER, LEAVING), ids=("a loop", "ways out"))
def test_what_is_refused_is_translated_at_once(lab: Any, code: bytes) -> None:
    """Not a single run later than without an assistant."""
    refused, alone = twins_of(lab, Late(refusing=1.0)), twins_of(lab, None)
    world = world_of(lab, code)
    for data in INPUTS * 8:
        for twins in (refused, alone):
            assert not twins.differences(world, data=data)
        assert refused.translated == alone.translated
        assert cold_visits(refused) == cold_visits(alone)
    assert refused.translated > 0


class Interrupted(Late):
    """Fails in the middle of taking an order, once for each."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error
        self.failed: set[Any] = set()

    def order(self, order: Order, deliver: Callable[[Made | None], None], lost: Lost) -> bool:
        key = order.content, order.wanted.key
        if key not in self.failed:
            self.failed.add(key)
            raise self.error
        return super().order(order, deliver, lost)


@pytest.mark.parametrize("error", (KeyboardInterrupt, RecursionError))
def test_an_order_that_was_broken_off_is_not_awaited(
    lab: Any, never_here: None, error: type[BaseException]
) -> None:
    """By Ctrl-C, or deep in calls of calls. Whoever goes on with the chain has hot code."""
    assistant = Interrupted(error)
    twins = twins_of(lab, assistant)
    world = world_of(lab, LEAVING)
    for data in INPUTS * 2:
        for _ in range(30):
            with contextlib.suppress(error):
                assert not twins.differences(world, data=data)
    assert assistant.failed
    check_all_is_hot(twins, world, INPUTS)


@pytest.mark.parametrize("text", ("", "1 / 0", "at_0 = unheard_of"))
def test_nonsense_that_is_delivered_reaches_nobody(lab: Any, text: str) -> None:
    """As one that has another version of this package might do."""

    class Babbling(Late):
        def order(self, order: Order, deliver: Any, lost: Lost) -> bool:
            nonsense = Made((), compile(text, "nonsense", "exec"))
            return super().order(order, lambda made: deliver(nonsense), lost)

    assistant = Babbling()
    heat(twins_of(lab, assistant, paths=False), world_of(lab, COUNTER), [b""])
    assert assistant.made


def test_an_opcode_that_is_not_py_evms_is_nothing_for_an_assistant(lab: Any) -> None:
    """Nobody else can know what it does."""
    stock = lab.state_class_of("cancun").computation_class
    dear = as_opcode(arithmetic.mul, "MUL", 1234)
    opcodes = {**stock.opcodes, opcode_values.MUL: dear}
    assert described(opcodes, False) is None
    custom = type("Custom", (stock,), {"opcodes": opcodes})
    assistant = Late()
    twins = twins_by(lab, translating(custom, threshold=2, assistant=assistant))
    twins.plain = type("Plain", (twins.plain,), {"computation_class": custom})
    world = world_of(lab, bytes.fromhex("6003600502600055") + COUNTER)
    heat(twins, world, [b""])
    assert assistant.asked == []
    assert twins.translated > 2


# -- together with the rest ----------------------------------------------------------------------


@pytest.mark.parametrize("paths", (True, False), ids=("calls", "blocks"))
def test_what_was_delivered_is_kept_for_the_next_process(
    lab: Any, tmp_path: Path, never_here: None, paths: bool
) -> None:
    world = world_of(lab, LEAVING)
    first = Late()
    twins = twins_of(lab, first, paths=paths, cache=Cache(str(tmp_path / "kept")))
    heat(twins, world, INPUTS, rounds=30)
    check_all_is_hot(twins, world, INPUTS)
    assert {key for key, _ in first.made} == {order.wanted.key for order in first.asked}
    made = twins.translated
    _saved(twins)
    second = Late()
    twins = twins_of(lab, second, paths=paths, cache=Cache(str(tmp_path / "kept")))
    heat(twins, world, INPUTS, rounds=30)
    assert second.asked == []
    assert 0 < twins.translated <= made
    check_all_is_hot(twins, world, INPUTS)


def _saved(twins: Any) -> None:
    twins.programs.dialect._cache.save(5.0, last=True)


# Adds its first argument to slot 0; counts slot 1 down unless the second one is zero, and adds
# that to slot 2.
ADDING = bytes.fromhex(
    "600435 600054 01 600055 602435 15 602457 6001600154 03 600155 602435 600254 01 600255 5b 00"
)


@pytest.mark.parametrize("losing", (0.0, 0.5))
@pytest.mark.parametrize("paths", (True, False), ids=("calls", "blocks"))
def test_linear_values(lab: Any, losing: float, paths: bool) -> None:
    """What an assistant delivers runs on them, in turn with numbers, like what is made here."""
    assistant = Late(losing=losing)
    twins = twins_of(lab, assistant, threshold=5, paths=paths)
    state = {"account_db_class": Guarded, "computation_class": twins.fast.computation_class}
    guarded = type("Guarded", (lab.state_class_of("cancun"),), state)
    world = lab.World({lab.ADDRESSES[0]: ADDING}, {(lab.ADDRESSES[0], n): 100 for n in range(3)})
    linear = 0
    for number in range(60):
        data = bytes(4) + word(number) + word(number % 3)
        plain = twins.run(twins.plain, world, data=data).facts
        try:
            facts = twins.run(guarded, world, data=data).facts
        except NotRecorded:
            pass
        else:
            view = Guarded.latest
            view.settle(is_last=True)
            linear += bool(view.effects.increments)
            assert slots_of(view.effects, 100) == plain.pop("effects").slots
            assert {name: facts[name] for name in plain} == plain
        if number % 3 != 1:
            assert not twins.differences(world, data=data)
    assert linear > 50
    assert set(kinds_of(assistant)) >= ({"call", "onward"} if paths else {"block"})


def slots_of(effects: Any, before: int) -> dict[bytes, dict[int, int]]:
    """What was written, and what was added to what was there."""
    slots = {address: dict(written) for address, written in effects.slots.items()}
    for address, increments in effects.increments.items():
        for slot, change in increments.items():
            slots[address][slot] = before + change
    return slots


def test_threads_share_a_program_and_who_translates_it(
    lab: Any, process: ProcessAssistant, never_here: None
) -> None:
    inputs = [bytes(4) + word(number % 8) for number in range(40)]
    world = world_of(lab, LEAVING)
    twins = twins_of(lab, process)
    expected = [twins.run(twins.plain, world, data=data).facts for data in inputs]
    failed: list[Any] = []

    def work() -> None:
        try:
            for data, facts in [*zip(inputs, expected, strict=True)] * 5:
                if twins.run(twins.fast, world, data=data).facts != facts:
                    failed.append(data.hex())
        except Exception as error:
            failed.append(repr(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[:3]
    until = time.monotonic() + 30
    while process.is_awaited and time.monotonic() < until:
        heat(twins, world, inputs, rounds=1)
    assert twins.translated > 0


# -- random programs -----------------------------------------------------------------------------


def check_random_programs(lab: Any, fork: str, seeds: range, times: int) -> None:
    """Each program ``times`` times over, so that what comes late is still used."""
    assistant = Late(seeds.start, losing=0.15, refusing=0.1)
    for seed in seeds:
        twins = twins_of(lab, assistant, fork, threshold=seed % 3 + 1)
        for _ in range(times):
            codes, chance = lab.some_programs(fork, seed)
            lab.check(twins, codes[0], chance, codes[1:])
    assert len(assistant.made) > len(seeds)


@pytest.mark.parametrize(
    "fork",
    mostly_slow(("frontier", "byzantium", "istanbul", "london", "prague"), "byzantium", "prague"),
)
def test_random_programs(lab: Any, fork: str) -> None:
    check_random_programs(lab, fork, range(8), times=2)


@pytest.mark.slow
def test_many_random_programs(lab: Any) -> None:
    for fork in lab.FORKS:
        check_random_programs(lab, fork, range(100, 160), times=2)


@pytest.mark.slow
@pytest.mark.parametrize("fork", ("frontier", "cancun"))
def test_many_programs_about_memory(lab: Any, fork: str) -> None:
    """Call data leads one translation to many places, so that ways out are gone on from."""
    assistant = Late(losing=0.1, refusing=0.1)
    for seed in range(60):
        chance = random.Random(f"{fork} {seed} places")
        places = lab.Places(chance, fork)
        twins = twins_of(lab, assistant, fork)
        world = world_of(lab, places.program())
        for _ in range(24):
            data, gas = places.data(), chance.choice((1_000_000, chance.randint(0, 40_000)))
            found = twins.differences(world, data=data, gas=gas)
            assert not found, (seed, data.hex(), gas, found)
    assert kinds_of(assistant).count("onward") > 20
