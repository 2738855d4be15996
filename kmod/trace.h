/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: docs/ABI/tracefs-infiniswap says what each means. Names are
 * fixed arrays, which all kernels fill alike, and everything is worked out in
 * TP_fast_assign, so that an event that is off costs a branch never taken.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM infiniswap

#if !defined(_ISW_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _ISW_TRACE_H

#include <linux/tracepoint.h>
#include <rdma/ib_cm.h>	/* trace/misc/rdma.h needs its enums */
#include <trace/misc/rdma.h>
#include <infiniswap/fsm.h>
#include <infiniswap/wire.h>

#include "ctrl.h"
#include "device.h"
#include "donor.h"
#include "io.h"
#include "session.h"
#include "slab.h"

/* ---- words for numbers -------------------------------------------------- */

#define ISW_DONOR_STATE_LIST				\
	isw_sym(ISW_DONOR_IDLE, "idle")			\
	isw_sym(ISW_DONOR_CONNECTING, "connecting")	\
	isw_sym(ISW_DONOR_LIVE, "live")			\
	isw_sym(ISW_DONOR_BROKEN, "broken")		\
	isw_sym(ISW_DONOR_RECONNECTING, "reconnecting")	\
	isw_sym(ISW_DONOR_LOST, "lost")			\
	isw_sym_end(ISW_DONOR_LEAVING, "leaving")

#define ISW_DONOR_EVENT_LIST				\
	isw_sym(ISW_DONOR_EV_CONNECT, "connect")	\
	isw_sym(ISW_DONOR_EV_UP, "up")			\
	isw_sym(ISW_DONOR_EV_FAILED, "failed")		\
	isw_sym(ISW_DONOR_EV_ERROR, "error")		\
	isw_sym(ISW_DONOR_EV_DRAINED, "drained")	\
	isw_sym(ISW_DONOR_EV_GIVE_UP, "give_up")	\
	isw_sym(ISW_DONOR_EV_FORGOTTEN, "forgotten")	\
	isw_sym_end(ISW_DONOR_EV_BYE, "bye")

#define ISW_WAIT_LIST					\
	isw_sym(ISW_WAIT_NOTHING, "nothing")		\
	isw_sym(ISW_WAIT_MAPPING, "mapping")		\
	isw_sym(ISW_WAIT_THAW, "thaw")			\
	isw_sym(ISW_WAIT_SESSION, "session")		\
	isw_sym(ISW_WAIT_WRITER, "writer")		\
	isw_sym(ISW_WAIT_DMA, "dma")			\
	isw_sym(ISW_WAIT_STAGING, "staging")		\
	isw_sym_end(ISW_WAIT_BACKUP, "backup")

#define ISW_MSG_LIST_OF_TYPES				\
	isw_sym(ISW_MSG_ERROR, "error")			\
	isw_sym(ISW_MSG_PING, "ping")			\
	isw_sym(ISW_MSG_PONG, "pong")			\
	isw_sym(ISW_MSG_QUERY, "query")			\
	isw_sym(ISW_MSG_STATUS, "status")		\
	isw_sym(ISW_MSG_GRANT, "grant")			\
	isw_sym(ISW_MSG_GRANTED, "granted")		\
	isw_sym(ISW_MSG_RELEASE, "release")		\
	isw_sym(ISW_MSG_RELEASED, "released")		\
	isw_sym(ISW_MSG_LIST, "list")			\
	isw_sym(ISW_MSG_GRANTS, "grants")		\
	isw_sym(ISW_MSG_BYE, "bye")			\
	isw_sym(ISW_MSG_BYE_OK, "bye_ok")		\
	isw_sym(ISW_MSG_CHECK_ACTIVITY, "check_activity") \
	isw_sym(ISW_MSG_ACTIVITY, "activity")		\
	isw_sym_end(ISW_MSG_EVICT, "evict")

/* Once to tell tools the values of the enums, then as what __print_symbolic wants. */
#undef isw_sym
#undef isw_sym_end
#define isw_sym(value, name)		TRACE_DEFINE_ENUM(value);
#define isw_sym_end(value, name)	TRACE_DEFINE_ENUM(value);

ISW_DONOR_STATE_LIST
ISW_DONOR_EVENT_LIST
ISW_WAIT_LIST
ISW_MSG_LIST_OF_TYPES

