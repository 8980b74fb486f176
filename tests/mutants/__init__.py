"""Seeded bugs: the suite is tested by breaking the product on purpose.

`catalogue.py` lists at least twenty deliberate bugs, each a few exact replacements of text. For each, a copy of the packages is changed in a
folder of its own, real processes of that copy run against a real PostgreSQL and the simulator under the fault that exposes the bug
(`runs*.py`), and the checker has to name one of the invariants that we expect. The same run of the unchanged packages has to be
valid, or the catch would prove nothing. `make mutants` prints the table; see `python -m tests.mutants --help`.
"""
