// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lab's agent inside a guest: runs commands and moves files for the host.
 *
 * It talks frames over a virtio-serial port (see enum frame_type; the host's
 * side is scripts/lib/lab/wire.py). It must answer while the guest swaps to
 * memory that may not answer itself, so it is static, locked in memory, exempt
 * from the OOM killer, and touches no file: whatever may block happens in a
 * child.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROTOCOL_VERSION	1
#define MAX_JOBS		32
#define MAX_FRAME		(160 * 1024)	/* a command line has up to 128 KiB */
#define MAX_ARGS		4096
#define CHUNK			(16 * 1024)
#define WINDOW			(256 * 1024)	/* input of a job that the host may have under way */
#define TIMED_OUT		124
#define NO_ROOM			125
#define GRACE_MS		200	/* for output still in the pipes when the command has ended */

enum frame_type {
	/* host to guest */
	FRAME_RUN	= 'r',	/* u32 timeout ms, then arguments, each ended by NUL */
	FRAME_PUT	= 'p',	/* u32 timeout ms, u32 mode, u64 size, path */
	FRAME_GET	= 'g',	/* u32 timeout ms, path */
	FRAME_DATA	= 'd',	/* bytes of the file being put */
	FRAME_KILL	= 'k',
	FRAME_PING	= 'i',
	/* guest to host */
	FRAME_HELLO	= 'H',	/* u32 protocol version */
	FRAME_OUT	= 'O',	/* bytes of standard output, or of the file being got */
	FRAME_ERR	= 'E',	/* bytes of standard error */
	FRAME_CREDIT	= 'C',	/* u32 bytes of DATA that were taken */
	FRAME_EXIT	= 'X',	/* u32 exit status */
	FRAME_PONG	= 'I',
};

/* Little-endian, like every machine this runs on. */
struct frame {
	uint8_t type;
	uint32_t id;
	uint32_t length;
} __attribute__((packed));

struct put_header {
	uint32_t timeout_ms;
	uint32_t mode;
	uint64_t size;
} __attribute__((packed));

/* What a job that gets a file says before the file's bytes. */
struct get_header {
	uint32_t mode;
	uint64_t size;
} __attribute__((packed));

struct job {
	bool used;
	bool reaped;
	bool timed_out;
	uint32_t id;
	uint32_t status;
	pid_t pid;
	int out;		/* read ends of the child's output */
	int err;
	int in;			/* write end of its input, -1 unless it is a put */
	uint64_t in_left;	/* bytes of input still to be written to `in` */
	char *window;		/* ring of WINDOW bytes between port and `in` */
	uint32_t head, filled;
	int64_t deadline;	/* ms, CLOCK_MONOTONIC */
};

static struct job jobs[MAX_JOBS];
static int port = -1;
static char inbox[MAX_FRAME + sizeof(struct frame) + 1];	/* and a NUL */
static size_t inbox_filled;

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void port_write(const void *data, size_t size)
{
	struct pollfd writable = { .fd = port, .events = POLLOUT };
	const char *p = data;

	while (size) {
		ssize_t n = write(port, p, size);

		if (n > 0) {
			p += n;
			size -= n;
		} else if (n < 0 && errno == EAGAIN) {
			poll(&writable, 1, 100);
		} else if (n < 0 && errno != EINTR) {
			return;		/* the host has gone, and this guest goes with it */
		}
	}
}

static void send_frame(uint8_t type, uint32_t id, const void *data, uint32_t length)
{
	char buffer[sizeof(struct frame) + CHUNK];
	struct frame header = { type, id, length };

	/* One write for both: each write is a trip through the hypervisor. */
	memcpy(buffer, &header, sizeof(header));
	if (length)
		memcpy(buffer + sizeof(header), data, length);
	port_write(buffer, sizeof(header) + length);
}

static void send_u32(uint8_t type, uint32_t id, uint32_t value)
{
	send_frame(type, id, &value, sizeof(value));
}

/* Send what cannot become a job as one: a line on standard error, a status. */
static void refuse(uint32_t id, const char *what, int error)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "lab agent: %s: %s\n", what, strerror(error));

	send_frame(FRAME_ERR, id, text, n);
	send_u32(FRAME_EXIT, id, NO_ROOM);
}

/* ---- children: these may block, and do not return ---- */

static void write_all(int fd, const char *data, size_t size, const char *name)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fprintf(stderr, "%s: %s\n", name, strerror(errno));
			_exit(1);
		}
		data += n;
		size -= n;
	}
}

