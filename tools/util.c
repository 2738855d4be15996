// SPDX-License-Identifier: GPL-2.0-only
/* Memory, messages and numbers. */
#include <err.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "infiniswapctl.h"

void freep(void *p)
{
	free(*(void **)p);
}

static void *checked(void *p)
{
	if (!p)
		errx(CTL_FAILED, "out of memory");
	return p;
}

char *xasprintf(const char *format, ...)
{
	va_list args;
	char *s;
	int len;

	va_start(args, format);
	len = vasprintf(&s, format, args);
	va_end(args);
	return checked(len < 0 ? NULL : s);
}

char *xstrdup(const char *s)
{
	return checked(strdup(s));
}

void *xreallocarray(void *p, size_t count, size_t size)
{
	return checked(reallocarray(p, count, size));
}

static const char *helpful;	/* the command whose --help tells more */

void help_is_of(const char *command)
{
	helpful = command;
}

int try_help(void)
{
	fprintf(stderr, "Try 'infiniswapctl %s%s--help'.\n", helpful ?: "",
		helpful ? " " : "");
	return CTL_USAGE;
}

static void complain(const char *format, va_list args)
{
	fputs("infiniswapctl: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

int failed(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(format, args);
	va_end(args);
	return CTL_FAILED;
}

int misused(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(format, args);
	va_end(args);
	return try_help();
}

bool is_number(const char *s)
{
	size_t len = strlen(s);

	return len && strspn(s, "0123456789") == len;
}

/* The largest unit that leaves at least 1, one decimal where it is not exact. */
char *human_size(const char *bytes)
{
	static const char units[] = "BKMGTPE";
	unsigned long long size, unit = 1;
	size_t i = 0;

	if (!is_number(bytes))
		return xstrdup(bytes);
	size = strtoull(bytes, NULL, 10);
	while (units[i + 1] && size / unit >= 1024) {
		unit *= 1024;
		i++;
	}
	if (size % unit == 0)
		return xasprintf("%llu%c", size / unit, units[i]);
	return xasprintf("%.1f%c", (double)size / (double)unit, units[i]);
}
