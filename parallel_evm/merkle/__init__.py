"""Merkle Patricia tries in bulk (yellow paper, appendix D), and the values that they hold.

Responsible for: state, storage, transaction, receipt and withdrawal roots, each touched node
encoded and hashed once per batch.
Talks to: nobody but a function that gives a node for its hash.
Never: writes, except for `account_db`, whose `persist` is the one place where a block is stored.
"""
