// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "donor.h"

#define ARGS_MAX	24
#define READY_MS	20000

struct donor donor;

static void sleep_ms(int ms)
{
	nanosleep(&(struct timespec) { ms / 1000, ms % 1000 * 1000000L }, NULL);
}

static int log_create(void)
{
	static unsigned int number;
	int fd;

	donor_log_forget();
	snprintf(donor.log, sizeof(donor.log), "/tmp/daemon_test.%d.%u.log",
		 getpid(), number++);
	fd = open(donor.log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		perror(donor.log);
		exit(1);
	}
	return fd;
}

static void spawn_to(int fd, char *const *argv)
{
	fflush(stdout);
	donor.pid = fork();
	if (!donor.pid) {
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		execv(donor.program, argv);
		perror(donor.program);
		_exit(127);
	}
	if (donor.pid < 0) {
		perror("fork");
		exit(1);
	}
}

static void spawn(char *const *argv)
{
	int fd = log_create();

	spawn_to(fd, argv);
	close(fd);
}

/* Puts the strings up to NULL behind the @n that are in @argv already. */
static void add_args(char **argv, int n, const char *arg, va_list ap)
{
	for (; arg && n < ARGS_MAX - 1; arg = va_arg(ap, const char *))
		argv[n++] = (char *)arg;
	argv[n] = NULL;
}

bool donor_start(const char *arg, ...)
{
	char port[16], *argv[ARGS_MAX] = {
		(char *)donor.program, port, "--prepare=0", "--headroom=0",
		"--client_timeout=30", "--log_level=debug",
	};
	va_list ap;

	snprintf(port, sizeof(port), "--port=%u", ++donor.port);
	va_start(ap, arg);
	add_args(argv, 6, arg, ap);
	va_end(ap);
	spawn(argv);
	return donor_log_wait("ready on", READY_MS);
}

/* Whether @fd says "ready on" before it ends. */
static bool says_ready(int fd)
{
	char said[4096];
	size_t len = 0;
	ssize_t n;

	do {
		n = read(fd, said + len, sizeof(said) - 1 - len);
		len += n > 0 ? (size_t)n : 0;
		said[len] = '\0';
	} while (n > 0 && !strstr(said, "ready on"));
	return n > 0;
}

/* By way of another description: what is set in this one is not in the daemon's. */
static void fill_pipe(int fd)
{
	static const char x[1];
	char path[32];
	int other;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	while (write(other, x, sizeof(x)) > 0)
		;
	close(other);
}

bool donor_start_unread(void)
{
	char port[16], *argv[] = {
		(char *)donor.program, port, "--prepare=0", "--headroom=0",
		"--log_level=debug", NULL,
	};
	static int fds[2] = { -1, -1 };
	bool ready;

	close(log_create());
	close(fds[0]);	/* of the last time: while it runs there is a reader */
	if (pipe2(fds, O_CLOEXEC))
		return false;
	snprintf(port, sizeof(port), "--port=%u", ++donor.port);
	spawn_to(fds[1], argv);
	ready = says_ready(fds[0]);
	fill_pipe(fds[1]);
	close(fds[1]);
	return ready;
}

bool donor_start_config(const char *path)
{
	char port[16], *argv[] = {
		(char *)donor.program, port, "--config", (char *)path, NULL,
	};

	snprintf(port, sizeof(port), "--port=%u", ++donor.port);
	spawn(argv);
	return donor_log_wait("ready on", READY_MS);
}

int donor_run(const char *arg, ...)
{
	char *argv[ARGS_MAX] = { (char *)donor.program };
	va_list ap;

	va_start(ap, arg);
	add_args(argv, 1, arg, ap);
	va_end(ap);
	spawn(argv);
	return donor_wait(READY_MS);
}

int donor_run_beside(const char *arg, ...)
{
	char *argv[ARGS_MAX] = { (char *)donor.program };
	struct donor first = donor;
	va_list ap;
	int status;

	*donor.log = '\0';
	va_start(ap, arg);
	add_args(argv, 1, arg, ap);
	va_end(ap);
	spawn(argv);
	status = donor_wait(READY_MS);
	if (status == -1)
		donor_stop();
	donor_log_forget();
	donor = first;
	return status;
}

void donor_signal(int sig)
{
	if (donor.pid)
		kill(donor.pid, sig);
}

int donor_wait(int timeout_ms)
{
	int status;

	for (; donor.pid; timeout_ms -= 10) {
		if (waitpid(donor.pid, &status, WNOHANG) == donor.pid) {
			donor.pid = 0;
			return WIFEXITED(status) ? WEXITSTATUS(status) :
						   128 + WTERMSIG(status);
		}
		if (timeout_ms <= 0)
			return -1;
		sleep_ms(10);
	}
	return 0;
}

/* The second ends a drain, and is none if the first had not been noticed yet. */
int donor_stop(void)
{
	int i, status;

	for (i = 0; i < 100; i++) {
		donor_signal(SIGTERM);
		status = donor_wait(100);
		if (status != -1)
			return status;
	}
	donor_signal(SIGKILL);
	donor_wait(10000);
	return status;
}

/* Its status is left to donor_wait(). */
bool donor_alive(void)
{
	siginfo_t info = { .si_pid = 0 };

	return donor.pid &&
	       !waitid(P_PID, (id_t)donor.pid, &info,
		       WEXITED | WNOHANG | WNOWAIT) && !info.si_pid;
}

/* ---- its log ------------------------------------------------------------ */

static char *log_text(void)
{
	static char text[1 << 20];
	FILE *f = fopen(donor.log, "re");
	size_t len = 0;

	if (f) {
		len = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	text[len] = '\0';
	return text;
}

bool donor_log_has(const char *text)
{
	return strstr(log_text(), text);
}

static unsigned int log_count(const char *text)
{
	const char *at = log_text();
	unsigned int n = 0;

	while ((at = strstr(at, text))) {
		at += strlen(text);
		n++;
	}
	return n;
}

bool donor_log_wait_times(const char *text, unsigned int times, int timeout_ms)
{
	for (; timeout_ms > 0; timeout_ms -= 20) {
		if (log_count(text) >= times)
			return true;
		if (!donor_alive())
			return log_count(text) >= times;
		sleep_ms(20);
	}
	return false;
}

bool donor_log_wait(const char *text, int timeout_ms)
{
	return donor_log_wait_times(text, 1, timeout_ms);
}

/* The end of it, as remarks in the test's output. */
void donor_log_show(void)
{
	char *text = log_text(), *line, *save;
	size_t len = strlen(text);

	if (len > 4000)
		text += len - 4000;
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		printf("#   | %s\n", line);
}

/* ---- what it holds ------------------------------------------------------ */

void donor_log_forget(void)
{
	if (*donor.log)
		unlink(donor.log);
	*donor.log = '\0';
}

long donor_rss_kib(void)
{
	char path[64], line[128];
	long kib = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", donor.pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

int donor_fds(void)
{
	char path[64];
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", donor.pid);
	dir = opendir(path);
	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}
