"""Review: a person looks at what was found, corrects and adds to it, and it is delivered.

:mod:`hanet.review.items` are what there is to look at, :mod:`hanet.review.state` what was decided,
and :mod:`hanet.review.journal` keeps every decision.
"""
