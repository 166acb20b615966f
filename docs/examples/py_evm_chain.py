"""A py-evm chain that executes its blocks in parallel, and a report of what happened."""

from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.vm.forks import CancunVM
from eth_keys import keys

from parallel_evm import BlockReport, ParallelConfig, close, parallelize

ETHER = 10**18
GWEI = 10**9


class MyChain(MiningChain):
    chain_id = 1337
    vm_configuration = ((0, CancunVM),)


def main() -> None:
    reports: list[BlockReport] = []
    Chain = parallelize(MyChain, config=ParallelConfig(workers=2, on_block=reports.append))

    senders = [keys.PrivateKey(bytes([i + 1]) * 32) for i in range(20)]
    genesis_state = {
        key.public_key.to_canonical_address(): {
            "balance": 10 * ETHER,
            "nonce": 0,
            "code": b"",
            "storage": {},
        }
        for key in senders
    }
    genesis = {"difficulty": 0, "gas_limit": 30_000_000}
    chain = Chain.from_genesis(AtomicDB(), genesis, genesis_state)

    payments = [
        chain.get_vm()
        .get_transaction_builder()
        .new_unsigned_dynamic_fee_transaction(
            chain_id=1337,
            nonce=0,
            max_priority_fee_per_gas=GWEI,
            max_fee_per_gas=10 * GWEI,
            gas=21_000,
            to=senders[(i + 1) % len(senders)].public_key.to_canonical_address(),
            value=ETHER,
            data=b"",
            access_list=[],
        )
        .as_signed_transaction(key)
        for i, key in enumerate(senders)
    ]
    result, receipts, _ = chain.mine_all(payments)

    report = reports[-1]
    print(f"block 0x{result.imported_block.hash.hex()}")
    print(f"{len(receipts)} receipts, {receipts[-1].gas_used} gas")
    print(f"{report.executions} executions, fallback: {report.fallback}")
    print(f"executed {report.choice}")


if __name__ == "__main__":
    main()
    close()