#undef isw_sym
#undef isw_sym_end
#define isw_sym(value, name)		{ value, name },
#define isw_sym_end(value, name)	{ value, name }

#define isw_show_state(x)	__print_symbolic(x, ISW_DONOR_STATE_LIST)
#define isw_show_event(x)	__print_symbolic(x, ISW_DONOR_EVENT_LIST)
#define isw_show_wait(x)	__print_symbolic(x, ISW_WAIT_LIST)
#define isw_show_msg(x)		__print_symbolic(x, ISW_MSG_LIST_OF_TYPES)

/* Every event says which device, most say which donor. */
#define isw_device_field	__array(char, device, DISK_NAME_LEN)
#define isw_donor_field		__array(char, donor, CONFIGFS_ITEM_NAME_LEN)
#define isw_assign_device(d)	memcpy(__entry->device, (d)->name, DISK_NAME_LEN)
#define isw_assign_donor(d)						\
	do {								\
		isw_assign_device((d)->dev);				\
		memcpy(__entry->donor, (d)->name, CONFIGFS_ITEM_NAME_LEN); \
	} while (0)

/* ---- donors ------------------------------------------------------------- */

TRACE_EVENT(isw_donor_state,
	TP_PROTO(const struct isw_donor *donor, u8 from, u8 event, u8 to),
	TP_ARGS(donor, from, event, to),
	TP_STRUCT__entry(
		isw_device_field
		isw_donor_field
		__field(u8, from)
		__field(u8, event)
		__field(u8, to)
	),
	TP_fast_assign(
		isw_assign_donor(donor);
		__entry->from = from;
		__entry->event = event;
		__entry->to = to;
	),
	TP_printk("device=%s donor=%s from=%s event=%s to=%s",
		  __entry->device, __entry->donor,
		  isw_show_state(__entry->from), isw_show_event(__entry->event),
		  isw_show_state(__entry->to))
);

TRACE_EVENT(isw_session_broken,
	TP_PROTO(const struct isw_donor *donor, const char *why),
	TP_ARGS(donor, why),
	TP_STRUCT__entry(
		isw_device_field
		isw_donor_field
		__field(u64, session)
		__array(char, why, 48)
	),
	TP_fast_assign(
		isw_assign_donor(donor);
		__entry->session = donor->session.number;
		strscpy(__entry->why, why, sizeof(__entry->why));
	),
	TP_printk("device=%s donor=%s session=%016llx why=\"%s\"",
		  __entry->device, __entry->donor, __entry->session,
		  __entry->why)
);

TRACE_EVENT(isw_session_resumed,
	TP_PROTO(const struct isw_donor *donor),
	TP_ARGS(donor),
	TP_STRUCT__entry(
		isw_device_field
		isw_donor_field
		__field(u64, session)
		__field(u32, ms)
	),
	TP_fast_assign(
		isw_assign_donor(donor);
		__entry->session = donor->session.number;
		__entry->ms = jiffies_to_msecs(jiffies - donor->broken_at);
	),
	TP_printk("device=%s donor=%s session=%016llx ms=%u",
		  __entry->device, __entry->donor, __entry->session,
		  __entry->ms)
);

DECLARE_EVENT_CLASS(isw_msg,
	TP_PROTO(const struct isw_donor *donor, u16 type, u32 seq),
	TP_ARGS(donor, type, seq),
	TP_STRUCT__entry(
		isw_device_field
		isw_donor_field
		__field(u16, type)
		__field(u32, seq)
	),
	TP_fast_assign(
		isw_assign_donor(donor);
		__entry->type = type;
		__entry->seq = seq;
	),
	TP_printk("device=%s donor=%s type=%s seq=%u",
		  __entry->device, __entry->donor, isw_show_msg(__entry->type),
		  __entry->seq)
);

DEFINE_EVENT(isw_msg, isw_msg_send,
	TP_PROTO(const struct isw_donor *donor, u16 type, u32 seq),
	TP_ARGS(donor, type, seq));

DEFINE_EVENT(isw_msg, isw_msg_recv,
	TP_PROTO(const struct isw_donor *donor, u16 type, u32 seq),
	TP_ARGS(donor, type, seq));

