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
    return f"{right:,} of {result['keys']:,}"


def _slabs(result):
    slabs = _get(result, "slabs")
    return " + ".join(str(n) for n in slabs.values()) if slabs else "-"


def _ticks(result):
    ticks = _get(result, "stopped_ticks")
    return "-" if ticks is None else f"{ticks} ticks"


def _ratio(results, path):
    """The first arm's value over the second's."""
    values = [_get(result, *path) for result in results]
    if len(values) != 2 or None in values or not values[1]:
        return ""
    return f"{values[0] / values[1]:.2f}x"


def _rows(results):
    def row(title, show, path=None):
        cells = [show(result) for result in results]
        return title, cells, _ratio(results, path) if path else ""

    def counted(title, *path, digits=0):
        return row(title, lambda result: _number(_get(result, *path), digits), path)

    def latency(title, key):
        return row(title, lambda result: _ms(_get(result, "read", key)), ("read", key))

    yield row("", lambda result: result["arm"])
    yield row("outcome", lambda result: result["outcome"])
    yield row("values verified right", _right)
    yield counted("load, values/s", "load", "per_s")
    yield counted("verify in order, values/s", "verify", "per_s")
    yield counted("random reads/s", "read", "per_s")
    yield latency("  latency p50", "p50_us")
    yield latency("  latency p99", "p99_us")
    yield latency("  latency p99.9", "p999_us")
    yield counted("  pages swapped in", "read", "pswpin")
    yield counted("  pages swapped out", "read", "pswpout")
    yield counted("reads/s, donors' daemons stopped", "stopped_read", "per_s")
    yield row("  their user-space CPU meanwhile", _ticks)
    yield row("slabs on donor1 + donor2", _slabs)
    yield counted("requests failed", "errors")


def render(results):
    """The table as text, ratios in the last column."""
    lines = []
    for title, cells, ratio in _rows(results):
        line = f"{title:<{_WIDTH}}" + "".join(f"{cell:>18}" for cell in cells)
        lines.append(f"{line}{ratio:>9}".rstrip())
    lines[0] += " ratio".rjust(9) if len(results) == 2 else ""
    return "\n".join(lines)
