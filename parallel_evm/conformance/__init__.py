"""Conformance: is a block that runs in parallel the block that py-evm would have run?

The room holds the engines behind ``parallel-evm conform``, ``replay`` and ``fuzz``: ethereum/tests
blockchain tests, real blocks given as JSON, and random blocks. Each runs the same input through
stock py-evm and through a *subject* and returns plain results; nothing here prints.
"""
