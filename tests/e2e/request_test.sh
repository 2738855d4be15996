#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Shapes of requests: many pages and segments in one, pages that come from
# different places, discards over several slabs, large folios, and slots that
# swap gives up. ISW_KERNEL names the kernel, 6.1 unless given.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

device=/dev/infiniswap0
thp=/sys/kernel/mm/transparent_hugepage
seed=${ISW_SEED:-$RANDOM}
mib=1048576
result=$(mktemp)
requests=$(mktemp)
cleanup_add rm -f "$result" "$requests"

rawio()
{
	echo "rawio seed $seed: $*"
	lab exec client --timeout 120 -- rawio "$device" "$seed" "$@"
}

# seen COMMAND… - run it; $requests then has "R|W|D BYTES HOW-MANY" of all
# requests that the driver of the device was given meanwhile
seen()
{
	local event=/sys/kernel/tracing/events/block/block_rq_issue
	# shellcheck disable=SC2016 # for the guest's shell
	local number='IFS=: read -r major minor </sys/block/infiniswap0/dev; echo $((major << 20 | minor))'

	lab_run client "echo 'hist:keys=rwbs,bytes if dev == $(lab_run client "$number")' >$event/trigger"
	"$@"
	lab_run client "cat $event/hist && sed -n 's/^\(hist:keys=[a-z,]*\).*/!\1/p' $event/trigger >/tmp/off &&
		cat /tmp/off >$event/trigger" |
		sed -n 's/.*rwbs: \([RWD]\)[A-Z]* *, bytes: *\([0-9]*\).*hitcount: *\([0-9]*\)/\1 \2 \3/p' >"$requests"
	cat "$requests"
}

# requests_of KIND BYTES
requests_of()
{
	awk -v kind="$1" -v bytes="$2" '$1 == kind && $2 == bytes { n += $3 } END { print n + 0 }' "$requests"
}

# bytes_in KIND BYTES - how many went in requests of at least so many
bytes_in()
{
	awk -v kind="$1" -v bytes="$2" '$1 == kind && $2 >= bytes { n += $2 * $3 } END { printf "%d\n", n }' "$requests"
}

no_request_failed()
{
	[ "$(lab_counter client read_errors)" = 0 ]
	[ "$(lab_counter client write_errors)" = 0 ]
}

lab_up --donors 2 --client-mem 384M --daemon-args=--slab_size=1M
lab_device_on 64M 1M --ready-grants 16
lab_run client 'echo 1 >/proc/sys/vm/nr_hugepages'

# First, since it needs pages that nobody has written to.
test_one_read_of_pages_from_four_places()
{
	seen rawio holes 4096
	[ "$(requests_of R "$mib")" = 2 ]	# of one piece of memory, and of 16
	no_request_failed
}

# fill WHAT KIB AT - so much of the output of program WHAT, AT KiB from the start
fill()
{
	lab_run client "$1 | dd of=$device bs=4k count=$(($2 / 4)) seek=$(($3 / 4)) iflag=fullblock oflag=direct status=none"
}

# holds KIB AT WHAT
holds()
{
	lab_run client "$3 | head -c $1k >/run/wanted
		dd if=$device bs=4k count=$(($1 / 4)) skip=$(($2 / 4)) iflag=direct status=none | cmp - /run/wanted"
}

# In a slab of their own, then over pages that had something.
test_pages_of_zeros_are_not_sent()
{
	local mapped before

	mapped=$(lab_counter client slabs_mapped)
	before=$(lab_counter client pages_out_remote)
	fill "cat /dev/zero" 64 32768
	[ "$(lab_counter client slabs_mapped)" -le "$mapped" ]
	[ "$(lab_counter client pages_out_remote)" = "$before" ]
	holds 64 32768 "cat /dev/zero"

	fill yes 64 32768
	[ "$(lab_counter client pages_out_remote)" = $((before + 16)) ]
	fill "cat /dev/zero" 16 $((32768 + 16))
	[ "$(lab_counter client pages_out_remote)" = $((before + 16)) ]
	holds 16 32768 yes
	holds 16 $((32768 + 16)) "cat /dev/zero"
	holds 32 $((32768 + 32)) yes
	no_request_failed
}

# A zero at each end, the first word that is not in the middle, or nearly all zeros.
test_pages_with_a_byte_that_is_not_zero_are_sent()
{
	local at before

	for at in 0 7 8 2047 4087 4095; do
		before=$(lab_counter client pages_out_remote)
		fill "{ head -c $at /dev/zero; echo -n x; cat /dev/zero; }" 4 32768
		[ "$(lab_counter client pages_out_remote)" = $((before + 1)) ] ||
			fail "byte $at"
		holds 4 32768 "{ head -c $at /dev/zero; echo -n x; cat /dev/zero; }"
	done
	# of a request with several pages: the last byte of the last
	before=$(lab_counter client pages_out_remote)
	lab_run client "{ head -c 16383 /dev/zero; echo -n x; } |
		dd of=$device bs=16k count=1 seek=$((32768 / 16)) iflag=fullblock oflag=direct status=none"
	[ "$(lab_counter client pages_out_remote)" = $((before + 4)) ]
	holds 16 32768 "{ head -c 16383 /dev/zero; echo -n x; }"
	no_request_failed
}

test_1_mib_in_16_segments_is_one_request()
{
	seen rawio scatter 0 256 16
	[ "$(requests_of W "$mib")" = 1 ]
	[ "$(requests_of R "$mib")" = 1 ]
	no_request_failed
}

