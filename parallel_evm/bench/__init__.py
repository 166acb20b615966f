"""Measuring. Nothing here prints; `terminal` does.

`blocks`: workloads, against sequential py-evm. `mainnet`: recorded blocks, likewise. `single`:
calls, estimates and pending blocks, likewise. `peers`: another implementation on the workloads.
`timing`: what is timed of a block.
"""
