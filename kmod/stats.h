/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters: one set per CPU, summed when read. They only ever grow. */
#ifndef _ISW_STATS_H
#define _ISW_STATS_H

#include <linux/percpu.h>

struct isw_stats {			/* of a device */
	u64 pages_in_remote;
	u64 pages_out_remote;
	u64 read_errors;		/* requests that failed */
	u64 write_errors;
	u64 crc_errors;			/* copies that were not what was written */
	u64 pages_in_staged;
	u64 pages_in_backup;
	u64 pages_out_backup;
	u64 backup_errors;		/* reads and writes of the disk that failed */
	u64 pages_copied;		/* brought a copy that they lacked */
	u64 staging_waits;		/* writes that found staging full */
	u64 failovers;			/* sessions that broke */
	u64 reconnects;			/* sessions resumed or made anew after that */
	u64 evictions;			/* grants that donors wanted back */
	u64 evictions_forced;		/* legs dropped when the time was over */
};

struct isw_donor_stats {
	u64 pages_in;
	u64 pages_out;
	u64 errors;			/* work requests that failed */
	u64 crc_errors;			/* pages it did not return as written */
	u64 evictions;			/* grants it wanted back */
};

#define isw_stat_add(stats, field, n)	this_cpu_add((stats)->field, n)
#define isw_stat_inc(stats, field)	this_cpu_inc((stats)->field)

/* @offset: of the counter in the per-CPU structure */
static inline u64 isw_stat_sum(const void __percpu *stats, size_t offset)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*(u64 *)(per_cpu_ptr((const char __percpu *)stats, cpu) +
					  offset));
	return sum;
}

#endif /* _ISW_STATS_H */
