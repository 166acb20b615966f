"""Point evaluation against py-evm's."""

from __future__ import annotations

import contextlib
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
from hypothesis import given
from hypothesis import strategies as st
from py_arkworks_bls12381 import G1Point, Scalar

from parallel_evm.precompiles import point_evaluation
from parallel_evm.precompiles.kzg import holds
from parallel_evm.precompiles.point_evaluation import loaded_once
from tests.precompiles.outcomes import address, fast_table, hold, run, stock_table
from tests.precompiles.points import word
from tests.strategies import drawn

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


def off_the_subgroup() -> bytes:
    """A point of the curve all the same."""
    for x in range(1, 100):
        with contextlib.suppress(ValueError):
            point = G1Point.from_compressed_bytes_unchecked(b"\x80" + x.to_bytes(47, "big"))
            if not point.is_in_subgroup():
                return bytes(point.to_compressed_bytes())
    raise AssertionError("nearly all of them are")


def negated(point: bytes) -> bytes:
    return bytes([point[0] ^ 0x20]) + point[1:]


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


@pytest.fixture
def _never_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any) -> None:
        raise AssertionError("the setup is loaded")

    monkeypatch.setattr(point_evaluation, "loaded_once", refused)


@pytest.mark.usefixtures("_never_loaded")
@pytest.mark.parametrize("data", PROVEN)
def test_proofs_that_hold_take_no_setup(data: bytes) -> None:
    outcome = run(CancunVM, fast_table(CancunVM), 10, data, 50_000)
    assert (outcome.error, outcome.gas_left) == (None, 0)
    assert outcome.output[-32:] == word(ORDER)


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
        encoded(INFINITY, 5, 0, b"\xc0" + bytes(46) + b"\x01"),
        encoded(b"\xe0" + bytes(47), 5, 0, INFINITY),
        encoded(off_the_subgroup(), 5, 0, INFINITY),
        encoded(INFINITY, 5, 0, off_the_subgroup()),
        encoded(tau(), 77, 77, negated(GENERATOR)),
    ],
)
def test_proofs_that_do_not_hold(data: bytes) -> None:
    assert hold(10, data).error is not None
    assert hold(10, data, gas=49_999).error is not None


@drawn(40)
@given(st.integers(0, ORDER - 1), st.integers(0, ORDER - 1), st.integers(0, ORDER - 1))
def test_a_line_goes_through_its_points_only(slope: int, height: int, z: int) -> None:
    """p(x) = slope x + height, where (p - p(z)) / (x - z) is the slope."""

    def scaled(point: bytes, factor: int) -> Any:
        return G1Point.from_compressed_bytes(point) * Scalar.from_be_bytes(word(factor))

    line = scaled(tau(), slope) + scaled(GENERATOR, height)
    commitment, proof = (bytes(p.to_compressed_bytes()) for p in (line, scaled(GENERATOR, slope)))
    y = (slope * z + height) % ORDER
    setup = stock.TRUSTED_SETUP_PATH
    assert holds(commitment, word(z), word(y), proof, setup)
    assert not holds(commitment, word(z), word((y + 1) % ORDER), proof, setup)
    assert not holds(commitment, word((z + 1) % ORDER), word(y), proof, setup) or not slope
    assert not holds(proof, word(z), word(y), commitment, setup) or commitment == proof


def test_another_setup_is_not_made_use_of(tmp_path: Path) -> None:
    lines = Path(stock.TRUSTED_SETUP_PATH).read_text().split()
    for name, changed in {
        "none": "",
        "no numbers": "a\nb\n",
        "short": "\n".join(lines[:100]),
        "reordered": "\n".join([*lines[:2], *lines[3:]]),
    }.items():
        file = tmp_path / name
        file.write_text(changed)
        assert not holds(GENERATOR, word(5), word(1), INFINITY, str(file))
    assert not holds(GENERATOR, word(5), word(1), INFINITY, str(tmp_path / "not there"))


@pytest.mark.slow
def test_the_setup_as_py_evm_loads_it() -> None:
    assert hold(10, PROVEN[-1]).error is None
    expected: Any = run(CancunVM, stock_table(CancunVM), 10, PROVEN[1], 60_000)
    assert expected.gas_left == 10_000


@pytest.mark.slow
def test_the_setup_is_loaded_for_the_first_false_proof_and_never_again() -> None:
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
true, false = ({PROVEN[3]!r}, {PROVEN[0]!r}), {encoded(tau(), 77, 78, GENERATOR)!r}
for data in true:
    run(CancunVM, table, 10, data, 60_000)
assert loads == [], "nothing is loaded for proofs that hold"
for data in (false, *true, false):
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