static void make_parents(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) && errno != EEXIST) {
			fprintf(stderr, "%s: %s\n", path, strerror(errno));
			_exit(1);
		}
		*slash = '/';
	}
}

/* Standard input becomes the file; it has its name only when it is whole. */
static void child_put(char *path, uint32_t mode, uint64_t size)
{
	static char buffer[64 * 1024];
	char partial[PATH_MAX];
	int fd;

	if (snprintf(partial, sizeof(partial), "%s.lab-partial", path) >= (int)sizeof(partial)) {
		fprintf(stderr, "%s: %s\n", path, strerror(ENAMETOOLONG));
		_exit(1);
	}
	make_parents(partial);
	fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0) {
		fprintf(stderr, "%s: %s\n", partial, strerror(errno));
		_exit(1);
	}
	while (size) {
		size_t want = size < sizeof(buffer) ? size : sizeof(buffer);
		ssize_t n = read(STDIN_FILENO, buffer, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fprintf(stderr, "%s: %llu bytes short\n", path, (unsigned long long)size);
			unlink(partial);
			_exit(1);
		}
		write_all(fd, buffer, n, partial);
		size -= n;
	}
	if (fchmod(fd, mode & 07777) || close(fd) || rename(partial, path)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		unlink(partial);
		_exit(1);
	}
	_exit(0);
}

/*
 * The file becomes standard output, after a header. The size of a file in
 * /proc or /sys says nothing, so such a file is read whole first.
 */
static void child_get(const char *path)
{
	struct get_header header;
	size_t filled = 0, room = 64 * 1024;
	char *content = NULL;
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		_exit(1);
	}
	if (!S_ISREG(st.st_mode)) {
		fprintf(stderr, "%s: not a regular file\n", path);
		_exit(1);
	}
	header.mode = st.st_mode & 07777;
	header.size = st.st_size;
	if (st.st_size && st.st_blocks) {
		static char buffer[64 * 1024];

		write_all(STDOUT_FILENO, (char *)&header, sizeof(header), path);
		for (uint64_t left = header.size; left;) {
			size_t want = left < sizeof(buffer) ? left : sizeof(buffer);
			ssize_t n = read(fd, buffer, want);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0) {
				fprintf(stderr, "%s: %s\n", path, n ? strerror(errno) : "got shorter");
				_exit(1);
			}
			write_all(STDOUT_FILENO, buffer, n, "stdout");
			left -= n;
		}
		_exit(0);
	}
	for (;;) {
		ssize_t n;

		if (!content || filled == room) {
			room *= 2;
			content = realloc(content, room);
			if (!content)
				_exit(1);
		}
		n = read(fd, content + filled, room - filled);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fprintf(stderr, "%s: %s\n", path, strerror(errno));
			_exit(1);
		}
		if (!n)
			break;
		filled += n;
	}
	header.size = filled;
	write_all(STDOUT_FILENO, (char *)&header, sizeof(header), path);
	write_all(STDOUT_FILENO, content, filled, "stdout");
	_exit(0);
}

static void child_run(char *arguments, size_t size)
{
	static char *argv[MAX_ARGS + 1];
	int error, n = 0;

	for (char *p = arguments; p < arguments + size && n < MAX_ARGS; p += strlen(p) + 1)
		argv[n++] = p;
	execvp(argv[0], argv);
	error = errno;
	fprintf(stderr, "%s: %s\n", argv[0], strerror(error));
	_exit(error == ENOENT ? 127 : 126);
}

/* ---- jobs ---- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static struct job *job_find(uint32_t id)
{
	for (struct job *job = jobs; job < jobs + MAX_JOBS; job++)
		if (job->used && job->id == id)
			return job;
	return NULL;
}

static void child_prepare(int in, int out, int err)
{
	sigset_t none;
	int fd;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	/* The agent's exemption from the OOM killer is not for its children. */
	fd = open("/proc/self/oom_score_adj", O_WRONLY);
	if (fd >= 0) {
		if (write(fd, "0", 1) < 0)
			fprintf(stderr, "lab agent: oom_score_adj: %s\n", strerror(errno));
		close(fd);
	}
}

