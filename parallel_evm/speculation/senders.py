"""Who sent a transaction: recovery of the address from the signature, once for all.

Responsible for: `recover_sender`, and for telling py-evm's transaction what was found.
Talks to: `recovery`; `fields`; `signing`, for what was signed.
Never: decides what is no signature: py-evm's slower way has the last word.
"""

from __future__ import annotations

from typing import Any, Final

from parallel_evm.hashing import keccak
from parallel_evm.recovery import signature_of, signer
from parallel_evm.speculation.fields import STOCK_PAYLOADS, Fields, fields_of
from parallel_evm.speculation.signing import message_for_signing, signed_on_the_wire
from parallel_evm.speculation.stock import ALL_LEGACY_TRANSACTIONS, STOCK_TYPED_TRANSACTIONS

_PY_EVMS: Final = ALL_LEGACY_TRANSACTIONS | STOCK_TYPED_TRANSACTIONS | STOCK_PAYLOADS


def recover_sender(transaction: Any, fields: Fields | None = None) -> bytes | None:
    """The sender, with the signature checked once for all; None when there is none.

    ``fields``: the transaction's, where somebody has read them.
    A sender that was found is remembered by the transaction (py-evm's own cache), and its
    signature check becomes a no-op: recovery succeeded, so the check would.
    """
    known = transaction.__dict__.get("sender")
    if known is None:
        try:
            known = _recover(transaction, fields or fields_of(transaction))
        except Exception:
            try:  # the slow way has the last word on what is no signature
                known = transaction.sender
            except Exception:
                return None
    remember_sender(transaction, known)
    return bytes(known)


def remember_sender(transaction: Any, sender: bytes) -> None:
    """Put a sender that was recovered elsewhere into the transaction."""
    for signed in (transaction, vars(transaction).get("_inner")):
        if type(signed) in _PY_EVMS:
            known = vars(signed)
            known["sender"] = sender
            known["check_signature_validity"] = _checked


def _checked() -> None:
    """Stands where py-evm would recover the signature a second time."""


def recover_encoded(encoded: bytes) -> bytes | None:
    """The sender of one of py-evm's own transactions since EIP-155, given as EIP-2718 has it; None
    where that is for others to say."""
    try:
        message, r, s, parity = signed_on_the_wire(encoded)
        return signer(signature_of(r, s, parity), keccak(message))
    except Exception:
        return None


def _recover(transaction: Any, fields: Fields | None) -> bytes:
    if fields is None:
        parity, r, s = transaction.y_parity, transaction.r, transaction.s
    else:
        parity = fields.v if fields.type_id else fields.signed.y_parity
        r, s = fields.r, fields.s
    if parity not in (0, 1):
        raise ValueError("not a recovery id")
    digest = keccak(message_for_signing(transaction, fields))
    return signer(signature_of(r, s, parity), digest)
