/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One valid message of each type, for tests to send round, cut and spoil.
 * Buffers are of the exact size, from the heap: ASan sees a byte read too far.
 */
#ifndef TESTS_UNIT_WIRE_SAMPLES_H
#define TESTS_UNIT_WIRE_SAMPLES_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <infiniswap/wire.h>

#define SEQ	0x11223344u
#define EPOCH	0x0123456789abcdefull
#define SESSION	0xfedcba9876543210ull

static const __u16 all_types[] = {
	ISW_MSG_ERROR, ISW_MSG_PING, ISW_MSG_PONG, ISW_MSG_QUERY,
	ISW_MSG_STATUS, ISW_MSG_GRANT, ISW_MSG_GRANTED, ISW_MSG_RELEASE,
	ISW_MSG_RELEASED, ISW_MSG_LIST, ISW_MSG_GRANTS, ISW_MSG_BYE,
	ISW_MSG_BYE_OK, ISW_MSG_CHECK_ACTIVITY, ISW_MSG_ACTIVITY,
	ISW_MSG_EVICT,
};

#define N_TYPES	(sizeof(all_types) / sizeof(all_types[0]))

/* The @i-th of the grants that samples speak of. */
static inline struct isw_grant_info sample_grant(__u32 i)
{
	return (struct isw_grant_info){
		.id = { .index = 7 + i, .generation = 0x80000001u + i },
		.addr = 0x7f0000000000ull + ((__u64)i << 26),
		.length = 1ull << 26,
		.rkey = 0xdeadbe00u + i,
	};
}

static inline void sample_ids(struct isw_msg_ids *w)
{
	struct isw_grant_info g;
	__u32 i;

	w->count = __cpu_to_le32(ISW_IDS_MAX);
	for (i = 0; i < ISW_IDS_MAX; i++) {
		g = sample_grant(i);
		w->id[i] = isw_wire_id_encode(&g.id);
	}
}

static inline void sample_activity(struct isw_msg_activity *w)
{
	struct isw_grant_info g;
	__u32 i;

	w->count = __cpu_to_le32(ISW_IDS_MAX);
	for (i = 0; i < ISW_IDS_MAX; i++) {
		g = sample_grant(i);
		w->slab[i].id = isw_wire_id_encode(&g.id);
		w->slab[i].activity = __cpu_to_le32(0xfffffff0u + i);
	}
}

static inline void sample_body(void *buf, __u16 type)
{
	struct isw_grant_info g = sample_grant(0);

	switch (type) {
	case ISW_MSG_ERROR: {
		struct isw_msg_error *w = buf;

		w->code = __cpu_to_le16(ISW_ERR_QUOTA);
		w->type = __cpu_to_le16(ISW_MSG_GRANT);
		break;
	}
	case ISW_MSG_STATUS: {
		struct isw_msg_status *w = buf;

		w->total = __cpu_to_le64(1ull << 40);
		w->used = __cpu_to_le64(3ull << 38);
		w->donated = __cpu_to_le64(1ull << 38);
		w->limit = __cpu_to_le64(1ull << 39);
		w->flags = __cpu_to_le32(ISW_STATUS_DRAINING);
		break;
	}
	case ISW_MSG_GRANT:
		((struct isw_msg_grant *)buf)->length = __cpu_to_le64(g.length);
		break;
	case ISW_MSG_GRANTED:
		isw_wire_grant_encode(&g, &((struct isw_msg_granted *)buf)->grant);
		break;
	case ISW_MSG_RELEASE:
	case ISW_MSG_RELEASED: {
		struct isw_msg_release *w = buf;

		w->id.index = __cpu_to_le32(g.id.index);
		w->id.generation = __cpu_to_le32(g.id.generation);
		break;
	}
	case ISW_MSG_LIST:
		((struct isw_msg_list *)buf)->from = __cpu_to_le32(30);
		break;
	case ISW_MSG_GRANTS: {
		struct isw_msg_grants *w = buf;
		__u32 i;

		w->count = __cpu_to_le32(ISW_GRANTS_MAX);
		w->next = __cpu_to_le32(60);
		for (i = 0; i < ISW_GRANTS_MAX; i++) {
			g = sample_grant(i);
			isw_wire_grant_encode(&g, &w->grant[i]);
		}
		break;
	}
	case ISW_MSG_EVICT:
		((struct isw_msg_ids *)buf)->deadline_ms = __cpu_to_le32(5000);
		sample_ids(buf);
		break;
	case ISW_MSG_CHECK_ACTIVITY:
		sample_ids(buf);
		break;
	case ISW_MSG_ACTIVITY:
		sample_activity(buf);
		break;
	}
}

/* A valid message of @type; the caller frees it. */
static inline void *sample(__u16 type)
{
	void *buf = calloc(1, isw_msg_size(type));

	if (!buf)
		abort();
	isw_msg_hdr_init(buf, type, SEQ, EPOCH, SESSION);
	sample_body(buf, type);
	return buf;
}

/* Decode the first @len bytes of @buf from a buffer that is exactly that long. */
static inline int decode_exact(const void *buf, unsigned int len,
			       struct isw_msg *m)
{
	unsigned char *copy = malloc(len ? len : 1);
	int ret;

	if (!copy)
		abort();
	memcpy(copy, buf, len);
	ret = isw_msg_decode(copy, len, m);
	free(copy);
	return ret;
}

/* Valid CM private data of each kind. */

static inline struct isw_cm_req sample_req(__u8 role)
{
	struct isw_cm_req w = {
		.magic = __cpu_to_le32(ISW_MAGIC),
		.version = __cpu_to_le16(ISW_VERSION),
		.role = role,
		.queues = 3,
		.session = __cpu_to_le64(role == ISW_ROLE_CONTROL ? 0 : SESSION),
		.queue = role == ISW_ROLE_CONTROL ? 0 : 2,
	};

	memset(w.client, 0xc1, sizeof(w.client));
	memset(w.nonce, 0x4e, sizeof(w.nonce));
	return w;
}

static inline struct isw_cm_rep sample_rep(__u8 role)
{
	struct isw_cm_rep w = {
		.magic = __cpu_to_le32(ISW_MAGIC),
		.version = __cpu_to_le16(ISW_VERSION),
		.role = role,
		.epoch = __cpu_to_le64(EPOCH),
		.session = __cpu_to_le64(SESSION),
		.lease_ms = __cpu_to_le32(30000),
	};

	memset(w.nonce, 0x5e, sizeof(w.nonce));
	return w;
}

static inline struct isw_cm_rej sample_rej(__u16 reason)
{
	return (struct isw_cm_rej){
		.magic = __cpu_to_le32(ISW_MAGIC),
		.version = __cpu_to_le16(ISW_VERSION),
		.reason = __cpu_to_le16(reason),
	};
}

#endif /* TESTS_UNIT_WIRE_SAMPLES_H */
