# SPDX-License-Identifier: GPL-2.0-only
"""scripts/demo: redis on remote memory and on disks, one after the other."""
