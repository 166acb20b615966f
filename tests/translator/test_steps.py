"""Code that is decoded and never translated: everything observable is as in py-evm's loop."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from eth.vm.forks import CancunVM

from parallel_evm.conformance.programs import Programs, Rules
from parallel_evm.translator.code import Code
from parallel_evm.translator.operations import stock_name
from parallel_evm.translator.steps import ColdCode, StepTable
from tests.strategies import mostly_slow
from tests.translator.conftest import ADDRESSES, FORKS
from tests.translator.test_contracts import CONTRACTS, runtime
from tests.translator.test_differential import PROGRAMS

NEVER = 10**9

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT:DeprecationWarning")


@pytest.fixture
def steps_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """One item for every block that ran decoded."""
    ran: list[int] = []
    run = ColdCode.run

    def counted(own: Any, computation: Any, pc: int) -> int:
        ran.append(pc)
        return run(own, computation, pc)

    monkeypatch.setattr(ColdCode, "run", counted)
    yield ran


@pytest.mark.parametrize("fork", mostly_slow(FORKS, "frontier", "prague"))
def test_random_programs(lab: Any, fork: str, steps_run: list[int]) -> None:
    twins = lab.Twins(fork, NEVER)
    for seed in range(25):
        chance = random.Random(f"steps {fork} {seed}")
        kind = seed % 3
        if kind == 0:
            source: Any = lab.Soup(chance, fork)
        elif kind == 1:
            source = lab.Places(chance, fork)
        else:
            source = Programs(chance, Rules.of(fork), lab.ADDRESSES)
        codes = [source.program() for _ in range(3)]
        options: dict[str, Any] = {}
        if chance.random() < 0.2:
            options["static"] = True
        if chance.random() < 0.2:
            options["initcode"] = codes[1]
        lab.check(twins, codes[0], chance, codes[1:], **options)
    assert twins.translated == 0
    assert steps_run


@pytest.mark.parametrize(
    "fork", mostly_slow(("frontier", "istanbul", "berlin", "prague"), "prague")
)
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_gas_limit(lab: Any, fork: str, name: str, steps_run: list[int]) -> None:
    """Out of gas at every instruction, and everywhere between."""
    twins = lab.Twins(fork, NEVER)
    code = bytes.fromhex(PROGRAMS[name])
    callee = bytes.fromhex("600160005260206000f3")
    world = lab.World(dict(zip(ADDRESSES, (code, callee), strict=False)), {})
    used = min(lab.outcome(twins.run, twins.plain, world, gas=120_000).gas_used, 120_000)
    step = max(used // 60, 1)
    for gas in [used + 1, used, used - 1, *range(0, used, step), *range(2300, 2312)]:
        found = twins.differences(world, gas=max(gas, 0), data=bytes(31) + b"\x04")
        assert not found, (gas, found)
    assert twins.translated == 0
    assert steps_run


@pytest.mark.parametrize("name", CONTRACTS)
def test_contracts_with_random_arguments(lab: Any, name: str, steps_run: list[int]) -> None:
    chance = random.Random(f"steps {name}")
    code, selectors = runtime(name)
    twins = lab.Twins("cancun", NEVER)
    values = (0, 1, 32, 2**100, int.from_bytes(ADDRESSES[1], "big"))
    storage = {(ADDRESSES[0], slot): chance.choice(values) for slot in range(20)}
    world = lab.World({ADDRESSES[0]: code, ADDRESSES[1]: code}, storage)
    for selector in selectors:
        words = (chance.choice(values).to_bytes(32, "big") for _ in range(chance.randint(0, 6)))
        data = selector + b"".join(words)
        gas = chance.choice((1_000_000, chance.randint(0, 60_000)))
        found = twins.differences(world, data=data, gas=gas, value=chance.choice((0, 0, 10**9)))
        assert not found, f"{name}: {data.hex()} gas {gas}: {found}"
    assert twins.translated == 0
    assert steps_run


def _table(opcodes: Any, meanings: Any = None) -> StepTable:
    return StepTable(opcodes, meanings or opcodes, notes_sha3=False)


def test_a_foreign_opcode_is_never_replaced() -> None:
    opcodes = dict(CancunVM.get_state_class().computation_class.opcodes)
    add, sload = 0x01, 0x54
    assert stock_name(add, opcodes[add]) == "ADD"
    assert _table(opcodes).simple[add] is not None
    assert sload in _table(opcodes).direct
    for value in (add, sload, 0x56, 0x60):
        foreign = {**opcodes, value: lambda computation: None}
        table = _table(foreign)
        assert table.simple[value] is None
        assert value not in table.direct
        assert value not in table.jump_gas
        assert value in table.foreign


def test_what_opcodes_cost_is_their_own(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock objects may have been given other prices before a table was made of them."""
    opcodes = CancunVM.get_state_class().computation_class.opcodes
    for value, price in ((0x00, 5), (0x5A, 9), (0x53, 7)):
        monkeypatch.setattr(opcodes[value], "gas_cost", price)
    twins = lab.Twins("cancun", NEVER)
    for code in ("00", "600100", "", "5a00", "5a60005300"):
        world = lab.World({ADDRESSES[0]: bytes.fromhex(code)}, {})
        for gas in (*range(32), 100):
            assert not twins.differences(world, gas=gas), (code, gas)


