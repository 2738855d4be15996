#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# graphwalk finds what a plain search through the same graph finds.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
graphwalk=${GRAPHWALK:-$here/../../build/tests/guest/graphwalk}
# shellcheck source=tests/lib/ktap.sh
. "$here/../lib/ktap.sh"

# result OPTION… - of a walk with these
result()
{
	"$graphwalk" "$@" | sed 's/.*"result": {\(.*\)}}/\1/'
}

# plain VERTICES SLOTS ZEROS WALKS VISITS SEED - the same in other words
plain()
{
	/usr/bin/python3 -S -c "
import sys
WORD = (1 << 64) - 1
def mix(x):
    for factor in 0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53:
        x = (x ^ x >> 33) * factor & WORD
    return x ^ x >> 33
vertices, slots, zeros, walks, visits, seed = map(int, sys.argv[1:])
graph, total = [], 0
for vertex in range(vertices):
    length = slots // 2 + mix(mix(seed) + vertex & WORD) % (slots + 1)
    start = mix((mix(seed) ^ WORD) + vertex & WORD)
    total += length
    graph.append([mix(start + i * 0x9e3779b97f4a7c15 & WORD) % vertices
                  for i in range(1, length * (100 - zeros) // 100 + 1)])
visited = edges = distances = checksum = 0
for walk in range(walks):
    source = mix(seed + walk) % vertices
    queue, distance = [source], {source: 0}
    for vertex in queue:
        if visited == (walk + 1) * visits:
            break
        visited += 1
        distances += distance[vertex]
        for following in graph[vertex]:
            edges += 1
            checksum = mix(checksum + (following + 1) * 0x9e3779b1 % (1 << 32) & WORD)
            if following not in distance:
                distance[following] = distance[vertex] + 1
                queue.append(following)
print(f'\"slots\": {total}, \"visited\": {visited}, \"edges\": {edges}, '
      f'\"distances\": {distances}, \"checksum\": {checksum}')" "$@"
}

is()
{
	[ "$1" = "$2" ] || fail "'$1', not '$2'"
}

test_walks_find_what_a_plain_search_finds()
{
	is "$(result -v 1000 -d 6 -n 3 -m 1000 -s 7)" "$(plain 1000 6 0 3 1000 7)"
}

test_walks_end_where_they_should()
{
	is "$(result -v 1000 -d 6 -n 3 -m 100 -s 7)" "$(plain 1000 6 0 3 100 7)"
}

test_empty_slots_are_no_successors()
{
	is "$(result -v 1000 -d 20 -Z 70 -n 3 -m 500 -s 7)" "$(plain 1000 20 70 3 500 7)"
}

test_another_seed_is_another_graph()
{
	[ "$(result -s 1 -v 1000)" != "$(result -s 2 -v 1000)" ] || fail "the same result"
}

ktap_main
