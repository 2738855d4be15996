#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Redundancy mirror: two donors have each page, and what is lost, missed or bad
# is made good in the background; with a backup disk and without.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"
# shellcheck source=tests/lib/faults.sh
. "$ISW_TOP/tests/lib/faults.sh"

donor_arguments=(--slab_size=1M)
seed=${ISW_SEED:-$RANDOM}
result=$(mktemp)
cleanup_add rm -f "$result"

config=/sys/kernel/config/infiniswap/infiniswap0/donors

# donor_back DONOR - its daemon is up again, and the client knows
donor_back()
{
	daemon_up "$1"
	! lab_run client test -e "/sys/block/infiniswap0/infiniswap/donors/$1" ||
		wait_for 90 lab_counter_is client "donors/$1/state" live
}

# donors_die DONOR… - at the same time; until they are given up
donors_die()
{
	local donor

	for donor; do
		daemon_kill "$donor"
	done
	for donor; do
		wait_for 20 lab_counter_is client "donors/$donor/slabs" 0
	done
}

# device_on [OPTION…] - 64 MiB in slabs of 1 MiB, two copies of each
device_on()
{
	lab_device_on 64M 1M --redundancy mirror --donor-loss-timeout 2 "$@"
	for donor in donor1 donor2 donor3; do
		wait_for 20 lab_counter_is client "donors/$donor/state" live
	done
}