test_17_segments_are_two_requests()
{
	seen rawio scatter 0 255 17
	[ "$(wc -l <"$requests")" = 4 ]
	[ "$(requests_of W $((240 * 4096)))" = 1 ]
	[ "$(requests_of W $((15 * 4096)))" = 1 ]
	no_request_failed
}

test_1_mib_across_a_slab_is_a_request_to_each()
{
	seen rawio scatter 128 256 1
	[ "$(requests_of W $((mib / 2)))" = 2 ]
	[ "$(requests_of R $((mib / 2)))" = 2 ]
	no_request_failed
}

# hits EVENT - how often it was seen since its histogram was made; it ends here
hits()
{
	lab_run client "cd /sys/kernel/tracing/events/$1 && sed -n 's/.* Hits: //p' hist &&
		echo '!hist:keys=common_cpu' >trigger"
}

# 64 times 16 requests at once: one doorbell for each donor, not 16.
test_a_batch_is_posted_as_a_chain()
{
	local posts calls

	# what waits for a mapping is driven again one by one
	lab_run client "yes | dd of=$device bs=1M count=64 iflag=fullblock oflag=direct 2>&1"
	lab_run client 'cd /sys/kernel/tracing && echo p:isw_post_send rxe_post_send >kprobe_events
		for event in kprobes/isw_post_send infiniswap/isw_leg_post; do
			echo hist:keys=common_cpu >events/$event/trigger
		done'
	lab exec client --timeout 60 -- fio --name=batch --filename="$device" --direct=1 \
		--rw=randwrite --bs=4k --ioengine=libaio --iodepth=16 --iodepth_batch=16 \
		--iodepth_batch_complete_min=16 --norandommap --size=64M --io_size=4M \
		--randseed="$seed" >/dev/null
	posts=$(hits infiniswap/isw_leg_post)
	calls=$(hits kprobes/isw_post_send)
	lab_run client 'echo >/sys/kernel/tracing/kprobe_events'
	echo "$posts work requests, ib_post_send called $calls times"
	[ "$posts" -ge 900 ]
	# two donors: chains of 8; heartbeats are sent meanwhile
	[ $((calls * 6)) -le "$posts" ] || fail "chains are too short"
	no_request_failed
}

# Pages 129 to 1153 of 1280: the ends of slabs 0 and 4, all of 1 to 3.
test_a_discard_that_spans_slabs_is_one_request_and_spares_the_rest()
{
	seen rawio span 1280 129 1025
	[ "$(requests_of D $((1025 * 4096)))" = 1 ]
	no_request_failed
}

test_whatever_is_done_reads_give_what_was_written_last()
{
	rawio model 8192 15
	no_request_failed
}

# swapped_out ARGUMENT… - swapout's result, with all that is the same for all
swapped_out()
{
	lab exec client --timeout 120 -- swapout -s "$seed" "$@" | tee "$result"
	[ "$(field bad)" = 0 ]
	# what is dirty or busy at that moment may stay
	[ "$(field out)" -ge $(($(field pages) * 9 / 10)) ] || fail "only $(field out) pages went out"
	[ "$(field same)" = "$(field out)" ] || fail "slots do not hold their pages"
	no_request_failed
}

test_slots_of_a_process_that_ended_hold_nothing()
{
	lab_run client "echo 0 >/proc/sys/vm/nr_hugepages && mkswap $device >/dev/null && swapon $device"
	swapped_out "$device" 16
	[ "$(field out_again)" -gt 0 ]
	[ "$(field same_again)" = "$(field out_again)" ]
	# a CPU collects 64 slots before it frees them
	[ "$(field left)" -le 64 ] || fail "$(field left) slots still hold pages"
	[ "$(($(field left) + $(field freed)))" = "$(field out_again)" ]
}

# huge_pages_out SIZE-KIB COUNTER BYTES-OF-A-REQUEST
# Neighbours merge, so requests may be larger. swapout sends its 16 MiB out
# twice, the second time as single pages, hence not nine tenths of all bytes.
huge_pages_out()
{
	local before bytes

	before=$(lab_run client "$2")
	seen swapped_out -H "$device" 16
	echo "$(($(lab_run client "$2") - before)) pages of $1 KiB went out whole"
	[ $(($(lab_run client "$2") - before)) -ge $((9 * 16 * 1024 / ($1 * 10))) ]
	bytes=$(bytes_in W "$3")
	[ "$bytes" -ge $((9 * 16 * mib / 10)) ] || fail "only $bytes bytes in requests of $3 and more"
}

test_huge_pages_go_out_whole()
{
	lab_run client "echo madvise >$thp/enabled; echo 1 >/proc/sys/vm/compact_memory"
	huge_pages_out 2048 "awk '/^thp_swpout / { print \$2 }' /proc/vmstat" "$mib"
}

if [ "$LAB_KERNEL" = 6.12 ]; then
test_folios_of_64k_go_out_whole()
{
	lab_run client "echo never >$thp/hugepages-2048kB/enabled; echo madvise >$thp/hugepages-64kB/enabled"
	huge_pages_out 64 "cat $thp/hugepages-64kB/stats/swpout" 65536
}
fi

# Were they taken, 4096 bytes would be read into the memory of 512.
test_less_than_a_page_is_refused()
{
	[ "$(lab_run client cat /sys/block/infiniswap0/queue/logical_block_size)" = 4096 ]
	for size in 512 2048; do
		! lab_run client "dd if=$device of=/dev/null bs=$size count=1 iflag=direct" ||
			fail "read $size bytes"
		! lab_run client "dd if=/dev/zero of=$device bs=$size count=1 oflag=direct" ||
			fail "wrote $size bytes"
	done
	no_request_failed
}

test_device_and_module_go()
{
	lab swap off
	lab_run client rmmod infiniswap
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
