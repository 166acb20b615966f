"""Templates: accesses that nobody can tell beforehand, and what learning may cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from parallel_evm.hashing import keccak
from parallel_evm.inputs import Node
from parallel_evm.scheduling.expressions import (
    Access,
    Callee,
    Caller,
    Constant,
    Element,
    Explainer,
    Hashed,
    call_of,
    form_of,
)
from parallel_evm.scheduling.forecast import Forecaster
from parallel_evm.scheduling.learned import from_json, to_json
from parallel_evm.scheduling.templates import Template
from parallel_evm.state.keys import Key

POOL, ALICE = b"\xaa" * 20, b"\x55" * 20
FILL = b"fill"


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def order(index: int) -> bytes:
    """The hash of an order."""
    return keccak(b"order" + word(index))


def entry(key: bytes, position: int = 5) -> tuple[Key, dict[bytes, bytes]]:
    """A mapping's slot, and what it is the hash of."""
    preimage = key + word(position)
    digest = keccak(preimage)
    return (POOL, number(digest)), {digest: preimage}


class Function:
    """Calls without arguments, of which a template learns."""

    def __init__(self) -> None:
        self.template = Template()
        self.call = call_of(ALICE, POOL, FILL, {})

    def fill(self, index: int | None, conflicted: bool = False) -> Key | None:
        """``filled[order] += ...`` and a variable at 1; None: the variable only."""
        key, preimages = (None, {}) if index is None else entry(order(index))
        touched = frozenset({(POOL, 1)} if key is None else {(POOL, 1), key})
        self.template.learn(self.call, touched, touched, preimages, True, conflicted=conflicted)
        return key

    def expects(self, key: Key | None) -> bool:
        return key in self.template.expect(self.call).writes()


def test_what_was_not_expected_has_not_come_again_where_all_was_as_expected() -> None:
    function = Function()
    for index in range(100):
        function.fill(index)
        function.fill(None)
    assert list(function.template.known())[1:] == []


def test_what_made_a_call_run_again_is_expected_from_the_next_time_on() -> None:
    function = Function()
    for index in range(20):
        function.fill(index)
    key = function.fill(99, conflicted=True)
    function.fill(99)
    assert function.expects(key)
    for index in range(200, 220):
        function.fill(index)
    assert function.expects(key)


@pytest.mark.parametrize("before", [11, 15])
def test_what_made_a_call_run_again_is_kept_when_the_others_are_given_up(before: int) -> None:
    function = Function()
    for index in range(before):
        function.fill(index)
    key = function.fill(99, conflicted=True)
    for index in range(before, 16):
        function.fill(index)
    function.fill(99)
    assert function.expects(key)
    assert len(list(function.template.known())) == 2


def test_lists_of_orders_are_as_private_as_orders() -> None:
    """``fills[order].push(...)``."""
    function = Function()
    for index in range(100):
        (_, length), preimages = entry(order(index))
        first = keccak(word(length))
        touched = frozenset({(POOL, length), (POOL, number(first) + 3)})
        function.template.learn(
            function.call,
            touched,
            touched,
            {**preimages, first: word(length)},
            True,
            held={POOL: {length: 3}},
            counted=frozenset({(POOL, length)}),
        )
    assert list(function.template.known()) == []


def test_forms_that_come_once_make_room() -> None:
    function = Function()
    for position in range(1000, 1200):
        key, preimages = entry(order(position), position)
        touched = frozenset({key})
        function.template.learn(function.call, touched, touched, preimages, True)
    before = function.template._surprises
    for index in range(100):
        function.fill(index)
    assert function.template._surprises - before < 20
    entries = sum(1 for _ in function.template.known())
    assert len(function.template) <= entries + 64


def test_members_of_an_order_have_one_form_and_positions_are_none() -> None:
    def form(left: bytes, right: bytes, offset: int = 0) -> Access | None:
        return form_of(Access(Callee(), Hashed(Constant(left), Constant(right), offset)))

    assert form(order(1), word(5)) == form(order(2), word(5), 3) is not None
    assert form(word(5), order(1)) == form(word(5), order(2)) is not None  # as Vyper has it
    assert form_of(Access(Callee(), Hashed(Caller(), Constant(order(3)), 0))) is None  # ERC-7201
    for plain in (word(60), word(2**256 - 60), ALICE.rjust(32, b"\0")):
        assert form(plain, word(5)) is None
    assert form_of(Access(Callee(), -1)) is None