/* Start a job of any kind; PAYLOAD is the part after the timeout, NUL-ended. */
static void job_start(const struct frame *frame, uint32_t timeout_ms, char *payload, size_t size)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
	struct put_header put = { 0 };
	struct job *job = NULL;
	int error = EAGAIN;

	for (int i = 0; i < MAX_JOBS && !job; i++)
		if (!jobs[i].used)
			job = &jobs[i];
	if (!job)
		goto refused;
	memset(job, 0, sizeof(*job));
	job->in = job->out = job->err = -1;

	if (frame->type == FRAME_PUT) {
		memcpy(&put, payload - sizeof(timeout_ms), sizeof(put));
		payload += sizeof(put) - sizeof(timeout_ms);
		job->in_left = put.size;
		job->window = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (job->window == MAP_FAILED) {
			job->window = NULL;
			error = ENOMEM;
			goto refused;
		}
		if (pipe2(in, O_CLOEXEC))
			goto refused_errno;
	} else {
		in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		goto refused_errno;

	job->pid = fork();
	if (job->pid < 0)
		goto refused_errno;
	if (!job->pid) {
		child_prepare(in[0], out[1], err[1]);
		if (frame->type == FRAME_PUT)
			child_put(payload, put.mode, put.size);
		else if (frame->type == FRAME_GET)
			child_get(payload);
		else
			child_run(payload, size);
		_exit(127);
	}
	close_fd(&in[0]);
	close_fd(&out[1]);
	close_fd(&err[1]);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	if (in[1] >= 0)
		fcntl(in[1], F_SETFL, O_NONBLOCK);
	job->used = true;
	job->id = frame->id;
	job->in = in[1];
	job->out = out[0];
	job->err = err[0];
	job->deadline = timeout_ms ? now_ms() + timeout_ms : INT64_MAX;
	if (job->in >= 0 && !job->in_left)
		close_fd(&job->in);
	return;

refused_errno:
	error = errno;
refused:
	for (int i = 0; i < 2; i++) {
		close_fd(&in[i]);
		close_fd(&out[i]);
		close_fd(&err[i]);
	}
	if (job && job->window)
		munmap(job->window, WINDOW);
	refuse(frame->id, "cannot start a job", error);
}

/* Bytes for a job's input arrived: keep them until its pipe takes them. */
static void job_take_input(uint32_t id, const char *data, size_t size)
{
	struct job *job = job_find(id);

	/* A job that has failed already no longer wants the rest of its file. */
	if (!job || job->in < 0 || job->filled + size > WINDOW)
		return;
	for (size_t i = 0; i < size;) {
		uint32_t tail = (job->head + job->filled) % WINDOW;
		size_t n = size - i < WINDOW - tail ? size - i : WINDOW - tail;

		memcpy(job->window + tail, data + i, n);
		job->filled += n;
		i += n;
	}
}

static void job_feed(struct job *job)
{
	size_t n = job->filled < WINDOW - job->head ? job->filled : WINDOW - job->head;
	ssize_t written = write(job->in, job->window + job->head, n);

	if (written < 0) {
		if (errno != EAGAIN && errno != EINTR)
			close_fd(&job->in);
		return;
	}
	job->head = (job->head + written) % WINDOW;
	job->filled -= written;
	job->in_left -= written;
	send_u32(FRAME_CREDIT, job->id, written);
	if (!job->in_left)
		close_fd(&job->in);
}

