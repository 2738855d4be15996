# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What can break between a client and its donors, in the lab: for each kind
# KIND_begin DONOR and KIND_end DONOR. Sourced after functions.sh. Each holds when
# begin returns; after end the donor is as it was, and the client is left to
# notice. donor_arguments is what daemons are started with.

donor_arguments=()

daemon_kill()
{
	# Only when it is gone, its address can be listened on again.
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run "$1" 'pid=$(pidof infiniswapd) && kill -9 $pid && while kill -0 $pid 2>/dev/null; do :; done'
}

# daemon_up DONOR [ARGUMENT…] - more than donor_arguments
daemon_up()
{
	local donor=$1

	shift
	lab_run "$donor" daemon-up "${donor_arguments[@]}" "$@"
}

daemon_begin()	{ daemon_kill "$1"; }
daemon_end()	{ daemon_up "$1"; }

power_begin()	{ lab kill "$1"; }
power_end()	{ lab start "$1"; }

freeze_begin()	{ lab pause "$1"; }
freeze_end()	{ lab resume "$1"; }

cut_in_begin()	{ lab cut "$1" in; }
cut_in_end()	{ lab heal "$1"; }
cut_out_begin()	{ lab cut "$1" out; }
cut_out_end()	{ lab heal "$1"; }
cut_begin()	{ lab cut "$1"; }
cut_end()	{ lab heal "$1"; }

# Another epoch at the same address, sooner than a sign of life is missed.
restart_begin()
{
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run "$1" 'pid=$(pidof infiniswapd) && kill -9 $pid && while kill -0 $pid 2>/dev/null; do :; done
		exec daemon-up '"${donor_arguments[*]}"
}

restart_end()	{ :; }

nic_begin()	{ lab_run "$1" rdma link del rxe0; }
nic_end()	{ lab_run "$1" rdma link add rxe0 type rxe netdev eth0; }

# It takes sessions, and lends nothing, or one slab of 1 MiB.
refuse_begin()
{
	daemon_kill "$1"
	daemon_up "$1" --memory=1M --prepare=0
}

refuse_end()
{
	daemon_kill "$1"
	daemon_up "$1"
}

# It takes no session.
reject_begin()
{
	daemon_kill "$1"
	lab_run "$1" ": >/tmp/peer; setsid cmpeer listen \$(ip -4 -o address show eth0 |
			sed 's,.* inet \\([0-9.]*\\)/.*,\\1,') 9400 7 </dev/null >/tmp/peer 2>&1 &
		until grep -q ready /tmp/peer; do kill -0 \$! || exit 1; done"
}

reject_end()
{
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run "$1" 'pid=$(pidof cmpeer) && kill -9 $pid && while kill -0 $pid 2>/dev/null; do :; done'
	daemon_up "$1"
}

# queue_pair_break DONOR read|write|control - at the client
queue_pair_break()
{
	lab_run client "echo $1 $2 >/sys/kernel/debug/infiniswap/infiniswap0/qp_error"
}

# All three, one after the other, each when the session stands again.
queue_pair_begin()
{
	local role before

	for role in read write control; do
		before=$(lab_counter client reconnects)
		queue_pair_break "$1" "$role"
		wait_for 90 lab_counter_above client reconnects "$before"	# it is written to again
		wait_for 30 lab_counter_is client "donors/$1/state" live
	done
}

queue_pair_end()	{ :; }

# Its slabs move to the others; it is taken back.
drain_begin()
{
	lab_run client "echo 1 >/sys/kernel/config/infiniswap/infiniswap0/donors/$1/drain"
	wait_for 300 lab_counter_is client "donors/$1/slabs" 0
}

drain_end()
{
	lab_run client "echo 0 >/sys/kernel/config/infiniswap/infiniswap0/donors/$1/drain"
}

netem_begin()	{ lab netem "$1" delay 30ms 10ms loss 2%; }
netem_end()	{ lab netem "$1" none; }