DECLARE_EVENT_CLASS(isw_grant,
	TP_PROTO(const struct isw_donor *donor, const struct isw_grant_id *id),
	TP_ARGS(donor, id),
	TP_STRUCT__entry(
		isw_device_field
		isw_donor_field
		__field(u32, index)
		__field(u32, generation)
	),
	TP_fast_assign(
		isw_assign_donor(donor);
		__entry->index = id->index;
		__entry->generation = id->generation;
	),
	TP_printk("device=%s donor=%s grant=%u.%u",
		  __entry->device, __entry->donor, __entry->index,
		  __entry->generation)
);

DEFINE_EVENT(isw_grant, isw_grant_obtained,
	TP_PROTO(const struct isw_donor *donor, const struct isw_grant_id *id),
	TP_ARGS(donor, id));

DEFINE_EVENT(isw_grant, isw_grant_returned,
	TP_PROTO(const struct isw_donor *donor, const struct isw_grant_id *id),
	TP_ARGS(donor, id));

TRACE_EVENT(isw_grant_evict,
	TP_PROTO(const struct isw_donor *donor, const struct isw_grant_id *id,
		 const struct isw_slab *slab, unsigned long at),
	TP_ARGS(donor, id, slab, at),
	TP_STRUCT__entry(
		isw_device_field
		isw_donor_field
		__field(u32, index)
		__field(u32, generation)
		__field(s64, slab)
		__field(s32, ms)
	),
	TP_fast_assign(
		isw_assign_donor(donor);
		__entry->index = id->index;
		__entry->generation = id->generation;
		__entry->slab = slab ? (s64)slab->index : -1;
		__entry->ms = !at ? -1 : time_before(at, jiffies) ? 0 :
			      jiffies_to_msecs(at - jiffies);
	),
	TP_printk("device=%s donor=%s grant=%u.%u slab=%lld ms=%d",
		  __entry->device, __entry->donor, __entry->index,
		  __entry->generation, __entry->slab, __entry->ms)
);

/* ---- slabs -------------------------------------------------------------- */

DECLARE_EVENT_CLASS(isw_slab_leg,
	TP_PROTO(const struct isw_slab *slab, unsigned int leg,
		 const struct isw_grant *grant),
	TP_ARGS(slab, leg, grant),
	TP_STRUCT__entry(
		isw_device_field
		isw_donor_field
		__field(u32, slab)
		__field(u32, generation)
		__field(u8, leg)
		__field(u32, grant_index)
		__field(u32, grant_generation)
	),
	TP_fast_assign(
		isw_assign_donor(grant->donor);
		__entry->slab = slab->index;
		__entry->generation = slab->generation;
		__entry->leg = leg;
		__entry->grant_index = grant->id.index;
		__entry->grant_generation = grant->id.generation;
	),
	TP_printk("device=%s slab=%u generation=%u leg=%u donor=%s grant=%u.%u",
		  __entry->device, __entry->slab, __entry->generation,
		  __entry->leg, __entry->donor, __entry->grant_index,
		  __entry->grant_generation)
);

DEFINE_EVENT(isw_slab_leg, isw_slab_bind,
	TP_PROTO(const struct isw_slab *slab, unsigned int leg,
		 const struct isw_grant *grant),
	TP_ARGS(slab, leg, grant));

DEFINE_EVENT(isw_slab_leg, isw_slab_unmap,
	TP_PROTO(const struct isw_slab *slab, unsigned int leg,
		 const struct isw_grant *grant),
	TP_ARGS(slab, leg, grant));

DEFINE_EVENT(isw_slab_leg, isw_leg_forced,
	TP_PROTO(const struct isw_slab *slab, unsigned int leg,
		 const struct isw_grant *grant),
	TP_ARGS(slab, leg, grant));

TRACE_EVENT(isw_slab_publish,
	TP_PROTO(const struct isw_device *dev, const struct isw_slab *slab,
		 const struct isw_mapping *mapping),
	TP_ARGS(dev, slab, mapping),
	TP_STRUCT__entry(
		isw_device_field
		__field(u32, slab)
		__field(u32, generation)
		__field(bool, mapped)
	),
	TP_fast_assign(
		isw_assign_device(dev);
		__entry->slab = slab->index;
		__entry->generation = slab->generation;
		__entry->mapped = mapping;
	),
	TP_printk("device=%s slab=%u generation=%u mapped=%u",
		  __entry->device, __entry->slab, __entry->generation,
		  __entry->mapped)
);

