"""Conflicts that dissolve: whole blocks in which slots are added to and not looked at.

Whatever is tried, blocks are what stock py-evm makes of them. Where contracts only add and compare,
their transactions do not wait for each other, and the report says so.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, seed

from parallel_evm import BlockReport, ParallelConfig, parallelize
from parallel_evm.forks import since
from parallel_evm.scheduling.hot import HotPlan
from parallel_evm.state.keys import StateKey
from parallel_evm.workloads.forks import fork
from parallel_evm.workloads.tokens import UNIT, furnish, stablecoin
from parallel_evm.workloads.world import Call, Contract, World
from tests.strategies import (
    ETHER,
    SENDERS,
    Act,
    Play,
    account,
    assemble,
    hold,
    mostly_slow,
    parallel,
    plays,
    tried,
    words,
)

MAX = 2**256 - 1
LINEAR_FORKS = since("london")
POT = b"\xd0" * 20


#
# Everything linear, at random: only the judge stands between that and the chain
#
class Everywhere(dict[Any, bool]):
    """Every slot is hot; of some, a zero is taken for a one."""

    def __init__(self, odd: int) -> None:
        super().__init__({0: False})
        self._odd = odd

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key]

    def __missing__(self, key: Any) -> bool:
        return hash((key[1], self._odd)) % 3 == 0


class Bold:
    """Tries every slot of every transaction, learns nothing, and orders nobody."""

    def plan(self, forecasts: Sequence[Any], *others: Any) -> HotPlan:
        return HotPlan({forecast.index: Everywhere(forecast.index) for forecast in forecasts})

    def learn(self, *arguments: Any) -> None:
        pass


def bold(name: str, reports: list[BlockReport], **options: Any) -> Any:
    chain_class = parallel(fork(name).chain_class, reports, **options)
    for _, vm_class in chain_class.vm_configuration:
        vm_class.parallel_engine._hot_slots = Bold()
    return chain_class


def added(reports: Sequence[BlockReport]) -> int:
    return sum(bool(t.deltas) for report in reports for t in report.transactions)


@pytest.mark.parametrize("name", mostly_slow(LINEAR_FORKS, "prague"))
def test_random_blocks_with_every_slot_linear(name: str) -> None:
    reports: list[BlockReport] = []
    chain_class = bold(name, reports, misled=1, workers=3)

    @seed(LINEAR_FORKS.index(name))
    @tried(4)
    @given(plays(name))
    def run(play: Play) -> None:
        hold(play, chain_class, reports)

    run()
    assert sum(report.reexecutions for report in reports) > 0


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["thread", "process"])
@pytest.mark.parametrize("name", LINEAR_FORKS)
def test_many_random_blocks_with_every_slot_linear(name: str, backend: str) -> None:
    reports: list[BlockReport] = []
    chain_class = bold(name, reports, misled=2, workers=3, backend=backend)

    @tried(25)
    @given(plays(name, blocks=3, transactions=16))
    def run(play: Play) -> None:
        hold(play, chain_class, reports)

    run()
    assert added(reports) > 0


#
# One pot, and what can go wrong with it
#
LOAD = (0, "SLOAD")
FIRST, SECOND = (0, "CALLDATALOAD"), (32, "CALLDATALOAD")

PUT = 0  # pot += amount, checked
TAKE = 1  # pot -= amount, or revert if there is less
LOOK = 2  # log the pot
KILL = 3
DOUBLE = 4  # pot *= 2
RESET = 5  # pot = amount
ABOVE = 6  # slot 1 = pot > amount
TWICE = 7  # pot += amount; pot -= amount
MAKE = 8  # pot += amount without looking whether it wraps

POT_CODE = assemble(
    *(item for number, name in enumerate(
        ("put", "take", "look", "kill", "double", "reset", "above", "twice", "make"))
      for item in (number, *FIRST, "EQ", f"@{name}", "JUMPI")),
    "fail:", 0, 0, "REVERT",
    "put:", *LOAD, "DUP1", *SECOND, "ADD", "DUP1", "SWAP2", "GT", "@fail", "JUMPI",
    0, "SSTORE", "STOP",
    "take:", *SECOND, *LOAD, "LT", "@fail", "JUMPI", *SECOND, *LOAD, "SUB", 0, "SSTORE", "STOP",
    "look:", *LOAD, 0, "MSTORE", 32, 0, "LOG0", "STOP",
    "kill:", "CALLER", "SELFDESTRUCT",
    "double:", *LOAD, 2, "MUL", 0, "SSTORE", "STOP",
    "reset:", *SECOND, 0, "SSTORE", "STOP",
    "above:", *SECOND, *LOAD, "GT", 1, "SSTORE", "STOP",
    "twice:", *SECOND, *LOAD, "ADD", 0, "SSTORE", *SECOND, *LOAD, "SUB", 0, "SSTORE", "STOP",
    "make:", *SECOND, *LOAD, "ADD", 0, "SSTORE", "STOP",
)  # fmt: skip


def drama(
    *calls: tuple[int, int], pot: int = 1000, lanes: Sequence[int] = (0, 1), name: str = "cancun"
) -> list[BlockReport]:
    """One block of (what, amount), each of another sender, in the given lanes."""
    reports: list[BlockReport] = []
    chain_class = bold(name, reports, lanes=lanes)
    state = {sender: account(100 * ETHER) for sender in SENDERS}
    state[POT] = account(ETHER, 1, POT_CODE, {0: pot})
    acts = tuple(
        Act(number % len(SENDERS), POT, data=words(*call)) for number, call in enumerate(calls)
    )
    return hold(Play(name, b"\xcb" * 20, (acts,), state=state), chain_class, reports)


def test_those_who_only_add_do_not_disturb_each_other() -> None:
    reports = drama(*[(PUT, 3), (TAKE, 2), (PUT, 5), (PUT, 7), (TAKE, 9), (PUT, 1)])
    for report in reports:
        assert report.reexecutions == 0
        pot = StateKey("slot", POT, 0)
        assert all(pot in transaction.deltas for transaction in report.transactions)
        assert all(pot in transaction.writes for transaction in report.transactions)


def test_one_who_looks_runs_again_and_disturbs_nobody() -> None:
    for report in drama((PUT, 3), (LOOK, 0), (PUT, 5), (PUT, 7), (TAKE, 9), (PUT, 1)):
        assert report.reexecutions == 1
        assert [bool(t.deltas) for t in report.transactions] == [True, False, *[True] * 4]


@pytest.mark.parametrize(
    ("pot", "calls"),
    [
        pytest.param(10, [(TAKE, 6), (TAKE, 6), (PUT, 1), (TAKE, 5)], id="not enough for both"),
        pytest.param(10, [(TAKE, 10), (TAKE, 1), (PUT, 3), (TAKE, 1)], id="empty, then refilled"),
        pytest.param(5, [(TAKE, 9), (PUT, 4), (TAKE, 9), (PUT, 1)], id="too little, then enough"),
        pytest.param(MAX - 9, [(PUT, 9), (PUT, 9), (PUT, 9), (TAKE, 9)], id="overflows in the sum"),
        pytest.param(MAX - 9, [(PUT, 5), (PUT, 5), (PUT, 5), (TAKE, 9)], id="overflows with one"),
        pytest.param(MAX - 9, [(MAKE, 9), (MAKE, 9), (MAKE, 9)], id="wraps unnoticed"),
        pytest.param(0, [(PUT, 5), (PUT, 5), (PUT, 5), (TAKE, 9)], id="nothing there yet"),
        pytest.param(0, [(TAKE, 5), (PUT, 5), (TAKE, 5), (PUT, 5)], id="nothing there to take"),
        pytest.param(7, [(PUT, 2), (ABOVE, 8), (PUT, 2), (ABOVE, 10)], id="crosses a boundary"),
        pytest.param(7, [(PUT, 1), (ABOVE, 7), (TAKE, 2), (ABOVE, 7)], id="at a boundary"),
        pytest.param(7, [(PUT, 2), (DOUBLE, 0), (PUT, 2), (DOUBLE, 0)], id="multiplied in between"),
        pytest.param(7, [(PUT, 2), (RESET, 50), (PUT, 2), (TAKE, 51)], id="replaced in between"),
        pytest.param(7, [(PUT, 2), (RESET, 0), (PUT, 2), (TAKE, 51)], id="cleared in between"),
        pytest.param(7, [(PUT, 0), (PUT, 0), (TAKE, 0), (TWICE, 3)], id="nothing added"),
        pytest.param(7, [(TAKE, 7), (PUT, 7), (TAKE, 7), (PUT, 7)], id="refunds for clearing"),
    ],
)
@pytest.mark.parametrize("name", mostly_slow(["london", "cancun"], "cancun"))
def test_intervals_that_do_not_hold_are_noticed(
    name: str, pot: int, calls: list[tuple[int, int]]
) -> None:
    for lanes in [(0, 1), (0, 0, 1, 1), (1, 0, 0)]:
        drama(*calls, *calls[:2], pot=pot, lanes=lanes, name=name)


@pytest.mark.parametrize("name", mostly_slow(["london", "shanghai", "cancun"], "cancun"))
def test_a_pot_that_is_destroyed_in_between(name: str) -> None:
    for pot in (0, 7):
        calls = [(PUT, 2), (KILL, 0), (PUT, 2), (LOOK, 0), (TAKE, 1), (PUT, 3)]
        for lanes in [(0, 1), (0, 0, 1), (0, 1, 1)]:
            drama(*calls, pot=pot, lanes=lanes, name=name)


@pytest.mark.parametrize("last", [(PUT, 2), (RESET, 9), (TWICE, 3), (LOOK, 0)])
def test_system_calls_go_on_from_what_the_last_transaction_left(last: tuple[int, int]) -> None:
    drama((PUT, 1), (PUT, 1), (TAKE, 1), last, name="prague")


def test_random_dramas() -> None:
    chance = random.Random(1)
    for _ in range(25):
        kinds = [PUT, PUT, TAKE, TAKE, MAKE, chance.randint(0, 8)]
        amount = chance.choice((1, 5, 5, 9, MAX - 3, 2**128))
        calls = [(chance.choice(kinds), chance.choice((amount, 1))) for _ in range(8)]
        pot = chance.choice((0, 1, 5, 10, MAX, MAX - 5, 2**128))
        drama(
            *calls,
            pot=pot,
            lanes=[chance.randint(0, 2) for _ in range(8)],
            name=chance.choice(LINEAR_FORKS),
        )


#
# As it is used: learned from block to block
#
def bazaar(transactions: int, blocks: int, scene: Callable[[World], Any]) -> tuple[Any, list[Any]]:
    """A world and its signed blocks, of calls that ``scene`` yields."""
    world = World(
        fork("cancun"), seed=5, accounts=transactions, hot_ratio=0.0, gas_limit=1_000_000_000
    )
    calls = scene(world)
    calls = chain([next(calls)], calls)  # all is prepared before the first of them
    database = world.finish()
    signed = [[world.sign(next(calls)) for _ in range(transactions)] for _ in range(blocks)]
    return (world, database), signed


def imported(made: tuple[Any, list[Any]], **options: Any) -> list[BlockReport]:
    """The blocks through stock py-evm and through a parallel chain: the same hashes."""
    from eth.db.atomic import AtomicDB
    from eth.db.backends.memory import MemoryDB

    (world, database), blocks = made
    reports: list[BlockReport] = []
    options = {"workers": 2, "backend": "thread", "min_transactions": 1, **options}
    config = ParallelConfig(on_block=reports.append, **options)
    stock_class = world.fork.chain_class
    stock = stock_class(AtomicDB(MemoryDB(dict(database))))
    ours = parallelize(stock_class, config=config)(AtomicDB(MemoryDB(dict(database))))
    for transactions in blocks:
        block = stock.mine_all(transactions)[0].imported_block
        assert ours.import_block(block).imported_block.hash == block.hash
    assert [report.fallback for report in reports] == [None] * len(blocks)
    return reports


def collections(world: World) -> Any:
    """Everybody pays one shop, in a token."""
    token = stablecoin(world, "USDC")
    shop = world.actor("shop")
    furnish(world, world.accounts, token)
    while True:
        for payer in world.accounts:
            amount = world.random.randint(1, UNIT)
            yield Call(payer, token.address, 80_000, token.data("transfer", shop, amount))


def distributions(world: World) -> Any:
    """Everybody distributes tokens to the same two recipients."""
    token = stablecoin(world, "USDC")
    contract = world.deploy("Airdrop", label="Airdrop")
    furnish(world, world.accounts, token, contract)
    both = [world.actor("one"), world.actor("two")]
    while True:
        for sender in world.accounts:
            data = contract.data("distribute", token, both, [world.random.randint(1, UNIT), 2])
            yield Call(sender, contract.address, 200_000, data)


def votes(world: World) -> Any:
    """Everybody votes; each block on another proposal."""
    token = world.deploy("VoteToken", "Votes", "V", label="Votes")
    governor = world.deploy("Governor", token, 0, 1000, 1, 2000, 1, label="Governor")
    founder = world.accounts[0]
    for member in world.accounts:
        world.send(token, "mint", member, 10**6 * UNIT)
        world.send(token, "delegate", member, sender=member)
    world.schedule([])
    proposal = [[token], [0], [b""], "more"]
    data = governor.data("propose", *proposal)
    world.schedule([Call(founder, governor.address, 600_000, data) for _ in range(6)])
    world.schedule([])
    for number in range(1, 7):
        for member in world.accounts:
            data = governor.data("castVote", number, 1)
            yield Call(member, governor.address, 250_000, data)


def expiries(world: World) -> Any:
    """Policies of one pool end, and free the capital behind them."""
    token = stablecoin(world, "USDC")
    pool: Contract = world.deploy("InsurancePool", token, 10**16, 1, label="Pool")
    furnish(world, [world.operator], token, pool)
    world.send(pool, "deposit", 10**8 * UNIT)
    count = 3 * len(world.accounts)
    for _ in range(count + 1):  # one remains: the last one to end would find a boundary, at zero
        world.send(pool, "buyPolicy", 100 * UNIT, 1, MAX)
    for number in range(1, count + 1):
        sender = world.accounts[number % len(world.accounts)]
        yield Call(sender, pool.address, 90_000, pool.data("endPolicy", number))


@pytest.mark.parametrize(
    "scene", mostly_slow([collections, distributions, votes, expiries], collections, votes)
)
def test_what_many_add_to_orders_nobody(scene: Any) -> None:
    made = bazaar(24, 3, scene)
    for report in imported(made)[1:]:
        assert report.reexecutions == 0
        assert sum(bool(t.deltas) for t in report.transactions) >= 23
        shares = [sum(t.worker == worker for t in report.transactions) for worker in (0, 1)]
        assert min(shares) >= 10
    apart = imported(made, deltas=False)
    assert added(apart) == 0
    for report in apart[1:]:
        assert max(sum(t.worker == w for t in report.transactions) for w in (0, 1)) >= 23


#
# What was learned can turn out wrong
#
TURN = 1
TURNING = assemble(
    # function 0: pot += amount, and if slot 1 is set, log the pot; function 1: slot 1 = amount
    *FIRST, 2**224, "SWAP1", "DIV", "@turn", "JUMPI",
    4, "CALLDATALOAD", *LOAD, "ADD", 0, "SSTORE",
    1, "SLOAD", "@tell", "JUMPI", "STOP",
    "tell:", *LOAD, 0, "MSTORE", 32, 0, "LOG0", "STOP",
    "turn:", 4, "CALLDATALOAD", 1, "SSTORE", "STOP",
)  # fmt: skip


def turning(*blocks: Sequence[tuple[int, int]], **options: Any) -> list[BlockReport]:
    reports: list[BlockReport] = []
    chain_class = parallel(fork("cancun").chain_class, reports, **options)
    state = {sender: account(100 * ETHER) for sender in SENDERS}
    state[POT] = account(ETHER, 1, TURNING, {0: 1000})
    acts = [
        tuple(
            Act(number % len(SENDERS), POT, data=bytes([0, 0, 0, function]) + words(amount))
            for number, (function, amount) in enumerate(calls)
        )
        for calls in blocks
    ]
    hold(Play("cancun", b"\xcb" * 20, tuple(acts), state=state), chain_class, reports)
    return reports[::2]  # those of the chain that mined; the other one imported


def test_a_contract_that_turns_is_not_trusted_again_soon() -> None:
    calls = [(PUT, 3)] * 8
    blocks = [calls] * 6 + [[*calls, (TURN, 1)]] + [calls] * 4
    reports = turning(*blocks)
    assert added(reports[1:6]) == 5 * 8
    assert sum(report.executions for report in reports) <= 1.25 * 8 * len(blocks)
    assert [report.reexecutions for report in reports[8:]] == [0] * 3  # in order again


def test_a_contract_that_turns_all_the_time_costs_little() -> None:
    puts = [(PUT, 3)] * 6
    blocks = [[*puts, (TURN, number % 2)] for number in range(24)]
    reports = turning(*blocks)
    assert sum(report.executions for report in reports) <= 1.25 * 7 * len(blocks)
    late = reports[len(reports) // 2 :]
    assert sum(report.executions for report in late) <= 1.1 * 7 * len(late)


def test_what_was_learned_makes_the_same_plans() -> None:
    calls = [(PUT, 3)] * 8
    blocks = [calls, calls, [*calls, (TURN, 1)], calls, calls]
    lanes = [
        [[t.worker for t in report.transactions] for report in turning(*blocks)] for _ in range(2)
    ]
    assert lanes[0] == lanes[1]


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_it_is_the_same_in_every_pool(backend: str) -> None:
    _, *later = imported(bazaar(16, 3, collections), backend=backend)
    assert [report.reexecutions for report in later] == [0, 0]
    assert [added([report]) for report in later] == [16, 16]
