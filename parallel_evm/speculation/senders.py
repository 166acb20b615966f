"""Who sent a transaction: recovery of the address from the signature, once for all.

Responsible for: `recover_sender`, and for telling py-evm's transaction what was found.
Talks to: coincurve; `fields`; `signing`, for what was signed.
Never: decides what is no signature: py-evm's slower way has the last word.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from coincurve import PublicKey

from parallel_evm.hashing import keccak
from parallel_evm.speculation.fields import fields_of
from parallel_evm.speculation.signing import message_for_signing, signed_on_the_wire


def recover_sender(transaction: Any) -> bytes | None:
    """The sender, with the signature checked once for all; None when there is none.

    A sender that was found is remembered by the transaction (py-evm's own cache), and its
    signature check becomes a no-op: recovery succeeded, so the check would.
    """
    known = transaction.__dict__.get("sender")
    if known is None:
        try:
            known = _recover(transaction)
        except Exception:
            try:  # the slow way has the last word on what is no signature
                known = transaction.sender
            except Exception:
                return None
    remember_sender(transaction, known)
    return bytes(known)


def remember_sender(transaction: Any, sender: bytes) -> None:
    """Put a sender that was recovered elsewhere into the transaction."""
    for signed in (transaction, getattr(transaction, "_inner", None)):
        kind: Any = type(signed)
        if _is_py_evms(kind):
            known = vars(signed)
            known["sender"] = sender
            known["check_signature_validity"] = _checked


@lru_cache(maxsize=64)
def _is_py_evms(kind: type) -> bool:
    return kind.__module__.startswith("eth.vm.forks.")


def _checked() -> None:
    """Stands where py-evm would recover the signature a second time."""


def recover_encoded(encoded: bytes) -> bytes | None:
    """The sender of one of py-evm's own transactions since EIP-155, given as EIP-2718 has it; None
    where that is for others to say."""
    try:
        message, r, s, parity = signed_on_the_wire(encoded)
        return _address(keccak(message), r, s, parity)
    except Exception:
        return None


def _recover(transaction: Any) -> bytes:
    fields = fields_of(transaction)
    if fields is None:
        parity, r, s = transaction.y_parity, transaction.r, transaction.s
    else:
        parity = fields.v if fields.type_id else fields.signed.y_parity
        r, s = fields.r, fields.s
    if parity not in (0, 1):
        raise ValueError("not a recovery id")
    return _address(keccak(message_for_signing(transaction, fields)), r, s, parity)


def _address(digest: bytes, r: int, s: int, parity: int) -> bytes:
    """Whose signature of ``digest`` this is. Raises ValueError or OverflowError for none."""
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,))
    key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    return keccak(key.format(compressed=False)[1:])[12:]
