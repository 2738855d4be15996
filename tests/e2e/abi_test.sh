#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=300
#
# docs/ABI is what the kernel shows and nothing else, in both directions: files,
# their modes and values, defaults, and uevents.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

config=/sys/kernel/config/infiniswap

lab_up --donors 1 --client-mem 256M --daemon-args="--slab_size=1M"
lab_run client mkdir /tmp/ABI
lab put client "$ISW_TOP"/docs/ABI/* /tmp/ABI
lab put client "$here/guest/abi" "$here/guest/uevents" /tmp
# One that is switched on and was written to, and one that was just made.
lab_run client "infiniswapctl create --size 64M --slab-size 1M --redundancy none --donor donor1=10.7.0.101 &&
	yes | dd of=/dev/infiniswap0 bs=1M count=2 iflag=fullblock oflag=direct status=none &&
	mkdir $config/infiniswap1 $config/infiniswap1/donors/donor1"

abi()
{
	lab_run client python3 /tmp/abi "$1"
}

test_every_file_is_documented()
{
	abi documented
}

test_every_documented_file_is_there()
{
	abi there
}

test_modes_are_as_documented()
{
	abi modes
}

test_each_file_has_one_value_of_the_documented_kind()
{
	abi values
}

test_defaults_are_as_documented()
{
	abi defaults
}

# uevents LAST COMMAND - those that the client sees from COMMAND on until LAST
uevents()
{
	lab_run client "python3 /tmp/uevents 60 $1 >/tmp/uevents.log 2>&1 &"
	wait_for 20 lab_run client grep -q listening /tmp/uevents.log
	lab_run "${@:2}"
	wait_for 60 lab_run client grep -q "$1" /tmp/uevents.log || true
	lab_run client 'sed 1d /tmp/uevents.log'
}

# same EXPECTED SEEN
same()
{
	[ "$1" = "$2" ] || fail "expected:" "$1" "seen:" "$2"
}

test_uevents_of_a_session_that_breaks_and_comes_back()
{
	same "change disk donor-broken donor1"$'\n'"change disk donor-resumed donor1" \
		"$(uevents donor-resumed client \
			"echo donor1 control >/sys/kernel/debug/infiniswap/infiniswap0/qp_error")"
}

test_uevents_of_a_donor_that_is_lost()
{
	lab_run client "echo 1 >$config/infiniswap0/donor_loss_timeout"
	same "change disk donor-broken donor1"$'\n'"change disk donor-lost donor1" \
		"$(uevents donor-lost donor1 'kill -9 $(pidof infiniswapd)')"
}

# Those of the session that ends now are not sent to a disk that is gone.
test_power_off_with_a_lost_donor()
{
	lab_run client "infiniswapctl remove infiniswap0 && rmdir $config/infiniswap1/donors/donor1 \
		$config/infiniswap1 && rmmod infiniswap"
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
