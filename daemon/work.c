// SPDX-License-Identifier: GPL-2.0-only
/* The worker pool: a queue for each kind in, one queue and an eventfd out. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"
#include "util.h"
#include "work.h"

#define WORKERS		2
#define WORKER_STACK	(256 * 1024)

struct queue {
	struct job *head, **tail;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
/* Protected by lock. */
static struct queue queues[WORK_KINDS], finished_jobs;
static bool ending;

static pthread_t workers[WORKERS];
static unsigned int worker_count;
static struct source finished_source = { .fd = -1 };

static void queue_init(struct queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

static void queue_put(struct queue *q, struct job *job)
{
	job->next = NULL;
	*q->tail = job;
	q->tail = &job->next;
}

static struct job *queue_get(struct queue *q)
{
	struct job *job = q->head;

	if (job) {
		q->head = job->next;
		if (!q->head)
			q->tail = &q->head;
	}
	return job;
}

static struct job *queues_get(void)
{
	struct job *job = NULL;
	unsigned int kind;

	for (kind = 0; !job && kind < WORK_KINDS; kind++)
		job = queue_get(&queues[kind]);
	return job;
}

static struct job *next_job(void)
{
	struct job *job;

	pthread_mutex_lock(&lock);
	for (;;) {
		job = queues_get();
		if (job || ending)
			break;
		pthread_cond_wait(&wake, &lock);
	}
	pthread_mutex_unlock(&lock);
	return job;
}

static void *worker(void *arg)
{
	const uint64_t one = 1;
	struct job *job;

	(void)arg;
	while ((job = next_job())) {
		if (job->run(job)) {
			work_submit(job);	/* behind others of its kind */
			continue;
		}
		pthread_mutex_lock(&lock);
		queue_put(&finished_jobs, job);
		pthread_mutex_unlock(&lock);
		/* Cannot fail: the counter would need 2^64 unread jobs. */
		if (write(finished_source.fd, &one, sizeof(one)) < 0)
			log_error("eventfd: %s", strerror(errno));
	}
	return NULL;
}

static void finish_jobs(void)
{
	struct job *job, *next;

	pthread_mutex_lock(&lock);
	job = finished_jobs.head;
	queue_init(&finished_jobs);
	pthread_mutex_unlock(&lock);
	for (; job; job = next) {
		next = job->next;	/* @done may free or submit it again */
		job->done(job);
	}
}

static void finished_ready(struct source *src)
{
	uint64_t count;

	while (read(src->fd, &count, sizeof(count)) > 0)
		;
	finish_jobs();
}

static int start_workers(void)
{
	pthread_attr_t attr;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK);
	for (; worker_count < WORKERS; worker_count++) {
		ret = pthread_create(&workers[worker_count], &attr, worker,
				     NULL);
		if (ret) {
			log_error("cannot start a thread: %s", strerror(ret));
			break;
		}
	}
	pthread_attr_destroy(&attr);
	return worker_count ? 0 : -EAGAIN;
}

int work_init(void)
{
	unsigned int kind;

	for (kind = 0; kind < WORK_KINDS; kind++)
		queue_init(&queues[kind]);
	queue_init(&finished_jobs);
	finished_source.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (finished_source.fd < 0) {
		log_error("eventfd: %s", strerror(errno));
		return -errno;
	}
	finished_source.ready = finished_ready;
	return start_workers() ?: loop_add(&finished_source);
}

void work_submit(struct job *job)
{
	pthread_mutex_lock(&lock);
	queue_put(&queues[job->kind], job);
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
}

void work_exit(void)
{
	bool more;

	/* @done may have started more work, which is done here if too late. */
	pthread_mutex_lock(&lock);
	ending = true;
	pthread_cond_broadcast(&wake);
	pthread_mutex_unlock(&lock);
	while (worker_count)
		pthread_join(workers[--worker_count], NULL);
	do {
		struct job *job;

		finish_jobs();
		job = next_job();
		more = job;
		if (job) {
			while (job->run(job))
				;
			job->done(job);
		}
	} while (more);
	close(finished_source.fd);
}
