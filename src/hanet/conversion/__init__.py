"""Released checkpoints into weights: the file is read, and nothing of it is ever run.

:mod:`hanet.conversion.convert` makes the weights; :mod:`hanet.conversion.network_in_file`
recognises whose checkpoint it is by :mod:`hanet.conversion.layouts`;
:mod:`hanet.conversion.inert_pickle` reads pickles without building anything that they name.
"""
