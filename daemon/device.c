// SPDX-License-Identifier: GPL-2.0-only
/* Devices: completion channel and asynchronous events, both in the loop. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctrl.h"
#include "device.h"
#include "grant.h"
#include "log.h"
#include "session.h"
#include "util.h"

static struct device *devices;

static void completions_ready(struct source *src)
{
	struct device *dev = container_of(src, struct device, completions);
	struct ibv_cq *cq;
	void *session;

	while (!ibv_get_cq_event(dev->channel, &cq, &session)) {
		/* At once: ibv_destroy_cq() waits for the acknowledgement. */
		ibv_ack_cq_events(cq, 1);
		ctrl_completed(session);
	}
}

static void qp_event(const struct ibv_async_event *event)
{
	switch (event->event_type) {
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
		session_qp_failed(event->element.qp, "queue pair failed");
		break;
	case IBV_EVENT_QP_ACCESS_ERR:
		session_qp_failed(event->element.qp,
				  "reached for memory that is not granted");
		break;
	default:
		break;
	}
}

static void events_ready(struct source *src)
{
	struct device *dev = container_of(src, struct device, events);
	struct ibv_async_event event;

	while (!ibv_get_async_event(dev->verbs, &event)) {
		/* At once: ibv_destroy_qp() waits for the acknowledgement. */
		ibv_ack_async_event(&event);
		if (event.event_type == IBV_EVENT_DEVICE_FATAL)
			log_error("%s: device failed",
				  ibv_get_device_name(dev->verbs->device));
		else
			qp_event(&event);
	}
}

static int nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? -errno : 0;
}

static int device_watch(struct device *dev)
{
	int ret;

	dev->completions = (struct source) {
		.fd = dev->channel->fd, .ready = completions_ready,
	};
	dev->events = (struct source) {
		.fd = dev->verbs->async_fd, .ready = events_ready,
	};
	ret = nonblocking(dev->completions.fd);
	if (!ret)
		ret = nonblocking(dev->events.fd);
	if (!ret)
		ret = loop_add(&dev->completions);
	if (!ret)
		ret = loop_add(&dev->events);
	return ret;
}

static void source_gone(struct device *dev)
{
	if (!--dev->sources)
		free(dev);
}

static void completions_gone(struct source *src)
{
	source_gone(container_of(src, struct device, completions));
}

static void events_gone(struct source *src)
{
	source_gone(container_of(src, struct device, events));
}

/* The loop forgets @dev later, and with that it is gone. */
static void device_unwatch(struct device *dev)
{
	int error = ibv_destroy_comp_channel(dev->channel);

	if (error)
		log_error("completion channel not destroyed: %s",
			  strerror(error));
	dev->sources = 2;
	loop_del(&dev->completions, completions_gone);
	loop_del(&dev->events, events_gone);
}

static struct device *device_create(struct ibv_context *verbs)
{
	const char *name = ibv_get_device_name(verbs->device);
	struct ibv_device_attr attr;
	struct device *dev;
	int ret;

	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return NULL;
	dev->verbs = verbs;
	ret = ibv_query_device(verbs, &attr);
	if (ret) {
		log_error("%s: query: %s", name, strerror(ret));
		goto err_free;
	}
	dev->max_rd_atom = attr.max_qp_rd_atom;
	dev->channel = ibv_create_comp_channel(verbs);
	if (!dev->channel) {
		log_error("%s: completion channel: %s", name, strerror(errno));
		goto err_free;
	}
	ret = device_watch(dev);
	if (ret) {
		log_error("%s: cannot watch: %s", name, strerror(-ret));
		device_unwatch(dev);	/* the loop may know it: not freed yet */
		return NULL;
	}
	dev->next = devices;
	devices = dev;
	log_info("device %s in use", name);
	return dev;

err_free:
	free(dev);
	return NULL;
}

struct device *device_get(struct ibv_context *verbs)
{
	struct device *dev;

	for (dev = devices; dev; dev = dev->next)
		if (dev->verbs == verbs)
			return dev;
	return device_create(verbs);
}

/* ---- removal ------------------------------------------------------------ */

/*
 * librdmacm keeps its context for ever if there is no other device, and the
 * removal waits for it. So take the descriptors from under it: what librdmacm
 * does with them now fails, and when it closes them, it closes these.
 */
static void context_abandon(struct ibv_context *verbs)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup3(null, verbs->cmd_fd, O_CLOEXEC) < 0 ||
	    dup3(null, verbs->async_fd, O_CLOEXEC) < 0)
		log_error("cannot let go of a removed device: %s",
			  strerror(errno));
	if (null >= 0)
		close(null);
}

static void device_close(struct device *dev)
{
	context_abandon(dev->verbs);
	log_info("device %s let go", ibv_get_device_name(dev->verbs->device));
	device_unwatch(dev);
}

static void device_put(struct device *dev)
{
	if (!--dev->users && dev->removed)
		device_close(dev);
}

static void device_removed(struct device *dev)
{
	log_warn("device %s is removed", ibv_get_device_name(dev->verbs->device));
	dev->removed = true;
	/* Not to be closed before both are through with it. */
	dev->users++;
	sessions_leave(dev);
	grants_leave(dev);
	device_put(dev);
}

void devices_tick(void)
{
	struct device **at = &devices, *dev;

	while ((dev = *at)) {
		if (access(dev->verbs->device->dev_path, F_OK) &&
		    errno == ENOENT) {
			*at = dev->next;
			device_removed(dev);
		} else {
			at = &dev->next;
		}
	}
}

/* ---- domains ------------------------------------------------------------ */

struct domain *domain_create(struct device *dev)
{
	struct domain *dom = calloc(1, sizeof(*dom));

	if (!dom)
		return NULL;
	dom->pd = ibv_alloc_pd(dev->verbs);
	if (!dom->pd) {
		free(dom);
		return NULL;
	}
	dom->device = dev;
	dom->users = 1;
	dev->users++;
	return dom;
}

struct domain *domain_get(struct domain *dom)
{
	dom->users++;
	return dom;
}

void domain_put(struct domain *dom)
{
	int ret;

	if (!dom || --dom->users)
		return;
	ret = ibv_dealloc_pd(dom->pd);
	if (ret)
		log_error("protection domain not freed: %s", strerror(ret));
	device_put(dom->device);
	free(dom);
}
