#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=300
# debug=no: by hand till all that blk-mq leaks in one of eight draws is accounted for
#
# Whatever allocation fails while a device is made and powered on, the device is then as it
# was, and nothing is left over. The debug kernel can make the Nth one of a task fail; of all
# there are one in ISW_STEP (16) has its turn, which ones is drawn. What the module's works
# allocate later is not a task's of ours: tests/e2e/death_test.sh has the sessions that
# cannot be made.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../../..}/tests/lib/functions.sh"

config=/sys/kernel/config/infiniswap/infiniswap0
step=${ISW_STEP:-16}
seed=${ISW_SEED:-$RANDOM}
found=$(mktemp)
cleanup_add rm -f "$found"

# each_fails ATTRIBUTE VALUE BACK - write VALUE there while its Nth allocation fails, for N in
# steps till it has fewer; what is written then is undone with BACK. What could be written in
# spite of it is, too. Prints how many failed, how the write ended, and how often each.
each_fails()
{
	lab put client "$here/guest/each-fails" /tmp
	lab exec client --timeout 250 -- sh /tmp/each-fails "$config/$1" "$2" "$3" "$((seed % step))" "$step"
}

lab_up --kernel 6.1-debug --donors 1 --disk 64M --daemon-args=--slab_size=1M
lab_run client modprobe infiniswap

test_allocations_fail_one_after_the_other_while_it_is_powered_on()
{
	lab_run client "mkdir $config $config/donors/donor1 && cd $config &&
		echo 10.7.0.101 >donors/donor1/address && echo 16M >size && echo 1M >slab_size &&
		echo backup >redundancy && echo /dev/disk/by-id/virtio-lab-disk >backup && echo 1M >staging &&
		echo 1 >queues && echo 4 >queue_depth"
	echo "seed $seed"
	each_fails power 1 0 | tee "$found"
	[ "$(awk '/allocations failed/ { print $1 }' "$found")" -ge $((400 / step)) ]
	[ "$(lab_run client cat "$config/power")" = 0 ]
}

# blk-mq adds a CPU's one kobject below the hardware queue of each map. If it cannot below the
# second (parent 1), the first one's reference is never dropped, and its six objects with it.
# Then they are accounted for here, and the kernel's line that counts them is kept off the
# console; all else is looked for at the end, as everywhere.
test_what_leaks_is_a_hardware_queue_of_blk_mq_alone()
{
	expected=$((6 * $(lab_run client 'dmesg | grep -c "failed for cpu0 (error: -12 parent: 1)" || true')))
	echo "$expected objects are expected"
	[ "$expected" != 0 ] || return 0
	lab exec client --timeout 60 -- sh -c 'printk=$(cat /proc/sys/kernel/printk); dmesg -n 1
		/lab/bin/debug-checks && echo clear >/sys/kernel/debug/kmemleak; status=$?
		echo "$printk" >/proc/sys/kernel/printk; exit $status' >"$found"
	awk -v expected="$expected" '
		/^unreferenced object/ { objects++; named = 0 }
		/ (blk_mq_alloc_and_init_hctx|blk_mq_sysfs_register)\+/ && !named++ { explained++ }
		END { exit !(objects == expected && explained == expected) }' "$found" || {
		cat "$found"
		fail "others, or not as many"
	}
}

test_then_it_is_powered_on_and_holds_pages()
{
	lab_run client "echo 1 >$config/power"
	wait_for 20 lab_run client test -b /dev/infiniswap0
	pattern_write 0 4 ISWFAIL
	pattern_is 0 4 ISWFAIL
	lab_run client infiniswapctl remove infiniswap0
	lab_run client rmmod infiniswap
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
