"""Review: a person looks at what was found, corrects and adds to it, and it is delivered.

:class:`hanet.review.review.Review` is everything that a person can do in a result folder. Under it,
from the disk upwards: :mod:`hanet.review.journal` keeps each decision, :mod:`hanet.review.state`
adds them up, :mod:`hanet.review.finding` finds what there is to look at, and
:mod:`hanet.review.view` lays the decisions over it.
"""
