"""Where speculations run: one interface, several pools.

A pool lends a `Session` per block. `serial` runs in this thread, `thread` in several, `process`
in worker processes reached through pipes. No pool ever writes chain state.
"""
