/* SPDX-License-Identifier: GPL-2.0-only */
/* Values that are written to configfs: how they are read. */
#ifndef _ISW_VALUE_H
#define _ISW_VALUE_H

#include <linux/types.h>

#define ISW_VALUE_MAX	64

size_t isw_value_len(const char *page, size_t count);
bool isw_value_copy(const char *page, size_t count, char *buf);
bool isw_value_is_plain(const char *text);
int isw_value_size(const char *page, size_t count, u64 *bytes);
int isw_value_width(const char *page, size_t count);

#endif /* _ISW_VALUE_H */
