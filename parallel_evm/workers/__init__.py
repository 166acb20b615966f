"""Where speculations run: one interface, several pools.

A pool lends a `Session` per block (`session`). Those of `local` run in this thread or in several,
that of `process` in worker processes reached through pipes. No pool ever writes chain state.
"""
