"""Read models as pure code: `(rows touched, facts) -> rows`.

No SQL and no clock here, so the projector, a rebuild and the check against a fold all run the same code. Rows and facts are handed
over: the fold changes the rows in place, as an accumulator, and gives back those that changed. What comes out depends only on the
order of the facts, never on how they are cut into batches.
"""
