#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# infiniswapctl donor against a socket that answers as infiniswapd does, or not.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/ctl.sh
. "$here/../lib/ctl.sh"

export INFINISWAP_SOCKET=$scratch/socket

# ---- helpers ----------------------------------------------------------------

# answer_with TEXT - one caller gets TEXT; what it asked is in $scratch/asked.
answer_with()
{
	rm -f "$INFINISWAP_SOCKET"
	/usr/bin/python3 - "$INFINISWAP_SOCKET" "$scratch/asked" "$1" <<-'END'
		import os, socket, sys
		server = socket.socket(socket.AF_UNIX)
		server.settimeout(20)
		server.bind(sys.argv[1])
		server.listen()
		if os.fork():
		    sys.exit()    # the socket is there
		for fd in range(3):
		    os.dup2(os.open(os.devnull, os.O_RDWR), fd)
		caller = server.accept()[0]
		with open(sys.argv[2], "wb") as f:
		    f.write(caller.recv(100))
		caller.sendall(sys.argv[3].encode())
	END
}

# answer_nothing ROOM - nobody takes callers; so many of them may wait, and the
# first is there. Ends with the script.
answer_nothing()
{
	rm -f "$INFINISWAP_SOCKET"
	/usr/bin/python3 - "$INFINISWAP_SOCKET" "$1" <<-'END' >/dev/null 2>&1 &
		import os, signal, socket, sys
		server = socket.socket(socket.AF_UNIX)
		server.bind(sys.argv[1] + ".new")
		server.listen(int(sys.argv[2]) - 1)
		caller = socket.socket(socket.AF_UNIX)
		caller.connect(sys.argv[1] + ".new")
		os.rename(sys.argv[1] + ".new", sys.argv[1])
		signal.alarm(60)
		signal.pause()
	END
	silent=$!
	until [ -S "$INFINISWAP_SOCKET" ]; do kill -0 "$silent"; done
}

# ---- tests ------------------------------------------------------------------

test_status_is_one_row()
{
	answer_with '{"status":[{"pressure":"some","available":1048576,"granted":67108864}]}'
	ctl 0 donor -n -r -o PRESSURE,AVAILABLE,GRANTED
	equal "$(cat "$scratch/asked")" status
	equal "$out" "some 1M 64M"
}

test_clients_have_a_row_each()
{
	answer_with '{"clients":[{"client":"aa","session":true,"grants":3},{"client":"bb","session":false,"grants":0}]}'
	ctl 0 donor clients -n -r -o CLIENT,SESSION,GRANTS
	equal "$(cat "$scratch/asked")" clients
	equal "$out" $'aa yes 3\nbb no 0'
}

test_evictions_are_json_for_programs()
{
	answer_with '{"evictions":[{"reason":"headroom","evicted":2,"bytes":2097152}]}'
	ctl 0 donor evictions --json -o REASON,SIZE
	equal "$(/usr/bin/python3 -c 'import json, sys
print(json.load(sys.stdin)["evictions"][0]["size"])' <<<"$out")" 2097152
}

test_drain_asks_for_it_and_is_quiet()
{
	answer_with '{"draining":true}'
	ctl 0 donor drain
	equal "$(cat "$scratch/asked")" drain
	equal "$out" ""
}

test_drain_has_help_like_all()
{
	ctl 0 donor drain --help
	has "$out" "Usage: infiniswapctl donor"
	ctl 2 donor drain --bogus
	has "$err" "infiniswapctl: donor: unrecognized option '--bogus'"
}

test_drain_that_is_not_begun_is_an_error()
{
	answer_with '{"error":"no such request"}'
	ctl 1 donor drain
	has "$err" "does not drain"
}

test_no_daemon_is_said_with_the_socket()
{
	rm -f "$INFINISWAP_SOCKET"
	ctl 1 donor
	has "$err" "$INFINISWAP_SOCKET: No such file or directory: is infiniswapd running?"
}

test_an_answer_that_is_none_is_an_error()
{
	answer_with 'hello'
	ctl 1 donor
	has "$err" "not an answer of infiniswapd"
	answer_with ''
	ctl 1 donor clients
	has "$err" "not an answer of infiniswapd"
}

# hangs ROOM - the tool says so, soon, of a daemon that takes no callers
hangs()
{
	answer_nothing "$1"
	printf '#!/bin/sh\nexec timeout 20 %s "$@"\n' "$ctl" >"$scratch/limited"
	chmod +x "$scratch/limited"
	ctl=$scratch/limited
	ctl 1 donor
	kill "$silent"
	has "$err" "$INFINISWAP_SOCKET: infiniswapd has not answered in 5 s"
}

test_a_daemon_that_hangs_is_said_after_a_time_limit()
{
	hangs 2
}

test_a_daemon_that_hangs_with_callers_waiting_is_said_too()
{
	hangs 1
}

test_wrong_words_are_usage()
{
	ctl 2 donor nonsense
	has "$err" "nonsense: not status, clients, evictions or drain"
	ctl 2 donor drain now
	ctl 2 donor clients twice
	ctl 2 donor -o NOSUCH
	has "$err" "NOSUCH: no such column"
}

ktap_main
