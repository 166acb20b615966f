"""What to run where, and whether what was run may stand.

`forecast` guesses which keys a transaction will touch, `lanes` lays conflicting transactions on
one worker in order, `independence` accepts whole lanes, `judge` single transactions. Only the last
two matter for correctness.
"""
