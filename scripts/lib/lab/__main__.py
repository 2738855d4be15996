# SPDX-License-Identifier: GPL-2.0-only
"""scripts/lab: the command line."""

import argparse
import os
import signal
import sys

from . import LabError, UsageError

_LAB_FAILED = 125       # of exec, when the command's own status is not known
_CHECKS_TIMEOUT = 120   # kmemleak reads all memory, twice


def parser():
    top = argparse.ArgumentParser(
        prog="scripts/lab",
        description="A cluster of virtual machines with Soft-RoCE between them.",
        epilog="LAB_NAME=X: another lab of the same checkout. LAB_ACCEL=kvm: where there is KVM. "
               "LAB_MEM_FACTOR=F: more memory for all guests. LAB_TIME_FACTOR=F: longer "
               "time limits. LAB_REPORTS=DIR: keep there what kernels reported. docs/lab.md "
               "tells more.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    up = verbs.add_parser("up", help="boot a client and donors")
    up.add_argument("--kernel", default=os.environ.get("LAB_KERNEL", "6.1"),
                    help="default: %(default)s, or what LAB_KERNEL says")
    up.add_argument("--donor-kernel", metavar="KERNEL",
                    help="of the donors; default: the same, or 6.1 with 6.1-debug")
    up.add_argument("--clients", type=int, default=1, metavar="N", help="default: %(default)s")
    up.add_argument("--donors", type=int, default=1, metavar="N", help="default: %(default)s")
    up.add_argument("--client-mem", default="256M", metavar="SIZE", help="default: %(default)s")
    up.add_argument("--donor-mem", default="512M", metavar="SIZE", help="default: %(default)s")
    up.add_argument("--cpus", type=int, default=1, metavar="N", help="of each node (1)")
    up.add_argument("--disk", default="1G", metavar="SIZE",
                    help="extra disk of each client, or none (default: %(default)s)")
    up.add_argument("--sysctl", action="append", default=[], metavar="NAME=VALUE",
                    help="on every node, repeatable; NAME= leaves it as the kernel has it"
                         " (default: vm.min_free_kbytes=8192)")
    up.add_argument("--daemon-args", "--donor-args", default="", metavar="ARGS",
                    help="for infiniswapd, as one word")
    up.add_argument("--no-daemon", dest="daemon", action="store_false",
                    help="do not start infiniswapd on the donors")
    up.add_argument("--icount", action="store_true",
                    help="one node alone (--donors 0), whose clock counts its instructions")
    up.add_argument("--counted", metavar="NODE",
                    help="of several: its clock counts its instructions while it is not idle")
    up.add_argument("--no-build", dest="build", action="store_false",
                    help="take the build as it is, do not run make")
    up.add_argument("--owner", type=int, metavar="PID", help="end the lab when this process ends")

    execute = verbs.add_parser("exec", help="run a command in a node")
    execute.add_argument("node", metavar="NODE")
    execute.add_argument("--timeout", type=float, default=60, metavar="S",
                         help="seconds, 0 for none (default: %(default)s)")
    execute.add_argument("command", nargs="+", metavar="COMMAND",
                         help="after --; a single word is a line for sh")

    put = verbs.add_parser("put", help="copy files into a directory of a node")
    put.add_argument("node", metavar="NODE")
    put.add_argument("files", nargs="+", metavar="FILE")
    put.add_argument("directory", metavar="DIR")

    get = verbs.add_parser("get", help="copy a file of a node into a directory")
    get.add_argument("node", metavar="NODE")
    get.add_argument("file", metavar="FILE")
    get.add_argument("directory", metavar="DIR")

    for verb, text in (("kill", "pull a node's plug"), ("start", "power a node on again"),
                       ("pause", "stop a node and its clock"), ("resume", "let it go on"),
                       ("heal", "undo a cut"), ("log", "print a node's console")):
        verbs.add_parser(verb, help=text).add_argument("node", metavar="NODE")
    cut = verbs.add_parser("cut", help="lose a node's frames")
    cut.add_argument("node", metavar="NODE")
    cut.add_argument("direction", nargs="?", choices=("in", "out", "both"), default="both",
                     help="those to it, those from it (default: both)")
    netem = verbs.add_parser("netem", help="make what a node sends late or lost, with tc")
    netem.add_argument("node", metavar="NODE")
    netem.add_argument("effect", nargs="+", metavar="EFFECT",
                       help="none, or netem's words: delay 20ms, loss 1%%, delay 5ms 1ms loss 1%%")
    disk = verbs.add_parser("disk", help="limit a client's extra disk")
    disk.add_argument("node", metavar="NODE")
    disk.add_argument("limit", nargs="+", metavar="LIMIT",
                      help="none, or iops N: requests a second, of any size")
    verbs.add_parser("check-logs", help="fail if a node's kernel reported a bug")

    swap = verbs.add_parser("swap", help="make or unmake a client's swap device")
    ways = swap.add_subparsers(dest="way", required=True, metavar="on|off")
    on = ways.add_parser("on", help="a device over the running donors, mkswap, swapon")
    on.add_argument("--size", default="2G", help="default: %(default)s")
    on.add_argument("--slab-size", default="64M", metavar="SIZE", help="default: %(default)s")
    on.add_argument("--redundancy", default="none", help="default: %(default)s")
    on.add_argument("--donors", type=int, metavar="N", help="the first N of them (all)")
    on.add_argument("attributes", nargs="*", metavar="ATTR=VALUE")
    off = ways.add_parser("off", help="swapoff, remove the device")
    for way in (on, off):
        way.add_argument("--client", default="client", metavar="NODE", help="(client)")

    verbs.add_parser("status", help="list the nodes").add_argument(
        "--json", action="store_true")
    verbs.add_parser("down", help="end everything")
    return top


def show_status(status, as_json=False):
    if as_json:
        import json
        print(json.dumps(status, indent=2))
        return
    print(f"{status['accel']}, broker {status['broker']}, scratch {status['scratch']}")
    width = max(len(node["release"]) for node in status["nodes"])
    print(f"{'NODE':<9} {'ADDRESS':<11} {'KERNEL':<{width}} {'MEMORY':>7} {'CPUS':>4}"
          f" {'PID':>7} {'BOOT':>6}  STATE")
    for node in status["nodes"]:
        answer = node["answer_seconds"]
        text = node["state"]
        if text == "up":
            text += ", no answer" if answer is None else f", answers in {answer * 1000:.0f} ms"
        if node["cut"]:
            text += f", cut {node['cut']}"
        if node["disk_iops"]:
            text += f", disk of {node['disk_iops']} iops"
        boot = f"{node['boot_seconds']:.1f} s" if node["boot_seconds"] is not None else "-"
        print(f"{node['name']:<9} {node['address']:<11} {node['release']:<{width}}"
              f" {node['memory_mib']:>5} M"
              f" {node['cpus']:>4} {node['pid'] or '-':>7} {boot:>6}  {text}")


def do_up(options):
    from .up import up
    options.accel = os.environ.get("LAB_ACCEL", "tcg")
    if options.accel not in ("tcg", "kvm"):
        raise UsageError(f"LAB_ACCEL={options.accel}: unknown (known: tcg, kvm)")
    show_status(up(options))


def do_exec(options):
    from .client import execute
    command = options.command
    if len(command) == 1:
        command = ["/bin/sh", "-c", command[0]]
    try:
        return execute(options.node, command, options.timeout)
    except LabError as error:
        print(f"lab: exec: {error}", file=sys.stderr)
        return _LAB_FAILED


def do_put(options):
    from .client import put
    put(options.node, options.files, options.directory)


def do_get(options):
    from .client import get
    get(options.node, options.file, options.directory)


def do_node(options):
    """The verbs that the broker does with one node and no more."""
    from .client import ask
    ask(options.verb, node=options.node)


do_kill = do_start = do_pause = do_resume = do_node


def do_cut(options):
    from .client import ask
    ask("cut", node=options.node, direction=options.direction)


def do_heal(options):
    from .client import ask
    ask("cut", node=options.node, direction=None)


def do_netem(options):
    from .client import capture
    status, output = capture(options.node, ["/lab/bin/netem", *options.effect], 30)
    if status:
        raise LabError(f"{options.node}: {output.strip()}")


def do_disk(options):
    from .client import ask
    ask("disk", node=options.node, iops=parse_iops(options.limit))


def parse_iops(words):
    """N of `iops N`, or None of `none`."""
    if words == ["none"]:
        return None
    if len(words) != 2 or words[0] != "iops" or not words[1].isdigit() or not int(words[1]):
        raise UsageError(f"disk limit '{' '.join(words)}': neither none nor iops and a whole"
                         " number from 1 on, which is what QEMU can do")
    return int(words[1])


def do_log(options):
    from . import logs, state
    scratch = state.require_running()
    state.require_node(state.read_config(scratch), options.node)
    print("\n".join(logs.read(scratch, options.node)))


def do_check_logs(_):
    from . import logs, state
    scratch = state.require_running()
    checks = ask_checks(scratch) if state.read_config(scratch)["debug"] else []
    found = checks + logs.check(scratch)
    for node, line in found:
        print(f"{node}: {line}")
    return 1 if found else 0


def ask_checks(scratch):
    """What clients' debug kernels do not say by themselves: leaks, and whether they still
    look for bugs. Donors have no kernel code of ours."""
    from . import logs
    from .client import ask, capture
    found = []
    for node in ask("status")["nodes"]:
        if node["state"] != "up" or node["role"] != "client":
            continue
        name = node["name"]
        status, output = capture(name, ["/lab/bin/debug-checks"], _CHECKS_TIMEOUT)
        if status:
            found.append((name, f"debug-checks: {output.strip() or f'status {status}'}"))
        else:
            logs.leaks_path(scratch, name).write_text(output)
    return found


def do_swap(options):
    from . import swap
    (swap.on if options.way == "on" else swap.off)(options)


def do_status(options):
    from .client import ask
    show_status(ask("status"), options.json)


def do_down(_):
    import time
    from . import state
    from .client import ask
    if not state.running():
        state.clean_stale()
        print("lab: no lab is up in this checkout", file=sys.stderr)
        return
    ask("down")
    end = time.monotonic() + 30
    # The lock is the broker's last: the next lab of this name needs it.
    while not (lock := state.try_lock(state.scratch())):
        if time.monotonic() > end:
            raise LabError("the broker did not end in 30 s")
        time.sleep(0.02)
    state.remove(state.scratch())
    lock.close()


def main():
    arguments = sys.argv[1:]
    # argparse would take options of the node's command for its own.
    command = None
    if arguments[:1] == ["exec"] and "--" in arguments:
        split = arguments.index("--")
        arguments, command = arguments[:split] + ["-"], arguments[split + 1:]
        if not command:
            raise UsageError("exec: which command?")
    options = parser().parse_args(arguments)
    if command:
        options.command = command
    # Ctrl-C and SIGTERM unwind alike, so that `up` ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return globals()["do_" + options.verb.replace("-", "_")](options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UsageError as failure:
        print(f"lab: {failure}", file=sys.stderr)
        sys.exit(2)
    except LabError as failure:
        print(f"lab: {failure}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)
