"""Small chains, contracts written by hand, and random blocks that make them meet.

What the tests of the executor share: a state full of contracts that read and write what others
touch, Hypothesis strategies for blocks over it, and `hold`, which sends the same blocks through
stock py-evm and through a parallelized chain and compares everything that a caller can see.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest
from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth.vm import opcode_values
from eth.vm.forks.prague.transactions import Authorization
from eth_keys.datatypes import PrivateKey
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from rlp import encode

from parallel_evm import BlockReport, ParallelConfig, parallelize
from parallel_evm.forks import FORKS
from parallel_evm.hashing import keccak
from parallel_evm.scheduling.forecast import Forecast
from parallel_evm.scheduling.lanes import Costs
from parallel_evm.scheduling.pace import Choice, Pace, Way
from parallel_evm.state.source import Source
from parallel_evm.workloads.forks import CHAIN_ID, Fork, fork

GWEI = 10**9
ETHER = 10**18
KEYS = [PrivateKey(bytes([number]) * 32) for number in range(1, 9)]
SENDERS = [key.public_key.to_canonical_address() for key in KEYS]
# In the year 2100: mining stamps a block one second after its parent, whatever the clock says.
GENESIS_TIMESTAMP = 4_102_444_800
LATER_TYPES = {1: "berlin", 2: "london", 3: "cancun", 4: "prague"}


def tried(examples: int) -> Any:
    """Settings of a test that tries so many random blocks, the same ones every time."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def drawn(examples: int) -> Any:
    """Settings of a property that needs so many examples, and fewer in `make fast`."""
    usual = settings.get_profile("default").max_examples
    return settings(
        max_examples=max(10, examples * settings().max_examples // usual), deadline=None
    )


def mostly_slow(values: Iterable[Any], *fast: Any) -> list[Any]:
    """Parameters of a test of which ``fast`` are enough for every day."""
    return [
        value if value in fast else pytest.param(value, marks=pytest.mark.slow) for value in values
    ]


#
# Contracts
#
def assemble(*items: str | int | bytes) -> bytes:
    """Bytecode: opcodes by name, numbers and bytes pushed, ``name:`` a label, ``@name`` its use."""
    code, labels, uses = bytearray(), {}, []
    for item in items:
        if isinstance(item, bytes):
            code += bytes([0x5F + len(item)]) + item
        elif isinstance(item, int):
            content = item.to_bytes(max(1, (item.bit_length() + 7) // 8), "big")
            code += bytes([0x5F + len(content)]) + content
        elif item.endswith(":"):
            labels[item[:-1]] = len(code)
            code.append(opcode_values.JUMPDEST)
        elif item.startswith("@"):
            uses.append((len(code) + 1, item[1:]))
            code += b"\x61\x00\x00"
        else:
            code.append(getattr(opcode_values, item))
    for place, name in uses:
        code[place : place + 2] = labels[name].to_bytes(2, "big")
    return bytes(code)


def deploying(runtime: bytes, *constructor: str | int | bytes) -> bytes:
    """Init code that runs ``constructor`` and then returns ``runtime``."""
    head = assemble(*constructor)
    # PUSH2 size, DUP1, PUSH2 offset, PUSH1 0, CODECOPY, PUSH1 0, RETURN: 13 bytes
    size, offset = len(runtime).to_bytes(2, "big"), (len(head) + 13).to_bytes(2, "big")
    return head + assemble(size, "DUP1", offset, 0, "CODECOPY", 0, "RETURN") + runtime


A = (0, "CALLDATALOAD")
B = (32, "CALLDATALOAD")
LOG_TOP = (0, "MSTORE", 32, 0, "LOG0")
# The slot that Solidity gives to an entry of the mapping in slot 1, for the key on the stack.
ENTRY = (0, "MSTORE", 1, 32, "MSTORE", 64, 0, "SHA3")
# What was sent after the first word, in memory from 0; leaves its size on the stack.
TAIL = (32, "CALLDATASIZE", "SUB", "DUP1", 32, 0, "CALLDATACOPY")

COUNTER_CODE = assemble(1, 0, "SLOAD", "ADD", "DUP1", 0, "SSTORE", *LOG_TOP)

CODES: dict[str, tuple[str, bytes]] = {
    # name: (first fork, code)
    "counter": ("byzantium", COUNTER_CODE),
    # entry[caller] -= a, entry[b] += a, or revert
    "purse": (
        "byzantium",
        assemble(
            *A, "CALLER", *ENTRY, "SLOAD", "LT", "@poor", "JUMPI",
            *A, "CALLER", *ENTRY, "SLOAD", "SUB", "CALLER", *ENTRY, "SSTORE",
            *A, *B, *ENTRY, "SLOAD", "ADD", *B, *ENTRY, "SSTORE", *A, *LOG_TOP, "STOP",
            "poor:", "CALLER", 0, "MSTORE", 32, 0, "REVERT",
        ),
    ),
    # pays b wei to a, keeps in a slot whether that worked
    "payer": ("byzantium", assemble(0, 0, 0, 0, *B, *A, "GAS", "CALL", *A, "SSTORE")),
    "watcher": ("byzantium", assemble(*A, "BALANCE", "DUP1", *LOG_TOP, *A, "SSTORE")),
    "codewatcher": (
        "constantinople",
        assemble(*A, "EXTCODEHASH", *A, "EXTCODESIZE", "ADD", "DUP1", *LOG_TOP, *A, "SSTORE"),
    ),
    "rich": ("istanbul", assemble("SELFBALANCE", "DUP1", *LOG_TOP, 0, "SSTORE")),
    # branches on the coinbase's balance
    "tips": (
        "byzantium",
        assemble(
            1, "COINBASE", "BALANCE", "AND", "@odd", "JUMPI", 0, "SLOAD", 1, "ADD", 0, "SSTORE",
            "STOP", "odd:", "COINBASE", "BALANCE", 1, "SSTORE",
        ),
    ),
    "historian": (
        "byzantium",
        assemble(*A, "NUMBER", "SUB", "BLOCKHASH", *A, "SSTORE"),
    ),
    "destroyer": ("byzantium", assemble(*A, "SELFDESTRUCT")),
    "suicide": ("byzantium", assemble("ADDRESS", "SELFDESTRUCT")),
    # writes another slot each time, by what the last one wrote
    "branch": (
        "byzantium",
        assemble(
            0, "SLOAD", "DUP1", 1, "ADD", 0, "SSTORE", 1, "AND", "@odd", "JUMPI",
            "CALLER", 1, "SSTORE", "STOP", "odd:", "CALLER", 2, "SSTORE", "CALLER", *LOG_TOP,
        ),
    ),
    # a lock that goes 0-1-0, and a call in between
    "locked": (
        "byzantium",
        assemble(
            0, "SLOAD", "@locked", "JUMPI", 1, 0, "SSTORE",
            0, 0, 0, 0, 0, *A, "GAS", "CALL", 5, "SSTORE", 0, 0, "SSTORE", "STOP",
            "locked:", 0, 0, "REVERT",
        ),
    ),
    "reverter": (
        "byzantium",
        assemble(1, 0, "SSTORE", 0, 0, 0, 0, 0, *A, "GAS", "CALL", 0, "MSTORE", 32, 0, "REVERT"),
    ),
    "burner": ("byzantium", assemble("again:", "@again", "JUMP")),
    "invalid": ("byzantium", b"\x60\x01\x60\x00\x55\xfe"),
    "creator": (
        "byzantium",
        assemble(*TAIL, 0, "CALLVALUE", "CREATE", "DUP1", *LOG_TOP, *A, "SSTORE"),
    ),
    "factory": (
        "constantinople",
        assemble(*A, *TAIL, 0, "CALLVALUE", "CREATE2", "DUP1", *LOG_TOP, *A, "SSTORE"),
    ),
    "delegate": (
        "byzantium",
        assemble(0, 0, *TAIL, 0, *A, "GAS", "DELEGATECALL", 9, "SSTORE"),
    ),
    "caller": (
        "byzantium",
        assemble(0, 0, *TAIL, 0, 0, *A, "GAS", "CALL", "RETURNDATASIZE", "ADD", 9, "SSTORE"),
    ),
    "static": (
        "byzantium",
        assemble(0, 0, *TAIL, 0, *A, "GAS", "STATICCALL", 9, "SSTORE"),
    ),
    "gas": ("byzantium", assemble("GAS", 0, "SSTORE")),
    "transient": (
        "cancun",
        assemble(0, "TLOAD", "DUP1", 0, "SSTORE", 1, "ADD", 0, "TSTORE", 0, "TLOAD", *LOG_TOP),
    ),
    "blobs": ("cancun", assemble(0, "BLOBHASH", "BLOBBASEFEE", "ADD", 0, "SSTORE")),
}  # fmt: skip
CONTRACTS = {name: bytes([0xC0, number]) * 10 for number, name in enumerate(CODES)}

INIT_CODES = [
    deploying(assemble("CALLER", "SELFDESTRUCT"), 1, 0, "SSTORE"),
    deploying(assemble("ADDRESS", "SELFDESTRUCT")),
    deploying(COUNTER_CODE, 5, 0, "SSTORE"),
    deploying(assemble(*A, "SELFDESTRUCT"), "CALLER", "BALANCE", 1, "SSTORE"),
    assemble(7, 0, "SSTORE", "CALLER", "SELFDESTRUCT"),
    assemble("ADDRESS", "SELFDESTRUCT"),
    assemble(7, 0, "SSTORE", 0, 0, "REVERT"),
    assemble(7, 0, "SSTORE") + b"\xfe",
    deploying(b"\xef\x00"),
    b"",
]

EMPTY = b"\xee" * 20
GHOST = b"\x99" * 20
STRANGER = b"\x77" * 20


def create_address(creator: bytes, nonce: int) -> bytes:
    return keccak(encode([creator, nonce]))[12:]


def create2_address(creator: bytes, salt: int, init_code: bytes) -> bytes:
    return keccak(b"\xff" + creator + salt.to_bytes(32, "big") + keccak(init_code))[12:]


CHILDREN = [create2_address(CONTRACTS["factory"], 0, init_code) for init_code in INIT_CODES[:6]]
CHILDREN.append(create_address(SENDERS[0], 0))
CHILDREN.append(create_address(CONTRACTS["creator"], 1))


def account(
    balance: int = 0, nonce: int = 0, code: bytes = b"", storage: Mapping[int, int] | None = None
) -> dict[str, Any]:
    return {"balance": balance, "nonce": nonce, "code": code, "storage": dict(storage or {})}


def contracts_of(fork_name: str) -> dict[str, bytes]:
    """The contracts whose opcodes the fork has."""
    order = FORKS.index(fork_name)
    return {
        name: CONTRACTS[name] for name, (first, _) in CODES.items() if FORKS.index(first) <= order
    }


def state_of(fork_name: str) -> dict[bytes, dict[str, Any]]:
    """Funded senders, an empty account, a stranger with 1 wei, and all the contracts."""
    state = {address: account(100 * ETHER) for address in SENDERS}
    state[EMPTY] = account()
    state[STRANGER] = account(1)
    for name, address in contracts_of(fork_name).items():
        state[address] = account(ETHER, 1, CODES[name][1], {0: 2, 3: 4})
    purse = CONTRACTS["purse"]
    for sender in SENDERS[:4]:
        slot = int.from_bytes(keccak(bytes(12) + sender + (1).to_bytes(32, "big")), "big")
        state[purse]["storage"][slot] = 10
    return state


#
# Transactions
#
@dataclass(frozen=True)
class Delegation:
    """An EIP-7702 authorisation to be signed by a sender, given by number."""

    authority: int
    target: bytes
    chain_id: int = 0
    off: int = 0


@dataclass(frozen=True)
class Act:
    """A transaction before it has a nonce and a signature."""

    sender: int
    to: bytes
    value: int = 0
    data: bytes = b""
    gas: int = 250_000
    type_id: int = 0
    tip: int = GWEI
    max_fee: int = 100 * GWEI
    access_list: tuple[tuple[bytes, tuple[int, ...]], ...] = ()
    blobs: int = 0
    delegations: tuple[Delegation, ...] = ()
    spoilt: str = ""


def words(*values: int | bytes) -> bytes:
    return b"".join(
        value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")
        for value in values
    )


class Pen:
    """Signs acts with the nonces that a chain's head and their order give them."""

    def __init__(self, rules: Fork, chain: MiningChain) -> None:
        self._builder: Any = rules.vm_class.get_transaction_builder()
        state = chain.get_vm().state
        self._nonces = Counter({i: state.get_nonce(address) for i, address in enumerate(SENDERS)})

    def sign(self, act: Act) -> Any:
        nonce = self._nonces[act.sender]
        self._nonces[act.sender] += 1
        fields: dict[str, Any] = {
            "nonce": {"future": nonce + 1, "past": max(0, nonce - 1)}.get(act.spoilt, nonce),
            "gas": {"gas limit": 10**9, "intrinsic": 20_000}.get(act.spoilt, act.gas),
            "to": act.to,
            "value": 2**200 if act.spoilt == "funds" else act.value,
            "data": act.data,
        }
        max_fee = 1 if act.spoilt == "fee" else act.max_fee
        key = KEYS[act.sender]
        if act.type_id <= 1:
            fields["gas_price"] = max_fee
        else:
            fields["max_fee_per_gas"] = max_fee
            fields["max_priority_fee_per_gas"] = min(act.tip, max_fee)
        if act.type_id:
            fields["chain_id"] = CHAIN_ID
            fields["access_list"] = act.access_list
        builder = self._builder
        if act.type_id == 0:
            unsigned = builder.create_unsigned_transaction(**fields)
            return self._sealed(unsigned.as_signed_transaction(key, chain_id=CHAIN_ID), act)
        if act.type_id == 1:
            unsigned = builder.new_unsigned_access_list_transaction(**fields)
        elif act.type_id == 2:
            unsigned = builder.new_unsigned_dynamic_fee_transaction(**fields)
        elif act.type_id == 3:
            unsigned = builder.new_unsigned_blob_transaction(
                max_fee_per_blob_gas=GWEI,
                blob_versioned_hashes=[b"\x01" + bytes([i]) * 31 for i in range(act.blobs)],
                **fields,
            )
        else:
            unsigned = builder.new_unsigned_set_code_transaction(
                authorization_list=[self._authorise(d) for d in act.delegations], **fields
            )
        return self._sealed(unsigned.as_signed_transaction(key), act)

    def _authorise(self, delegation: Delegation) -> Authorization:
        nonce = self._nonces[delegation.authority] + delegation.off
        message = b"\x05" + encode([delegation.chain_id, delegation.target, nonce])
        parity, r, s = KEYS[delegation.authority].sign_msg(message).vrs
        if not delegation.off and delegation.chain_id in (0, CHAIN_ID):
            self._nonces[delegation.authority] += 1
        return Authorization(delegation.chain_id, delegation.target, nonce, parity, r, s)

    def _sealed(self, signed: Any, act: Act) -> Any:
        """As it comes from the network: decoded, its sender not known yet."""
        transaction = self._builder.decode(signed.encode())
        if act.spoilt == "signature":
            inner = getattr(transaction, "_inner", None)
            if inner is None:
                return transaction.copy(s=transaction.s + 1)
            return type(transaction)(transaction.type_id, inner.copy(s=inner.s + 1))
        return transaction


SPOILS = ("future", "past", "gas limit", "intrinsic", "funds", "signature", "fee")


#
# Random blocks
#
@st.composite
def acts(draw: Callable[..., Any], fork_name: str, hot: Sequence[bytes]) -> Act:
    """Any one transaction; those that go to ``hot`` meet each other."""
    contracts = contracts_of(fork_name)
    by_address = {address: name for name, address in contracts.items()}
    places = [*contracts.values(), *CHILDREN, *SENDERS[:4], EMPTY, GHOST, STRANGER]
    places += [bytes(19) + bytes([number]) for number in (1, 2, 3, 4, 9)]
    kind = draw(st.sampled_from(["hot", "hot", "contract", "anything", "create"]))
    sender = draw(st.integers(0, len(SENDERS) - 1))
    if kind == "create":
        return Act(sender, b"", data=draw(st.sampled_from(INIT_CODES)), value=draw(_values))
    to = draw(
        st.sampled_from(
            {"hot": hot, "contract": list(contracts.values()), "anything": places}[kind]
        )
    )
    data = b""
    name = by_address.get(to)
    if name in ("creator", "factory"):
        data = words(draw(st.integers(0, 1))) + draw(st.sampled_from(INIT_CODES))
    elif name == "historian":
        data = words(draw(st.sampled_from([0, 1, 2, 3, 255, 256, 257])))
    elif name == "purse":
        data = words(draw(st.sampled_from([1, 3, 10])), draw(st.sampled_from(SENDERS[:4])))
    elif name in ("caller", "delegate", "static"):
        data = words(draw(st.sampled_from(places)), draw(st.sampled_from(places)), draw(_values))
    elif name or to in CHILDREN:
        data = words(draw(st.sampled_from(places)), draw(_values))
    order = FORKS.index(fork_name)
    possible = [0] + [t for t, first in LATER_TYPES.items() if FORKS.index(first) <= order]
    type_id = draw(st.sampled_from(possible))
    act = Act(
        sender=sender,
        to=to,
        value=draw(_values),
        data=data,
        gas=draw(st.sampled_from([70_000, 110_000, 250_000, 250_000, 400_000])),
        type_id=type_id,
        tip=draw(st.sampled_from([0, GWEI, 2 * GWEI])),
    )
    if type_id:
        listed = draw(st.lists(st.sampled_from(places), max_size=2, unique=True))
        act = replace(act, access_list=tuple((place, (0, 3)) for place in listed))
    if type_id == 3:
        act = replace(act, blobs=draw(st.integers(1, 2)))
    if type_id == 4:
        delegations = draw(
            st.lists(
                st.builds(
                    Delegation,
                    authority=st.integers(0, len(SENDERS) - 1),
                    target=st.sampled_from([*contracts.values(), bytes(20), SENDERS[0]]),
                    chain_id=st.sampled_from([0, CHAIN_ID, 5]),
                    off=st.sampled_from([0, 0, 1]),
                ),
                min_size=1,
                max_size=2,
            )
        )
        act = replace(act, delegations=tuple(delegations), gas=400_000)
    return act


_values = st.sampled_from([0, 0, 0, 1, 10**15])


@dataclass(frozen=True)
class Play:
    """Blocks to be sent through a fork's chain one after another."""

    fork: str
    coinbase: bytes
    blocks: tuple[tuple[Act, ...], ...]
    withdrawals: tuple[Any, ...] = ()
    state: Mapping[bytes, Any] | None = None
    chain_options: Mapping[str, Any] = field(default_factory=dict)


@st.composite
def plays(
    draw: Callable[..., Any],
    fork_name: str,
    blocks: int = 2,
    transactions: int = 10,
    spoilt: bool = False,
) -> Play:
    """Blocks with dependent transactions; with ``spoilt``, one of the first block is refused."""
    contracts = list(contracts_of(fork_name).values())
    hot = draw(st.lists(st.sampled_from([*contracts, *CHILDREN]), min_size=1, max_size=3))
    coinbase = draw(
        st.sampled_from(
            [b"\xcb" * 20, SENDERS[0], SENDERS[0], EMPTY, CHILDREN[0], *contracts[:3]]
            + [CONTRACTS[name] for name in ("destroyer", "suicide", "payer")]
        )
    )
    drawn = [
        draw(st.lists(acts(fork_name, hot), min_size=min(4, transactions), max_size=transactions))
        for _ in range(blocks)
    ]
    if spoilt:
        place = draw(st.integers(0, len(drawn[0]) - 1))
        drawn[0][place] = replace(drawn[0][place], spoilt=draw(st.sampled_from(SPOILS)))
    return Play(fork_name, coinbase, tuple(map(tuple, drawn)))


#
# Chains
#
def open_chain(chain_class: Any, state: Mapping[bytes, Any], **header: Any) -> Any:
    """A new chain whose genesis holds ``state``."""
    vm_class = chain_class.vm_configuration[0][1]
    old = FORKS.index(_fork_of(vm_class)) < FORKS.index("paris")
    parameters = {
        "gas_limit": 30_000_000,
        "timestamp": GENESIS_TIMESTAMP,
        "difficulty": 1 if old else 0,
        **header,
    }
    return chain_class.from_genesis(AtomicDB(MemoryDB()), parameters, dict(state))


def _fork_of(vm_class: Any) -> str:
    name: str = vm_class.fork.replace("_", "-")
    return name


class Misled:
    """Forecasts that are wrong on purpose: transactions are thrown together at random."""

    def __init__(self, seed: int, groups: int) -> None:
        self._random = random.Random(seed)
        self._groups = groups

    def begin(self, before: Source) -> None:
        pass

    def forecast(self, index: int, transaction: Any, sender: bytes | None) -> Forecast:
        group = bytes([0xF0, self._random.randrange(self._groups)]) * 10
        reads = {(self._random.choice(SENDERS), slot) for slot in (-3, 0, 1)}
        return Forecast(index, frozenset(reads), frozenset({(group, 7)}), 21_000)

    def learn(
        self, transaction: Any, sender: bytes | None, speculation: Any, conflicted: bool = False
    ) -> None:
        pass


class Laid(Misled):
    """Forecasts that put transaction ``i`` of every block into lane ``lanes[i]``."""

    def __init__(self, lanes: Sequence[int]) -> None:
        self._lanes = lanes

    def forecast(self, index: int, transaction: Any, sender: bytes | None) -> Forecast:
        lane = bytes([0xF0, self._lanes[index % len(self._lanes)]]) * 10
        return Forecast(index, frozenset(), frozenset({(lane, 7)}), 21_000)


class Bound(Pace):
    """Every block goes this way, and the coordinator runs as much of it as the workers."""

    def __init__(self, way: Way) -> None:
        super().__init__(workers=4)
        self._way = way

    def choose(self, transactions: Sequence[Any], knows_senders: bool = False) -> Choice:
        return replace(super().choose(transactions, knows_senders), way=self._way)

    def costs(self, transactions: Sequence[Any], whole: bool = False) -> Costs:
        return Costs([1.0] * len(transactions), burden=0.0, freight=0.0)


IN_PLACE: Final[dict[str, Any]] = {"backend": "serial", "accesses": False}
"""Nobody speculates, and nobody asks what a transaction touched: no transaction has a view."""


def parallel(
    chain_class: Any,
    reports: list[BlockReport],
    misled: int | None = None,
    lanes: Sequence[int] | None = None,
    way: Way = Way.TOGETHER,
    **options: Any,
) -> Any:
    """The chain class parallelized, every block on the parallel path (``auto``: in this way).

    Lanes are as ``lanes`` says, or at random if ``misled`` (a seed), or as really forecast.
    """
    workers = 2 if lanes is None else max(lanes) + 1
    settings = {"workers": workers, "backend": "thread", "min_transactions": 1, **options}
    made: Any = parallelize(chain_class, config=ParallelConfig(on_block=reports.append, **settings))
    for _, vm_class in made.vm_configuration:
        if settings["backend"] == "auto":
            vm_class.parallel_engine._pace = Bound(way)
        if misled is not None:
            vm_class.parallel_engine._forecaster = Misled(misled, settings["workers"] + 1)
        if lanes is not None:
            vm_class.parallel_engine._forecaster = Laid(lanes)
    return made


#
# Comparing
#
@dataclass(frozen=True)
class Mined:
    """What a caller of `mine_all` can see."""

    header: bytes
    receipts: tuple[bytes, ...]
    logs: tuple[Any, ...]
    computations: tuple[Any, ...]


@dataclass(frozen=True)
class Refused:
    error: str
    arguments: tuple[Any, ...]


def outcome_of(computation: Any) -> tuple[Any, ...]:
    """All that computations of a finished block are asked for."""
    error = computation.error if computation.is_error else None
    return (
        computation.is_success,
        None if error is None else (type(error), error.args),
        computation.should_burn_gas,
        computation.should_return_gas,
        computation.should_erase_return_data,
        computation.output,
        computation.return_data,
        computation.get_gas_used(),
        computation.get_gas_remaining(),
        computation.get_gas_refund(),
        computation.get_log_entries(),
        computation.get_raw_log_entries(),
        tuple(computation.get_accounts_for_deletion()),
        tuple(computation.get_self_destruct_beneficiaries()),
        set(computation.contracts_created),
    )


def mine(chain: Any, transactions: Sequence[Any], **options: Any) -> Mined | Refused:
    """Mine a block; what was raised is an answer, too."""
    head = chain.get_canonical_head()
    try:
        result, receipts, computations = chain.mine_all(cold(chain, transactions), **options)
    except Exception as error:
        assert chain.get_canonical_head() == head
        return Refused(type(error).__name__, error.args)
    return Mined(
        header=encode(result.imported_block.header),
        receipts=tuple(receipt.encode() for receipt in receipts),
        logs=tuple(tuple(receipt.logs) for receipt in receipts),
        computations=tuple(map(outcome_of, computations)),
    )


def cold(chain: Any, transactions: Sequence[Any]) -> list[Any]:
    """Copies of the transactions that nobody knows the senders of."""
    copies = []
    for transaction in transactions:
        inner = getattr(transaction, "_inner", None)
        if inner is None:
            copies.append(transaction.copy())
        else:
            copies.append(type(transaction)(transaction.type_id, inner.copy()))
    return copies


def hold(play: Play, chain_class: Any, reports: list[BlockReport]) -> list[BlockReport]:
    """Send the blocks through stock py-evm and through ``chain_class``: everything is equal.

    Blocks are mined on both, and what stock py-evm mined is imported into a second parallel chain.
    Returns the reports of the parallel chains, none of which fell back.
    """
    rules = fork(play.fork)
    state = state_of(play.fork) if play.state is None else play.state
    stock = open_chain(rules.chain_class, state, **play.chain_options)
    ours = open_chain(chain_class, state, **play.chain_options)
    importing = open_chain(chain_class, state, **play.chain_options)
    options: dict[str, Any] = {"coinbase": play.coinbase}
    if play.withdrawals:
        options["withdrawals"] = play.withdrawals
    before = len(reports)
    expected_reports = 0
    for block in play.blocks:
        pen = Pen(rules, stock)
        transactions = [pen.sign(act) for act in block]
        expected = mine(stock, transactions, **options)
        assert mine(ours, transactions, **options) == expected
        if isinstance(expected, Mined):
            expected_reports += 2
            mined = stock.get_block_by_header(stock.get_canonical_head())
            block_again = mined.copy(transactions=cold(stock, transactions))
            assert importing.import_block(block_again).imported_block == mined
    # What was written can be read by stock py-evm.
    last = stock.get_vm().state
    for chain in (ours, importing):
        written = rules.chain_class(chain.chaindb.db).get_vm().state
        for address in [*state, *CHILDREN, GHOST, play.coinbase]:
            assert written.account_exists(address) == last.account_exists(address)
            assert written.get_balance(address) == last.get_balance(address)
            assert written.get_code(address) == last.get_code(address)
            assert written.get_storage(address, 0) == last.get_storage(address, 0)
    made = reports[before:]
    assert len(made) >= expected_reports  # too many blobs are found out after the execution
    for report in made:
        assert report.fallback is None
        assert report.transaction_count == len(report.transactions)
        assert report.lost_workers == ()
    return made
