"""What to run where, and whether what was run may stand.

`forecast` guesses which keys a transaction will touch, `lanes` lays conflicting transactions on
one worker in order, `judge` decides. Only the judge matters for correctness.
"""
