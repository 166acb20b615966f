"""The BlockchainTests of ethereum/tests: chains of blocks with what must become of each.

Format and networks are those of https://ethereum-tests.readthedocs.io (BlockchainTests) and of
py-evm's own fixture helpers. To be read in this order: `results` (what is said of a case),
`discovery` (which cases there are), `networks` and `case` (a case in py-evm's terms), `judge` (one
case, run), `run` (all of them). Nothing here prints, or knows how a subject works.
"""
