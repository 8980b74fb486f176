"""The checker: judges a run from what it left behind, and shares no code with the product.

It reads the history of the load, the database and the gateway's ledger, folds the events by its own rules and says of every promise
whether it was kept. `python -m tests.checker --help` runs it; `test_golden.py` shows that each promise can be found broken.
"""
