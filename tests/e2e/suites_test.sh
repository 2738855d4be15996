#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# debug=no: swap_test and request_test put the same through it, in less time
#
# Verifiers that others wrote, on /dev/infiniswap0: fio, badblocks, ext4 with
# its fsck, stress-ng. Slabs of 1 MiB, so that whatever is larger or not aligned
# crosses their borders, and both donors hold parts of everything.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

device=/dev/infiniswap0
seed=${ISW_SEED:-$RANDOM}

# pages - written to donors and read from them so far; no request may have failed
pages()
{
	# shellcheck disable=SC2046 # words
	set -- $(lab_run client 'cd /sys/block/infiniswap0/infiniswap &&
		cat pages_out_remote pages_in_remote read_errors write_errors')
	[ $(($3 + $4)) = 0 ] || fail "$3 reads and $4 writes failed"
	echo "$1 $2"
}

# verified PAGES COMMAND… - it succeeds in the client, and no fewer pages than
# that went to donors and came back: a cache must not be what was verified
verified()
{
	local least=$1 out0 in0 out in said

	shift
	read -r out0 in0 < <(pages)
	said=$(lab exec client --timeout 120 -- "$@" 2>&1) || fail "$*" "$said" "status $?"
	read -r out in < <(pages)
	echo "$((out - out0)) pages out, $((in - in0)) in"
	((out - out0 >= least && in - in0 >= least)) || fail "fewer than $least" "$said"
}

# fio_verified MIB ARGUMENT… - fio writes so much and verifies each block's sum
fio_verified()
{
	local mib=$1

	shift
	echo "seed $seed"
	verified $((mib * 256)) fio --name=verify --filename="$device" --direct=1 \
		--verify=crc32c --verify_fatal=1 --randseed="$seed" --group_reporting "$@"
}

lab_up --donors 2 --client-mem 256M --daemon-args=--slab_size=1M
lab_device_on 160M 1M --ready-grants 16

test_fio_4k_random_one_at_a_time()
{
	fio_verified 2 --rw=randwrite --bs=4k --ioengine=psync --size=160M --io_size=2M
}

test_fio_4k_random_16_at_a_time()
{
	fio_verified 8 --rw=randwrite --bs=4k --ioengine=libaio --iodepth=16 \
		--size=160M --io_size=8M
}

test_fio_sizes_from_4k_to_1m_mixed()
{
	fio_verified 32 --rw=randwrite --ioengine=libaio --iodepth=4 --io_size=32M \
		--bssplit=4k/20:20k/10:60k/10:128k/20:512k/20:1M/20
}

test_fio_sequential_1m()
{
	fio_verified 48 --rw=write --bs=1M --ioengine=libaio --iodepth=4 --size=48M
}

test_fio_blocks_of_12k_and_60k_cross_slabs()
{
	fio_verified 12 --rw=write --bs=12k --ioengine=io_uring --iodepth=8 --size=12M
	fio_verified 29 --rw=write --bs=60k --ioengine=io_uring --iodepth=8 --size=30M
}

test_fio_blocks_of_1m_that_begin_in_mid_slab()
{
	fio_verified 32 --rw=write --bs=1M --offset=516k --ioengine=libaio --iodepth=2 --size=32M
}

test_fio_four_jobs_side_by_side()
{
	fio_verified 24 --rw=randwrite --bs=12k --ioengine=io_uring --iodepth=8 \
		--numjobs=4 --offset_increment=40M --size=6M
}

# Each block is discarded, then written, then verified.
test_fio_trim_and_write_mixed()
{
	fio_verified 24 --rw=randtrimwrite --bs=64k --ioengine=libaio --iodepth=8 --size=160M \
		--io_size=24M
}

# The tool would not be worth much if it saw nothing.
test_fio_sees_one_page_that_was_changed()
{
	local -a job=(fio --name=verify --filename="$device" --direct=1 --rw=write
		--bs=64k --size=4M --verify=crc32c --verify_fatal=1)

	lab_run client "${job[@]}" --do_verify=0 >/dev/null
	lab_run client "${job[@]}" --verify_only=1 >/dev/null
	lab_run client dd if=/dev/urandom of="$device" bs=4k seek=100 count=1 oflag=direct
	! lab_run client "${job[@]}" --verify_only=1 >/dev/null || fail "fio did not notice"
}

# The last of the four is zeros, which are not sent.
test_badblocks_four_patterns()
{
	verified $((3 * 4096)) badblocks -w -b 4096 -c 256 "$device" 4095 0
}

test_badblocks_keeps_the_contents()
{
	local before sum='dd if=/dev/infiniswap0 bs=1M skip=24 count=8 iflag=direct 2>/dev/null | sha256sum'

	lab_run client dd if=/dev/urandom of="$device" bs=1M seek=24 count=8 oflag=direct
	before=$(lab_run client "$sum")
	verified $((2 * 2048)) badblocks -n -b 4096 -c 256 "$device" 8191 6144
	[ "$(lab_run client "$sum")" = "$before" ]
}

test_ext4_with_discard_keeps_a_tree_and_fsck_finds_nothing()
{
	# shellcheck disable=SC2016 # for the guest's shell
	verified 1000 bash -e -c '
		discards() { awk "{ print \$12 }" /sys/block/infiniswap0/stat; }

		mkfs.ext4 -F -q /dev/infiniswap0
		mkdir -p /mnt
		mount -o discard /dev/infiniswap0 /mnt
		cp -a /usr/sbin /mnt/tree
		sync
		echo 3 >/proc/sys/vm/drop_caches
		diff -r /usr/sbin /mnt/tree
		stress-ng --temp-path /mnt --hdd 2 --hdd-bytes 8M --hdd-ops 400 --verify -t 20
		before=$(discards)
		rm -r /mnt/tree
		umount /mnt
		[ "$(discards)" -gt "$before" ] || { echo "nothing was discarded"; exit 1; }
		fsck.ext4 -f -n /dev/infiniswap0'
}

test_stress_ng_vm_verifies_what_was_swapped()
{
	lab_run client "mkswap $device && swapon -p 100 $device"
	verified 1000 stress-ng --vm 1 --vm-bytes 160M --vm-method incdec --verify -t 15
}

# Its own swap files come and go on the disk, beside ours.
test_stress_ng_swap_works_beside_ours()
{
	lab_run client 'mkfs.ext4 -F -q /dev/disk/by-id/virtio-lab-disk &&
		mount /dev/disk/by-id/virtio-lab-disk /mnt'
	verified 1 stress-ng --temp-path /mnt --swap 1 --vm 1 --vm-bytes 160M \
		--vm-method incdec --verify -t 8
	lab_run client umount /mnt
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
