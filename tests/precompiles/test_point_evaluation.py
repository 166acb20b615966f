"""Point evaluation against py-evm's."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from eth.precompiles import point_evaluation as stock
from eth.vm.forks import CancunVM

from parallel_evm.precompiles.point_evaluation import _trusted_setup
from tests.precompiles.outcomes import hold, hold_at_cost, run, stock_table
from tests.precompiles.points import word

INFINITY = b"\xc0" + bytes(47)
GENERATOR = bytes.fromhex(
    "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac58"
    "6c55e83ff97a1aeffb3af00adb22c6bb"
)
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001


def tau() -> bytes:
    """[tau] G1: the commitment to the polynomial x."""
    lines = Path(stock.TRUSTED_SETUP_PATH).read_text().split()
    in_lagrange_form, of_g2 = int(lines[0]), int(lines[1])
    return bytes.fromhex(lines[2 + in_lagrange_form + of_g2 + 1])


def encoded(commitment: bytes, z: int, y: int, proof: bytes) -> bytes:
    digest = b"\x01" + hashlib.sha256(commitment).digest()[1:]
    return digest + word(z) + word(y) + commitment + proof


@pytest.fixture
def _loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """py-evm loads the same setup, but only once: that takes seconds."""
    monkeypatch.setattr(stock, "load_trusted_setup", lambda path, precompute: _trusted_setup())


PROVEN = [
    encoded(INFINITY, 5, 0, INFINITY),
    encoded(GENERATOR, 5, 1, INFINITY),
    encoded(GENERATOR, 0, 1, INFINITY),
    encoded(tau(), 77, 77, GENERATOR),
    encoded(tau(), ORDER - 1, ORDER - 1, GENERATOR),
]


@pytest.mark.slow
@pytest.mark.usefixtures("_loaded_once")
@pytest.mark.parametrize("data", PROVEN)
def test_proofs_that_hold(data: bytes) -> None:
    outcome = hold_at_cost(10, data, vm_class=CancunVM)
    assert outcome.output[-32:] == word(ORDER)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PROVEN[0][:-1],
        PROVEN[0] + b"\0",
        b"\x02" + PROVEN[0][1:],
    ],
)
def test_nothing_to_verify(data: bytes) -> None:
    assert hold(10, data).error is not None
    assert hold(10, data, gas=49_999).error is not None


@pytest.mark.slow
@pytest.mark.usefixtures("_loaded_once")
@pytest.mark.parametrize(
    "data",
    [
        encoded(GENERATOR, 5, 2, INFINITY),
        encoded(tau(), 77, 78, GENERATOR),
        encoded(tau(), ORDER, ORDER, GENERATOR),
        encoded(INFINITY, 2**256 - 1, 0, INFINITY),
        encoded(bytes(48), 5, 0, INFINITY),
        encoded(b"\xff" * 48, 5, 0, INFINITY),
        encoded(INFINITY, 5, 0, b"\x80" + bytes(46) + b"\x01"),
    ],
)
def test_proofs_that_do_not_hold(data: bytes) -> None:
    assert hold(10, data).error is not None
    assert hold(10, data, gas=49_999).error is not None


@pytest.mark.slow
def test_the_setup_as_py_evm_loads_it() -> None:
    for data in PROVEN[-1:]:
        hold_at_cost(10, data)
    expected: Any = run(CancunVM, stock_table(CancunVM), 10, PROVEN[1], 60_000)
    assert expected.gas_left == 10_000
