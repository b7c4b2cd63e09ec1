"""Weights learn the user's place, from ground that was reviewed, and say whether it helped.

:func:`hanet.adaptation.adapt.adapt` is the whole way in order, a file of this folder for each step:
ground (:mod:`hanet.adaptation.ground`), its split by place (:mod:`hanet.adaptation.blocks`), the
rungs from cheap to dear (:mod:`hanet.adaptation.ladder`), and after each the verdict on ground that
nothing else has seen (:mod:`hanet.adaptation.verdict`). Importing it loads no torch.
"""
