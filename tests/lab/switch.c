// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lab's Ethernet switch: one port for each node, a pair of unix datagram
 * sockets between QEMU's "-netdev dgram" and us.
 *
 *	switch DIR NAME...	port NAME: ours DIR/NAME.switch, QEMU's DIR/NAME.nic
 *
 * Commands come in lines on standard input, and its end ends the switch:
 *	up NAME		QEMU has bound its socket (again)
 *	down NAME	QEMU has gone
 *	cut NAME WHAT	lose the frames that go "in" to it, that come "out" of it, "both"
 *			or "none"; a loss without a sign, as by a broken switch
 * Each is answered by a line when it is done.
 *
 * Both cores of the machine are busy with guests, so a frame costs as little as
 * we can: batches in and out, no copy unless the receiver is slow. A slow
 * receiver has QUEUE frames of patience; then its frames are dropped, as by any
 * switch, because a stopped node must not stop the others.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_PORTS	256
#define MAX_FRAME	9216
#define BATCH		32
#define QUEUE		1024	/* frames that wait for a slow receiver */
#define MAC_LENGTH	6
#define TABLE		1024	/* buckets of the address table */

struct waiting {
	uint32_t length;
	uint8_t data[];
};

struct port {
	const char *name;
	int fd;
	bool up;
	bool cut_in, cut_out;
	bool blocked;			/* QEMU's socket is full; EPOLLOUT will tell */
	struct waiting *queue[QUEUE];
	unsigned int head, filled;
	unsigned long dropped;
};

struct address {
	uint8_t mac[MAC_LENGTH];
	struct port *port;
};

static const char *directory;
static struct port ports[MAX_PORTS];
static int n_ports;
static struct address table[TABLE];
static int events;

static uint8_t frames[BATCH][MAX_FRAME];

static void die(const char *what)
{
	fprintf(stderr, "lab switch: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void socket_path(struct sockaddr_un *address, const char *name, const char *end)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (snprintf(address->sun_path, sizeof(address->sun_path), "%s/%s.%s", directory, name,
		     end) >= (int)sizeof(address->sun_path)) {
		errno = ENAMETOOLONG;
		die(name);
	}
}

/* ---- the address table ---- */

static unsigned int bucket_of(const uint8_t *mac)
{
	return (mac[3] * 31 * 31 + mac[4] * 31 + mac[5]) % TABLE;
}

/* The bucket that holds MAC, or the empty one where it would be, or NULL. */
static struct address *lookup(const uint8_t *mac)
{
	unsigned int first = bucket_of(mac);

	for (unsigned int i = 0; i < TABLE; i++) {
		struct address *entry = &table[(first + i) % TABLE];

		if (!entry->port || !memcmp(entry->mac, mac, MAC_LENGTH))
			return entry;
	}
	return NULL;
}

static void learn(const uint8_t *mac, struct port *port)
{
	struct address *entry = lookup(mac);

	if (!entry || entry->port == port || (mac[0] & 1))
		return;
	memcpy(entry->mac, mac, MAC_LENGTH);
	entry->port = port;
}

/* ---- sending ---- */

static void watch(struct port *port, bool writable)
{
	struct epoll_event event = {
		.events = EPOLLIN | (writable ? EPOLLOUT : 0),
		.data.ptr = port,
	};

	if (epoll_ctl(events, EPOLL_CTL_MOD, port->fd, &event))
		die("epoll_ctl");
}

static void queue_clear(struct port *port)
{
	for (; port->filled; port->filled--) {
		free(port->queue[port->head]);
		port->head = (port->head + 1) % QUEUE;
	}
}

static void keep(struct port *port, const void *data, size_t length)
{
	struct waiting *frame = port->filled < QUEUE ? malloc(sizeof(*frame) + length) : NULL;

	if (!frame) {
		port->dropped++;
		return;
	}
	frame->length = length;
	memcpy(frame->data, data, length);
	port->queue[(port->head + port->filled++) % QUEUE] = frame;
	if (!port->blocked) {
		port->blocked = true;
		watch(port, true);
	}
}

