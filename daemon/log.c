// SPDX-License-Identifier: GPL-2.0-only
/* Log lines on stderr; workers log too, so each line is one write. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "util.h"

#define LOG_PERIOD_MS	10000
#define LOG_BURST	10

static enum log_level log_max = LOG_INFO;
static bool log_journal;

static const char *const log_names[] = {
	[LOG_ERROR]	= "error",
	[LOG_WARN]	= "warning",
	[LOG_INFO]	= "info",
	[LOG_DEBUG]	= "debug",
};

static const int log_priority[] = {
	[LOG_ERROR]	= 3,
	[LOG_WARN]	= 4,
	[LOG_INFO]	= 6,
	[LOG_DEBUG]	= 7,
};

const char *log_level_name(enum log_level level)
{
	return log_names[level];
}

void log_init(enum log_level level)
{
	log_max = level;
	log_journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[512];
	va_list args;
	int len, n;

	if (level > log_max)
		return;
	if (log_journal)
		len = snprintf(line, sizeof(line), "<%d>", log_priority[level]);
	else
		len = snprintf(line, sizeof(line), "infiniswapd: %s: ",
			       log_names[level]);
	va_start(args, fmt);
	n = vsnprintf(line + len, sizeof(line) - (size_t)len - 1, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	len += n;
	if (len > (int)sizeof(line) - 2)
		len = (int)sizeof(line) - 2;
	line[len++] = '\n';
	/* A full or closed stderr must not matter to the daemon. */
	if (write(STDERR_FILENO, line, (size_t)len) < 0)
		return;
}

bool log_allowed(struct log_rate *rate, enum log_level level)
{
	uint64_t now = now_ms();

	if (level > log_max)
		return false;
	if (!rate->period_start || now - rate->period_start > LOG_PERIOD_MS) {
		if (rate->missed)
			log_line(level, "(%u lines like the next left out)",
				 rate->missed);
		*rate = (struct log_rate) { .period_start = now };
	}
	if (rate->said >= LOG_BURST) {
		rate->missed++;
		return false;
	}
	rate->said++;
	return true;
}
