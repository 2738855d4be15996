#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=1200
#
# Redundancy backup: whatever happens to donors, every page is there. And the
# disk may be slow, held or broken; a donor's memory may be bad.

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
lab_disk=/dev/disk/by-id/virtio-lab-disk

# load_end - the load in the background ends, with no page wrong or lost
load_end()
{
	wait "$load" || fail "pageverify: $(cat "$result")"
	cat "$result"
	no_page_wrong
	[ "$(lab_counter client read_errors)" = 0 ]
	[ "$(lab_counter client write_errors)" = 0 ]
	[ "$(lab_counter client lost_pages)" = 0 ]
}

# disk make|linear|error|flaky|bad-page|delay [MS]|hold|go-on|drop - see guest/backup-disk
disk()
{
	lab_run client sh /tmp/backup-disk "$@"
}

# device_on [OPTION…] - 64 MiB in slabs of 1 MiB, the disk behind device mapper
device_on()
{
	disk make
	lab_device_on 64M 1M --redundancy backup --backup /dev/mapper/backup \
		--donor-loss-timeout 2 "$@"
}

device_off()
{
	lab_run client infiniswapctl remove infiniswap0
	disk drop
}

# donors_die, donors_back - both
donors_die()
{
	daemon_kill donor1
	daemon_kill donor2
	wait_for 20 lab_counter_is client slabs_mapped 0
}

donors_back()
{
	daemon_up donor1
	daemon_up donor2
}

lab_up --donors 2 --client-mem 256M --donor-mem 1G --disk 512M --daemon-args="${donor_arguments[*]}"
lab put client "$here/guest/backup-disk" /tmp

test_both_donors_die_under_load_and_no_page_is_lost()
{
	# without the load it leaves the next one what that begins with, too
	! lab_debug || daemon_kill donor1
	storm_has_it
	echo "seed $seed"
	lab swap on --size 448M --slab-size 1M --redundancy backup donor_loss_timeout=5
	lab_press 300 1 260 -R 20 -w 30 -t 25 -s "$seed" >"$result" 2>&1 &
	load=$!
	pages_come_in 2000
	daemon_kill donor1
	wait_for 20 lab_counter_is client donors/donor1/slabs 0
	lab cut donor2
	wait_for 60 lab_counter_is client donors/donor2/slabs 0
	load_end
	[ "$(lab_counter client pages_in_backup)" -gt 1000 ]
	[ "$(lab_counter client crc_errors)" = 0 ]
	lab swap off
	lab heal donor2
	lab_run client rmmod infiniswap
}

test_swapoff_with_every_donor_dead_reads_all_from_the_disk()
{
	local before remote

	daemon_kill donor2
	donors_back
	lab swap on --size 448M --slab-size 1M --redundancy backup donor_loss_timeout=5
	lab_run client 'yes ONDISK. | head -c 80M >/dev/shm/file'
	# what needs all memory for itself pushes the file out
	lab exec client --timeout 200 -- pageverify -p 1 -m "$(lab_debug && echo 160 || echo 240)" \
		-R 20 -t 1 -s "$seed"
	donors_die
	before=$(lab_counter client pages_in_backup)
	remote=$(lab_counter client pages_in_remote)
	lab exec client --timeout 200 -- swapoff /dev/infiniswap0
	echo "$(($(lab_counter client pages_in_backup) - before)) pages from the disk"
	[ "$(lab_counter client pages_in_backup)" -gt $((before + 5000)) ]
	[ "$(lab_counter client pages_in_remote)" = "$remote" ]
	[ "$(lab_counter client read_errors)" = 0 ]
	lab_run client 'yes ONDISK. | head -c 80M | cmp - /dev/shm/file && rm /dev/shm/file'
	lab swap off
}

test_device_is_switched_on_without_a_donor_and_uses_them_when_they_come()
{
	device_on
	pattern_write 0 4 NODONOR
	[ "$(lab_counter client slabs_mapped)" = 0 ]
	pattern_is 0 4 NODONOR
	[ "$(lab_counter client pages_in_backup)" -ge 1024 ]
	donors_back
	wait_for 60 lab_counter_is client donors/donor1/state live
	pattern_write 4 4 NODONOR
	wait_for 20 lab_counter_above client slabs_mapped 3
	pattern_write 4 4 ADONOR2
	[ "$(lab_counter client pages_out_remote)" -ge 1024 ]
	pattern_is 4 4 ADONOR2
	pattern_is 0 4 NODONOR
	device_off
}