/* Send as many of these as QEMU takes now; return how many are dealt with. */
static int transmit(struct port *port, struct mmsghdr *messages, int n)
{
	int sent = sendmmsg(port->fd, messages, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent >= 0)
		return sent;
	if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
		return 0;
	/* QEMU has gone, or comes again: `down` or `up` will follow. */
	port->dropped += n;
	return n;
}

static void flush(struct port *port)
{
	while (port->filled) {
		struct mmsghdr messages[BATCH];
		struct iovec pieces[BATCH];
		int n = port->filled < BATCH ? port->filled : BATCH, sent;

		memset(messages, 0, sizeof(messages));
		for (int i = 0; i < n; i++) {
			struct waiting *frame = port->queue[(port->head + i) % QUEUE];

			pieces[i] = (struct iovec){ frame->data, frame->length };
			messages[i].msg_hdr.msg_iov = &pieces[i];
			messages[i].msg_hdr.msg_iovlen = 1;
		}
		sent = transmit(port, messages, n);
		for (int i = 0; i < sent; i++) {
			free(port->queue[port->head]);
			port->head = (port->head + 1) % QUEUE;
		}
		port->filled -= sent;
		if (sent < n)
			return;
	}
	port->blocked = false;
	watch(port, false);
}

/* Deliver a run of frames for one port, in order, behind those that wait. */
static void deliver(struct port *port, struct iovec *pieces, int n)
{
	struct mmsghdr messages[BATCH];
	int sent = 0;

	if (!port->up || port->cut_in)
		return;
	if (!port->filled) {
		memset(messages, 0, n * sizeof(messages[0]));
		for (int i = 0; i < n; i++) {
			messages[i].msg_hdr.msg_iov = &pieces[i];
			messages[i].msg_hdr.msg_iovlen = 1;
		}
		sent = transmit(port, messages, n);
	}
	for (; sent < n; sent++)
		keep(port, pieces[sent].iov_base, pieces[sent].iov_len);
}

static void flood(struct port *from, struct iovec *piece)
{
	for (struct port *port = ports; port < ports + n_ports; port++)
		if (port != from)
			deliver(port, piece, 1);
}

/* ---- receiving ---- */

static void forward(struct port *from, struct iovec *pieces, int n)
{
	int first = 0;

	while (first < n) {
		const uint8_t *mac = pieces[first].iov_base;
		struct address *entry = lookup(mac);
		int next = first + 1;

		if ((mac[0] & 1) || !entry || !entry->port) {
			flood(from, &pieces[first]);
		} else {
			/* Frames of a batch mostly go the same way: send runs. */
			while (next < n && !memcmp(pieces[next].iov_base, mac, MAC_LENGTH))
				next++;
			if (entry->port != from)
				deliver(entry->port, &pieces[first], next - first);
		}
		first = next;
	}
}

static void receive(struct port *port)
{
	struct mmsghdr messages[BATCH];
	struct iovec pieces[BATCH];
	int n, kept = 0;

	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BATCH; i++) {
		pieces[i] = (struct iovec){ frames[i], MAX_FRAME };
		messages[i].msg_hdr.msg_iov = &pieces[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(port->fd, messages, BATCH, MSG_DONTWAIT, NULL);
	if (port->cut_out)
		return;
	for (int i = 0; i < n; i++) {
		if (messages[i].msg_len < 2 * MAC_LENGTH)
			continue;
		pieces[kept++] = (struct iovec){ frames[i], messages[i].msg_len };
		learn(frames[i] + MAC_LENGTH, port);
	}
	forward(port, pieces, kept);
}

/* ---- ports and commands ---- */

static void port_open(struct port *port, const char *name)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = port };
	struct sockaddr_un address;
	int size = 1 << 20;

	port->name = name;
	port->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (port->fd < 0)
		die("socket");
	socket_path(&address, name, "switch");
	unlink(address.sun_path);
	setsockopt(port->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (bind(port->fd, (struct sockaddr *)&address, sizeof(address)))
		die(address.sun_path);
	if (epoll_ctl(events, EPOLL_CTL_ADD, port->fd, &event))
		die("epoll_ctl");
}

