/* SPDX-License-Identifier: GPL-2.0-only */
/* The bytes of a request, page by page, when the CPU has to touch them. */
#ifndef _ISW_PAGES_H
#define _ISW_PAGES_H

#include <linux/types.h>

struct isw_io;

/* Pages are counted from the request's first one. All: any context. */
void isw_pages_zero(struct isw_io *io, u32 first, u32 count);
bool isw_pages_all_zero(struct isw_io *io);
void isw_pages_copy_to_staged(struct isw_io *io);
void isw_pages_copy_from(struct isw_io *io, u32 page, const void *from);
void isw_pages_crc(struct isw_io *io, u32 first, u32 count,
		   bool (*take)(struct isw_io *io, u32 page, u32 crc));

#endif /* _ISW_PAGES_H */
