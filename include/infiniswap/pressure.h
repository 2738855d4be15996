/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * How much memory a donor may hold, and how much it must give back, so that
 * its host never misses it (Infiniswap, NSDI'17, section 5.1: headroom, and a
 * moving average of what everybody else uses).
 *
 * Giving back goes by what is measured, and so does a grant on demand; what is
 * prepared ahead goes by the average as well.
 *
 * Pure: the caller has the clock and looks at the host once a second.
 */
#ifndef _INFINISWAP_PRESSURE_H
#define _INFINISWAP_PRESSURE_H

#include <linux/types.h>

#include <infiniswap/ewma.h>

#define ISW_UNLIMITED	(~0ull)

/* What one look at the host says, in bytes. */
struct isw_memory {
	__u64 total;		/* MemTotal */
	__u64 available;	/* MemAvailable */
	__u64 own;		/* held by the donor: lent or prepared */
	__u64 limit;		/* of its cgroup: memory.max or high */
	__u64 current;		/* used of that, and not to be reclaimed */
};

struct isw_pressure {
	struct isw_ewma others;	/* bytes used by everybody else */
	__u64 last;		/* at the last look */
	__u64 growth;		/* of it, from one look to the next */
	__u64 grew;		/* the same, at the last look alone */
	__u64 steady;		/* the smaller of the last two */
	int looked;
};

enum isw_pressure_level {
	ISW_PRESSURE_NONE,
	ISW_PRESSURE_SOME,	/* headroom is not there */
	ISW_PRESSURE_URGENT,	/* the host is about to run out */
};

static inline __u64 isw_pressure_less(__u64 a, __u64 b)
{
	return a > b ? a - b : 0;
}

/* @percent of @total, without overflow. */
static inline __u64 isw_pressure_share(__u64 total, __u32 percent)
{
	return total / 100 * percent + total % 100 * percent / 100;
}

/* The lower one of memory.max, of which a part is left alone, and high. */
static inline __u64 isw_pressure_limit(__u64 max, __u64 high)
{
	__u64 margin = max / 8 < (64ull << 20) ? max / 8 : 64ull << 20;

	if (max != ISW_UNLIMITED)
		max -= margin;
	return max < high ? max : high;
}

static inline __u64 isw_pressure_others(const struct isw_memory *m)
{
	return isw_pressure_less(isw_pressure_less(m->total, m->available),
				 m->own);
}

/* One look a second. */
static inline void isw_pressure_look(struct isw_pressure *p,
				     const struct isw_memory *m)
{
	__u64 others = isw_pressure_others(m);
	__u64 growth = p->looked ? isw_pressure_less(others, p->last) : 0;

	/* What grew a second ago may well go on. */
	p->growth = growth > p->growth / 2 ? growth : p->growth / 2;
	p->steady = growth < p->grew ? growth : p->grew;
	p->grew = growth;
	p->last = others;
	p->looked = 1;
	isw_ewma_add(&p->others, others);
}

/*
 * A look between two of them: what others took since the last one they took in less
 * than a second.
 */
static inline void isw_pressure_glance(struct isw_pressure *p,
				       const struct isw_memory *m)
{
	__u64 growth = p->looked ?
		       isw_pressure_less(isw_pressure_others(m), p->last) : 0;

	if (growth > p->growth)
		p->growth = growth;
}

/* What may be taken now and leave @headroom available. */
static inline __u64 isw_pressure_room(const struct isw_memory *m,
				      __u64 headroom)
{
	__u64 host = isw_pressure_less(m->available, headroom);
	__u64 group = m->limit == ISW_UNLIMITED ? host :
		      isw_pressure_less(m->limit, m->current);

	return host < group ? host : group;
}

/*
 * What may be taken ahead of demand: a quarter of headroom stays as well, and
 * what others used on average counts if it is more than they use now.
 */
static inline __u64 isw_pressure_ahead(const struct isw_pressure *p,
				       const struct isw_memory *m,
				       __u64 headroom)
{
	__u64 keep = headroom + headroom / 4;
	__u64 used = isw_ewma_read(&p->others) + m->own;
	__u64 on_average = isw_pressure_less(isw_pressure_less(m->total, used),
					     keep);
	__u64 now = isw_pressure_room(m, keep);

	return now < on_average ? now : on_average;
}

/*
 * isw_pressure_need - bytes that the donor must give back
 *
 * To the host: what is missing of headroom, and what will be missing of it at
 * the next look if others go on to grow, but no more than headroom once over:
 * who starts takes much in a second, and that once. To its cgroup: what is over
 * the limit. What is on its way back already is for the caller to subtract.
 */
static inline __u64 isw_pressure_need(const struct isw_pressure *p,
				      const struct isw_memory *m,
				      __u64 headroom)
{
	__u64 host = isw_pressure_less(headroom, m->available);
	__u64 group = m->limit == ISW_UNLIMITED ? 0 :
		      isw_pressure_less(m->current, m->limit);

	if (host)
		host += p->growth < headroom ? p->growth : headroom;
	return host > group ? host : group;
}

/*
 * A donor that lends all that it may is at its limits, and anything makes it
 * step over them. That is no reason to take back what is lent: an eighth of
 * headroom, which is to be there at the next look as well.
 */
static inline int isw_pressure_slight(const struct isw_pressure *p,
				      const struct isw_memory *m,
				      __u64 headroom)
{
	__u64 keep = headroom - headroom / 8 + p->growth;
	__u64 slack = m->limit / 64 < (16ull << 20) ? m->limit / 64 : 16ull << 20;

	return (m->available >= headroom || m->available >= keep) &&
	       (m->limit == ISW_UNLIMITED || m->current <= m->limit + slack);
}

/*
 * Whether lent memory is to go back, and how soon.
 *
 * @stalled: the kernel says that no task gets on for want of memory. That may
 * be the doing of a cgroup's limit, or of a burst that is over, so it counts
 * only if headroom is not there. A donor that lends all that it may stands at
 * its headroom, and would else give back what it lends at every stall.
 */
static inline enum isw_pressure_level
isw_pressure_level(const struct isw_pressure *p, const struct isw_memory *m,
		   __u64 headroom, int stalled)
{
	/* More than headroom in a second is one leap, until it is seen twice. */
	__u64 growth = p->growth > headroom ? p->steady : p->growth;

	if (stalled && m->available < headroom)
		return ISW_PRESSURE_URGENT;
	if (isw_pressure_slight(p, m, headroom))
		return ISW_PRESSURE_NONE;
	/* Little is left, or will be in two seconds. */
	if (m->available < headroom / 4 || m->available / 2 < growth)
		return ISW_PRESSURE_URGENT;
	return ISW_PRESSURE_SOME;
}

/* Enough is there again: evictions under way can be called off. */
static inline int isw_pressure_over(const struct isw_memory *m, __u64 headroom)
{
	return m->available >= headroom + headroom / 4 &&
	       (m->limit == ISW_UNLIMITED || m->current <= m->limit);
}

#endif /* _INFINISWAP_PRESSURE_H */
