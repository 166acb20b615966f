"""Parallel execution of py-evm blocks."""