TRACE_EVENT(isw_slabs_drain,
	TP_PROTO(const struct isw_device *dev, ktime_t start),
	TP_ARGS(dev, start),
	TP_STRUCT__entry(
		isw_device_field
		__field(u64, us)
	),
	TP_fast_assign(
		isw_assign_device(dev);
		__entry->us = ktime_us_delta(ktime_get(), start);
	),
	TP_printk("device=%s us=%llu", __entry->device, __entry->us)
);

TRACE_EVENT(isw_slab_kick,
	TP_PROTO(const struct isw_device *dev, const struct isw_slab *slab,
		 const struct list_head *ios),
	TP_ARGS(dev, slab, ios),
	TP_STRUCT__entry(
		isw_device_field
		__field(u32, slab)
		__field(u32, requests)
	),
	TP_fast_assign(
		const struct list_head *io;

		isw_assign_device(dev);
		__entry->slab = slab->index;
		__entry->requests = 0;
		list_for_each(io, ios)
			__entry->requests++;
	),
	TP_printk("device=%s slab=%u requests=%u",
		  __entry->device, __entry->slab, __entry->requests)
);

/* ---- requests ----------------------------------------------------------- */

TRACE_EVENT(isw_io_park,
	TP_PROTO(struct isw_io *io),
	TP_ARGS(io),
	TP_STRUCT__entry(
		isw_device_field
		__field(u32, slab)
		__field(u64, page)
		__field(u32, count)
		__field(u16, queue)
		__field(u16, tag)
		__field(bool, write)
		__field(u8, wait)
	),
	TP_fast_assign(
		isw_assign_device(io->dev);
		__entry->slab = io->slab->index;
		__entry->page = io->page;
		__entry->count = io->count;
		__entry->queue = io->hwq;
		__entry->tag = isw_io_tag(io);
		__entry->write = io->write;
		__entry->wait = io->wait;
	),
	TP_printk("device=%s slab=%u %s queue=%u tag=%u page=%llu count=%u wait=%s",
		  __entry->device, __entry->slab,
		  __entry->write ? "write" : "read", __entry->queue,
		  __entry->tag, __entry->page, __entry->count,
		  isw_show_wait(__entry->wait))
);

/* A post and its done have donor, direction, queue, tag and leg in common. */
#define isw_leg_fields				\
	isw_device_field			\
	isw_donor_field				\
	__field(u64, page)			\
	__field(u32, count)			\
	__field(u16, queue)			\
	__field(u16, tag)			\
	__field(bool, write)			\
	__field(u8, leg)
#define isw_assign_leg(io, lw)						\
	do {								\
		isw_assign_donor((lw)->conn->donor);			\
		__entry->page = (io)->page + ((io)->write ? 0 : (io)->cursor); \
		__entry->count = (io)->write ? (io)->count : (io)->run;	\
		__entry->queue = (io)->hwq;				\
		__entry->tag = isw_io_tag(io);				\
		__entry->write = (io)->write;				\
		__entry->leg = (lw) - (io)->leg;			\
	} while (0)

TRACE_EVENT(isw_leg_post,
	TP_PROTO(struct isw_leg_wr *lw),
	TP_ARGS(lw),
	TP_STRUCT__entry(
		isw_leg_fields
	),
	TP_fast_assign(
		isw_assign_leg(lw->io, lw);
	),
	TP_printk("device=%s donor=%s %s queue=%u tag=%u leg=%u page=%llu count=%u",
		  __entry->device, __entry->donor,
		  __entry->write ? "write" : "read", __entry->queue,
		  __entry->tag, __entry->leg, __entry->page, __entry->count)
);

TRACE_EVENT(isw_leg_done,
	TP_PROTO(struct isw_leg_wr *lw, enum ib_wc_status status),
	TP_ARGS(lw, status),
	TP_STRUCT__entry(
		isw_leg_fields
		__field(u32, status)
	),
	TP_fast_assign(
		isw_assign_leg(lw->io, lw);
		__entry->status = status;
	),
	TP_printk("device=%s donor=%s %s queue=%u tag=%u leg=%u page=%llu count=%u status=%s",
		  __entry->device, __entry->donor,
		  __entry->write ? "write" : "read", __entry->queue,
		  __entry->tag, __entry->leg, __entry->page, __entry->count,
		  rdma_show_wc_status(__entry->status))
);

#endif /* _ISW_TRACE_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