@pytest.mark.parametrize("twice", [False, True])
def test_hashes_of_hashes_cost_no_more_than_others(twice: bool) -> None:
    """Each is the hash of the one before, or of that and itself; four times a slot leads on."""
    preimages: dict[bytes, bytes] = {}
    held: dict[int, int] = {}
    keys, at = [], word(1 << 80)
    for _ in range(4):
        for _ in range(8):
            preimage = at + (at if twice else word(7))
            at = keccak(preimage)
            preimages[at] = preimage
        keys.append((POOL, number(at)))
        held[number(at)] = number(keccak(at + b"next"))
        at = word(held[number(at)])
    call = call_of(ALICE, POOL, FILL + word(1 << 80), {}, lambda key: held.get(key[1]))
    explainer = Explainer(call, preimages, {POOL: held})
    for key in keys:
        access = explainer.access(key)
        assert access.key(call) == key
        assert repr(access).count("=") < 500

    forecaster = Forecaster()
    template = Template()
    template.learn(call, frozenset(keys), frozenset(), preimages, True, held={POOL: held})
    forecaster.adopt(POOL, FILL, template, None)
    data = to_json(forecaster)
    assert to_json(from_json(Node("forecasts.json", "", json.loads(json.dumps(data))))) == data


@pytest.mark.parametrize("offset", [0, 2**32 - 1])
def test_elements_of_any_size_are_read_back(offset: int) -> None:
    (_, length), preimages = entry(ALICE.rjust(32, b"\0"))
    first = keccak(word(length))
    key = (POOL, number(first) + offset)
    call = call_of(ALICE, POOL, FILL, {})
    template = Template()
    template.learn(
        call,
        frozenset({key}),
        frozenset({key}),
        {**preimages, first: word(length)},
        True,
        held={POOL: {length: 1}},
    )
    assert any(isinstance(known.access.field, Element) for known in template.known())
    forecaster = Forecaster()
    forecaster.adopt(POOL, FILL, template, None)
    data = to_json(forecaster)
    assert to_json(from_json(Node("forecasts.json", "", json.loads(json.dumps(data))))) == data


def test_what_is_no_array_is_not_taken_for_one() -> None:
    """A hash of 32 bytes, where nobody looked at a length."""
    slot = number(keccak(ALICE.rjust(32, b"\0")))
    call = call_of(ALICE, POOL, FILL, {})
    access = Explainer(call, {keccak(ALICE.rjust(32, b"\0")): ALICE.rjust(32, b"\0")}).access(
        (POOL, slot)
    )
    assert access == Access(Callee(), Constant(word(slot)))


def test_nonsense_instead_of_hashes() -> None:
    call = call_of(ALICE, POOL, FILL, {})
    for strange in (b"", b"\xff" * 40, b"\0", bytes(40), bytes(7) + b"\xff" * 40):
        for preimage in (b"", bytes(32), bytes(64)):
            access = Explainer(call, {strange: preimage}).access((POOL, 2**200))
            assert access.key(call) == (POOL, 2**200)


SCRIPT = """
import json
from parallel_evm.scheduling.forecast import Forecaster
from parallel_evm.scheduling.learned import to_json
from parallel_evm.scheduling.templates import Template
from tests.scheduling.test_templates import *
template = Template()
call = call_of(ALICE, POOL, FILL + word(1 << 80), {})
one, other = (1 << 70) + 1, (1 << 70) + 2
# Two slots, each of which holds what the other one is found by: one of them has to be a constant.
(first, more), (second, preimages) = entry(word(other), 5), entry(word(one), 6)
preimages |= more
held = {first[1]: one, second[1]: other, 9: 1, 10: 1}
touched = frozenset({first, second, (POOL, 9), (POOL, 10)})
template.learn(call, touched, touched, preimages, True, held={POOL: held})
forecaster = Forecaster()
forecaster.adopt(POOL, FILL, template, None)
print(json.dumps(to_json(forecaster)))
"""


@pytest.mark.slow
def test_what_is_learned_does_not_depend_on_the_order_of_sets() -> None:
    root = str(Path(__file__).parents[2])
    said = []
    for seed in ("0", "1", "2"):
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[0] == said[1] == said[2]
    assert "keccak" in said[0]
