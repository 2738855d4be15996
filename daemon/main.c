// SPDX-License-Identifier: GPL-2.0-only
/*
 * infiniswapd lends this host's free memory to infiniswap clients. It grants
 * regions of memory over the control connection; clients then read and write
 * them by RDMA, without its help.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "admin.h"
#include "client.h"
#include "ctrl.h"
#include "device.h"
#include "drain.h"
#include "epoch.h"
#include "evict.h"
#include "grant.h"
#include "listen.h"
#include "log.h"
#include "loop.h"
#include "meminfo.h"
#include "memwatch.h"
#include "msg.h"
#include "notify.h"
#include "options.h"
#include "pool.h"
#include "session.h"
#include "table.h"
#include "util.h"
#include "work.h"

/* Leases and time limits are kept to within this. */
#define TICK_SEC	1

uint64_t daemon_epoch;
static uint64_t mem_total;
static unsigned int ticks;	/* that clients_tick() has not heard of yet */

/* ---- limits ------------------------------------------------------------- */

/*
 * Registered memory counts as locked. CAP_SYS_RESOURCE lets us raise the limit;
 * without it the operator's limit holds, and a grant that exceeds it fails.
 */
static void check_memory(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (opt->memory > mem_total)
		log_warn("memory = %" PRIu64 " MiB, but this host has %" PRIu64
			 " MiB", opt->memory >> 20, mem_total >> 20);
	if (!setrlimit(RLIMIT_MEMLOCK, &limit))
		return;
	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < opt->memory)
		log_warn("locked memory is limited to %" PRIu64
			 " MiB, less than memory = %" PRIu64 " MiB",
			 (uint64_t)limit.rlim_cur >> 20, opt->memory >> 20);
}

/* ---- timer and signals -------------------------------------------------- */

static void timer_ready(struct source *src)
{
	uint64_t count;

	while (read(src->fd, &count, sizeof(count)) > 0)
		;
	devices_tick();
	listen_tick();
	memwatch_tick();
	evict_tick();
	admin_tick();
	notify_watchdog();
	pool_tick();
	drain_tick();
	ticks++;
}

static int timer_init(void)
{
	static struct source source = { .ready = timer_ready };
	const struct timespec tick = { .tv_sec = TICK_SEC };
	const struct itimerspec spec = { .it_interval = tick, .it_value = tick };

	source.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (source.fd < 0 || timerfd_settime(source.fd, 0, &spec, NULL)) {
		log_error("timer: %s", strerror(errno));
		return -errno;
	}
	return loop_add(&source);
}

/* Between start and stop limits may change; log_level does so first. */
static void reload(void)
{
	log_info("SIGHUP: reading the configuration again");
	if (!options_reload(mem_total))
		return;
	log_init((enum log_level)opt->log_level);
	check_memory();
	msg_status_all();	/* what clients were told of limits has changed */
	pool_tick();
}

static void signal_ready(struct source *src)
{
	struct signalfd_siginfo info;

	while (read(src->fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			table_log();
		else if (info.ssi_signo == SIGHUP)
			reload();
		else
			drain_signal(info.ssi_signo == SIGTERM ?
				     "SIGTERM" : "SIGINT");
	}
}

/* Before any thread starts: all threads must have them blocked. */
static int signals_init(void)
{
	static struct source source = { .ready = signal_ready };
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	source.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (source.fd < 0) {
		log_error("signalfd: %s", strerror(errno));
		return -errno;
	}
	return loop_add(&source);
}

/* ---- the process -------------------------------------------------------- */

static bool may_lock_all(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct rlimit limit;

	if (!getrlimit(RLIMIT_MEMLOCK, &limit) &&
	    limit.rlim_cur == RLIM_INFINITY)
		return true;
	return !syscall(SYS_capget, &header, data) &&
	       data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &
	       CAP_TO_MASK(CAP_IPC_LOCK);
}

/*
 * A host short of memory must not page out the very code that could give it
 * some back, or that a swap device on this same machine may wait for: neither
 * what is there now nor what is touched later. The latter only where locked
 * memory has no limit: else each mapping beyond it fails, a thread's stack or
 * a prepared slab, for being there and not for being locked.
 */
static void lock_code(void)
{
	const char *reason = NULL;

	if (mlockall(MCL_CURRENT))
		reason = strerror(errno);
	else if (!may_lock_all())
		reason = "locked memory is limited";
	else if (mlockall(MCL_FUTURE | MCL_ONFAULT))
		reason = strerror(errno);
	if (reason)
		log_warn("the daemon is not locked in memory: %s (ulimit -l, LimitMEMLOCK=): a host that gets short may page it out",
			 reason);
}

/*
 * Who is silent, late, or has not come back, is judged by what has arrived: after a
 * halt of ours (a debugger, SIGSTOP) all that came meanwhile is taken first. But
 * who asks for connections without end delays it by a second.
 */
static void judge_clients(void)
{
	if (!ticks || (ticks == 1 && listen_behind()))
		return;
	ticks = 0;
	clients_tick();
}

/* What a client has said comes before that it is gone. */
static void after_events(void)
{
	ctrl_poll();
	listen_poll();
	evict_poll();
	judge_clients();
	session_reap();
	drain_check();
}

static int start(void)
{
	int ret;

	ret = loop_init();
	if (!ret)
		ret = signals_init();
	if (!ret)
		ret = clients_init();
	if (!ret)
		ret = grants_init();
	if (!ret)
		ret = listen_init();
	if (ret)
		return ret;
	lock_code();
	ret = work_init();
	if (!ret)
		ret = timer_init();
	if (!ret)
		ret = evict_init();
	if (ret)
		return ret;
	memwatch_init();
	pool_init();
	admin_init();
	return 0;
}

/*
 * Sessions first: then nobody can reach the memory that is taken back next.
 * The order is start()'s backwards, with the workers' last jobs in between.
 */
static void stop(void)
{
	struct client *client = NULL;

	admin_exit();
	pool_exit();
	while ((client = client_next(client))) {
		if (client->session)
			session_destroy(client->session);
		client->leaving = true;
		grants_drop(client);
		client_settle(client);
	}
	work_exit();
	listen_exit();
	grants_exit();
	clients_exit();
	loop_exit();
}

int main(int argc, char **argv)
{
	struct meminfo info;
	int ret;

	options_parse(argc, argv);
	log_init((enum log_level)opt->log_level);
	if (meminfo_read(&info))
		return EXIT_FAILURE;
	options_settle(info.total);
	mem_total = info.total;
	check_memory();
	daemon_epoch = random_nonzero();
	if (start())
		return EXIT_FAILURE;
	log_info("ready on %s port %" PRIu64 ", lending up to %" PRIu64
		 " MiB, headroom %" PRIu64 " MiB, epoch %016" PRIx64,
		 *opt->bind ? opt->bind : "all addresses", opt->port,
		 opt->memory >> 20, opt->headroom >> 20, daemon_epoch);
	notify_send("READY=1");
	ret = loop_run(after_events);
	stop();
	log_info("end");
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}
