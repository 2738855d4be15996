# SPDX-License-Identifier: GPL-2.0-only
"""The results as Markdown."""

from .arms import BASELINE
from .measure import IDLE_SECONDS
from .markdown import table
from .split import CLIENT, DONOR, DONOR_USER

# Arm, operation, and the most that it may have of what the baseline has, by RoCE's MTU.
_TARGETS = (
    ("none", "page-in", {4096: 0.45, 1024: 0.55}),
    ("none", "page-out", {4096: 0.50, 1024: 0.58}),
    ("none", "reclaim-scattered", {4096: 0.50, 1024: 0.58}),
    ("mirror", "page-out", {4096: 0.85, 1024: 1.05}),
    ("mirror", "reclaim-scattered", {4096: 0.85, 1024: 1.05}),
    ("none", "reclaim-merged", {4096: 1.0}),
    ("mirror", "reclaim-merged", {4096: 2.0}),
)
_INTEGRITY_TARGET = 0.08    # of the client's instructions


def _cost(results, arm, mtu, operation):
    return results.get((arm, mtu), {}).get(operation, {}).get("instructions")


def _ratio(results, arm, mtu, operation):
    ours, baseline = (_cost(results, name, mtu, operation) for name in (arm, BASELINE))
    return ours / baseline if ours and baseline else None


def _cell(results, arm, mtu, operation):
    result = results[arm, mtu]
    if "failed" in result:
        return "failed"
    if operation not in result:
        return "-"
    ratio = _ratio(results, arm, mtu, operation)
    text = f"{result[operation]['instructions']:,.0f}"
    if "merged" in operation:
        text += f" at {result[operation]['pages_per_request']:.1f}"
    return text + (f" ({ratio:.2f}x)" if ratio and arm != BASELINE else "")


def _costs(results, mtu, operations):
    arms = [arm for arm, at in results if at == mtu]
    rows = [[arm] + [_cell(results, arm, mtu, operation) for operation in operations]
            for arm in arms]
    return table(["arm", *operations], rows)


def _targets(results):
    for arm, operation, limits in _TARGETS:
        for mtu, limit in limits.items():
            ratio = _ratio(results, arm, mtu, operation)
            if ratio:
                yield [f"{arm}: {operation}, MTU {mtu}", f"{limit:.2f}x", f"{ratio:.2f}x",
                       "yes" if ratio <= limit else f"no, {ratio / limit - 1:.0%} above"]


def _integrity(results):
    """The checksums' cost, as a part of what the client does without them."""
    for mtu in sorted({mtu for _, mtu in results}, reverse=True):
        for operation in ("page-in", "page-out"):
            on, off = (_cost(results, arm, mtu, operation)
                       for arm in ("none", "no-integrity"))
            profile = results.get(("none", mtu), {}).get("split", {}).get(operation)
            if on and off and profile:
                part = (on - off) / (profile["sides"][CLIENT] - (on - off))
                yield [f"integrity: {operation}, MTU {mtu}", f"{_INTEGRITY_TARGET:.1%}",
                       f"{part:.1%}", "yes" if part <= _INTEGRITY_TARGET else "no"]


def _splits(results):
    for (arm, mtu), result in results.items():
        for operation, profile in result.get("split", {}).items():
            sides = profile["sides"]
            yield [f"{arm}: {operation}, MTU {mtu}",
                   *(f"{sides[side]:,.0f}" for side in (CLIENT, DONOR, DONOR_USER)),
                   f"{result[operation]['daemon']:.0f}"]


def _functions(results, most=20):
    for (arm, mtu), result in results.items():
        for operation, profile in result.get("split", {}).items():
            rows = [[f"`{name}`", side, f"{count:,.0f}"]
                    for side, name, count in profile["functions"][:most]]
            yield (f"### {arm}: {operation}, MTU {mtu}: functions, without what they call\n\n"
                   + table(["function", "side", "instructions"], rows))


def _idle(results):
    for (arm, mtu), result in results.items():
        if "idle" in result:
            hour = result["idle"]["instructions"] * 3600 / IDLE_SECONDS
            yield [f"{arm}, MTU {mtu}", f"{hour / 1e6:,.0f}",
                   f"{result['idle']['daemon'] * 3600 / IDLE_SECONDS / 1e6:,.0f}"]


def _failures(results):
    return [f"- {arm}, MTU {mtu}: {result['failed']}" for (arm, mtu), result in results.items()
            if "failed" in result]


def render(results, operations):
    paging = [operation for operation in operations if operation != "idle"]
    parts = []
    for mtu in dict.fromkeys(mtu for _, mtu in results):
        parts.append(f"## Instructions for each 4 KiB page, MTU {mtu}\n\n"
                     + _costs(results, mtu, paging))
    spread = [result[operation]["spread"] for result in results.values()
              for operation in paging if operation in result]
    if spread:
        parts.append(f"Largest spread of repeats: {max(spread):.1%} of their median.")
    for title, head, rows in (
            ("Targets", ["what", "at most", "measured", "reached"],
             [*_targets(results), *_integrity(results)]),
            ("Whose they are", ["what", CLIENT, DONOR, DONOR_USER, "infiniswapd ran, ns"],
             list(_splits(results))),
            ("An idle hour, millions of instructions", ["arm", "all", "infiniswapd"],
             list(_idle(results)))):
        if rows:
            parts.append(f"## {title}\n\n" + table(head, rows))
    parts += _functions(results)
    if _failures(results):
        parts.append("## Failed\n\n" + "\n".join(_failures(results)))
    return "\n\n".join(parts) + "\n"
