// SPDX-License-Identifier: GPL-2.0-only
/* Values that are written to configfs. */
#include <linux/ctype.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "value.h"

/* Length of the value without the line end. */
size_t isw_value_len(const char *page, size_t count)
{
	while (count && isspace(page[count - 1]))
		count--;
	return count;
}

/* The value as a string in @buf of ISW_VALUE_MAX bytes; false: it does not fit. */
bool isw_value_copy(const char *page, size_t count, char *buf)
{
	size_t len = isw_value_len(page, count);

	if (len >= ISW_VALUE_MAX)
		return false;
	memcpy(buf, page, len);
	buf[len] = '\0';
	return true;
}

/* It can stand between others in lines of the log, of debugfs and of uevents. */
bool isw_value_is_plain(const char *text)
{
	while (isascii(*text) && isgraph(*text))
		text++;
	return !*text;
}

/* Bytes: digits and K, M, G or T. memparse() would not notice an overflow. */
int isw_value_size(const char *page, size_t count, u64 *bytes)
{
	static const char units[] = "kmgt";
	char buf[ISW_VALUE_MAX], *unit;
	unsigned int shift = 0;
	int ret;

	if (!isw_value_copy(page, count, buf) || !isdigit(buf[0]))
		return -EINVAL;
	unit = strchr(units, tolower(buf[strlen(buf) - 1]));
	if (unit) {
		shift = 10 * (unit - units + 1);
		buf[strlen(buf) - 1] = '\0';
	}
	ret = kstrtoull(buf, 10, bytes);
	if (ret || *bytes > U64_MAX >> shift)
		return -EINVAL;
	*bytes <<= shift;
	return 0;
}

/* For "%*pE": escaped, a value cannot pass for a line of its own. */
int isw_value_width(const char *page, size_t count)
{
	return min_t(size_t, isw_value_len(page, count), ISW_VALUE_MAX);
}
