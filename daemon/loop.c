// SPDX-License-Identifier: GPL-2.0-only
/*
 * Event loop on io_uring: one multishot poll per file descriptor. The RDMA
 * descriptors can be polled but not read, so this is all that a ring can do
 * for them.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>

#include "log.h"
#include "loop.h"

#define LOOP_ENTRIES	64

static struct io_uring ring;
static bool running;

int loop_init(void)
{
	int ret = io_uring_queue_init(LOOP_ENTRIES, &ring, 0);

	if (ret)
		log_error("io_uring: %s (see kernel.io_uring_disabled)",
			  strerror(-ret));
	return ret;
}

int loop_add(struct source *src)
{
	/* Each is submitted at once, so there is always a free entry. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	int ret;

	if (!sqe)
		return -EBUSY;
	io_uring_prep_poll_multishot(sqe, src->fd,
				     src->events ? (unsigned int)src->events :
				     POLLIN);
	io_uring_sqe_set_data(sqe, src);
	ret = io_uring_submit(&ring);
	/* Out of memory just now: it stays in the ring, for the next one. */
	if (ret == -EAGAIN || ret == -EBUSY)
		ret = 0;
	src->armed = ret >= 0;
	return ret < 0 ? ret : 0;
}

void loop_del(struct source *src, void (*gone)(struct source *src))
{
	struct io_uring_sqe *sqe;

	src->gone = gone;
	if (!src->armed) {
		gone(src);
		return;
	}
	/* The poll holds the file open, whatever becomes of the descriptor. */
	while (!(sqe = io_uring_get_sqe(&ring)))
		io_uring_submit(&ring);
	io_uring_prep_poll_remove(sqe, (uintptr_t)src);
	io_uring_sqe_set_data(sqe, NULL);
	io_uring_submit(&ring);
}

static void dispatch(struct io_uring_cqe *cqe)
{
	struct source *src = io_uring_cqe_get_data(cqe);
	bool armed = cqe->flags & IORING_CQE_F_MORE;
	int res = cqe->res;
	int ret = 0;

	io_uring_cqe_seen(&ring, cqe);
	if (!src)
		return;		/* of loop_del() or loop_wake() */
	src->armed = armed;
	if (src->gone) {
		if (!armed)
			src->gone(src);
		return;
	}
	/*
	 * Arm first: what comes while @ready runs is then reported again. But
	 * not what is broken (a device unplugged): that would never stop.
	 */
	if (!armed)
		ret = res < 0 ? res : res & POLLERR ? -EIO : loop_add(src);
	if (ret)
		log_warn("fd %d is no longer watched: %s", src->fd,
			 strerror(-ret));
	if (res >= 0)
		src->ready(src);
}

/* Something that is done at once, behind all that there is to do already. */
void loop_wake(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (!sqe)
		return;		/* there is enough to wake us */
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, NULL);
}

int loop_run(void (*after)(void))
{
	struct io_uring_cqe *cqe;
	int ret;

	running = true;
	while (running) {
		ret = io_uring_submit_and_wait(&ring, 1);
		if (ret < 0 && ret != -EINTR && ret != -EBUSY &&
		    ret != -EAGAIN) {
			log_error("io_uring: %s", strerror(-ret));
			return ret;
		}
		while (running && !io_uring_peek_cqe(&ring, &cqe))
			dispatch(cqe);
		after();
	}
	return 0;
}

void loop_stop(void)
{
	running = false;
}

void loop_exit(void)
{
	io_uring_queue_exit(&ring);
}
