#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: probe.sh KERNEL_SOURCE
#
# Prints one -DISW_HAVE_… per property of the kernel's headers that kmod/compat.h
# has to know. It looks at the headers and never at a version number, because
# stable series and distributions carry changes back: struct rq_list (6.13) is in
# Debian's 6.12.95.
#
# KERNEL_SOURCE has include/linux/. On success at least ISW_HAVE_PROBE is printed.

include=${1:?usage: probe.sh KERNEL_SOURCE}/include

# have NAME REGEX FILE… - in any of the FILEs below include/ (some move about)
have()
{
	name=$1 regex=$2
	shift 2
	for file in "$@"; do
		if grep -qsE -e "$regex" "$include/$file"; then
			printf -- '-DISW_HAVE_%s=1 ' "$name"
			return
		fi
	done
}

if [ ! -f "$include/linux/blk-mq.h" ]; then
	echo "probe.sh: $include/linux/blk-mq.h: not found" >&2
	exit 1
fi
printf -- '-DISW_HAVE_PROBE=1 '

# Queue limits are an argument of blk_mq_alloc_disk() and their setters are gone: 6.9.
have LIM_ALLOC 'define blk_mq_alloc_disk\(set, lim,' linux/blk-mq.h

# Features of a queue are bits in its limits, and non-rotational is the default
# to which BLK_FEAT_ROTATIONAL is the exception: 6.11.
have LIM_FEATURES 'define BLK_FEAT_ROTATIONAL' linux/blkdev.h

# ->queue_rqs() takes a struct rq_list *, oldest request first: 6.13. Before, a
# struct request **, newest first.
have RQ_LIST 'struct rq_list \{' \
	linux/blkdev.h linux/blk_plug.h linux/blk-mq.h

# Merging has to be asked for with BLK_MQ_F_SHOULD_MERGE: until 6.13.
have F_SHOULD_MERGE 'BLK_MQ_F_SHOULD_MERGE' linux/blk-mq.h

# An I/O scheduler can be ruled out with BLK_MQ_F_NO_SCHED: until 6.13.
have F_NO_SCHED 'BLK_MQ_F_NO_SCHED[^_]' linux/blk-mq.h

# blk_rq_map_sg() wants the queue beside the request: until 6.15.
have MAP_SG_Q 'blk_rq_map_sg\(struct request_queue' linux/blk-mq.h

# ->init_request() gets its NUMA node as an int: 7.x. Before, an unsigned int.
have INIT_RQ_INT_NODE '^[[:space:]]+unsigned int, int\);' linux/blk-mq.h

# ->open() and ->release() take a disk and a blk_mode_t: 6.5.
have BLK_MODE_T 'blk_mode_t' linux/blkdev.h

# A block device is opened as a file: 6.9.
have BDEV_FILE 'bdev_file_open_by_path' linux/blkdev.h

# The workqueue for what may run on any CPU is system_dfl_wq: 6.17. Before,
# system_unbound_wq, of which 7.x warns.
have DFL_WQ 'system_dfl_wq' linux/workqueue.h

echo
