# SPDX-License-Identifier: GPL-2.0-or-later
"""What the toolbox shows under hanet: one file an algorithm."""
