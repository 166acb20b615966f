"""Point evaluation against py-evm's."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ckzg
import pytest
from eth.precompiles import point_evaluation as stock
from eth.vm.forks import CancunVM

from parallel_evm.precompiles.point_evaluation import loaded_once
from tests.precompiles.outcomes import address, fast_table, hold, run, stock_table
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
    monkeypatch.setattr(stock, "load_trusted_setup", loaded_once)


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
    outcome = hold(10, data, gas=50_000, vm_class=CancunVM)
    assert (outcome.error, outcome.gas_left) == (None, 0)
    assert outcome.output[-32:] == word(ORDER)
    assert hold(10, data, gas=49_999, vm_class=CancunVM).error is not None


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
    assert hold(10, PROVEN[-1]).error is None
    expected: Any = run(CancunVM, stock_table(CancunVM), 10, PROVEN[1], 60_000)
    assert expected.gas_left == 10_000


@pytest.mark.slow
def test_the_setup_is_loaded_at_the_first_call_and_never_again() -> None:
    """In a process of its own, true and false proofs; py-evm's own function is left alone."""
    script = f"""
import ckzg
loads = []
load = ckzg.load_trusted_setup
ckzg.load_trusted_setup = lambda *arguments: loads.append(arguments) or load(*arguments)
from tests.precompiles.outcomes import fast_table, run
from eth.vm.forks import CancunVM
import parallel_evm
table = fast_table(CancunVM)
assert loads == [], "nothing is loaded by importing"
for data in ({PROVEN[3]!r}, {encoded(tau(), 77, 78, GENERATOR)!r}, {PROVEN[0]!r}):
    run(CancunVM, table, 10, data, 60_000)
assert len(loads) == 1, loads
"""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_py_evms_function_is_left_as_it_is() -> None:
    assert fast_table(CancunVM)[address(10)] is not stock.point_evaluation_precompile
    assert stock.point_evaluation_precompile.__globals__ is vars(stock)
    assert stock.load_trusted_setup is ckzg.load_trusted_setup
