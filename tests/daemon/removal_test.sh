#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=300
# debug=no: it is about the daemon, and donors run Debian's kernel there
#
# A donor's RDMA device is removed under the daemon. The kernel's removal waits for
# every process that has the device open, and once the daemon never let go of it:
# "rdma link del" hung until the daemon ended.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"

# link_del - remove the donor's device; succeeds once that has returned
link_del()
{
	lab_run donor1 'rm -f /run/del; (rdma link del rxe0; echo $? >/run/del) >/dev/null 2>&1 &'
	wait_for 20 lab_run donor1 test -s /run/del
	[ "$(lab_run donor1 cat /run/del)" = 0 ] || fail "rdma link del failed"
}

link_add()
{
	lab_run donor1 /lab/bin/node-up
}

daemon_pid()
{
	lab_run donor1 pidof infiniswapd
}

daemon_log()
{
	lab_run donor1 tail -n 12 /var/log/infiniswapd.log
}

# daemon_anew [VARIABLE=VALUE] COMMAND… - donor1's ends, and one is started so
daemon_anew()
{
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run donor1 'kill $(pidof infiniswapd); while pidof infiniswapd >/dev/null; do sleep 0.1; done'
	lab_run donor1 rm -f /var/log/infiniswapd.log
	lab_run donor1 env PATH=/lab/bin:/bin:/sbin:/usr/bin:/usr/sbin "$@"
}

# header_is_there - on donor1, past the page cache, which has it since mkswap
header_is_there()
{
	lab_run client 'dd if=/dev/infiniswap0 bs=4096 count=1 iflag=direct status=none | tail -c 10' |
		grep -q SWAPSPACE2
}

gcc -std=gnu11 -D_GNU_SOURCE -O2 -shared -fPIC -o "$scratch/failreg.so" "$ISW_TOP/tests/daemon/preload/failreg.c" -ldl
lab_up --donors 1 --daemon-args="--slab_size=16M"
lab put donor1 "$scratch/failreg.so" /tmp
pid=$(daemon_pid)

test_removal_returns_with_a_session_and_grants()
{
	lab swap on --size 64M --slab-size 16M donor_loss_timeout=120
	lab_run client 'grep -q . /sys/block/infiniswap0/infiniswap/donors/donor1/state'
	link_del || { daemon_log; fail "it hangs"; }
	[ "$(daemon_pid)" = "$pid" ] || fail "the daemon ended"
}

test_client_resumes_when_the_device_is_back_and_loses_nothing()
{
	link_add
	wait_for 60 lab_counter_is client donors/donor1/state live || { daemon_log; exit 1; }
	header_is_there
	lab swap off
	lab_run client rmmod infiniswap
}

test_removal_returns_with_nobody_connected()
{
	link_del || { daemon_log; fail "it hangs"; }
	link_add
	[ "$(daemon_pid)" = "$pid" ] || fail "the daemon ended"
	lab swap on --size 64M --slab-size 16M
	lab swap off
}

test_daemon_bound_to_an_address_listens_again()
{
	daemon_anew daemon-up --slab_size=16M --bind=10.7.0.101
	pid=$(daemon_pid)
	lab swap on --size 64M --slab-size 16M
	lab swap off
	link_del || { daemon_log; fail "it hangs"; }
	link_add
	wait_for 20 lab_run donor1 'rdma resource show cm_id | grep -q "state LISTEN .*:9400"' ||
		{ daemon_log; exit 1; }
	[ "$(daemon_pid)" = "$pid" ] || fail "the daemon ended"
	lab swap on --size 64M --slab-size 16M
	lab swap off
}

# resume_with FILE - a client's session is resumed while FILE is there, see failreg.c
resume_with()
{
	daemon_anew LD_PRELOAD=/tmp/failreg.so daemon-up --slab_size=16M
	lab swap on --size 64M --slab-size 16M donor_loss_timeout=120
	lab_run donor1 touch "$1"
	link_del
	link_add
	wait_for 60 lab_counter_is client donors/donor1/state live || { daemon_log; exit 1; }
}

# The memory of a grant that cannot be registered is intact; it went with the key.
test_registration_that_fails_at_a_resume_costs_no_page()
{
	resume_with /run/fail-registration
	lab_run donor1 'grep "cannot register 16 MiB: Cannot allocate memory" /var/log/infiniswapd.log
		! grep "is lost" /var/log/infiniswapd.log'
	header_is_there
	lab swap off
}

# One that never works may not keep the client away for ever.
test_grant_that_can_not_be_registered_is_given_up_in_the_end()
{
	resume_with /run/fail-registrations
	lab_run donor1 'rm /run/fail-registrations; grep "is lost: Cannot allocate memory" /var/log/infiniswapd.log'
	# all of them together, not each
	[ "$(lab_run donor1 grep -c 'session lost: a grant cannot be registered' /var/log/infiniswapd.log)" -le 5 ]
	lab swap off
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
