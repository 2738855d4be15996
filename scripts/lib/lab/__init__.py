# SPDX-License-Identifier: GPL-2.0-only
"""The lab: virtual machines with Soft-RoCE between them, and what they are made of."""


class LabError(Exception):
    """Something the user should read: names the thing, its value and the reason."""


class UsageError(LabError):
    """The command line asks for something that does not exist (exit status 2)."""