# device_off [COUNTER…] - one copy that is not as it was written is healed by the other,
# and seen by this counter alone; COUNTERs may be other than 0
device_off()
{
	[ $# -gt 0 ] || none_counted crc_errors
	lab_run client infiniswapctl remove infiniswap0
}

# legs - how many slabs each donor has, in order, and all together
legs()
{
	local donor n sum=0 line=''

	for donor in donor1 donor2 donor3; do
		n=$(lab_counter client "donors/$donor/slabs")
		line+="$n "
		: $((sum += n))
	done
	echo "$line$sum"
}

legs_are()
{
	[[ "$(legs)" == *" $1" ]]
}

# slabs_on DONOR… - numbers of those that have a leg on each of them
slabs_on()
{
	lab_run client "sed 1d /sys/kernel/debug/infiniswap/infiniswap0/slabs |
		awk '$(printf '/%s/ && ' "$@")1 { print \$1 }'" | paste -sd ' '
}

whole()
{
	lab_counter_is client degraded_pages 0 && lab_counter_is client state up
}

lab_up --donors 3 --client-mem 256M --donor-mem 512M --disk 512M --daemon-args="${donor_arguments[*]}"

test_each_slab_is_on_two_donors_and_reads_spread_over_them()
{
	local bs donor spread
	local -A before

	device_on
	pattern_write 0 12 TWICE..
	legs_are 24
	lab_run client sed 1d /sys/kernel/debug/infiniswap/infiniswap0/slabs | sed 's/:[^ ]*//g' |
		awk '$2 == "-" { next }
			$3 == $4 || $3 == "-" || $4 == "-" || $5 != "-" { print "wrong: " $0; bad = 1 }
			END { exit bad }'
	whole
	pattern_is 0 12 TWICE..
	for donor in donor1 donor2 donor3; do
		[ "$(lab_counter client "donors/$donor/pages_out")" -gt 0 ]
		[ "$(lab_counter client "donors/$donor/pages_in")" -gt 0 ]
	done
	[ "$(lab_counter client pages_out_remote)" = 3072 ]
	[ "$(lab_counter client pages_in_remote)" = 3072 ]
	# one slab, in small requests and in aligned ones: both have about half of it to do
	for bs in 4k 64k; do
		for donor in donor1 donor2 donor3; do
			before[$donor]=$(lab_counter client "donors/$donor/pages_in")
		done
		lab_run client "dd if=/dev/infiniswap0 of=/dev/null bs=$bs count=1M \
			iflag=direct,count_bytes status=none"
		spread=0
		for donor in donor1 donor2 donor3; do
			((before[$donor] + 80 > $(lab_counter client "donors/$donor/pages_in"))) || : $((++spread))
		done
		[ "$spread" = 2 ] || fail "$spread donors were read from, by $bs"
	done
}

test_donor_dies_its_pages_are_read_from_the_others_and_get_a_second_copy()
{
	donors_die donor1
	pattern_is 0 12 TWICE..
	wait_for 60 whole
	legs_are 24
	[ "$(lab_counter client pages_copied)" -gt 1000 ]
}

test_next_donor_dies_after_that_and_still_no_page_is_lost()
{
	donors_die donor2
	pattern_is 0 12 TWICE..
	[ "$(lab_counter client state)" = degraded ]
	[ "$(lab_counter client degraded_pages)" = 3072 ]
	pattern_write 0 2 ONLYONE
	pattern_is 0 2 ONLYONE
	[ "$(lab_counter client lost_pages)" = 0 ]
}

test_donors_that_come_back_get_the_second_copies()
{
	donor_back donor1
	wait_for 60 whole
	legs_are 24
	pattern_is 0 2 ONLYONE
	pattern_is 2 10 TWICE..
	donor_back donor2
}

test_what_a_leg_missed_during_a_broken_session_is_copied_to_it()
{
	local copied

	copied=$(lab_counter client pages_copied)
	lab_run client "echo 60 >${config%/donors}/donor_loss_timeout"
	lab cut donor1
	# its requests are held until the session counts as broken, then go on
	pattern_write 0 12 MISSED.
	wait_for 20 lab_counter_is client donors/donor1/state reconnecting
	pattern_write 2 4 MISSED2
	lab heal donor1
	wait_for 60 lab_counter_is client donors/donor1/state live
	wait_for 60 whole
	[ "$(lab_counter client pages_copied)" -gt "$copied" ]
	pattern_is 0 2 MISSED.
	pattern_is 2 4 MISSED2
	pattern_is 6 6 MISSED.
	# and each copy is good for itself
	lab_run client "echo 2 >${config%/donors}/donor_loss_timeout"
	donors_die donor3
	pattern_is 0 2 MISSED.
	pattern_is 2 4 MISSED2
	pattern_is 6 6 MISSED.
	wait_for 60 whole
	donor_back donor3
	[ "$(lab_counter client read_errors)" = 0 ]
	[ "$(lab_counter client write_errors)" = 0 ]
	device_off
}

test_bad_copy_is_caught_read_from_the_other_and_written_anew()
{
	local n slabs errors failed left

	device_on
	pattern_write 0 8 ISWFLIP
	whole
	slabs=$(slabs_on donor1)
	# shellcheck disable=SC2016 # for the guest's shell
	n=$(lab_run donor1 'memflip $(pidof infiniswapd) "ISWFLIP
"')
	echo "$n pages flipped"
	[ "$n" = $(($(wc -w <<<"$slabs") * 256)) ]
	# page by page: about half of them are read from donor1
	lab_run client "dd if=/dev/infiniswap0 bs=4k count=2048 iflag=direct status=none >/run/got
		yes ISWFLIP | head -c 8M | cmp - /run/got"
	errors=$(lab_counter client crc_errors)
	((errors > n / 4 && errors < n * 3 / 4))
	[ "$(lab_counter client donors/donor1/crc_errors)" = "$errors" ]
	[ "$(lab_counter client read_errors)" = 0 ]
	wait_for 60 whole
	[ "$(lab_counter client lost_pages)" = 0 ]
	# those that were read wrong are right now, the others are caught yet
	donors_die donor2 donor3
	failed=$(pages_read_one_by_one 2048)
	left=$(awk -v slabs="$slabs" 'BEGIN { split(slabs, at, " "); for (i in at) is[at[i]] }
		int($1 / 256) in is' <<<"$failed" | wc -l)
	echo "$errors of $n were found and mended, $left are left"
	[ $((errors + left)) = "$n" ]
	# what was lost is zeros in the copy, what failed is what came: a line of it is wrong
	[ "$(lab_run client "tr -d '\\000' </run/got | LC_ALL=C grep -avxc ISWFLIP || true")" = "$left" ]
	device_off crc_errors
	donor_back donor2
	donor_back donor3
}

test_both_legs_lost_gives_errors_for_those_pages_and_nothing_else()
{
	local gone lost failed slab

	device_on
	pattern_write 0 24 BOTHGO.
	read -ra gone < <(slabs_on donor1 donor2)
	echo "slabs on donor1 and donor2: ${gone[*]}"
	lost=$((${#gone[@]} * 256))
	# else nothing is shown
	((lost > 0 && lost < 24 * 256))
	# both are given up at the same moment: nothing is copied in between
	lab_run client "echo 600 >${config%/donors}/donor_loss_timeout"
	daemon_kill donor1
	daemon_kill donor2
	wait_for 20 lab_counter_is client donors/donor1/state reconnecting
	wait_for 20 lab_counter_is client donors/donor2/state reconnecting
	lab_run client "echo 0 >${config%/donors}/donor_loss_timeout"
	wait_for 20 lab_counter_is client donors/donor1/slabs 0
	wait_for 20 lab_counter_is client donors/donor2/slabs 0
	failed=$(pages_read_one_by_one 6144)
	echo "$(wc -w <<<"$failed") of 6144 pages give errors"
	[ "$failed" = "$(for slab in "${gone[@]}"; do seq $((slab * 256)) $((slab * 256 + 255)); done)" ]
	# those are zeros in the copy
	lab_run client "yes BOTHGO. | head -c 24M >/run/wanted
		for slab in ${gone[*]}; do
			dd if=/dev/zero of=/run/wanted bs=1M seek=\$slab count=1 conv=notrunc status=none
		done
		cmp /run/wanted /run/got && rm /run/wanted /run/got"
	[ "$(lab_counter client read_errors)" = "$lost" ]
	[ "$(lab_counter client lost_pages)" = "$lost" ]
	pattern_write 0 24 NEWONES
	pattern_is 0 24 NEWONES
	[ "$(lab_counter client lost_pages)" = 0 ]
	device_off
	donor_back donor1
	donor_back donor2
}

test_slabs_of_a_draining_donor_move_to_the_others()
{
	device_on
	pattern_write 0 12 DRAINME
	[ "$(lab_counter client donors/donor3/slabs)" -gt 0 ]
	lab_run client "echo 1 >$config/donor3/drain"
	# writes go on meanwhile
	pattern_write 0 6 DRAINED
	wait_for 60 lab_counter_is client donors/donor3/state drained
	legs_are 24
	wait_for 60 whole
	pattern_is 0 6 DRAINED
	pattern_is 6 6 DRAINME
	lab_run client "echo 0 >$config/donor3/drain"
	wait_for 20 lab_counter_is client donors/donor3/state live
	device_off
}

# copier_waits <TRACE - the writes that had to wait for the copier, and how long. Fails if
# none did, or if one met more than one of its extents on a page and leg, or none that was
# on its way when the write came.
copier_waits()
{
	awk '
	function field(name)
	{
		match($0, " " name "=[^ ]*")
		return substr($0, RSTART + length(name) + 2, RLENGTH - length(name) - 2) + 0
	}
	function meet(id, page, leg, posted)
	{
		if (page < first[id] || page >= end[id])
			return
		again += ++met[n[id], page, leg] > 1
		met_early[n[id]] += posted <= since[id]
	}
	{ match($0, /[0-9]+\.[0-9]+: /); now = substr($0, RSTART, RLENGTH - 2) + 0 }
	!/ write / { next }
	/ tag=65535 / {
		from = field("page"); to = from + field("count"); leg = field("leg")
		if (/ isw_leg_post: /) {
			posted[from, leg] = now
			next
		}
		if (!((from, leg) in posted))
			next
		trip = (now - posted[from, leg]) * 1000
		longest_trip = trip > longest_trip ? trip : longest_trip
		for (id in since)
			for (page = from; page < to; page++)
				meet(id, page, leg, posted[from, leg])
		next
	}
	{ id = field("queue") SUBSEP field("tag") }
	/ isw_io_park: .* wait=writer/ && !(id in since) {
		since[id] = now
		n[id] = ++waited
		first[id] = field("page"); end[id] = first[id] + field("count")
	}
	/ isw_leg_post: / && id in since {
		wait = (now - since[id]) * 1000
		longest = wait > longest ? wait : longest
		early += met_early[n[id]] > 0
		delete since[id]
	}
	END {
		for (id in since)
			left++
		printf "%d writes waited for the copier, %.1f ms at most; its longest round trip took %.1f ms\n",
			waited, longest, longest_trip
		printf "%d met it on a page again, %d not what was on its way, %d wait still\n",
			again, waited - left - early, left
		exit !waited || again || early < waited || left
	}'
}

# What a write meets of the copier is one extent on each of its pages, already on its way.
test_a_write_waits_for_one_round_trip_of_the_copier_at_most()
{
	local tracing=/sys/kernel/tracing writer donor event

	device_on
	pattern_write 0 32 WAITING
	lab_run client "echo 32768 >$tracing/buffer_size_kb; rm -f /run/enough"
	for event in io_park leg_post leg_done; do
		lab_run client "echo 1 >$tracing/events/infiniswap/isw_$event/enable"
	done
	# many requests at a time, all over the slabs that move
	lab exec client --timeout 120 -- sh -c 'until [ -e /run/enough ]; do
		yes WAITING | dd of=/dev/infiniswap0 bs=1M count=32 iflag=fullblock oflag=direct || exit
	done' >"$result" 2>&1 &
	writer=$!
	for donor in donor3 donor2 donor1; do
		wait_for 20 lab_counter_above client "donors/$donor/slabs" 8
		drain_begin "$donor"
		drain_end "$donor"
	done
	lab_run client touch /run/enough
	wait "$writer" || fail "$(<"$result")"
	lab_run client "echo 0 >$tracing/events/infiniswap/enable"
	lab exec client --timeout 120 -- cat "$tracing/trace" >"$result"
	lab_run client "cat $tracing/per_cpu/cpu0/stats; echo 1 >$tracing/buffer_size_kb" |
		grep -qx 'overrun: 0' || fail "events were overwritten"
	copier_waits <"$result"
	pattern_is 0 32 WAITING
	[ "$(lab_counter client write_errors)" = 0 ]
	device_off
}

test_no_slab_has_both_legs_in_one_domain()
{
	device_on --domain donor1=rack1 --domain donor2=rack1 --domain donor3=rack2
	pattern_write 0 12 DOMAINS
	[ "$(lab_counter client donors/donor3/slabs)" = 12 ]
	[ "$(lab_counter client donors/donor1/slabs)" -gt 0 ]
	legs_are 24
	# without donor3 there is no second leg
	donors_die donor3
	pattern_is 0 12 DOMAINS
	legs_are 12
	[ "$(lab_counter client state)" = degraded ]
	donor_back donor3
	wait_for 60 whole
	device_off
}

test_with_a_backup_legs_are_rebuilt_from_the_disk_when_all_donors_died()
{
	local before

	device_on --backup /dev/disk/by-id/virtio-lab-disk
	pattern_write 0 12 ONDISK.
	wait_for 20 lab_counter_is client staged_pages 0
	whole
	donors_die donor1 donor2 donor3
	pattern_is 0 12 ONDISK.
	for donor in donor1 donor2 donor3; do
		donor_back "$donor"
	done
	wait_for 60 whole
	legs_are 24
	before=$(lab_counter client pages_in_backup)
	pattern_is 0 12 ONDISK.
	[ "$(lab_counter client pages_in_backup)" = "$before" ]
	[ "$(lab_counter client read_errors)" = 0 ]
	device_off
}

test_disk_that_failed_gets_what_it_missed_without_a_write()
{
	lab put client "$here/guest/backup-disk" /tmp
	lab_run client sh /tmp/backup-disk make
	device_on --backup /dev/mapper/backup
	pattern_write 0 8 DISKGOOD
	wait_for 20 lab_counter_is client staged_pages 0
	lab_run client sh /tmp/backup-disk error
	pattern_write 0 8 DISKBAD.
	wait_for 20 lab_counter_is client backup failed
	wait_for 20 lab_counter_is client staged_pages 0
	[ "$(lab_counter client degraded_pages)" = 2048 ]
	lab_run client sh /tmp/backup-disk linear
	wait_for 30 lab_counter_is client backup up
	wait_for 60 whole
	donors_die donor1 donor2 donor3
	pattern_is 0 8 DISKBAD.
	device_off
	lab_run client sh /tmp/backup-disk drop
	for donor in donor1 donor2 donor3; do
		donor_back "$donor"
	done
}

# In a client that has done all this, and with too little memory.
test_donor_dies_under_load_and_no_page_is_wrong()
{
	storm_has_it
	echo "seed $seed"
	lab swap on --size 448M --slab-size 1M --redundancy mirror donor_loss_timeout=2
	lab_press 300 1 240 -R 20 -w 30 -t 25 -s "$seed" >"$result" 2>&1 &
	load=$!
	pages_come_in 1000
	daemon_kill donor1
	wait "$load" || fail "pageverify: $(<"$result")"
	cat "$result"
	no_page_wrong
	wait_for 60 whole
	none_counted read_errors lost_pages crc_errors
	lab swap off
}

test_module_goes()
{
	lab_run client rmmod infiniswap
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
