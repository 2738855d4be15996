/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Where a byte of the device lies: which slab, and where in it. A device is an
 * array of slabs of 1 << shift bytes; the last one may be cut short by the end
 * of the device. Offsets and lengths are in bytes. Shifts and compares alone:
 * no division, and nothing overflows for any argument.
 */
#ifndef _INFINISWAP_SLABMAP_H
#define _INFINISWAP_SLABMAP_H

#include <linux/types.h>
#include <infiniswap/wire.h>

#define ISW_PAGE_SHIFT	12
#define ISW_PAGE_SIZE	(1u << ISW_PAGE_SHIFT)

/* log2 of a slab size, or -1 if slabs cannot have this size. */
static inline int isw_slab_shift(__u64 bytes)
{
	int shift;

	for (shift = ISW_SLAB_SHIFT_MIN; shift <= ISW_SLAB_SHIFT_MAX; shift++)
		if (bytes == 1ull << shift)
			return shift;
	return -1;
}

/* Pages in a whole slab. */
static inline __u64 isw_slab_pages(unsigned int shift)
{
	return 1ull << (shift - ISW_PAGE_SHIFT);
}

/* The slab that holds byte @off, and how far into it that is. */
static inline __u64 isw_slab_of(__u64 off, unsigned int shift)
{
	return off >> shift;
}

static inline __u64 isw_slab_offset(__u64 off, unsigned int shift)
{
	return off & ((1ull << shift) - 1);
}

/* Slabs of a device of @size bytes, a short one at the end included. */
static inline __u64 isw_slab_count(__u64 size, unsigned int shift)
{
	return isw_slab_of(size, shift) + !!isw_slab_offset(size, shift);
}

/* Does [off, off + len) lie within a device of @size bytes? */
static inline int isw_range_ok(__u64 off, __u64 len, __u64 size)
{
	return off <= size && len <= size - off;
}

/*
 * isw_slab_chunk - bytes of [off, off + len) that lie in its first slab
 *
 * Whoever has a range that crosses slabs advances by this until nothing is
 * left; it is 0 only if @len is.
 */
static inline __u64 isw_slab_chunk(__u64 off, __u64 len, unsigned int shift)
{
	__u64 room = (1ull << shift) - isw_slab_offset(off, shift);

	return len < room ? len : room;
}

#endif /* _INFINISWAP_SLABMAP_H */
