"""Weights learn the user's place, from ground that was reviewed, and say whether it helped.

A file for each step: ground (:mod:`hanet.adaptation.ground`), its split by place
(:mod:`hanet.adaptation.blocks`), the rungs of the ladder from cheap to dear, and after each the
verdict on ground that nothing else has seen (:mod:`hanet.adaptation.verdict`). Importing it loads
no torch.
"""
