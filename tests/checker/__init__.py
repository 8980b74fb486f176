"""The checker: judges a run from what it left behind, and shares no code with the product.

It reads the history of the load, the database, the gateway's ledger, what an observer saw meanwhile and the logs, folds the events by
its own rules and says of every promise whether it was kept. Python: `judging.judge(evidence, expect=...)`; a shell:
`python -m tests.checker --help`; the observer: `python -m tests.checker.watch --help`. `test_golden.py` shows that each promise can be
found broken.
"""
