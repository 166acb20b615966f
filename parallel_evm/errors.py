"""Errors of our own. What a transaction or block does wrong is reported by py-evm's errors."""

from __future__ import annotations


class ParallelEVMError(Exception):
    """Base of every error that parallel-evm itself raises."""


class ConfigurationError(ParallelEVMError, ValueError):
    """A field of `ParallelConfig` has an impossible value, or a chain class is not configured for
    what is asked of it; the text names the field or the class."""


class PoolClosedError(ParallelEVMError, RuntimeError):
    """A block was given to a worker pool after it was closed."""


class WorkerLost(ParallelEVMError):
    """A worker process died, hung or answered nonsense. Blocks survive it; reports name it."""
