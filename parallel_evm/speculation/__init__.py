"""One transaction on a view of the state: what it observes, what it writes, how it ends.

A speculation is a pure function of the transaction, the block's context and the observed values.
Nothing here knows whether its result will be accepted.
"""
