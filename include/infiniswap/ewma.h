/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The moving average that tells hot slabs from cold ones, in fixed point:
 *
 *	A(now) = alpha * measured + (1 - alpha) * A(before),  A(first) = 0
 *
 * with alpha = 0.2 and one sample per second (Infiniswap, NSDI'17, section
 * 4.1: page-ins plus page-outs of a slab; 5.1 has the same formula for a
 * donor's memory use, beta = 0.2). Pure: the caller has the clock.
 */
#ifndef _INFINISWAP_EWMA_H
#define _INFINISWAP_EWMA_H

#include <linux/types.h>

/* An average has this many fractional bits; samples are whole numbers. */
#define ISW_EWMA_SHIFT		16

/* Larger samples count as this: nothing overflows below. */
#define ISW_EWMA_SAMPLE_MAX	((1ull << (64 - ISW_EWMA_SHIFT)) - 1)

/* 0.2 and 0.8 in units of 2^-32; together they are exactly 1. */
#define ISW_EWMA_ALPHA		858993459ull
#define ISW_EWMA_REST		((1ull << 32) - ISW_EWMA_ALPHA)

struct isw_ewma {
	__u64 value;		/* units of 2^-ISW_EWMA_SHIFT */
};

/* @value * @weight * 2^-32, rounded down; @weight is at most 2^32. */
static inline __u64 isw_ewma_scale(__u64 value, __u64 weight)
{
	return (value >> 32) * weight +
	       (((value & 0xffffffffull) * weight) >> 32);
}

/*
 * isw_ewma_add - one period passed, in which @sample events were counted
 *
 * Both terms are rounded down, so that an idle average reaches 0 and stays
 * there. That costs less than 10 units of 2^-16 in any average.
 */
static inline void isw_ewma_add(struct isw_ewma *e, __u64 sample)
{
	if (sample > ISW_EWMA_SAMPLE_MAX)
		sample = ISW_EWMA_SAMPLE_MAX;
	e->value = isw_ewma_scale(sample << ISW_EWMA_SHIFT, ISW_EWMA_ALPHA) +
		   isw_ewma_scale(e->value, ISW_EWMA_REST);
}

/* The average in events per period, rounded to the nearest whole number. */
static inline __u64 isw_ewma_read(const struct isw_ewma *e)
{
	return (e->value + (1ull << (ISW_EWMA_SHIFT - 1))) >> ISW_EWMA_SHIFT;
}

#endif /* _INFINISWAP_EWMA_H */
