// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory watch. Once a second, and whenever the kernel tells of tasks that
 * wait for memory (PSI), it looks at what is available; if that is less than
 * headroom, or the daemon's cgroup is near its limit, memory goes back: what is
 * prepared first, then, if that is not slight, what is lent.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "evict.h"
#include "grant.h"
#include "log.h"
#include "loop.h"
#include "meminfo.h"
#include "memwatch.h"
#include "options.h"
#include "pool.h"
#include "util.h"

#define PSI_FILE	"/proc/pressure/memory"

static struct isw_pressure pressure;
static enum isw_pressure_level level;

/* False: not known. */
static bool look(struct isw_memory *m)
{
	struct meminfo info;

	if (meminfo_read(&info))
		return false;
	m->total = info.total;
	m->available = info.available;
	m->own = meminfo_own();
	cgroup_read(m);
	return true;
}

bool memwatch_room(uint64_t length, uint64_t back)
{
	struct isw_memory m;

	if (!look(&m))
		return false;
	m.available += back;
	m.current = isw_pressure_less(m.current, back);
	return isw_pressure_room(&m, opt->headroom) >= length;
}

bool memwatch_ahead(uint64_t length)
{
	struct isw_memory m;

	return look(&m) &&
	       isw_pressure_ahead(&pressure, &m, opt->headroom) >= length;
}

enum isw_pressure_level memwatch_level(void)
{
	return level;
}

const char *memwatch_level_name(enum isw_pressure_level l)
{
	switch (l) {
	case ISW_PRESSURE_NONE:
		return "none";
	case ISW_PRESSURE_SOME:
		return "some";
	case ISW_PRESSURE_URGENT:
		return "urgent";
	}
	return "unknown";
}

static void set_level(enum isw_pressure_level next, const struct isw_memory *m)
{
	if (next == level)
		return;
	log_limited(next > level ? LOG_WARN : LOG_INFO,
		    "pressure: %s, was %s: %" PRIu64 " MiB available, headroom %"
		    PRIu64 " MiB", memwatch_level_name(next),
		    memwatch_level_name(level), (uint64_t)m->available >> 20,
		    opt->headroom >> 20);
	level = next;
}

/* @stalled: the kernel says that nobody gets on for want of memory. */
static void respond(const struct isw_memory *m, bool stalled)
{
	uint64_t need = isw_pressure_need(&pressure, m, opt->headroom);

	set_level(isw_pressure_level(&pressure, m, opt->headroom, stalled), m);
	/* First of all: what comes back by it need not be had of others. */
	if (level != ISW_PRESSURE_NONE)
		need = isw_pressure_less(need, pool_stop_filling() +
					 grants_stop_mapping());
	need = isw_pressure_less(need, pool_leaving() + grant_leaving());
	need = isw_pressure_less(need, pool_shrink(need));
	need = isw_pressure_less(need, evict_coming());
	if (level == ISW_PRESSURE_NONE) {
		evict_ease(need);
		if (isw_pressure_over(m, opt->headroom))
			evict_call_off();
		return;
	}
	evict_start(need, level == ISW_PRESSURE_URGENT,
		    m->available >= opt->headroom ? "cgroup" :
		    stalled ? "stall" : "headroom");
}

void memwatch_tick(void)
{
	struct isw_memory m;

	/* What is not known is no reason to take back what is lent. */
	if (!look(&m))
		return;
	isw_pressure_look(&pressure, &m);
	respond(&m, false);
}

/* ---- PSI ---------------------------------------------------------------- */

static void glance(bool stalled)
{
	struct isw_memory m;

	if (!look(&m))
		return;
	isw_pressure_glance(&pressure, &m);
	respond(&m, stalled);
}

static void some_ready(struct source *src)
{
	(void)src;
	glance(false);
}

static void full_ready(struct source *src)
{
	(void)src;
	glance(true);
}

/*
 * A window that is not a multiple of 2 s takes CAP_SYS_RESOURCE; who has it
 * hears of a stall four times as soon. Returns a descriptor or -errno.
 */
static int psi_open(const char *quick, const char *slow)
{
	int error, fd = open(PSI_FILE, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, quick, strlen(quick) + 1) > 0 ||
	    write(fd, slow, strlen(slow) + 1) > 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

static void psi_watch(struct source *src, const char *quick, const char *slow)
{
	int ret = psi_open(quick, slow);

	if (ret >= 0) {
		src->fd = ret;
		src->events = POLLPRI;
		ret = loop_add(src);
	}
	if (ret < 0)
		log_info("%s: %s: looking once a second only", PSI_FILE,
			 strerror(-ret));
}

void memwatch_init(void)
{
	static struct source some = { .ready = some_ready };
	static struct source full = { .ready = full_ready };

	cgroup_init();
	/* Stall and window, in microseconds. */
	psi_watch(&some, "some 50000 500000", "some 150000 2000000");
	psi_watch(&full, "full 25000 500000", "full 100000 2000000");
}
