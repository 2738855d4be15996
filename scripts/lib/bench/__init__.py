# SPDX-License-Identifier: GPL-2.0-only
"""scripts/bench: what swapping to remote memory costs, against what else could be used."""
