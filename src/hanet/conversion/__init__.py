"""Old checkpoints into weights: the file is read, and nothing of it is ever run.

:mod:`hanet.conversion.convert` recognises whose checkpoint it is;
:mod:`hanet.conversion.inert_pickle` reads pickles without building anything that they name.
"""