/* Connected sockets tell by EPOLLOUT when a full receiver has room again. */
static void port_up(struct port *port)
{
	struct sockaddr_un address;

	socket_path(&address, port->name, "nic");
	queue_clear(port);
	if (connect(port->fd, (struct sockaddr *)&address, sizeof(address)))
		fprintf(stderr, "lab switch: %s: %s\n", address.sun_path, strerror(errno));
	else
		port->up = true;
}

static void port_down(struct port *port)
{
	struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	port->up = false;
	queue_clear(port);
	/* Without this the socket would take frames of its dead peer only. */
	connect(port->fd, &nobody, sizeof(nobody));
}

static bool port_cut(struct port *port, const char *what)
{
	bool both = !strcmp(what, "both");

	if (!both && strcmp(what, "in") && strcmp(what, "out") && strcmp(what, "none"))
		return false;
	port->cut_in = both || !strcmp(what, "in");
	port->cut_out = both || !strcmp(what, "out");
	if (port->cut_in)
		queue_clear(port);
	return true;
}

static bool command(const char *verb, const char *name, const char *what)
{
	for (struct port *port = ports; port < ports + n_ports; port++) {
		if (strcmp(port->name, name))
			continue;
		if (!strcmp(verb, "cut"))
			return port_cut(port, what);
		if (!strcmp(verb, "up"))
			port_up(port);
		else if (!strcmp(verb, "down"))
			port_down(port);
		else
			return false;
		return true;
	}
	return false;
}

static void command_line(char *line)
{
	char verb[16] = "", name[64] = "", what[16] = "";

	sscanf(line, "%15s %63s %15s", verb, name, what);
	if (!command(verb, name, what))
		fprintf(stderr, "lab switch: bad command '%s'\n", line);
	puts("done");
	fflush(stdout);
}

static void read_commands(void)
{
	static char buffer[4096];
	static size_t filled;
	ssize_t n = read(STDIN_FILENO, buffer + filled, sizeof(buffer) - 1 - filled);
	char *line = buffer, *end;

	if (n <= 0) {
		for (struct port *port = ports; port < ports + n_ports; port++)
			if (port->dropped)
				fprintf(stderr, "lab switch: %s: %lu frames dropped\n",
					port->name, port->dropped);
		exit(0);
	}
	filled += n;
	buffer[filled] = '\0';
	while ((end = strchr(line, '\n'))) {
		*end = '\0';
		command_line(line);
		line = end + 1;
	}
	filled -= line - buffer;
	memmove(buffer, line, filled);
}

int main(int argc, char **argv)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };

	if (argc < 3 || argc - 2 > MAX_PORTS) {
		fprintf(stderr, "usage: %s DIR NAME... (up to %d names)\n", argv[0], MAX_PORTS);
		return 2;
	}
	directory = argv[1];
	events = epoll_create1(EPOLL_CLOEXEC);
	if (events < 0 || epoll_ctl(events, EPOLL_CTL_ADD, STDIN_FILENO, &event))
		die("epoll");
	for (int i = 2; i < argc; i++)
		port_open(&ports[n_ports++], argv[i]);
	puts("ready");
	fflush(stdout);

	for (;;) {
		struct epoll_event ready[64];
		int n = epoll_wait(events, ready, 64, -1);

		for (int i = 0; i < n; i++) {
			struct port *port = ready[i].data.ptr;

			if (!port) {
				read_commands();
				continue;
			}
			if (ready[i].events & EPOLLOUT)
				flush(port);
			if (ready[i].events & (EPOLLIN | EPOLLERR))
				receive(port);
		}
	}
}
