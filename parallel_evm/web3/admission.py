"""May this transaction wait? The checks that py-evm makes before it runs a transaction.

Responsible for: refusing, when it is sent, a transaction that the next block could not take.
Talks to: a VM of the chain, on a state of its own that is never stored.
Never: runs a transaction, and never writes to the chain.

The checks are py-evm's, called one by one on a state in which everything that waits already has its
nonce, its gas at the price of the next block, and its value taken: so a sender's next transaction
is checked as if the ones before it had been mined, with all of their gas used. What they might
receive is not counted, as on any node. What is refused here raises what py-evm raises.
"""

from __future__ import annotations

from eth.abc import MiningChainAPI, SignedTransactionAPI
from eth.vm.forks.cancun.state import get_total_blob_gas
from eth_typing import Address
from eth_utils.exceptions import ValidationError

from parallel_evm.web3.packing import max_blob_gas


class Admission:
    """Checks against one head: the chain's pending header and what has been admitted on it."""

    def __init__(self, chain: MiningChainAPI) -> None:
        self.header = chain.header
        self._chain_id = chain.chain_id
        self._vm = chain.get_vm(chain.header)
        self._state = self._vm.state
        self._costs: dict[tuple[Address, int], int] = {}

    def next_nonce(self, account: Address) -> int:
        """The nonce of the account after everything that was admitted."""
        return self._state.get_nonce(account)

    def admit(self, transaction: SignedTransactionAPI) -> None:
        """Reserve the transaction's nonce and funds, in place of an admitted one with its nonce.

        Raises `eth_utils.ValidationError`, or whatever else py-evm raises for such a transaction
        (EIP-3860: ``OutOfGas``), and then leaves everything as it was.
        """
        self._require_chain_id(transaction)
        self._require_blob_room(transaction)
        self._vm.validate_transaction_against_header(self.header, transaction)
        transaction.validate()

        sender, state = transaction.sender, self._state
        slot = sender, transaction.nonce
        next_nonce = state.get_nonce(sender)
        snapshot = state.snapshot()
        try:
            if slot in self._costs:
                state.delta_balance(sender, self._costs[slot])
                state.set_nonce(sender, transaction.nonce)
            funds = state.get_balance(sender)
            self._prepare(transaction)
            cost = funds - state.get_balance(sender)
            if slot in self._costs:
                state.set_nonce(sender, next_nonce)
        except Exception:
            state.revert(snapshot)
            raise
        state.commit(snapshot)
        self._costs[slot] = cost

    def _prepare(self, transaction: SignedTransactionAPI) -> None:
        """All that py-evm does with a transaction before the EVM starts, and the value paid."""
        state = self._state
        state.validate_transaction(transaction)
        message = state.get_transaction_executor().build_evm_message(transaction)
        if message.is_create:
            # Forks before Spurious Dragon limit no creation code and have no such check.
            check = getattr(state.computation_class, "validate_create_message", None)
            if check is not None:
                check(message)
        state.delta_balance(transaction.sender, -transaction.value)

    def _require_chain_id(self, transaction: SignedTransactionAPI) -> None:
        chain_id = transaction.chain_id
        if chain_id is not None and chain_id != self._chain_id:
            raise ValidationError(
                f"Transaction is signed for chain {chain_id}, but this is chain {self._chain_id}"
            )

    def _require_blob_room(self, transaction: SignedTransactionAPI) -> None:
        # py-evm has this rule for whole blocks only.
        blob_gas, limit = get_total_blob_gas(transaction), max_blob_gas(self._vm)
        if blob_gas > limit:
            raise ValidationError(
                f"Transaction exceeds blob gas limit: using {blob_gas}, but limit is {limit}"
            )
