"""The backend: one execution per block, what goes wrong in it, snapshots, the pending block."""

from __future__ import annotations

from typing import Any

import pytest
from eth.vm.forks.berlin import BerlinVM
from eth.vm.forks.byzantium import ByzantiumVM
from eth.vm.forks.cancun import CancunVM
from eth.vm.forks.istanbul import IstanbulVM
from eth.vm.forks.london import LondonVM
from eth.vm.forks.paris import ParisVM
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.shanghai import ShanghaiVM
from eth_account import Account
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.backends.pyevm.main import get_default_genesis_params, setup_tester_chain
from eth_tester.exceptions import BlockNotFound, TransactionNotFound
from eth_utils import ValidationError, decode_hex, to_canonical_address

from parallel_evm import ConfigurationError, ParallelConfig
from parallel_evm.report import BlockReport
from parallel_evm.web3 import ParallelEVMBackend, ParallelTester
from parallel_evm.web3.admission import Admission

from .conftest import Signer

ETHER = 10**18
SINK = to_canonical_address("0x" + "5a" * 20)


@pytest.fixture
def backend() -> ParallelEVMBackend:
    return ParallelEVMBackend()


def transfer(backend: ParallelEVMBackend, account: int = 0, **fields: Any) -> bytes:
    sender = backend.get_accounts()[account]
    return backend.send_transaction(
        {"from": sender, "to": SINK, "value": 1, "gas": 21_000, **fields}
    )


def mined(backend: ParallelEVMBackend, number: int | str = "latest") -> list[bytes]:
    return backend.get_block_by_number(number, full_transaction=False)["transactions"]


def deploy(backend: ParallelEVMBackend, runtime: str) -> bytes:
    """Put `runtime` (hexadecimal, at most 255 bytes) on the chain; its address."""
    code = bytes.fromhex(runtime)
    copy_and_return = bytes.fromhex(f"60{len(code):02x}600a5f3960{len(code):02x}5ff3")
    key = transfer(backend, to=b"", value=0, gas=500_000, data=copy_and_return + code)
    backend.mine_blocks()
    address: bytes = backend.get_transaction_receipt(key)["contract_address"]
    assert backend.get_code(address) == code
    return address


# -------------------------------------------------------------------- one block, one execution


