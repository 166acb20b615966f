"""Random blocks: a state full of contracts that meddle with each other, and transactions on it.

`scenario(seed, index)` is a pure function. A `Scenario` is plain data that can be cut down (see
`shrink`) and only then signed: nonces are counted when the transactions are made, so that a block
stays valid when some of them are taken out. Nothing here executes anything.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from eth.abc import SignedTransactionAPI
from eth.typing import AccountState
from eth.vm.forks.cancun.constants import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CONTRACT_CODE
from eth.vm.forks.prague.constants import (
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    DEPOSIT_CONTRACT_ADDRESS,
    DEPOSIT_EVENT_SIGNATURE_HASH,
    HISTORY_STORAGE_ADDRESS,
    HISTORY_STORAGE_CONTRACT_CODE,
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
)
from eth.vm.forks.prague.transactions import Authorization
from eth.vm.forks.shanghai.withdrawals import Withdrawal
from eth_keys.datatypes import PrivateKey
from eth_typing import Address
from rlp.codec import encode

from parallel_evm.conformance.compose import Setting
from parallel_evm.conformance.programs import Programs, Rules
from parallel_evm.conformance.themes import THEMES, Cast, create_address
from parallel_evm.forks import VM_CLASSES, since
from parallel_evm.workloads import artifacts
from parallel_evm.workloads.artifacts import Artifact

SENDERS = 6
CONTRACTS = 9

KEYS = tuple(PrivateKey(bytes([index]) * 32) for index in range(1, SENDERS + 1))
EOAS = tuple(Address(key.public_key.to_canonical_address()) for key in KEYS)
PLACES = tuple(Address(bytes([0xC0, index]) * 10) for index in range(CONTRACTS))
STRANGERS = tuple(Address(bytes([0xE0, index]) * 10) for index in range(3))

FORK_WEIGHTS = {
    "frontier": 1,
    "homestead": 1,
    "spurious-dragon": 1,
    "byzantium": 3,
    "petersburg": 3,
    "istanbul": 4,
    "berlin": 5,
    "london": 5,
    "paris": 4,
    "shanghai": 8,
    "cancun": 12,
    "prague": 16,
}
"""How often each fork is drawn; those before Byzantium run sequentially by definition."""


@dataclass(frozen=True)
class Delegation:
    """An EIP-7702 authorisation before it is signed. `authority` is an index into KEYS."""

    authority: int
    target: Address
    nonce_offset: int = 0
    chain_id: int = 1


@dataclass(frozen=True)
class Draft:
    """A transaction before it has a nonce and a signature. `sender` is an index into KEYS.

    `to` is empty for a creation. `price` is what is paid per gas at most, `tip` its priority part.
    """

    sender: int
    to: Address
    type_id: int = 0
    value: int = 0
    data: bytes = b""
    gas: int = 100_000
    price: int = 100
    tip: int = 1
    access_list: tuple[tuple[Address, tuple[int, ...]], ...] = ()
    blobs: tuple[bytes, ...] = ()
    delegations: tuple[Delegation, ...] = ()
    nonce_offset: int = 0


@dataclass(frozen=True)
class Scenario:
    """A block that can still be changed."""

    setting: Setting
    state: AccountState
    drafts: tuple[Draft, ...] = field(default_factory=tuple)

    def transactions(self) -> tuple[SignedTransactionAPI, ...]:
        """The drafts, signed, with the nonces their order gives them."""
        nonces: Counter[int] = Counter()
        return tuple(_signed(draft, self.setting, nonces) for draft in self.drafts)


def scenario(seed: int, index: int) -> Scenario:
    """The block number `index` of the sequence that `seed` stands for."""
    chance = random.Random(f"{seed}/{index}")
    fork = chance.choices(list(FORK_WEIGHTS), list(FORK_WEIGHTS.values()))[0]
    return _Generator(chance, fork).scenario()


class _Generator:
    """One draw of a scenario."""

    def __init__(self, chance: random.Random, fork: str) -> None:
        self.chance = chance
        self.fork = fork
        self.coinbase = self._coinbase()
        self.cast = self._cast(Rules.of(fork))
        addresses = (*EOAS[:3], *PLACES, *STRANGERS, self.coinbase, *self._created_later())
        addresses += (*_system_contracts(fork), *self.cast.parts)
        self.programs = Programs(chance, Rules.of(fork), addresses)

    def scenario(self) -> Scenario:
        chance = self.chance
        setting = Setting(
            fork=self.fork,
            number=chance.choice((1, 200, 1_000)),
            coinbase=self.coinbase,
            gas_limit=30_000_000 if chance.random() < 0.93 else 1_000_000,
            base_fee_per_gas=chance.choice((0, 7, 7, 50)),
            excess_blob_gas=chance.choice((0, 0, 5_000_000)),
            withdrawals=self._withdrawals(),
        )
        state = self._state()
        count = chance.choice((2, 3, 4, 6, 8, 12, 20))
        hot = chance.sample(PLACES, chance.randint(1, 3))
        drafts = [self._draft(hot) for _ in range(count)]
        if chance.random() < 0.06:
            spoilt = chance.randrange(len(drafts))
            drafts[spoilt] = self._spoil(drafts[spoilt])
        return Scenario(setting, state, tuple(drafts))

    # -- the state ---------------------------------------------------------------------------

    def _state(self) -> AccountState:
        chance = self.chance
        state: AccountState = {}
        for address in EOAS:
            balance = 10**20 if chance.random() < 0.985 else chance.choice((0, 10**7, 3 * 10**7))
            state[address] = _account(balance)
        for place in PLACES:
            state[place] = self._contract()
        for address, part in self.cast.parts.items():
            state[address] = _account(part.balance, part.nonce, part.code, dict(part.storage))
        if chance.random() < 0.3:
            state[STRANGERS[0]] = _account(chance.choice((1, 10**18)))
        if self.fork in since("prague") and chance.random() < 0.3:
            code = b"\xef\x01\x00" + chance.choice(PLACES)
            state[EOAS[-1]] = _account(10**20, code=code)
        if chance.random() < 0.5:
            state.update(_system_contracts(self.fork))
        return state

    def _contract(self) -> Any:
        chance = self.chance
        real = _real_contracts()
        if real and chance.random() < 0.2:
            code = chance.choice(real).code
            if chance.random() < 0.5:
                code = self._mutated(code)
        else:
            code = self.programs.program()
            if chance.random() < 0.1:
                code = self._mutated(code)
        storage = {
            slot: chance.choice((1, 2, 2**255, int.from_bytes(chance.choice(PLACES), "big")))
            for slot in range(6)
            if chance.random() < 0.4
        }
        return _account(chance.choice((0, 0, 1, 10**18)), 1, code, storage)

    def _mutated(self, code: bytes) -> bytes:
        changed = bytearray(code)
        for _ in range(self.chance.randint(1, 4)):
            if changed:
                changed[self.chance.randrange(len(changed))] = self.chance.randrange(256)
        return bytes(changed)

    # -- the transactions --------------------------------------------------------------------

    def _draft(self, hot: Sequence[Address]) -> Draft:
        chance = self.chance
        if self.cast.recipients and chance.random() < 0.8:
            return self._themed_draft()
        draft = Draft(
            sender=chance.randrange(SENDERS),
            to=self._recipient(hot),
            value=chance.choice((0, 0, 0, 1, 10**15)),
            gas=chance.choice((60_000, 100_000, 300_000, 300_000, 1_000_000)),
            price=chance.choice((50, 100, 100, 1_000)),
            tip=chance.choice((0, 1, 1, 20)),
        )
        if not draft.to:
            draft = replace(draft, data=self.programs.creation(), gas=1_000_000)
        elif draft.to in PLACES:
            draft = replace(draft, data=self._calldata())
        elif chance.random() < 0.3:
            draft = replace(draft, data=chance.randbytes(chance.choice((1, 32, 100))))
        return self._typed(draft)

    def _themed_draft(self) -> Draft:
        """To somebody of the cast; plain enough that most of these transactions succeed."""
        chance = self.chance
        draft = Draft(
            sender=chance.randrange(SENDERS),
            to=chance.choice(self.cast.recipients),
            value=chance.choice((0, 0, 0, 1, 600, 1_000)),
            data=chance.choice(self.cast.calldata),
            gas=300_000,
        )
        return self._typed(draft) if chance.random() < 0.3 else draft

    def _recipient(self, hot: Sequence[Address]) -> Address:
        chance = self.chance
        kind = chance.random()
        if kind < 0.45:
            return chance.choice(hot)
        if kind < 0.65:
            return chance.choice(PLACES)
        if kind < 0.75:
            return chance.choice(EOAS)
        if kind < 0.85:
            return Address(b"")
        if kind < 0.90:
            return Address(bytes(19) + bytes([chance.choice((1, 2, 3, 4, 5, 9, 10))]))
        rest = (*STRANGERS, self.coinbase, *self._created_later(), *_system_contracts(self.fork))
        return chance.choice(rest)

    def _calldata(self) -> bytes:
        chance = self.chance
        words = [
            chance.choice((0, 1, 2, 3, 2**256 - 1, int.from_bytes(chance.choice(PLACES), "big")))
            for _ in range(chance.randint(0, 4))
        ]
        real = _real_contracts()
        selector = b""
        if real and chance.random() < 0.3:
            selector = chance.choice(list(chance.choice(real).functions.values())).selector
        return selector + b"".join(word.to_bytes(32, "big") for word in words)

    def _typed(self, draft: Draft) -> Draft:
        """Give the draft one of the fork's transaction types, and what goes with it."""
        chance = self.chance
        possible = [0]
        for fork, type_id in (("berlin", 1), ("london", 2), ("cancun", 3), ("prague", 4)):
            if self.fork in since(fork) and (draft.to or type_id < 3):
                possible.append(type_id)
        type_id = chance.choice(possible)
        draft = replace(draft, type_id=type_id)
        if type_id >= 1 and chance.random() < 0.5:
            listed = chance.sample((*PLACES, *EOAS, self.coinbase), chance.randint(1, 3))
            slots = tuple(chance.sample(range(6), chance.randint(0, 3)))
            draft = replace(draft, access_list=tuple((address, slots) for address in listed))
        if type_id == 3:
            blobs = tuple(
                b"\x01" + chance.randbytes(31) for _ in range(chance.choice((1, 1, 1, 2)))
            )
            draft = replace(draft, blobs=blobs)
        if type_id == 4:
            delegations = tuple(self._delegation() for _ in range(chance.choice((1, 1, 2, 3))))
            draft = replace(draft, delegations=delegations, gas=max(draft.gas, 300_000))
        return draft

    def _delegation(self) -> Delegation:
        chance = self.chance
        return Delegation(
            authority=chance.randrange(SENDERS),
            target=chance.choice((*PLACES, *PLACES, Address(bytes(20)), EOAS[0], STRANGERS[0])),
            nonce_offset=chance.choice((0, 0, 0, 0, 1)),
            chain_id=chance.choice((0, 1, 1, 5)),
        )

    def _spoil(self, draft: Draft) -> Draft:
        """Make py-evm refuse the transaction, in one of many ways."""
        spoilt: tuple[dict[str, Any], ...] = (
            {"nonce_offset": 1},
            {"nonce_offset": -1},
            {"value": 10**21},
            {"gas": 20_000},
            {"gas": 2**40},
            {"price": 0, "tip": 0},
            {"tip": draft.price + 1},
        )
        return replace(draft, **self.chance.choice(spoilt))

    # -- addresses ---------------------------------------------------------------------------

    def _coinbase(self) -> Address:
        return self.chance.choice(
            (
                Setting("frontier").coinbase,
                Setting("frontier").coinbase,
                EOAS[0],
                PLACES[0],
                STRANGERS[1],
                Address(bytes(19) + b"\x03"),
                create_address(EOAS[0], 0),
                create_address(PLACES[1], 1),
            )
        )

    def _created_later(self) -> tuple[Address, ...]:
        """Where contracts will appear if the first creations happen."""
        return (
            create_address(EOAS[0], 0),
            create_address(PLACES[0], 1),
            create_address(PLACES[1], 1),
        )

    def _cast(self, rules: Rules) -> Cast:
        """The theme of the block, if it has one: then most transactions play in it."""
        if self.chance.random() < 0.4:
            return Cast({}, ())
        theme = self.chance.choice(THEMES)
        return theme(self.chance, rules, self.chance.sample(PLACES, len(PLACES)))

    def _withdrawals(self) -> tuple[Any, ...]:
        if self.fork not in since("shanghai") or self.chance.random() < 0.5:
            return ()
        addresses = self.chance.sample((*EOAS, *PLACES, *STRANGERS), 2)
        return tuple(
            Withdrawal(index, index, address, self.chance.choice((0, 1, 10**9)))
            for index, address in enumerate(addresses)
        )


