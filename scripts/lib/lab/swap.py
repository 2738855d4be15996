# SPDX-License-Identifier: GPL-2.0-only
"""`lab swap`: a client's swap device over the running donors, made and unmade."""

from . import LabError, UsageError, state
from .client import ask, capture

DEVICE = "infiniswap0"
_REDUNDANCIES = ("none", "backup", "mirror")
_DISK = "/dev/disk/by-id/virtio-lab-disk"   # the guest's own
_ON_TIMEOUT = 120
_OFF_TIMEOUT = 600      # all pages that are out come back


def on(options):
    """Configure the device, mkswap, swapon; the guest's script says what goes wrong."""
    if options.redundancy not in _REDUNDANCIES:
        raise UsageError(f"--redundancy {options.redundancy}: unknown"
                         f" (known: {', '.join(_REDUNDANCIES)})")
    scratch = state.require_running()
    config = state.read_config(scratch)
    client = state.require_node(config, options.client)
    if client["role"] != "client":
        raise UsageError(f"--client {options.client}: it is a donor")
    attributes = [f"size={options.size}", f"slab_size={options.slab_size}",
                  f"redundancy={options.redundancy}"]
    if options.redundancy == "backup" and not any(setting.startswith("backup=")
                                                  for setting in options.attributes):
        attributes.append(f"backup={_DISK}")
    for setting in options.attributes:
        name, equals, _ = setting.partition("=")
        if not equals or not name or "/" in name:
            raise UsageError(f"'{setting}': not ATTRIBUTE=VALUE")
        attributes.append(setting)
    donors = [f"{node['name']}={node['address']}" for node in _running_donors(options.donors)]
    _run(options.client, ["/lab/bin/swap-on", DEVICE, *attributes, "--", *donors], _ON_TIMEOUT)


def off(options):
    _run(options.client, ["/lab/bin/swap-off", DEVICE], _OFF_TIMEOUT)


def _running_donors(wanted):
    """The first WANTED donors that are up, or all of them."""
    nodes = ask("status")["nodes"]
    donors = [node for node in nodes if node["role"] == "donor" and node["state"] == "up"]
    if not donors:
        raise LabError("swap on: no donor is up")
    if wanted is None:
        return donors
    if not 1 <= wanted <= len(donors):
        raise LabError(f"swap on --donors {wanted}: {len(donors)} donors are up")
    return donors[:wanted]


def _run(client, argv, timeout):
    status, output = capture(client, argv, timeout)
    if status:
        raise LabError(f"{client}: {output.strip() or f'{argv[0]} ended with status {status}'}")