/* Pass on what is in one of a job's output pipes; false when it has nothing now. */
static bool job_drain(struct job *job, int *fd, uint8_t type)
{
	char buffer[CHUNK];
	ssize_t n = read(*fd, buffer, sizeof(buffer));

	if (n > 0)
		send_frame(type, job->id, buffer, n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_fd(fd);
	return n > 0;
}

static void job_finish(struct job *job)
{
	/* What a command left in the background may still hold the pipes. */
	while (job->out >= 0 && job_drain(job, &job->out, FRAME_OUT))
		;
	while (job->err >= 0 && job_drain(job, &job->err, FRAME_ERR))
		;
	close_fd(&job->out);
	close_fd(&job->err);
	close_fd(&job->in);
	if (job->window)
		munmap(job->window, WINDOW);
	send_u32(FRAME_EXIT, job->id, job->timed_out ? TIMED_OUT : job->status);
	job->used = false;
}

static void job_advance(struct job *job, int64_t now)
{
	int status;

	if (!job->reaped && waitpid(job->pid, &status, WNOHANG) == job->pid) {
		job->reaped = true;
		job->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		job->deadline = now + GRACE_MS;
	}
	if (job->reaped) {
		if ((job->out < 0 && job->err < 0) || now >= job->deadline)
			job_finish(job);
	} else if (now >= job->deadline) {
		/* A task in an uninterruptible wait dies late; ask again later. */
		job->timed_out = true;
		job->deadline = now + 1000;
		kill(-job->pid, SIGKILL);
	}
}

/* ---- the port ---- */

static void handle_frame(const struct frame *frame, char *payload)
{
	struct job *job;
	uint32_t timeout_ms;

	switch (frame->type) {
	case FRAME_RUN:
	case FRAME_GET:
	case FRAME_PUT:
		if (frame->length <= sizeof(timeout_ms) ||
		    (frame->type == FRAME_PUT && frame->length <= sizeof(struct put_header))) {
			refuse(frame->id, "bad frame", EINVAL);
			break;
		}
		memcpy(&timeout_ms, payload, sizeof(timeout_ms));
		job_start(frame, timeout_ms, payload + sizeof(timeout_ms),
			  frame->length - sizeof(timeout_ms));
		break;
	case FRAME_DATA:
		job_take_input(frame->id, payload, frame->length);
		break;
	case FRAME_KILL:
		job = job_find(frame->id);
		if (job && !job->reaped)
			kill(-job->pid, SIGKILL);
		break;
	case FRAME_PING:
		send_frame(FRAME_PONG, frame->id, NULL, 0);
		break;
	}
}

static void port_read(void)
{
	ssize_t n = read(port, inbox + inbox_filled, sizeof(inbox) - 1 - inbox_filled);
	size_t done = 0;

	if (n <= 0)
		return;
	inbox_filled += n;
	while (inbox_filled - done >= sizeof(struct frame)) {
		struct frame frame;
		char *payload = inbox + done + sizeof(frame);
		char after;

		memcpy(&frame, inbox + done, sizeof(frame));
		if (frame.length > MAX_FRAME) {
			fprintf(stderr, "lab agent: frame of %u bytes\n", frame.length);
			exit(1);
		}
		if (inbox_filled - done < sizeof(frame) + frame.length)
			break;
		/* Strings in a payload end where it ends. */
		after = payload[frame.length];
		payload[frame.length] = '\0';
		handle_frame(&frame, payload);
		payload[frame.length] = after;
		done += sizeof(frame) + frame.length;
	}
	inbox_filled -= done;
	memmove(inbox, inbox + done, inbox_filled);
}

/* Wait until something is to be done; fill in which descriptors are ready. */
static void wait_for_work(int signals)
{
	struct pollfd fds[2 + 3 * MAX_JOBS];
	int64_t deadline = INT64_MAX, now = now_ms();
	struct signalfd_siginfo info;
	int n = 0, k = 2, timeout = -1;

	fds[n++] = (struct pollfd){ .fd = port, .events = POLLIN };
	fds[n++] = (struct pollfd){ .fd = signals, .events = POLLIN };
	for (struct job *job = jobs; job < jobs + MAX_JOBS; job++) {
		if (!job->used)
			continue;
		fds[n++] = (struct pollfd){ .fd = job->out, .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = job->err, .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = job->filled ? job->in : -1, .events = POLLOUT };
		if (job->deadline < deadline)
			deadline = job->deadline;
	}
	if (deadline != INT64_MAX)
		timeout = deadline <= now ? 0 : deadline - now > 60000 ? 60000 : deadline - now;
	if (poll(fds, n, timeout) < 0)
		return;

	if (fds[1].revents)
		while (read(signals, &info, sizeof(info)) > 0)
			;
	for (struct job *job = jobs; job < jobs + MAX_JOBS; job++) {
		if (!job->used)
			continue;
		if (fds[k].revents)
			job_drain(job, &job->out, FRAME_OUT);
		if (fds[k + 1].revents)
			job_drain(job, &job->err, FRAME_ERR);
		if (fds[k + 2].revents)
			job_feed(job);
		k += 3;
	}
	if (fds[0].revents & POLLIN)
		port_read();
	else if (fds[0].revents & POLLHUP)
		usleep(20000);	/* the host does not listen: there is no event for when it does */
}

int main(int argc, char **argv)
{
	sigset_t child;
	int fd, signals;

	if (argc != 2) {
		fprintf(stderr, "usage: %s PORT\n", argv[0]);
		return 2;
	}
	port = open(argv[1], O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (port < 0) {
		perror(argv[1]);
		return 1;
	}
	fd = open("/proc/self/oom_score_adj", O_WRONLY);
	if (fd < 0 || write(fd, "-1000", 5) < 0)
		perror("oom_score_adj");
	close(fd);
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		perror("mlockall");
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	signals = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);

	send_u32(FRAME_HELLO, 0, PROTOCOL_VERSION);
	for (;;) {
		int64_t now;

		wait_for_work(signals);
		now = now_ms();
		for (struct job *job = jobs; job < jobs + MAX_JOBS; job++)
			if (job->used)
				job_advance(job, now);
	}
}