# Counts its calls in slot 0 and returns the count: what a contract that makes requests does.
_COUNTING_CODE = bytes.fromhex("600054600101806000556000526020" + "6000f3")
# Logs 576 bytes under the topic of a deposit (EIP-6110).
_DEPOSIT_CODE = b"\x7f" + DEPOSIT_EVENT_SIGNATURE_HASH + bytes.fromhex("6102406000a100")


def _system_contracts(fork: str) -> AccountState:
    """The contracts that a fork's rules write to, call, or listen to around the transactions."""
    state: AccountState = {}
    if fork in since("cancun"):
        state[Address(BEACON_ROOTS_ADDRESS)] = _account(0, 1, BEACON_ROOTS_CONTRACT_CODE)
    if fork in since("prague"):
        state[HISTORY_STORAGE_ADDRESS] = _account(0, 1, HISTORY_STORAGE_CONTRACT_CODE)
        state[WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS] = _account(0, 1, _COUNTING_CODE)
        state[CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS] = _account(0, 1, _COUNTING_CODE)
        state[Address(DEPOSIT_CONTRACT_ADDRESS)] = _account(0, 1, _DEPOSIT_CODE)
    return state


@cache
def _real_contracts() -> tuple[Artifact, ...]:
    """The contracts of the workloads; none where the package was installed without them."""
    return tuple(map(artifacts.load, artifacts.names()))


