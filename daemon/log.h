/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One event, one line, on stderr. Under systemd each line carries the <N>
 * that the journal reads as its priority.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG,
};

/* What one call site may still say in the current period. */
struct log_rate {
	uint64_t period_start;
	unsigned int said;
	unsigned int missed;
};

void log_init(enum log_level level);
void log_line(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
bool log_allowed(struct log_rate *rate, enum log_level level);
const char *log_level_name(enum log_level level);

#define log_error(...)	log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)	log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)	log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	log_line(LOG_DEBUG, __VA_ARGS__)

/* For what a remote machine can provoke as often as it likes; loop only. */
#define log_limited(level, ...) do {					\
	static struct log_rate rate_;					\
	if (log_allowed(&rate_, level))					\
		log_line(level, __VA_ARGS__);				\
} while (0)

#endif