@pytest.mark.parametrize("tester_class", [EthereumTester, ParallelTester])
def test_200_sends_are_checked_once_each_and_executed_once_in_one_block(
    tester_class: type[EthereumTester], monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[BlockReport] = []
    backend = ParallelEVMBackend(
        config=ParallelConfig(workers=2, on_block=executed.append), num_accounts=20
    )
    tester = tester_class(backend, auto_mine_transactions=False)
    admitted = 0
    admit = Admission.admit

    def count_and_admit(self: Admission, transaction: Any) -> None:
        nonlocal admitted
        admitted += 1
        admit(self, transaction)

    monkeypatch.setattr(Admission, "admit", count_and_admit)
    accounts = tester.get_accounts()
    sent = [
        tester.send_transaction(
            {"from": accounts[index % 20], "to": accounts[0], "gas": 21_000, "value": 1}
        )
        for index in range(200)
    ]
    assert admitted == 200
    assert executed == []

    tester.mine_block()
    assert tester.get_block_by_number("latest")["transactions"] == list(sent)
    assert admitted == 200
    assert [report.transaction_count for report in executed] == [200]
    assert executed[0].fallback is None
    assert list(backend.reports) == executed
    assert backend.last_report is executed[0]


def test_everything_mined_is_valid_for_sequential_py_evm(sign: Signer) -> None:
    genesis = get_default_genesis_params({"timestamp": 1_700_000_000})
    backend = ParallelEVMBackend(workers=2, genesis_parameters=genesis)
    tester = ParallelTester(backend, auto_mine_transactions=False)
    for nonce in range(3):
        for account in range(5):
            tester.send_raw_transaction(sign(tester, account, nonce, gas=50_000))
    tester.mine_block(coinbase=tester.get_accounts()[7])
    # PREVRANDAO, COINBASE and TIMESTAMP are stored, so they have to be the block's own.
    deploy(backend, "445f5541600155426002554660035500")
    address = deploy(backend, "445f55416001554260025500")
    for account in range(8):
        transfer(backend, account, to=address, value=0, gas=100_000)
    backend.mine_blocks(2, coinbase=backend.get_accounts()[3])
    backend.time_travel(backend.get_block_by_number("latest")["timestamp"] + 1000)
    transfer(backend)
    backend.mine_blocks()

    _, stock = setup_tester_chain(genesis)
    for number in range(1, backend.chain.header.block_number):
        block = backend.chain.get_canonical_block_by_number(number)
        assert stock.import_block(block).imported_block.hash == block.hash


@pytest.mark.parametrize(
    "vm_class",
    [
        ByzantiumVM,
        IstanbulVM,
        BerlinVM,
        LondonVM,
        ParisVM,
        ShanghaiVM,
        CancunVM,
        PragueVM,
    ],
)
def test_every_fork_since_byzantium(vm_class: Any) -> None:
    backend = ParallelEVMBackend(vm_configuration=((0, vm_class),))
    tester = ParallelTester(backend, auto_mine_transactions=False)
    accounts = tester.get_accounts()
    transaction = {"to": accounts[9], "gas": 21_000, "value": 1, "gas_price": 2 * 10**9}
    sent = [tester.send_transaction({"from": accounts[i % 3], **transaction}) for i in range(9)]
    tester.mine_block()
    assert [tester.get_transaction_receipt(key)["status"] for key in sent] == [1] * 9
    assert tester.get_balance(accounts[9]) == 1_000_000 * ETHER + 9


def test_a_fork_between_two_blocks() -> None:
    backend = ParallelEVMBackend(vm_configuration=((0, ShanghaiVM), (2, CancunVM)))
    for _ in range(3):
        transfer(backend)
        transfer(backend)
        backend.mine_blocks()
    assert [len(mined(backend, number)) for number in (1, 2, 3)] == [2, 2, 2]


# -------------------------------------------------------------------- what does not go in


def test_what_has_no_room_stays_queued(backend: ParallelEVMBackend) -> None:
    # 30,029,122 of gas: any block has room for two of these, as they really use 21,000.
    keys = [transfer(backend, account, gas=29_990_000) for account in (0, 1, 2, 0, 3)]
    assert mined(backend, "pending") == [keys[0], keys[1]]
    assert backend.get_transaction_receipt(keys[1])["status"] == 1
    with pytest.raises(TransactionNotFound):
        backend.get_transaction_receipt(keys[2])
    backend.mine_blocks()
    assert mined(backend) == [keys[0], keys[1]]
    assert backend.get_transaction_by_hash(keys[2])["block_hash"] is None
    backend.mine_blocks(2)
    assert mined(backend, 2) == [keys[2], keys[3]]
    assert mined(backend, 3) == [keys[4]]
    assert backend.dropped == {}


def test_what_has_become_invalid_is_dropped_and_the_rest_is_mined(
    backend: ParallelEVMBackend,
) -> None:
    # PUSH0 x4, SELFBALANCE, PUSH20 sink, GAS, CALL: whoever calls it empties the account.
    drain = deploy(backend, "5f5f5f5f47" + "73" + SINK.hex() + "5af100")
    victim, key = backend.get_accounts()[1], backend.account_keys[1]
    authorization = Account.from_key(key.to_bytes()).sign_authorization(
        {"chainId": backend.chain.chain_id, "address": drain, "nonce": 0}
    )
    delegation = {
        "chain_id": authorization.chain_id,
        "address": authorization.address,
        "nonce": authorization.nonce,
        "y_parity": authorization.y_parity,
        "r": authorization.r,
        "s": authorization.s,
    }
    fees = {"max_fee_per_gas": 10**9, "max_priority_fee_per_gas": 1}
    transfer(backend, 0, gas=200_000, authorization_list=[delegation], **fees)
    backend.mine_blocks()
    assert backend.get_code(victim) == b"\xef\x01\x00" + drain

    before = transfer(backend, 2)
    draining = transfer(backend, 3, to=victim, gas=100_000)
    ruined = transfer(backend, 1, value=500_000 * ETHER)
    after_it = transfer(backend, 1)
    after = transfer(backend, 4)
    backend.mine_blocks()

    assert mined(backend) == [before, draining, after]
    assert set(backend.dropped) == {ruined, after_it}
    with pytest.raises(TransactionNotFound, match=r"was dropped.*cannot afford"):
        backend.get_transaction_receipt(ruined)
    transfer(backend, 0)
    backend.mine_blocks()
    assert len(mined(backend)) == 1


def test_a_queued_transaction_that_no_longer_pays_the_base_fee_is_dropped(
    backend: ParallelEVMBackend,
) -> None:
    burner = deploy(backend, "fe")  # an invalid opcode uses all of the gas
    base_fee = backend.get_base_fee("pending")
    fees = {"max_fee_per_gas": base_fee, "max_priority_fee_per_gas": 0}
    for account in (0, 1):
        transfer(backend, account, to=burner, value=0, gas=20_000_000, **fees)
    backend.mine_blocks()
    assert len(mined(backend)) == 1
    backend.mine_blocks()
    assert len(mined(backend)) == 0
    (reason,) = backend.dropped.values()
    assert "base fee" in str(reason)


def test_fees_that_are_not_given_are_enough_when_blocks_are_full(
    backend: ParallelEVMBackend,
) -> None:
    burner = deploy(backend, "fe")
    while backend.get_base_fee("pending") <= 10**9:
        transfer(backend, to=burner, value=0, gas=30_000_000)
        backend.mine_blocks()
    transfer(backend)
    backend.mine_blocks()
    assert len(mined(backend)) == 1


# -------------------------------------------------------------------- snapshots


def test_a_revert_takes_back_blocks_and_brings_back_the_queue(backend: ParallelEVMBackend) -> None:
    early = transfer(backend)
    backend.mine_blocks()
    queued = transfer(backend)
    snapshot = backend.take_snapshot()
    backend.mine_blocks()
    late = transfer(backend)
    backend.mine_blocks(3)
    assert backend.get_transaction_receipt(late)["status"] == 1

    backend.revert_to_snapshot(snapshot)
    assert backend.get_block_by_number("latest")["number"] == 1
    assert backend.get_balance(SINK) == 1
    assert backend.get_transaction_receipt(early)["block_number"] == 1
    with pytest.raises(TransactionNotFound):
        backend.get_transaction_by_hash(late)
    with pytest.raises(BlockNotFound):
        backend.get_block_by_number(2)
    assert backend.get_transaction_by_hash(queued)["block_hash"] is None
    assert backend.get_nonce(backend.get_accounts()[0], "pending") == 2

    backend.mine_blocks()
    assert mined(backend) == [queued]
    assert backend.get_balance(SINK) == 2


def test_a_revert_to_the_same_block_takes_back_what_was_sent_since(
    backend: ParallelEVMBackend,
) -> None:
    first = transfer(backend, 0)
    snapshot = backend.take_snapshot()
    transfer(backend, 1)
    backend.revert_to_snapshot(snapshot)
    assert mined(backend, "pending") == [first]
    backend.mine_blocks()
    assert mined(backend) == [first]


def test_restore_forgets_what_was_sent_since(backend: ParallelEVMBackend) -> None:
    account = backend.get_accounts()[0]
    first = transfer(backend)
    snapshot = backend.take_snapshot()
    second = transfer(backend)
    backend.restore(snapshot)
    with pytest.raises(TransactionNotFound):
        backend.get_transaction_by_hash(second)
    assert backend.get_nonce(account, "pending") == 1
    backend.mine_blocks()
    assert mined(backend) == [first]


def test_one_can_go_back_and_forth_between_branches(backend: ParallelEVMBackend) -> None:
    trunk = backend.take_snapshot()
    branches = []
    for account in range(3):
        backend.revert_to_snapshot(trunk)
        keys = [transfer(backend, account, value=account + 1) for _ in range(4)]
        backend.mine_blocks()
        branches.append((backend.take_snapshot(), keys, 4 * (account + 1)))
    for snapshot, keys, balance in [*branches, *branches[::-1]]:
        backend.revert_to_snapshot(snapshot)
        assert backend.get_balance(SINK) == balance
        assert mined(backend) == keys
        assert [backend.get_transaction_receipt(key)["status"] for key in keys] == [1] * 4
        others = {key for _, branch, _ in branches for key in branch} - set(keys)
        for key in others:
            with pytest.raises(TransactionNotFound):
                backend.get_transaction_receipt(key)


def test_reset_goes_back_to_the_genesis_that_was_asked_for() -> None:
    backend = ParallelEVMBackend(mnemonic="test " * 11 + "junk", num_accounts=3)
    accounts, genesis = backend.get_accounts(), backend.get_block_by_number(0)["state_root"]
    assert len(accounts) == 3
    transfer(backend)
    backend.mine_blocks()
    transfer(backend)
    backend.reset_to_genesis()
    assert backend.get_accounts() == accounts
    assert backend.get_block_by_number("latest")["state_root"] == genesis
    assert len(backend.queue) == len(backend.reports) == 0


# -------------------------------------------------------------------- the pending block


def test_the_pending_block_has_what_is_queued(backend: ParallelEVMBackend) -> None:
    counter = deploy(backend, "5f5460010180805f555f5260205ff3")  # increments slot 0, returns it
    account = backend.get_accounts()[0]
    keys = [transfer(backend, i, to=counter, value=0, gas=100_000) for i in (0, 1, 0)]
    reports = len(backend.reports)

    pending = backend.get_block_by_number("pending")
    assert [transaction["hash"] for transaction in pending["transactions"]] == keys
    assert pending["gas_used"] == backend.get_transaction_receipt(keys[-1])["cumulative_gas_used"]
    assert pending["number"] == 2
    receipt = backend.get_transaction_receipt(keys[1])
    assert receipt["status"] == 1
    assert receipt["block_number"] is None
    assert backend.get_storage(counter, 0, "pending") == 3
    assert backend.get_storage(counter, 0) == 0
    assert backend.get_balance(account, "pending") < backend.get_balance(account)
    assert backend.get_nonce(account, "pending") == backend.get_nonce(account) + 2
    call = {"from": account, "to": counter, "data": b""}
    assert int.from_bytes(backend.call(call, "pending")) == 4
    assert int.from_bytes(backend.call(call)) == 1
    # Setting a slot costs less if it is not zero before.
    assert backend.estimate_gas(call, "pending") < backend.estimate_gas(call) - 10_000
    assert len(backend.reports) == reports

    backend.mine_blocks()
    assert mined(backend) == keys
    assert backend.get_storage(counter, 0) == 3


def test_an_empty_pending_block(backend: ParallelEVMBackend) -> None:
    transfer(backend)
    backend.mine_blocks()
    pending = backend.get_block_by_number("pending")
    assert pending["transactions"] == []
    assert pending["parent_hash"] == backend.get_block_by_number("latest")["hash"]
    assert backend.get_balance(SINK, "pending") == 1


def test_time_travel_leaves_the_queue_alone(backend: ParallelEVMBackend) -> None:
    key = transfer(backend)
    arrival = backend.get_block_by_number("pending")["timestamp"] + 10_000
    backend.time_travel(arrival)
    assert mined(backend) == []
    backend.mine_blocks()
    assert mined(backend) == [key]
    assert backend.get_block_by_number("latest")["timestamp"] == arrival


def test_a_failed_call_says_why(backend: ParallelEVMBackend) -> None:
    invalid = deploy(backend, "fe")
    call = {"from": backend.get_accounts()[0], "to": invalid, "data": b""}
    for attempt in (backend.call, backend.estimate_gas):
        with pytest.raises(Exception, match="Invalid opcode 0xfe"):
            attempt(call)
    with pytest.raises(BlockNotFound, match="No block found for block number: 99"):
        backend.call(call, 99)


# -------------------------------------------------------------------- eth-tester's own queue


def test_ethereum_tester_can_queue_several_of_one_sender(sign: Signer) -> None:
    tester = EthereumTester(ParallelEVMBackend(), auto_mine_transactions=False)
    account, other = tester.get_accounts()[:2]
    unsigned = {"from": account, "to": other, "gas": 21_000, "value": 1}
    sent = [tester.send_transaction(unsigned) for _ in range(3)]
    typed = {"type": 2, "maxFeePerGas": 10**9, "maxPriorityFeePerGas": 1}
    sent += [tester.send_raw_transaction(sign(tester, 0, nonce, **typed)) for nonce in (3, 4)]
    assert tester.get_nonce(account, "pending") == 5
    with pytest.raises(ValidationError, match="Expected 5, but got 7"):
        tester.send_transaction({**unsigned, "nonce": 7})
    tester.mine_block()
    assert tester.get_block_by_number("latest")["transactions"] == list(sent)


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(ValueError, match="workers"):
        ParallelEVMBackend(workers=0)


def test_an_account_that_was_added_can_send(backend: ParallelEVMBackend) -> None:
    backend.add_account(decode_hex("0x" + "77" * 32))
    newcomer = backend.get_accounts()[-1]
    transfer(backend, to=newcomer, value=ETHER)
    with pytest.raises(ValidationError):
        transfer(backend, 10)
    backend.mine_blocks()
    transfer(backend, 10)
    backend.mine_blocks()
    assert backend.get_nonce(newcomer) == 1


def test_parameters_come_in_the_order_that_eth_tester_has() -> None:
    parameters = PyEVMBackend.generate_genesis_params({"gas_limit": 10**8})
    state = PyEVMBackend.generate_genesis_state(num_accounts=3)
    stock, ours = [
        backend(parameters, state, ((0, ShanghaiVM),))
        for backend in (PyEVMBackend, ParallelEVMBackend)
    ]
    assert ours.get_accounts() == stock.get_accounts()
    assert ours.get_block_by_number(0)["hash"] == stock.get_block_by_number(0)["hash"]


def test_another_genesis() -> None:
    backend = ParallelEVMBackend(num_accounts=4)
    parameters = PyEVMBackend.generate_genesis_params({"gas_limit": 10**8})
    for _ in range(2):
        backend.reset_to_genesis(parameters, None, 5)
        assert backend.get_block_by_number(0)["gas_limit"] == 10**8
        backend.reset_to_genesis()
        assert len(backend.get_accounts()) == 5


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"config": {}}, "config must be a ParallelConfig, not dict"),
        ({"num_accounts": 0}, "num_accounts must be an integer of at least 1, not 0"),
        ({"num_accounts": "3"}, "num_accounts must be an integer of at least 1, not '3'"),
        (
            {
                "genesis_state": PyEVMBackend.generate_genesis_state(num_accounts=3),
                "num_accounts": 5,
            },
            "num_accounts is 5, but genesis_state has 3 accounts",
        ),
    ],
)
def test_impossible_values_are_named(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        ParallelEVMBackend(**options)