# goes_on - pages come and go
goes_on()
{
	load_runs
	wait_for 30 lab_counter_above client pages_in_remote \
		$(($(lab_counter client pages_in_remote) + $(lab_load 500)))
	wait_for 30 lab_counter_above client pages_out_remote \
		$(($(lab_counter client pages_out_remote) + $(lab_load 100)))
}

load_runs()
{
	kill -0 "$load" 2>/dev/null || fail "pageverify ended: $(cat "$result")"
}

# Each slab has a donor from the start on, and keeps it: no page is on the disk alone,
# which gives none back in the end.
test_load_goes_on_while_the_disk_is_late_fails_at_times_and_fails_wholly()
{
	local errors

	echo "seed $seed"
	device_on --donor-loss-timeout 20 -o slab_idle_timeout=600
	lab_run client 'fio --name=touch --filename=/dev/infiniswap0 --direct=1 --rw=write:1020k \
		--bs=4k --size=64M --io_size=256K >/run/fio || cat /run/fio'
	wait_for 60 lab_counter_is client slabs_mapped 64
	lab_run client 'mkswap /dev/infiniswap0 && swapon /dev/infiniswap0'
	lab exec client --timeout 300 -- held-to 16M pageverify -p 1 -m 48 -R 1000000 -w 30 \
		-t 1000000 -s "$seed" >"$result" 2>&1 &
	load=$!
	pages_come_in "$(lab_load 1000)"

	disk delay
	wait_for 30 lab_counter_above client staged_pages "$(lab_load 256)"
	goes_on
	[ "$(lab_counter client backup)" = up ]
	[ "$(lab_counter client backup_errors)" = 0 ]

	disk flaky
	wait_for 20 lab_counter_is client backup failed
	goes_on
	wait_for 20 lab_counter_is client backup up
	wait_for 20 lab_counter_is client backup failed

	disk error
	errors=$(lab_counter client backup_errors)
	goes_on
	wait_for 20 lab_counter_above client backup_errors $((errors + 2))
	[ "$(lab_counter client backup)" = failed ]
	[ "$(lab_counter client state)" = degraded ]

	disk linear
	wait_for 20 lab_counter_is client backup up
	goes_on
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run client 'kill -TERM $(pidof pageverify)'
	load_end
	wait_for 60 lab_counter_is client degraded_pages 0
	lab exec client --timeout 120 -- swapoff /dev/infiniswap0
	device_off
}

# read_from_staging HOW BACK - what the disk does with its writes, and what ends that
read_from_staging()
{
	device_on
	pattern_write 0 2 VERSION1
	wait_for 20 lab_counter_is client slabs_mapped 2
	wait_for 20 lab_counter_is client staged_pages 0
	# shellcheck disable=SC2086 # words
	disk $1
	pattern_write 0 2 VERSION2	# the donors have it: it ends
	[ "$(lab_counter client staged_pages)" -ge 512 ]
	donors_die
	pattern_is 0 2 VERSION2
	[ "$(lab_counter client pages_in_staged)" -ge 512 ]
	disk "$2"
	wait_for 20 lab_counter_is client staged_pages 0
	pattern_is 0 2 VERSION2
	[ "$(lab_counter client degraded_pages)" = 0 ]
	device_off
	donors_back
}

test_page_is_read_from_staging_when_its_donor_died_before_the_disk_had_it()
{
	read_from_staging hold go-on
}

test_page_is_read_from_staging_while_its_write_is_late()
{
	read_from_staging "delay 600000" linear
}

# disk_was_given N - writes, since tracing began
disk_was_given()
{
	[ "$(lab_run client "grep -c \"block_bio_queue: \$(sed s/:/,/ /sys/block/dm-0/dev) W\" \
		/sys/kernel/tracing/trace || true")" = "$1" ]
}

