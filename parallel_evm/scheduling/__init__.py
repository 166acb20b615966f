"""What to run where, and whether what was run may stand.

`pace` chooses the way that is fastest for a block. `forecast` guesses which keys a transaction will
touch, by what `templates` have learned of functions in terms of `expressions` (`learned`: the same
as JSON). `lanes` lays conflicting transactions on one worker in order, but for `hot` slots, which
need order nobody. `independence` accepts whole lanes, `judge` single transactions: only these two
matter for correctness.
"""