def _signed(draft: Draft, setting: Setting, nonces: Counter[int]) -> SignedTransactionAPI:
    builder: Any = VM_CLASSES[setting.fork].get_transaction_builder()
    nonce = max(nonces[draft.sender] + draft.nonce_offset, 0)
    nonces[draft.sender] += 1
    fields: dict[str, Any] = {
        "nonce": nonce,
        "gas": draft.gas,
        "to": draft.to,
        "value": draft.value,
        "data": draft.data,
    }
    if draft.type_id <= 1:
        fields["gas_price"] = draft.price
    else:
        fields["max_fee_per_gas"] = draft.price
        fields["max_priority_fee_per_gas"] = draft.tip
    if draft.type_id >= 1:
        fields["chain_id"] = setting.chain_id
        fields["access_list"] = draft.access_list
    if draft.type_id == 3:
        fields["max_fee_per_blob_gas"] = 1_000
        fields["blob_versioned_hashes"] = draft.blobs
    if draft.type_id == 4:
        fields["authorization_list"] = [
            _authorised(delegation, nonces) for delegation in draft.delegations
        ]
    unsigned = getattr(builder, _MAKERS[draft.type_id])(**fields)
    if draft.type_id == 0 and setting.fork in since("spurious-dragon"):
        signed = unsigned.as_signed_transaction(KEYS[draft.sender], chain_id=setting.chain_id)
    else:
        signed = unsigned.as_signed_transaction(KEYS[draft.sender])
    # Decoded again, it is of the fork's own class, whatever older class signing has made.
    made: SignedTransactionAPI = builder.decode(signed.encode())
    return made


def _authorised(delegation: Delegation, nonces: Counter[int]) -> Authorization:
    """EIP-7702: sign keccak(0x05 || rlp([chain_id, address, nonce]))."""
    nonce = nonces[delegation.authority] + delegation.nonce_offset
    payload = encode([delegation.chain_id, delegation.target, nonce])  # type: ignore[no-untyped-call]
    signature = KEYS[delegation.authority].sign_msg(b"\x05" + payload)
    if delegation.nonce_offset == 0 and delegation.chain_id in (0, 1):
        nonces[delegation.authority] += 1
    parity, r, s = signature.vrs
    return Authorization(delegation.chain_id, delegation.target, nonce, parity, r, s)


_MAKERS = {
    0: "create_unsigned_transaction",
    1: "new_unsigned_access_list_transaction",
    2: "new_unsigned_dynamic_fee_transaction",
    3: "new_unsigned_blob_transaction",
    4: "new_unsigned_set_code_transaction",
}


def _account(
    balance: int, nonce: int = 0, code: bytes = b"", storage: Mapping[int, int] | None = None
) -> Any:
    return {"balance": balance, "nonce": nonce, "code": code, "storage": dict(storage or {})}