# page_write PAGE WORD
page_write()
{
	lab_run client "yes $2 | dd of=/dev/infiniswap0 bs=4k seek=$1 count=1 iflag=fullblock \
		oflag=direct status=none"
}

# Else the older one could be the last to reach the disk.
test_page_written_again_goes_to_the_disk_after_its_older_write()
{
	local _ tracing=/sys/kernel/tracing

	device_on
	pattern_write 0 1 VERSION1
	wait_for 20 lab_counter_is client slabs_mapped 1
	wait_for 20 lab_counter_is client staged_pages 0
	disk delay 600000
	lab_run client "echo >$tracing/trace; echo 1 >$tracing/events/block/block_bio_queue/enable"
	page_write 0 VERSION2
	wait_for 20 disk_was_given 1
	page_write 0 VERSION3
	[ "$(lab_counter client staged_pages)" = 2 ]
	for _ in {1..20}; do	# many ticks, in each of which it would be sent
		sleep 0.1
		disk_was_given 1 || fail "both are on their way"
	done
	page_write 8 ANOTHER.
	wait_for 20 disk_was_given 2
	disk linear
	wait_for 20 lab_counter_is client staged_pages 0
	disk_was_given 3
	lab_run client "echo 0 >$tracing/events/block/block_bio_queue/enable"
	donors_die
	lab_run client "yes VERSION3 | head -c 4096 | cmp -n 4096 - /dev/infiniswap0"
	[ "$(lab_counter client pages_in_backup)" -gt 0 ]
	none_counted crc_errors read_errors
	device_off
	donors_back
}

test_writes_wait_for_a_slow_disk_and_lose_nothing()
{
	device_on --staging 1M
	pattern_write 0 4 BEFORE.
	wait_for 20 lab_counter_is client staged_pages 0
	disk hold
	pattern_write 0 4 AFTERIT >/dev/null &
	load=$!
	wait_for 20 lab_counter_above client staging_waits 0
	[ "$(lab_counter client staged_pages)" -le 256 ]
	kill -0 "$load"
	disk go-on
	wait "$load"
	wait_for 20 lab_counter_is client staged_pages 0
	pattern_is 0 4 AFTERIT
	[ "$(lab_counter client write_errors)" = 0 ]
	device_off
}

test_disk_fails_and_comes_back()
{
	device_on
	pattern_write 0 4 DISKGOOD
	wait_for 20 lab_counter_is client slabs_mapped 4
	pattern_write 0 4 DISKGOOD
	wait_for 20 lab_counter_is client staged_pages 0
	disk error
	pattern_write 0 4 DISKBAD.	# the donors have it
	wait_for 20 lab_counter_is client backup failed
	[ "$(lab_counter client state)" = degraded ]
	[ "$(lab_counter client backup_errors)" -gt 0 ]
	[ "$(lab_counter client write_errors)" = 0 ]
	wait_for 20 lab_counter_is client staged_pages 0
	[ "$(lab_counter client degraded_pages)" = 1024 ]
	pattern_is 0 4 DISKBAD.
	disk linear
	pattern_write 0 4 DISKGOOD
	wait_for 20 lab_counter_is client backup up
	wait_for 20 lab_counter_is client staged_pages 0
	pattern_is 0 4 DISKGOOD
	[ "$(lab_counter client lost_pages)" = 0 ]
	device_off
}

# Zeros are not sent: neither the copy that waits for the disk nor those of donors,
# nor what the disk gets late, may come back.
test_zeros_over_pages_that_wait_for_the_disk_are_read_as_zeros()
{
	device_on
	pattern_write 0 2 VERSIO1
	wait_for 20 lab_counter_is client slabs_mapped 2
	wait_for 20 lab_counter_is client staged_pages 0
	disk hold
	pattern_write 0 2 VERSIO2
	[ "$(lab_counter client staged_pages)" -ge 512 ]
	lab_run client 'dd if=/dev/zero of=/dev/infiniswap0 bs=64k count=16 oflag=direct 2>&1
		cmp -n 1048576 /dev/zero /dev/infiniswap0'
	disk go-on
	wait_for 20 lab_counter_is client staged_pages 0
	lab_run client 'dd if=/dev/infiniswap0 bs=64k count=16 iflag=direct status=none |
		cmp -n 1048576 - /dev/zero'
	pattern_is 1 1 VERSIO2
	device_off
}

