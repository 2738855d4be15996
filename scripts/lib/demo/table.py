# SPDX-License-Identifier: GPL-2.0-only
"""The results side by side."""

_WIDTH = 34


def _get(result, *path):
    for key in path:
        result = result.get(key) if isinstance(result, dict) else None
    return result


def _number(value, digits=0):
    return "-" if value is None else f"{value:,.{digits}f}"


def _ms(value):
    return "-" if value is None else f"{value / 1000:.2f} ms"


def _right(result):
    verify = _get(result, "verify")
    if not verify:
        return "-"
    right = verify["done"] - verify["bad"] - verify["missing"]
    return f"{'all' if right == result['keys'] else f'{right:,} of'} {result['keys']:,}"


def _load(result):
    return "not held" if "iops" in result else _number(_get(result, "load", "per_s"))


def _latency(key, samples):
    """As a cell; a percentile of fewer reads than SAMPLES would say nothing."""
    def show(result):
        read = _get(result, "read")
        return _ms(read[key]) if read and read["done"] >= samples else "-"
    return show


def _slabs(result):
    slabs = _get(result, "slabs")
    return " + ".join(str(n) for n in slabs.values()) if slabs else "-"


def _ticks(result):
    ticks = _get(result, "stopped_ticks")
    return "-" if ticks is None else f"{ticks} ticks"


def _times(results):
    """As a cell: how many times an arm's random reads the first arm has."""
    ours = _get(results[0], "read", "per_s")

    def show(result):
        read = _get(result, "read")
        if not ours or not read:
            return "-"
        times = ours * read["seconds"] / max(read["done"], 1)
        more = "" if read["done"] else "over "      # not even one
        return more + (f"{times:.2f}x" if times < 10 else f"{times:,.0f}x")
    return show


def _rows(results):
    def row(title, show):
        return title, [show(result) for result in results]

    def counted(title, *path):
        return row(title, lambda result: _number(_get(result, *path)))

    yield row("", lambda result: result["arm"])
    yield row("outcome", lambda result: result["outcome"])
    yield row("values verified right", _right)
    yield row("load, values/s", _load)
    yield counted("verify in order, values/s", "verify", "per_s")
    yield row("random reads/s", lambda result: _number(_get(result, "read", "per_s"), 1))
    yield row(f"  {results[0]['arm']} has", _times(results))
    yield counted("  how many reads", "read", "done")
    yield row("  latency p50", _latency("p50_us", 5))
    yield row("  latency p99", _latency("p99_us", 500))
    yield row("  latency p99.9", _latency("p999_us", 2000))
    yield counted("  pages swapped in", "read", "pswpin")
    yield counted("  pages swapped out", "read", "pswpout")
    yield counted("reads/s, donors' daemons stopped", "stopped_read", "per_s")
    yield row("  their user-space CPU meanwhile", _ticks)
    yield row("slabs on donor1 + donor2", _slabs)
    yield counted("requests failed", "errors")


def render(results):
    """The table as text."""
    rows = list(_rows(results))
    widths = [max(len(cells[column]) for _, cells in rows) for column in range(len(results))]
    return "\n".join(f"{title:<{_WIDTH}}" + "".join(
        f"{cell:>{width + 2}}" for cell, width in zip(cells, widths)) for title, cells in rows)