def test_a_table_without_stop(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opcodes = CancunVM.get_state_class().computation_class.opcodes
    monkeypatch.delitem(opcodes, 0x00)
    twins = lab.Twins("cancun", NEVER)
    for code in ("", "6001", "600160", "00", "5b00"):
        world = lab.World({ADDRESSES[0]: bytes.fromhex(code)}, {})
        assert not twins.differences(world, gas=100), code


def test_a_stretch_says_what_it_costs_and_needs() -> None:
    opcodes = CancunVM.get_state_class().computation_class.opcodes
    # JUMPDEST DUP2 ADD PUSH1 7 SWAP2 | SLOAD
    cold = ColdCode(Code(bytes.fromhex("5b8101600791 54"), opcodes), _table(opcodes), _refuse)
    stretch = cold._decoded(0)
    assert (stretch.gas, stretch.needed, stretch.room) == (1 + 3 + 3 + 3 + 3, 2, 1023)
    assert stretch.end == 6
    assert stretch.target == -1


@pytest.mark.parametrize(
    "code, constant, gas, highest",
    [
        ("6001 6001 60a0 1b 03", 2**160 - 1, 15, 3),  # 1 << 160, minus 1
        ("6001 80 01", 2, 9, 2),
        ("6002 6003 0a", 9, 6 + 10 + 50, 2),
        ("6000 6003 0a", 1, 6 + 10, 2),
        ("61ffff 6003 0a", pow(3, 0xFFFF, 2**256), 6 + 10 + 2 * 50, 2),
        ("6003 15", 0, 6, 1),
    ],
)
def test_constants_are_folded_and_cost_what_they_did(
    code: str, constant: int, gas: int, highest: int
) -> None:
    opcodes = CancunVM.get_state_class().computation_class.opcodes
    cold = ColdCode(Code(bytes.fromhex(code), opcodes), _table(opcodes), _refuse)
    stretch = cold._decoded(0)
    assert [argument for _, argument in stretch.steps] == [constant]
    assert (stretch.gas, stretch.room) == (gas, 1024 - highest)


def test_exp_of_what_is_not_known_ends_a_stretch() -> None:
    opcodes = CancunVM.get_state_class().computation_class.opcodes
    for code, end in (("6003 0a", 2), ("80 6003 0a", 3), ("0a", 0)):
        cold = ColdCode(Code(bytes.fromhex(code), opcodes), _table(opcodes), _refuse)
        assert cold._decoded(0).end == end


def test_a_jump_to_a_known_place_belongs_to_its_stretch() -> None:
    opcodes = CancunVM.get_state_class().computation_class.opcodes
    code = bytes.fromhex("6004 57 00 5b 600056 600956 61")
    cold = ColdCode(Code(code, opcodes), _table(opcodes), _refuse)
    conditional = cold._decoded(0)
    assert (conditional.target, conditional.otherwise) == (4, 3)
    assert (conditional.gas, conditional.needed, conditional.steps) == (13, 1, ())
    nowhere = cold._decoded(4)  # 0 is no JUMPDEST: py-evm says what is wrong
    assert (nowhere.target, nowhere.end) == (-1, 7)


def _refuse(computation: Any, pc: int) -> int:
    raise AssertionError("not to be called")


@pytest.mark.parametrize("seed", range(20))
def test_jump_destinations_are_those_that_are_no_data(seed: int) -> None:
    chance = random.Random(seed)
    content = bytes(
        chance.choice((0x5B, 0x5B, 0x60, 0x61, 0x7F, 0x70, chance.randrange(256)))
        for _ in range(chance.randint(0, 200))
    )
    expected, pc = set(), 0
    while pc < len(content):
        if content[pc] == 0x5B:
            expected.add(pc)
        pc += content[pc] - 0x5E if 0x60 <= content[pc] <= 0x7F else 1
    assert Code(content, {}).jumpdests == expected