# Both legs and the disk fail, one after the other; nothing but staging has the pages.
test_staging_keeps_what_is_on_broken_donors_when_the_disk_fails()
{
	device_on --donor-loss-timeout 10
	pattern_write 0 2 VERSION1
	wait_for 20 lab_counter_is client slabs_mapped 2
	wait_for 20 lab_counter_is client staged_pages 0
	disk hold
	pattern_write 0 2 VERSION2	# the donors have it: it ends
	daemon_kill donor1
	daemon_kill donor2
	wait_for 20 lab_counter_is client donors/donor1/state reconnecting
	wait_for 20 lab_counter_is client donors/donor2/state reconnecting
	disk write-error
	wait_for 20 lab_counter_is client backup failed
	wait_for 20 lab_counter_is client slabs_mapped 0
	pattern_is 0 2 VERSION2
	[ "$(lab_counter client lost_pages)" = 0 ]
	disk linear
	wait_for 20 lab_counter_is client staged_pages 0
	pattern_is 0 2 VERSION2
	device_off
	donors_back
}

# What donor1 had must be read from the disk, which is held; donor2 drains.
test_slabs_move_on_while_others_wait_for_the_disk()
{
	device_on
	pattern_write 0 32 MOVESON
	wait_for 20 lab_counter_is client slabs_mapped 32
	pattern_write 0 32 MOVESON
	wait_for 20 lab_counter_is client staged_pages 0
	[ "$(lab_counter client donors/donor2/slabs)" -gt 4 ]
	disk hold
	daemon_kill donor1
	wait_for 20 lab_counter_is client donors/donor1/slabs 0
	wait_for 60 lab_counter_is client slabs_mapped 32	# again, one a second
	daemon_up donor1
	wait_for 90 lab_counter_is client donors/donor1/state live
	lab_run client 'echo 1 >/sys/kernel/config/infiniswap/infiniswap0/donors/donor2/drain'
	wait_for 40 lab_counter_is client donors/donor2/slabs 0
	disk go-on
	wait_for 40 lab_counter_is client degraded_pages 0
	pattern_is 0 32 MOVESON
	[ "$(lab_counter client lost_pages)" = 0 ]
	device_off
}

# put N WORD - 16 KiB of it at N times 16 KiB
put()
{
	lab_run client "yes $2 | dd of=/dev/infiniswap0 bs=16k seek=$1 count=1 iflag=fullblock \
		oflag=direct 2>&1"
}

