// SPDX-License-Identifier: GPL-2.0-only
/*
 * Log lines on stderr. Nobody who is to read them, or does not, may hold up the
 * daemon: a line for which there is no room is lost.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "util.h"

#define LOG_PERIOD_MS	10000
#define LOG_BURST	10
/* Less than PIPE_BUF. */
#define LINE_MAX_LEN	512

static enum log_level log_max = LOG_INFO;
static bool log_journal;
/* Workers log too, and each is to find the room that it has seen. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int lost;	/* lines; under lock */

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

/*
 * Whether all of @line is out. Its descriptor may be others' too, so it stays as
 * it is: blocking. A socket takes a line whole or not at all; into a pipe that
 * has room at all fits as much as PIPE_BUF.
 */
static bool put(const char *line, size_t len)
{
	struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t n = send(room.fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno == ENOTSOCK && poll(&room, 1, 0) == 1 &&
	    room.revents & POLLOUT)
		n = write(room.fd, line, len);
	return n == (ssize_t)len;
}

__attribute__((format(printf, 3, 0)))
static size_t compose(char line[LINE_MAX_LEN], enum log_level level,
		      const char *fmt, va_list args)
{
	int len, n;

	if (log_journal)
		len = snprintf(line, LINE_MAX_LEN, "<%d>", log_priority[level]);
	else
		len = snprintf(line, LINE_MAX_LEN, "infiniswapd: %s: ",
			       log_names[level]);
	n = vsnprintf(line + len, LINE_MAX_LEN - (size_t)len - 1, fmt, args);
	if (n < 0)
		return 0;
	len += n;
	if (len > LINE_MAX_LEN - 2)
		len = LINE_MAX_LEN - 2;
	line[len++] = '\n';
	return (size_t)len;
}

__attribute__((format(printf, 3, 4)))
static size_t compose_of(char line[LINE_MAX_LEN], enum log_level level,
			 const char *fmt, ...)
{
	va_list args;
	size_t len;

	va_start(args, fmt);
	len = compose(line, level, fmt, args);
	va_end(args);
	return len;
}

/* What is missing is said first, as soon as there is room again. */
static void tell_lost(void)
{
	char line[LINE_MAX_LEN];
	size_t len;

	if (!lost)
		return;
	len = compose_of(line, LOG_WARN, "%u lines lost, nobody read them",
			 lost);
	if (put(line, len))
		lost = 0;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_LEN];
	int error = errno;
	va_list args;
	size_t len;

	if (level > log_max)
		return;
	va_start(args, fmt);
	len = compose(line, level, fmt, args);
	va_end(args);
	pthread_mutex_lock(&lock);
	tell_lost();
	if (!put(line, len))
		lost++;
	pthread_mutex_unlock(&lock);
	errno = error;		/* may be what is returned next */
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
