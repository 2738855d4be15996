#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Donors that want memory back: the client moves its pages to another donor while
# they are in use, or has them on another leg or on the disk, before the donor
# takes it alone. The donors are evictor's: they do what a test tells them at once,
# even what no daemon does.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

seed=${ISW_SEED:-$RANDOM}
result=$(mktemp)
cleanup_add rm -f "$result"
all=60		# more than any donor lends here in a test that says so

lab_up --donors 3 --no-daemon --client-mem 256M --donor-mem 512M --disk 512M

# what the donors said last, and whether they are there
ktap_failed()
{
	local donor

	lab_failed
	for donor in donor1 donor2 donor3; do
		lab_run "$donor" "echo $donor:; pidof evictor; tail -n 5 /tmp/told" || :
	done
}

# donor_up DONOR SLABS - one that lends so many of 1 MiB; it takes commands
donor_up()
{
	lab_run "$1" "rm -f /tmp/tell; mkfifo /tmp/tell
		setsid evictor 10.7.0.10${1#donor} 1 $2 <>/tmp/tell >/tmp/told 2>&1 &
		until grep -q ready /tmp/told; do kill -0 \$! || exit 1; done"
}

donors_up()
{
	local donor

	for donor in donor1 donor2 donor3; do
		donor_up "$donor" "$1"
	done
}

donors_down()
{
	local donor

	for donor in donor1 donor2 donor3; do
		# shellcheck disable=SC2016 # for the guest's shell
		lab_run "$donor" 'pid=$(pidof evictor) || { cat /tmp/told; exit 1; }
			kill $pid && while kill -0 $pid 2>/dev/null; do :; done'
	done
}

# tell DONOR COMMAND… - and it has done so
tell()
{
	lab_run "$1" "before=\$(grep -c '^did' /tmp/told)
		echo ${*:2} >/tmp/tell
		until [ \$(grep -c '^did' /tmp/told) -gt \$before ]; do pidof evictor >/dev/null || exit 1; done"
}

# told DONOR WORD - how many lines of it begin so
told()
{
	lab_run "$1" "grep -c '^$2' /tmp/told || true"
}

told_is()
{
	[ "$(told "$1" "$2")" = "$3" ]
}

# device_of SIZE [OPTION…] - in slabs of 1 MiB, and all donors are live
device_of()
{
	local donor

	lab_device_on "$1" 1M "${@:2}"
	for donor in donor1 donor2 donor3; do
		wait_for 20 lab_counter_is client "donors/$donor/state" live
	done
}

# device_on [OPTION…] - 64 MiB of it
device_on()
{
	device_of 64M "$@"
}

device_off()
{
	lab_run client infiniswapctl remove infiniswap0
	donors_down
}

no_page_is_lost()
{
	none_counted lost_pages read_errors write_errors crc_errors
}

test_donors_evict_in_turn_under_load_and_no_page_is_lost()
{
	local round donor evictions

	echo "seed $seed"
	donors_up 250
	lab swap on --size 448M --slab-size 1M --redundancy none
	lab_press 300 1 260 -R 20 -w 30 -t 30 -s "$seed" >"$result" 2>&1 &
	load=$!
	pages_come_in 2000
	for round in 1 2; do
		for donor in donor1 donor2 donor3; do
			evictions=$(lab_counter client evictions)
			tell "$donor" evict "$(lab_time 20)000" 4
			wait_for 20 lab_counter_above client evictions "$evictions"
			wait_for 30 told_is "$donor" released $((round * 4))
			tell "$donor" lend 250
		done
	done
	wait "$load" || fail "pageverify: $(cat "$result")"
	cat "$result"
	no_page_wrong
	no_page_is_lost
	for donor in donor1 donor2 donor3; do
		told_is "$donor" revoked 0
	done
	echo "$(lab_counter client evictions) evictions, $(lab_counter client evictions_forced) forced," \
		"$(lab_counter client failovers) sessions broken"
	[ "$(lab_counter client evictions_forced)" = 0 ]
	# a debug kernel may take longer than stall_ms for what is under way
	lab_debug || [ "$(lab_counter client failovers)" = 0 ]
	lab swap off
	donors_down
}

test_client_tells_how_much_each_slab_is_used()
{
	donors_up 30
	device_on --redundancy none
	pattern_write 0 12 ACTIVE.
	# the second in which all was written has been added up
	wait_for 20 lab_run client "awk '/donor1/ { n++; sum += \$NF > 0 }
		END { exit !n || n != sum }' /sys/kernel/debug/infiniswap/infiniswap0/slabs"
	tell donor1 activity
	wait_for 20 told_is donor1 'activity over' 1
	lab_run donor1 cat /tmp/told
	# those that were written to, and those held in advance
	[ "$(lab_run donor1 "grep -c '^activity [0-9]* [1-9]' /tmp/told")" = \
		"$(lab_counter client donors/donor1/slabs)" ]
	[ "$(told donor1 'activity [0-9]')" = $(($(told donor1 granted) - $(told donor1 returned))) ]
}

test_slabs_of_a_donor_that_wants_them_back_move_to_others()
{
	local slabs lent granted

	granted=$(told donor1 granted)
	slabs=$(lab_counter client donors/donor1/slabs)
	lent=$((granted - $(told donor1 returned)))
	tell donor1 evict 30000 "$all"
	wait_for 30 told_is donor1 released "$lent"
	lab_run donor1 cat /tmp/told
	[ "$(lab_counter client donors/donor1/slabs)" = 0 ]
	[ "$(lab_counter client evictions)" = "$lent" ]
	[ "$(lab_counter client donors/donor1/evictions)" = "$lent" ]
	[ "$(lab_counter client evictions_forced)" = 0 ]
	[ "$(lab_counter client pages_copied)" = $((slabs * 256)) ]
	pattern_is 0 12 ACTIVE.
	pattern_write 12 12 ELSEWHR
	[ "$(told donor1 granted)" = "$granted" ]
	pattern_is 12 12 ELSEWHR
	no_page_is_lost
	[ "$(lab_counter client failovers)" = 0 ]
	device_off
}

# A drain has no deadline: at 1 MiB a second donor1's slabs, of which half is written,
# take half a second each. What donor2 wants back meanwhile does not wait for that.
test_drain_keeps_to_copy_rate_moves_written_pages_alone_and_lets_evictions_pass()
{
	local config=/sys/kernel/config/infiniswap/infiniswap0 slabs left began ms copied

	donors_up 80		# two have room for all
	device_of 128M --redundancy none --copy-rate 1M
	lab_run client 'dd if=/dev/urandom of=/tmp/half bs=512k count=1 status=none
		for i in $(seq 0 2 254); do
			dd if=/tmp/half of=/dev/infiniswap0 bs=512k seek=$i oflag=direct status=none || exit
		done'
	slabs=$(lab_counter client donors/donor1/slabs)
	[ "$slabs" -ge 20 ]
	began=$(lab_run client "cut -d ' ' -f 1 /proc/uptime; echo 1 >$config/donors/donor1/drain")
	wait_for 20 lab_counter_above client pages_copied 100
	tell donor2 evict 60000 2
	wait_for 50 told_is donor2 released 2
	read -r copied left ms < <(lab_run client 'cd /sys/block/infiniswap0/infiniswap &&
		echo $(cat pages_copied donors/donor1/slabs) $(cut -d " " -f 1 /proc/uptime)')
	ms=$((${ms/./}0 - ${began/./}0))
	echo "of $slabs slabs $left are left after $ms ms; $copied pages copied"
	[ "$left" -gt 0 ] || fail "what was evicted waited for the drain"
	# a MiB a second, two slabs beside it, and four extents under way
	[ "$copied" -le $((ms * 256 / 1000 + 2 * 128 + 4 * 16)) ]
	lab_run client "echo 0 >$config/copy_rate"
	wait_for 30 lab_counter_is client donors/donor1/slabs 0
	copied=$(lab_counter client pages_copied)
	echo "$copied pages copied in all"
	[ "$copied" -ge $((slabs * 128)) ]
	[ "$copied" -le $(((slabs + 2) * 128)) ]
	lab_run client 'for i in $(seq 0 2 254); do
			dd if=/dev/infiniswap0 bs=512k skip=$i count=1 iflag=direct status=none | cmp - /tmp/half || exit
		done'
	no_page_is_lost
	[ "$(lab_counter client evictions_forced)" = 0 ]
	device_off
}

test_without_room_elsewhere_the_time_runs_out_and_those_pages_are_lost()
{
	donors_up 8
	device_on --redundancy none
	pattern_write 0 18 NOROOM.
	[ "$(lab_counter client donors/donor1/slabs)" -gt 0 ]
	for donor in donor2 donor3; do
		tell "$donor" lend 0
	done
	tell donor1 evict 15000 "$all"
	wait_for 60 lab_counter_is client donors/donor1/slabs 0
	lab_run donor1 cat /tmp/told
	# given back by the client, no page of them posted for any more
	told_is donor1 revoked 0
	[ "$(lab_counter client evictions_forced)" -gt 0 ]
	[ "$(lab_counter client lost_pages)" = $(($(lab_counter client evictions_forced) * 256)) ]
	lab_run client dmesg | grep 'pages lost: donors took memory back'
	[ "$(lab_counter client failovers)" = 0 ]
	# what was lost can be written again when there is memory
	for donor in donor2 donor3; do
		tell "$donor" lend 30
	done
	pattern_write 0 18 AGAIN..
	pattern_is 0 18 AGAIN..
	[ "$(lab_counter client lost_pages)" = 0 ]
	device_off
}

test_with_a_backup_they_are_on_the_disk_then()
{
	donors_up 30
	device_on --redundancy backup --backup /dev/disk/by-id/virtio-lab-disk
	pattern_write 0 12 ONDISK.
	for donor in donor1 donor2 donor3; do
		tell "$donor" lend 0
	done
	for donor in donor1 donor2 donor3; do
		tell "$donor" evict 15000 "$all"
	done
	wait_for 60 lab_counter_is client slabs_mapped 0
	pattern_is 0 12 ONDISK.
	for donor in donor1 donor2 donor3; do
		told_is "$donor" revoked 0
		tell "$donor" lend 30
	done
	# they come again
	wait_for 60 lab_counter_is client slabs_mapped 12
	pattern_is 0 12 ONDISK.
	no_page_is_lost
	[ "$(lab_counter client failovers)" = 0 ]
}

# all_on_donors FROM COUNT WORD - none of it is read from the disk
all_on_donors()
{
	local before

	before=$(lab_counter client pages_in_backup)
	pattern_is "$@"
	[ "$(lab_counter client pages_in_backup)" = "$before" ]
}

test_slab_that_is_not_hot_goes_to_the_disk_at_once()
{
	local copied

	wait_for 30 all_on_donors 0 12 ONDISK.
	copied=$(lab_counter client pages_copied)
	lab_run client "echo 1000000 >/sys/kernel/config/infiniswap/infiniswap0/hot_slab"
	for donor in donor1 donor2 donor3; do
		tell "$donor" evict 60000 "$all"
	done
	wait_for 20 lab_counter_is client slabs_mapped 0
	[ "$(lab_counter client pages_copied)" = "$copied" ]
	pattern_is 0 12 ONDISK.
	no_page_is_lost
	device_off
}

# given_back_in_time DONOR FAILOVERS - all in use there, before the donor took anything,
# and half of it before four fifths of the 900 ms, which are 720
given_back_in_time()
{
	local lent

	lent=$(($(told "$1" granted) - $(told "$1" returned)))
	tell "$1" evict 900 "$all"
	wait_for 20 lab_counter_is client "donors/$1/slabs" 0
	lab_run "$1" "grep '^re[lv]' /tmp/told"
	echo "of $lent: $(lab_counter client evictions_forced) dropped, $(lab_counter client pages_copied) pages copied"
	[ "$lent" -ge 15 ] && told_is "$1" revoked 0 && told_is "$1" released "$lent" &&
		[ "$(lab_counter client failovers)" = "$2" ] &&
		[ "$(lab_run "$1" "sed -n 's/^released .* after \([0-9]*\) ms.*/\1/p' /tmp/told" |
			sort -n | sed -n "$((lent / 2))p")" -lt 720 ]
}

# A donor about to run out gives less than a second. The copier finds room elsewhere and
# is at work, the slabs are read all the time; what it does not manage is given back
# all the same before the donor takes it: at half of the time, not at four fifths. A
# machine that just stalls makes it late, but nothing else makes it early: one of the
# donors in turn is enough.
test_less_than_a_second_is_enough_to_give_back_what_the_disk_has()
{
	local donor reader in_time=

	! lab_debug || skip "a debug kernel takes longer than the donor gives it"
	donors_up 250
	device_on --redundancy backup --backup /dev/disk/by-id/virtio-lab-disk
	pattern_write 0 60 HURRY..
	wait_for 30 lab_counter_is client staged_pages 0
	lab exec client --timeout 200 -- sh -c 'until [ -e /run/enough ]; do
			dd if=/dev/infiniswap0 of=/dev/null bs=64k count=960 iflag=direct \
				status=none || echo "cannot read"
		done' &
	reader=$!
	for donor in donor1 donor2 donor3; do
		if given_back_in_time "$donor" "$(lab_counter client failovers)"; then
			in_time=$donor
			break
		fi
		tell "$donor" lend 250
		wait_for 60 lab_counter_is client slabs_mapped 60
	done
	lab_run client touch /run/enough
	wait "$reader"
	pattern_is 0 30 HURRY..
	pattern_is 30 30 HURRY..
	no_page_is_lost
	lab_run client rm /run/enough
	device_off
	[ "$in_time" ]
}

test_eviction_that_is_called_off_takes_nothing()
{
	donors_up "$all"
	lab_run client infiniswapctl create infiniswap0 --size 64M --slab-size 1M \
		--redundancy none --donor donor1=10.7.0.101
	wait_for 10 lab_run client test -b /dev/infiniswap0
	pattern_write 0 12 KEEPIT.
	tell donor1 evict 10000 "$all"
	tell donor1 keep
	# the next one is over later than the first would have been
	tell donor1 evict 14000 1
	wait_for 60 lab_counter_is client evictions_forced 1
	wait_for 20 lab_counter_is client donors/donor1/slabs 11
	lab_run donor1 cat /tmp/told
	told_is donor1 revoked 0
	[ "$(lab_counter client lost_pages)" = 256 ]
	pattern_is 1 11 KEEPIT.
	device_off
}

test_both_legs_of_a_mirror_evicted_at_once()
{
	local donor

	donors_up "$all"
	device_on --redundancy mirror
	pattern_write 0 12 MIRROR.
	for donor in donor1 donor2; do
		tell "$donor" evict 20000 "$all"
	done
	# donor3 has a copy of each before the others are taken off
	wait_for 60 lab_counter_is client donors/donor3/slabs 12
	wait_for 60 lab_counter_is client donors/donor1/slabs 0
	wait_for 60 lab_counter_is client donors/donor2/slabs 0
	pattern_is 0 12 MIRROR.
	[ "$(lab_counter client degraded_pages)" = 3072 ]
	# and there are two again when the hosts have memory
	for donor in donor1 donor2; do
		tell "$donor" lend "$all"
	done
	wait_for 30 lab_counter_is client state up
	wait_for 30 lab_counter_is client degraded_pages 0
	pattern_is 0 12 MIRROR.
	no_page_is_lost
	told_is donor1 revoked 0
	told_is donor2 revoked 0
	device_off
}

# The copy waits for a donor that does not answer, and the time runs out.
test_copier_that_is_stuck_holds_nothing_up()
{
	local readers

	donors_up "$all"
	device_on --redundancy backup --backup /dev/disk/by-id/virtio-lab-disk --stall-ms 8000
	pattern_write 0 24 STUCK..
	# every slab is read all the time
	lab exec client --timeout 100 -- sh -c 'n=0
		while [ $n -lt 24 ]; do
			until [ -e /run/enough ]; do
				dd if=/dev/infiniswap0 of=/dev/null bs=64k count=16 skip=$((n * 16)) \
					iflag=direct status=none || echo "cannot read slab $n"
			done &
			n=$((n + 1))
		done
		wait' &
	readers=$!
	lab cut donor2
	lab cut donor3
	tell donor1 evict 6000 "$all"
	wait_for 40 lab_counter_is client donors/donor1/slabs 0
	lab_run client touch /run/enough
	wait "$readers"
	lab_run donor1 cat /tmp/told
	pattern_is 0 24 STUCK..
	# none of what was taken back was used any more
	[ "$(lab_counter client donors/donor1/errors)" = 0 ]
	[ "$(lab_counter client donors/donor1/state)" = live ]
	lab heal donor2
	lab heal donor3
	# one that was given up meanwhile is tried twice a minute
	for donor in donor1 donor2 donor3; do
		wait_for 90 lab_counter_is client "donors/$donor/state" live
	done
	pattern_is 0 24 STUCK..
	no_page_is_lost
	device_off
}

# The client would hold its lock for as long as the list goes on.
test_donor_whose_list_has_no_end_holds_nothing_up()
{
	donors_up "$all"
	device_on --redundancy backup --backup /dev/disk/by-id/virtio-lab-disk --donor-loss-timeout 2
	pattern_write 0 12 NOEND..
	wait_for 20 lab_counter_is client staged_pages 0
	lab_counter_above client donors/donor1/slabs 0
	tell donor1 stutter
	log_mark
	lab_run client 'echo donor1 control >/sys/kernel/debug/infiniswap/infiniswap0/qp_error'
	# then it has nothing on its list, and may be connected and lend again at once
	wait_for 20 logged 'donor1: given up with'
	pattern_is 0 12 NOEND..
	pattern_write 12 12 MORE...
	wait_for 20 lab_counter_above client slabs_mapped 16
	no_page_is_lost
	device_off
}

# donor1_reborn - another epoch, the same list; and the client is connected to it again
donor1_reborn()
{
	local breaks

	breaks=$(lab_counter client failovers)
	tell donor1 reborn
	wait_for 20 lab_counter_above client failovers "$breaks"
	wait_for 20 lab_counter_is client donors/donor1/state live
}

# A daemon that was started anew lists nothing. With this one, and no CRCs, the epoch
# alone tells that its memory is not what it was.
test_pages_in_grants_that_are_listed_under_another_epoch_are_lost()
{
	local read

	donors_up "$all"
	lab_run client infiniswapctl create infiniswap0 --size 64M --slab-size 1M \
		--redundancy none --integrity 0 --donor donor1=10.7.0.101
	wait_for 10 lab_run client test -b /dev/infiniswap0
	pattern_write 0 4 BEFORE.
	donor1_reborn
	read=$((1024 - $(pages_read_one_by_one 1024 | wc -l)))
	[ "$read" = 0 ] || fail "$read of 1024 pages were read"
	[ "$(lab_counter client lost_pages)" = 1024 ]
	pattern_write 0 4 AGAIN..
	pattern_is 0 4 AGAIN..
	[ "$(lab_counter client lost_pages)" = 0 ]
	device_off
}

test_pages_in_grants_that_are_listed_under_another_epoch_are_read_from_the_disk()
{
	donors_up "$all"
	device_on --redundancy backup --backup /dev/disk/by-id/virtio-lab-disk --integrity 0
	pattern_write 0 12 BEFORE.
	wait_for 20 lab_counter_is client slabs_mapped 12
	wait_for 20 lab_counter_is client staged_pages 0
	lab_counter_above client donors/donor1/slabs 0
	donor1_reborn
	pattern_is 0 12 BEFORE.
	no_page_is_lost
	device_off
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