# flip WORD - one bit in each page of donors that is full of it; prints how many
flip()
{
	local donor n=0

	for donor in donor1 donor2; do
		# shellcheck disable=SC2016 # for the guest's shell
		: $((n += $(lab_run "$donor" 'memflip $(pidof infiniswapd) "'"$1"'
"')))
	done
	echo "$n"
}

# 16 pages, four each: in staging, with a donor, with a donor whose copy is bad so
# that the disk's is taken, nowhere. The disk is held: staging keeps what it has.
test_one_read_of_pages_from_four_places()
{
	local count
	local -A before

	device_on
	put 1 REMOTE.
	wait_for 20 lab_counter_is client slabs_mapped 1
	put 1 REMOTE.
	put 2 ONDISK.
	wait_for 20 lab_counter_is client staged_pages 0
	[ "$(flip ONDISK.)" = 4 ]
	disk hold
	put 0 STAGED.
	for count in pages_in_staged pages_in_backup crc_errors; do
		before[$count]=$(lab_counter client "$count")
	done

	lab exec client --timeout 60 -- dd if=/dev/infiniswap0 of=/run/got bs=64k count=1 \
		iflag=direct 2>&1 &
	load=$!
	wait_for 20 lab_run client \
		grep -q 'read 0 16 0 parked backup' /sys/kernel/debug/infiniswap/infiniswap0/requests
	disk go-on
	wait "$load"
	lab_run client 'for word in STAGED. REMOTE. ONDISK.; do yes $word | head -c 16k; done >/run/wanted
		head -c 16k /dev/zero >>/run/wanted; cmp /run/wanted /run/got'
	for count in pages_in_staged pages_in_backup crc_errors; do
		[ $(($(lab_counter client "$count") - before[$count])) = 4 ] ||
			fail "$count: $(lab_counter client "$count"), was ${before[$count]}"
	done
	device_off
}

test_no_sleep_until_the_disk_has_every_page()
{
	device_on
	pattern_write 0 1 BEFORE..
	wait_for 20 lab_counter_is client slabs_mapped 1
	wait_for 20 lab_counter_is client staged_pages 0
	disk hold
	pattern_write 0 1 AFTERIT.
	! lab_run client 'echo freeze >/sys/power/state' || fail "suspended"
	lab_run client dmesg | grep 'infiniswap0: suspend refused: 256 pages are not on the backup disk'
	! lab_run client 'echo disk >/sys/power/state' || fail "hibernated"
	lab_run client dmesg | grep 'infiniswap0: hibernation refused: 256 pages are not on the'
	disk go-on
	wait_for 20 lab_counter_is client staged_pages 0
	# all but the sleep itself, with a donor that holds pages
	lab_run client 'echo freezer >/sys/power/pm_test && echo freeze >/sys/power/state &&
		echo none >/sys/power/pm_test'
	pattern_is 0 1 AFTERIT.
	device_off
}

# slab_memory - KiB of the client's kernel that cannot be reclaimed
slab_memory()
{
	lab_run client 'sync; echo 3 >/proc/sys/vm/drop_caches
		awk "/^SUnreclaim:/ { print \$2 }" /proc/meminfo'
}

# random KIND - 20,000 requests of one page
random()
{
	lab exec client --timeout 120 -- fio --name=load --filename=/dev/infiniswap0 --direct=1 \
		--rw="rand$1" --bs=4k --iodepth=16 --ioengine=io_uring --norandommap \
		--size=32M --io_size=80M --randseed="$seed" | grep IOPS
}

# A bio of the smallest kind that is never put would be 4 MiB in each.
test_pages_that_go_through_the_disk_leave_no_memory_behind()
{
	local before after

	! lab_debug || skip "KASAN keeps what is freed; kmemleak looks for leaks"
	device_on
	random write
	before=$(slab_memory)
	random write
	wait_for 30 lab_counter_is client staged_pages 0
	after=$(slab_memory)
	echo "writes: $before KiB before, $after KiB after"
	[ $((after - before)) -le 1024 ]
	[ "$(lab_counter client pages_out_backup)" -ge 20000 ]
	donors_die
	before=$(slab_memory)
	random read
	after=$(slab_memory)
	echo "reads: $before KiB before, $after KiB after"
	[ $((after - before)) -le 1024 ]
	[ "$(lab_counter client pages_in_backup)" -ge 10000 ]
	device_off
	donors_back
}

test_every_flipped_bit_is_caught_and_read_from_the_disk()
{
	local flipped=0 donor n

	device_on
	pattern_write 0 8 ISWFLIP
	wait_for 20 lab_counter_is client slabs_mapped 8
	pattern_write 0 8 ISWFLIP
	wait_for 20 lab_counter_is client staged_pages 0
	for donor in donor1 donor2; do
		# shellcheck disable=SC2016 # for the guest's shell
		n=$(lab_run "$donor" 'memflip $(pidof infiniswapd) "ISWFLIP
"')
		echo "$donor: $n pages"
		: $((flipped += n))
	done
	[ "$flipped" = 2048 ]
	pattern_is 0 8 ISWFLIP
	[ "$(lab_counter client crc_errors)" = "$flipped" ]
	[ "$(lab_counter client pages_in_backup)" -ge "$flipped" ]
	[ "$(lab_counter client read_errors)" = 0 ]
	[ "$(($(lab_counter client donors/donor1/crc_errors) +
		$(lab_counter client donors/donor2/crc_errors)))" = "$flipped" ]
	device_off
}

test_without_a_backup_a_flipped_bit_is_an_error_and_never_delivered()
{
	lab_device_on 64M 1M
	pattern_write 0 1 ISWFLIP
	# shellcheck disable=SC2016 # for the guest's shell
	for donor in donor1 donor2; do
		lab_run "$donor" 'memflip $(pidof infiniswapd) "ISWFLIP
"'
	done
	pattern_is 0 1 ISWFLIP && fail "bad memory was delivered"
	[ "$(lab_counter client crc_errors)" -gt 0 ]
	[ "$(lab_counter client read_errors)" -gt 0 ]
	pattern_write 0 1 ANEWWORD
	pattern_is 0 1 ANEWWORD
	lab_run client infiniswapctl remove infiniswap0
}

# One read whose pages all go into the same memory, as those of direct readers that share a
# buffer: what it finds there is not what was written, and that is no donor's fault.
test_a_page_that_came_wrong_into_shared_memory_is_not_lost()
{
	lab_device_on 64M 1M
	lab_run client 'echo 3 >/proc/sys/vm/drop_caches; echo 1 >/proc/sys/vm/compact_memory
		echo 1 >/proc/sys/vm/nr_hugepages; [ $(cat /proc/sys/vm/nr_hugepages) = 1 ]'
	lab_run client "rawio /dev/infiniswap0 1 overlap 0 8"
	[ "$(lab_counter client crc_errors)" = 7 ]
	[ "$(lab_counter client read_errors)" = 1 ]
	[ "$(lab_counter client lost_pages)" = 0 ]
	lab_run client 'echo 0 >/proc/sys/vm/nr_hugepages; infiniswapctl remove infiniswap0'
}

test_without_integrity_nothing_is_checked_and_all_is_delivered()
{
	local flipped=0 donor n

	lab_device_on 64M 1M --integrity 0
	[ "$(lab_run client cat /sys/kernel/config/infiniswap/infiniswap0/integrity)" = 0 ]
	pattern_write 0 8 ISWFLIP
	pattern_is 0 8 ISWFLIP
	for donor in donor1 donor2; do
		# shellcheck disable=SC2016 # for the guest's shell
		n=$(lab_run "$donor" 'memflip $(pidof infiniswapd) "ISWFLIP
"')
		: $((flipped += n))
	done
	[ "$flipped" = 2048 ]
	pattern_is 0 8 ISWFLIP && fail "the bad bits were not delivered"
	# a bit of each page, and each of them was read
	[ "$(lab_run client 'cmp -l /run/wanted /run/got | wc -l')" = "$flipped" ]
	[ "$(lab_counter client crc_errors)" = 0 ]
	[ "$(lab_counter client read_errors)" = 0 ]
	pattern_write 0 8 ANEWWORD
	pattern_is 0 8 ANEWWORD
	lab_run client infiniswapctl remove infiniswap0
}

# read_at_once - the first 16 pages, each by a read of its own, merged into one
# request: how many of them fail, and how many were merged
read_at_once()
{
	lab exec client --timeout 60 -- sh -c 'merged() { awk "{ print \$2 }" /sys/block/infiniswap0/stat; }
		before=$(merged)
		fio --name=at-once --filename=/dev/infiniswap0 --direct=1 --rw=read --bs=4k --size=64k \
			--ioengine=io_uring --iodepth=16 --iodepth_batch=16 --continue_on_error=read \
			--output-format=json 2>/dev/null |
			sed -n "s/.*\"total_err\" : \([0-9]*\).*/\1/p"
		echo $(($(merged) - before))'
}

# page_is NUMBER WORD
page_is()
{
	lab_run client "yes $2 | head -c 4k >/run/wanted
		dd if=/dev/infiniswap0 bs=4k skip=$1 count=1 iflag=direct status=none | cmp - /run/wanted"
}

# beside_a_bad_page - it alone fails, though all are one request
beside_a_bad_page()
{
	local failed merged

	{ read -r failed; read -r merged; } < <(read_at_once)
	echo "$failed failed, $merged merged"
	[ "$merged" = 15 ]
	[ "$failed" = 1 ]
	page_is 4 BESIDE.
	page_is 6 BESIDE.
	! page_is 5 BESIDE. || fail "the bad page was delivered"
}

test_pages_in_one_request_with_a_bad_one_are_read()
{
	lab_device_on 64M 1M
	pattern_write 0 1 BESIDE.
	lab_run client 'yes ISWFLIP | head -c 4k |
		dd of=/dev/infiniswap0 bs=4k seek=5 iflag=fullblock oflag=direct'
	# shellcheck disable=SC2016 # for the guest's shell
	for donor in donor1 donor2; do
		lab_run "$donor" 'memflip $(pidof infiniswapd) "ISWFLIP
"'
	done
	beside_a_bad_page
	lab_run client infiniswapctl remove infiniswap0
}

test_pages_beside_a_bad_sector_are_read_and_get_their_leg()
{
	local before errors

	device_on
	pattern_write 0 2 BESIDE.
	wait_for 20 lab_counter_is client slabs_mapped 2
	wait_for 20 lab_counter_is client staged_pages 0
	donors_die
	before=$(lab_counter client pages_copied)
	errors=$(lab_counter client backup_errors)
	disk bad-page
	beside_a_bad_page
	[ "$(lab_counter client backup_errors)" -gt "$errors" ] || fail "no error of the disk was counted"
	donors_back
	# one in each slab is bad
	wait_for 60 lab_counter_is client pages_copied $((before + 510))
	disk linear
	wait_for 20 lab_counter_is client pages_copied $((before + 512))
	pattern_is 0 2 BESIDE.
	device_off
}

# numbers_write FROM - 2 MiB of pages of which no two are alike
numbers_write()
{
	lab_run client "seq $1 1000000 | head -c 2M >/run/wanted
		dd if=/run/wanted of=/dev/infiniswap0 bs=64k oflag=direct 2>&1"
}

# numbers_are_but PAGE… - these cannot be read, all others are as they were written
numbers_are_but()
{
	local failed

	failed=$(pages_read_one_by_one 512 | paste -sd ' ')
	echo "failed: $failed"
	[ "$failed" = "$*" ]
	lab_run client "for file in wanted got; do
			for n in $*; do
				dd if=/dev/zero of=/run/\$file bs=4k seek=\$n count=1 conv=notrunc status=none
			done
		done
		cmp /run/wanted /run/got"
}

# What a disk may do: flip a bit, put a page in another's place, lose a write, lose all.
test_page_that_the_disk_returns_other_than_it_was_written_is_an_error_and_never_delivered()
{
	local before counter

	device_on
	numbers_write 100000
	wait_for 20 lab_counter_is client slabs_mapped 2
	wait_for 20 lab_counter_is client staged_pages 0
	lab_run client "dd if=$lab_disk of=/run/old bs=4k skip=200 count=1 iflag=direct \
		status=none"
	numbers_write 200000
	wait_for 20 lab_counter_is client staged_pages 0
	donors_die
	lab_run client "page() { dd if=$lab_disk bs=4k skip=\$1 count=1 iflag=direct status=none; }
		put() { dd of=$lab_disk bs=4k seek=\$1 count=1 iflag=fullblock oflag=direct status=none; }
		for n in 0 5 6 7 100 511; do
			page \$n | sed 0,/5/s/5/4/ | put \$n	# one bit
		done
		page 300 | put 301
		put 200 </run/old
		put 400 </dev/zero"
	before=$(lab_counter client pages_in_backup)
	numbers_are_but 0 5 6 7 100 200 301 400 511
	for counter in crc_errors read_errors; do
		[ "$(lab_counter client "$counter")" = 9 ] ||
			fail "$counter: $(lab_counter client "$counter")"
	done
	[ $(($(lab_counter client pages_in_backup) - before)) = 503 ]
	# nor the next time: it might have been the reader's memory
	numbers_are_but 0 5 6 7 100 200 301 400 511
	[ "$(lab_counter client crc_errors)" = 18 ]
	[ "$(lab_counter client lost_pages)" = 0 ]
	numbers_write 300000
	numbers_are_but
	device_off
	donors_back
}

# disk_writes - how many device mapper was given
disk_writes()
{
	lab_run client "awk '{ print \$5 }' /sys/block/dm-0/stat"
}

test_neighbours_are_written_to_the_disk_together()
{
	local before writes

	device_on
	pattern_write 0 2 BEFORE..
	wait_for 20 lab_counter_is client slabs_mapped 2
	wait_for 20 lab_counter_is client staged_pages 0
	before=$(disk_writes)
	disk hold
	lab_run client 'yes MERGED. | dd of=/dev/infiniswap0 bs=4k count=512 iflag=fullblock \
		oflag=direct 2>&1'
	[ "$(lab_counter client staged_pages)" = 512 ]
	disk go-on
	wait_for 20 lab_counter_is client staged_pages 0
	writes=$(($(disk_writes) - before))
	echo "512 pages in $writes writes"
	# of 64 pages, but for 16 that began while few were there
	[ "$writes" -le 32 ]
	pattern_is 0 2 MERGED.
	device_off
}

# serves_as_backup DISK - what donors had is read back from it when they are gone
serves_as_backup()
{
	lab_device_on 16M 1M --redundancy backup --backup "$1" --donor-loss-timeout 2
	pattern_write 0 4 BEFORE..
	wait_for 20 lab_counter_is client slabs_mapped 4
	pattern_write 0 4 AFTERIT.
	wait_for 20 lab_counter_is client staged_pages 0
	donors_die
	pattern_is 0 4 AFTERIT.
	[ "$(lab_counter client pages_in_backup)" = 1024 ]
	[ "$(lab_counter client backup)" = up ]
	lab_run client infiniswapctl remove infiniswap0
	donors_back
}

# busy COMMAND - the client refuses it: somebody has the disk
busy()
{
	local said

	! said=$(lab_run client "$1" 2>&1) || fail "not refused: $1"
	echo "$said"
	[[ $said =~ (in use|busy) ]] || fail "another error: $1"
}

# create DISK - a command: another device with that disk, whatever is on it
create()
{
	echo "infiniswapctl create infiniswap1 --size 16M --slab-size 1M --redundancy backup \
		--force --backup $1 --donor donor1=10.7.0.101"
}

test_file_behind_a_loop_device_is_a_backup()
{
	lab_run client "mkfs.ext4 -q $lab_disk && mkdir -p /run/fs && mount $lab_disk /run/fs &&
		truncate -s 16M /run/fs/file && modprobe loop && losetup /dev/loop5 /run/fs/file"
	serves_as_backup /dev/loop5
	lab_run client "losetup -d /dev/loop5 && umount /run/fs && wipefs -a $lab_disk"
}

test_partition_is_a_backup()
{
	local partition

	partition=$(lab_run client readlink -f "$lab_disk")1
	lab_run client "printf '%s\n' n p 1 '' +32M w | fdisk $lab_disk >/run/fdisk 2>&1 ||
		cat /run/fdisk"
	wait_for 10 lab_run client test -b "$partition"
	serves_as_backup "$partition"
	lab_run client "wipefs -a $lab_disk && blockdev --rereadpt $lab_disk"
}

test_nobody_else_gets_the_disk_of_a_device()
{
	lab_device_on 16M 1M --redundancy backup --backup "$lab_disk"
	lab_run client mkdir -p /run/fs
	busy "mount -t ext4 $lab_disk /run/fs"
	busy "busybox swapon $lab_disk"
	busy "python3 -c 'import os; os.open(\"$lab_disk\", os.O_RDWR | os.O_EXCL)'"
	busy "$(create "$lab_disk")"
	lab_run client infiniswapctl remove infiniswap0
}

test_disk_that_somebody_has_is_no_backup()
{
	lab_run client "mkswap $lab_disk && swapon $lab_disk"
	busy "$(create "$lab_disk")"
	lab_run client "swapoff $lab_disk && wipefs -a $lab_disk"
	disk make
	busy "$(create "$lab_disk")"
	disk drop
	lab_device_on 16M 1M --redundancy backup --backup "$lab_disk"
	busy "$(create "$lab_disk")"
	lab_run client infiniswapctl remove infiniswap0
	lab_run client "$(create "$lab_disk")"
	lab_run client infiniswapctl remove infiniswap1
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
