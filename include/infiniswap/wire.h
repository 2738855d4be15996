/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The infiniswap protocol, version 1: what a client and a donor say to each
 * other. docs/protocol.md tells the story; this header is the contract.
 *
 * Every number on the wire is little-endian and naturally aligned, every
 * reserved byte is zero. A session is 2n + 1 reliable connections between one
 * client and one donor: one for control messages (SEND/RECV), n on which the
 * client posts RDMA WRITE and n on which it posts RDMA READ. The donor's CPU
 * takes no part in WRITE and READ.
 *
 * This file compiles in the kernel and in userspace and does no I/O. Received
 * bytes are looked at through isw_msg_decode() and isw_cm_*_decode() alone.
 */
#ifndef _INFINISWAP_WIRE_H
#define _INFINISWAP_WIRE_H

#include <linux/types.h>
#include <asm/byteorder.h>

#define ISW_PORT		9400	/* RDMA_PS_TCP */
#define ISW_MAGIC		0x50575349u	/* "ISWP" as bytes on the wire */
#define ISW_VERSION		1

#define ISW_SLAB_SHIFT_MIN	20	/* 1 MiB */
#define ISW_SLAB_SHIFT_MAX	32	/* 4 GiB */

#define ISW_MAX_QUEUES		4	/* n: READ and WRITE queue pairs, each */
#define ISW_CLIENT_ID_LEN	16
#define ISW_NONCE_LEN		16

#define ISW_MSG_MAX		1024	/* bytes, header included */
/*
 * Messages that one side may have under way towards the other. Each side
 * keeps twice as many receives posted: answers and news share the ring.
 */
#define ISW_CTRL_CREDITS	16
#define ISW_CTRL_RECVS		(2 * ISW_CTRL_CREDITS)

/* ---- connection set-up: RDMA CM private data ---------------------------- */

enum isw_role {
	ISW_ROLE_CONTROL	= 1,
	ISW_ROLE_WRITE		= 2,
	ISW_ROLE_READ		= 3,
};

/*
 * In the CM request. 56 bytes is all that RDMA_PS_TCP leaves to its users.
 * A control connection opens a session (@session 0); a data connection joins
 * the session that the answer to the control connection named.
 */
struct isw_cm_req {
	__le32 magic;
	__le16 version;
	__u8 role;			/* enum isw_role */
	__u8 queues;			/* n, 1..ISW_MAX_QUEUES */
	__le64 session;
	__u8 client[ISW_CLIENT_ID_LEN];	/* random, as long as the device lists this donor */
	__u8 nonce[ISW_NONCE_LEN];	/* fresh for every session */
	__u8 queue;			/* data connections: index below n */
	__u8 reserved[7];
};

/* In the CM reply that accepts. */
struct isw_cm_rep {
	__le32 magic;
	__le16 version;
	__u8 role;
	__u8 reserved0;
	__le64 epoch;			/* random, new with each daemon start */
	__le64 session;			/* new with each control connection */
	__u8 nonce[ISW_NONCE_LEN];
	__le32 lease_ms;		/* grants outlive a lost session so long */
	__u8 reserved1[20];
};

enum isw_reject {
	ISW_REJ_MALFORMED	= 1,	/* length, magic or a field is wrong */
	ISW_REJ_VERSION		= 2,	/* @version is what the donor speaks */
	ISW_REJ_STALE		= 3,	/* no such session (any more) */
	ISW_REJ_FULL		= 4,	/* no room for a further client */
	ISW_REJ_DRAINING	= 5,	/* the daemon is about to end */
	ISW_REJ_TRANSPORT	= 6,	/* this device cannot serve (iWARP) */
	ISW_REJ_RESOURCES	= 7,	/* out of memory, queue pairs, … */
	ISW_REJ_DENIED		= 8,	/* not on the list of clients */
};

/* In the CM reject. */
struct isw_cm_rej {
	__le32 magic;
	__le16 version;
	__le16 reason;			/* enum isw_reject */
	__u8 reserved[8];
};

_Static_assert(sizeof(struct isw_cm_req) == 56, "CM request");
_Static_assert(sizeof(struct isw_cm_rep) == 64, "CM reply");
_Static_assert(sizeof(struct isw_cm_rej) == 16, "CM reject");

/* ---- control messages --------------------------------------------------- */

/*
 * A request carries a @seq that its answer repeats; answers are numbered
 * request + 1 except ERROR. News (no answer expected) have @seq 0. Requests of
 * one client take effect in the order in which they arrive; the answers to
 * those that need work on memory (GRANT, RELEASE, LIST, BYE) may be overtaken.
 */
enum isw_msg_type {
	ISW_MSG_ERROR		= 1,	/* either: the request @seq was refused */
	ISW_MSG_PING		= 2,	/* either -> PONG */
	ISW_MSG_PONG		= 3,
	ISW_MSG_QUERY		= 4,	/* client -> STATUS */
	ISW_MSG_STATUS		= 5,	/* donor: answer to QUERY, or news */
	ISW_MSG_GRANT		= 6,	/* client -> GRANTED */
	ISW_MSG_GRANTED		= 7,
	ISW_MSG_RELEASE		= 8,	/* client -> RELEASED */
	ISW_MSG_RELEASED	= 9,
	ISW_MSG_LIST		= 10,	/* client -> GRANTS */
	ISW_MSG_GRANTS		= 11,
	ISW_MSG_BYE		= 12,	/* client -> BYE_OK: release all, for good */
	ISW_MSG_BYE_OK		= 13,
	/*
	 * Reserved: 14..17 the key handshake (CHALLENGE, RESPONSE, before any
	 * other request). An unknown type is refused with ISW_ERR_TYPE and the
	 * session goes on.
	 */
	ISW_MSG_CHECK_ACTIVITY	= 18,	/* donor -> ACTIVITY */
	ISW_MSG_ACTIVITY	= 19,
	ISW_MSG_EVICT		= 20,	/* donor, news: RELEASE these in time */
};

enum isw_error {
	ISW_ERR_MALFORMED	= 1,	/* length or a field is wrong */
	ISW_ERR_TYPE		= 2,	/* unknown or not for this side */
	ISW_ERR_NO_MEMORY	= 3,	/* the donor has no room for the grant */
	ISW_ERR_QUOTA		= 4,	/* this client holds all it may */
	ISW_ERR_NO_GRANT	= 5,	/* no such grant, or another generation */
	ISW_ERR_SIZE		= 6,	/* slab size not served here */
	ISW_ERR_DRAINING	= 7,
	ISW_ERR_RESOURCES	= 8,	/* registration failed */
};

struct isw_msg_hdr {
	__le16 type;
	__le16 length;			/* of the message, this header included */
	__le32 seq;
	__le64 epoch;			/* the donor's; both sides check it */
	__le64 session;
};

struct isw_msg_error {
	struct isw_msg_hdr hdr;
	__le16 code;			/* enum isw_error */
	__le16 type;			/* of the message that was refused */
	__u8 reserved[4];
};

/* Header alone: PING, PONG, QUERY, BYE, BYE_OK. */

#define ISW_STATUS_DRAINING	(1u << 0)	/* give grants back, ask for none */

struct isw_msg_status {
	struct isw_msg_hdr hdr;
	__le64 total;			/* bytes of RAM in the donor's host */
	__le64 used;			/* bytes in use, grants included */
	__le64 donated;			/* bytes in grants, all clients */
	__le64 limit;			/* bytes that may be in grants at most */
	__le32 flags;			/* ISW_STATUS_* */
	__u8 reserved[4];
};

struct isw_msg_grant {
	struct isw_msg_hdr hdr;
	__le64 length;			/* slab size, a power of two */
};

/* What names a grant: a place in the donor's table and how often it was used. */
struct isw_wire_id {
	__le32 index;
	__le32 generation;
};

struct isw_wire_grant {
	struct isw_wire_id id;
	__le64 addr;
	__le64 length;
	__le32 rkey;
	__u8 reserved[4];
};

struct isw_msg_granted {
	struct isw_msg_hdr hdr;
	struct isw_wire_grant grant;
};

struct isw_msg_release {		/* RELEASED as well */
	struct isw_msg_hdr hdr;
	struct isw_wire_id id;
};

struct isw_msg_list {
	struct isw_msg_hdr hdr;
	__le32 from;			/* first index of interest, 0 to start */
	__u8 reserved[4];
};

#define ISW_GRANTS_MAX	30

struct isw_msg_grants {
	struct isw_msg_hdr hdr;
	__le32 count;			/* of entries in this message */
	__le32 next;			/* @from of the next LIST; 0: complete */
	struct isw_wire_grant grant[ISW_GRANTS_MAX];
};

#define ISW_IDS_MAX	60

struct isw_msg_ids {			/* CHECK_ACTIVITY, EVICT */
	struct isw_msg_hdr hdr;
	__le32 count;			/* of ids, 1..ISW_IDS_MAX */
	/*
	 * EVICT: from its receipt on; what is not released by then is taken.
	 * 0: an earlier EVICT of these is called off. CHECK_ACTIVITY: 0.
	 */
	__le32 deadline_ms;
	struct isw_wire_id id[ISW_IDS_MAX];
};

/* Page-ins plus page-outs a second, in these units. */
#define ISW_ACTIVITY_SHIFT	8

struct isw_wire_activity {
	struct isw_wire_id id;
	__le32 activity;		/* 2^-ISW_ACTIVITY_SHIFT, saturating */
	__u8 reserved[4];
};

struct isw_msg_activity {
	struct isw_msg_hdr hdr;
	__le32 count;			/* unknown ids are left out */
	__u8 reserved[4];
	struct isw_wire_activity slab[ISW_IDS_MAX];
};

_Static_assert(sizeof(struct isw_msg_hdr) == 24, "header");
_Static_assert(sizeof(struct isw_msg_error) == 32, "ERROR");
_Static_assert(sizeof(struct isw_msg_status) == 64, "STATUS");
_Static_assert(sizeof(struct isw_msg_grant) == 32, "GRANT");
_Static_assert(sizeof(struct isw_wire_grant) == 32, "grant");
_Static_assert(sizeof(struct isw_msg_granted) == 56, "GRANTED");
_Static_assert(sizeof(struct isw_msg_release) == 32, "RELEASE");
_Static_assert(sizeof(struct isw_msg_list) == 32, "LIST");
_Static_assert(sizeof(struct isw_msg_grants) == 992, "GRANTS");
_Static_assert(sizeof(struct isw_msg_ids) == 512, "CHECK_ACTIVITY, EVICT");
_Static_assert(sizeof(struct isw_msg_activity) == 992, "ACTIVITY");
_Static_assert(sizeof(struct isw_msg_grants) <= ISW_MSG_MAX, "largest message");

/* ---- decoded form, host byte order -------------------------------------- */

struct isw_grant_id {
	__u32 index;
	__u32 generation;
};

struct isw_grant_info {
	struct isw_grant_id id;
	__u64 addr;
	__u64 length;
	__u32 rkey;
};

struct isw_status {
	__u64 total, used, donated, limit;
	__u32 flags;
};

struct isw_msg {
	__u16 type;
	__u32 seq;
	__u64 epoch;
	__u64 session;
	union {
		struct {
			__u16 code;
			__u16 type;
		} error;
		struct isw_status status;
		__u64 length;			/* GRANT */
		struct isw_grant_info grant;	/* GRANTED */
		struct isw_grant_id id;		/* RELEASE, RELEASED */
		__u32 from;			/* LIST */
		struct {
			__u32 count;
			__u32 next;
			const struct isw_wire_grant *wire; /* in the buffer */
		} grants;
		struct {			/* CHECK_ACTIVITY, EVICT */
			__u32 count;
			__u32 deadline_ms;
			const struct isw_wire_id *wire; /* in the buffer */
		} ids;
		struct {
			__u32 count;
			const struct isw_wire_activity *wire; /* likewise */
		} activity;
	};
};

struct isw_cm_hello {
	__u8 role, queues, queue;
	__u64 session;
	const __u8 *client;		/* ISW_CLIENT_ID_LEN bytes in the buffer */
	const __u8 *nonce;
};

struct isw_cm_welcome {
	__u64 epoch;
	__u64 session;
	__u32 lease_ms;
};

/* ---- checks ------------------------------------------------------------- */

static inline int isw_slab_size_valid(__u64 bytes)
{
	return bytes >= 1ull << ISW_SLAB_SHIFT_MIN &&
	       bytes <= 1ull << ISW_SLAB_SHIFT_MAX && !(bytes & (bytes - 1));
}

static inline int isw_all_zero(const __u8 *p, unsigned int n)
{
	while (n--)
		if (*p++)
			return 0;
	return 1;
}

/* A grant's range is page-aligned and does not wrap around. */
static inline int isw_wire_grant_decode(const struct isw_wire_grant *w,
					struct isw_grant_info *g)
{
	g->id.index = __le32_to_cpu(w->id.index);
	g->id.generation = __le32_to_cpu(w->id.generation);
	g->addr = __le64_to_cpu(w->addr);
	g->length = __le64_to_cpu(w->length);
	g->rkey = __le32_to_cpu(w->rkey);
	return isw_slab_size_valid(g->length) && !(g->addr & 4095) &&
	       g->addr + g->length > g->addr &&
	       isw_all_zero(w->reserved, sizeof(w->reserved));
}

static inline struct isw_grant_id isw_wire_id_decode(const struct isw_wire_id *w)
{
	return (struct isw_grant_id) {
		.index = __le32_to_cpu(w->index),
		.generation = __le32_to_cpu(w->generation),
	};
}

static inline struct isw_wire_id isw_wire_id_encode(const struct isw_grant_id *id)
{
	return (struct isw_wire_id) {
		.index = __cpu_to_le32(id->index),
		.generation = __cpu_to_le32(id->generation),
	};
}

static inline void isw_wire_grant_encode(const struct isw_grant_info *g,
					 struct isw_wire_grant *w)
{
	*w = (struct isw_wire_grant) {
		.id.index = __cpu_to_le32(g->id.index),
		.id.generation = __cpu_to_le32(g->id.generation),
		.addr = __cpu_to_le64(g->addr),
		.length = __cpu_to_le64(g->length),
		.rkey = __cpu_to_le32(g->rkey),
	};
}

/* The exact size of a message of @type; those with a count have one size. */
static inline unsigned int isw_msg_size(__u16 type)
{
	switch (type) {
	case ISW_MSG_PING:
	case ISW_MSG_PONG:
	case ISW_MSG_QUERY:
	case ISW_MSG_BYE:
	case ISW_MSG_BYE_OK:
		return sizeof(struct isw_msg_hdr);
	case ISW_MSG_ERROR:
		return sizeof(struct isw_msg_error);
	case ISW_MSG_STATUS:
		return sizeof(struct isw_msg_status);
	case ISW_MSG_GRANT:
		return sizeof(struct isw_msg_grant);
	case ISW_MSG_GRANTED:
		return sizeof(struct isw_msg_granted);
	case ISW_MSG_RELEASE:
	case ISW_MSG_RELEASED:
		return sizeof(struct isw_msg_release);
	case ISW_MSG_LIST:
		return sizeof(struct isw_msg_list);
	case ISW_MSG_GRANTS:
		return sizeof(struct isw_msg_grants);
	case ISW_MSG_CHECK_ACTIVITY:
	case ISW_MSG_EVICT:
		return sizeof(struct isw_msg_ids);
	case ISW_MSG_ACTIVITY:
		return sizeof(struct isw_msg_activity);
	}
	return 0;
}

/*
 * isw_msg_decode - check @len received bytes and give their meaning
 *
 * Returns 0, or the enum isw_error to refuse the message with. @m->type and
 * @m->seq are set whenever the header itself was whole, so that a refusal can
 * be addressed. The caller compares epoch and session with its own. Entries
 * of GRANTS, CHECK_ACTIVITY, ACTIVITY and EVICT stay in the buffer; each has
 * been vetted.
 */
static inline int isw_msg_decode(const void *buf, unsigned int len,
				 struct isw_msg *m)
{
	const struct isw_msg_hdr *hdr = buf;
	unsigned int size, i;

	m->type = 0;
	m->seq = 0;
	if (len < sizeof(*hdr) || len > ISW_MSG_MAX)
		return ISW_ERR_MALFORMED;
	m->type = __le16_to_cpu(hdr->type);
	m->seq = __le32_to_cpu(hdr->seq);
	m->epoch = __le64_to_cpu(hdr->epoch);
	m->session = __le64_to_cpu(hdr->session);

	size = isw_msg_size(m->type);
	if (!size)
		return ISW_ERR_TYPE;
	if (len != size || __le16_to_cpu(hdr->length) != size)
		return ISW_ERR_MALFORMED;

	switch (m->type) {
	case ISW_MSG_ERROR: {
		const struct isw_msg_error *w = buf;

		m->error.code = __le16_to_cpu(w->code);
		m->error.type = __le16_to_cpu(w->type);
		if (!isw_all_zero(w->reserved, sizeof(w->reserved)))
			return ISW_ERR_MALFORMED;
		break;
	}
	case ISW_MSG_STATUS: {
		const struct isw_msg_status *w = buf;

		m->status.total = __le64_to_cpu(w->total);
		m->status.used = __le64_to_cpu(w->used);
		m->status.donated = __le64_to_cpu(w->donated);
		m->status.limit = __le64_to_cpu(w->limit);
		m->status.flags = __le32_to_cpu(w->flags);
		if (!m->status.total || m->status.used > m->status.total ||
		    !isw_all_zero(w->reserved, sizeof(w->reserved)))
			return ISW_ERR_MALFORMED;
		break;
	}
	case ISW_MSG_GRANT: {
		const struct isw_msg_grant *w = buf;

		m->length = __le64_to_cpu(w->length);
		if (!isw_slab_size_valid(m->length))
			return ISW_ERR_SIZE;
		break;
	}
	case ISW_MSG_GRANTED: {
		const struct isw_msg_granted *w = buf;

		if (!isw_wire_grant_decode(&w->grant, &m->grant))
			return ISW_ERR_MALFORMED;
		break;
	}
	case ISW_MSG_RELEASE:
	case ISW_MSG_RELEASED: {
		const struct isw_msg_release *w = buf;

		m->id.index = __le32_to_cpu(w->id.index);
		m->id.generation = __le32_to_cpu(w->id.generation);
		break;
	}
	case ISW_MSG_LIST: {
		const struct isw_msg_list *w = buf;

		m->from = __le32_to_cpu(w->from);
		if (!isw_all_zero(w->reserved, sizeof(w->reserved)))
			return ISW_ERR_MALFORMED;
		break;
	}
	case ISW_MSG_GRANTS: {
		const struct isw_msg_grants *w = buf;
		struct isw_grant_info g;

		m->grants.count = __le32_to_cpu(w->count);
		m->grants.next = __le32_to_cpu(w->next);
		m->grants.wire = w->grant;
		if (m->grants.count > ISW_GRANTS_MAX)
			return ISW_ERR_MALFORMED;
		for (i = 0; i < m->grants.count; i++)
			if (!isw_wire_grant_decode(&w->grant[i], &g))
				return ISW_ERR_MALFORMED;
		break;
	}
	case ISW_MSG_CHECK_ACTIVITY:
	case ISW_MSG_EVICT: {
		const struct isw_msg_ids *w = buf;

		m->ids.count = __le32_to_cpu(w->count);
		m->ids.deadline_ms = __le32_to_cpu(w->deadline_ms);
		m->ids.wire = w->id;
		if (!m->ids.count || m->ids.count > ISW_IDS_MAX ||
		    (m->type == ISW_MSG_CHECK_ACTIVITY && m->ids.deadline_ms))
			return ISW_ERR_MALFORMED;
		break;
	}
	case ISW_MSG_ACTIVITY: {
		const struct isw_msg_activity *w = buf;

		m->activity.count = __le32_to_cpu(w->count);
		m->activity.wire = w->slab;
		if (m->activity.count > ISW_IDS_MAX ||
		    !isw_all_zero(w->reserved, sizeof(w->reserved)))
			return ISW_ERR_MALFORMED;
		for (i = 0; i < m->activity.count; i++)
			if (!isw_all_zero(w->slab[i].reserved,
					  sizeof(w->slab[i].reserved)))
				return ISW_ERR_MALFORMED;
		break;
	}
	}
	return 0;
}

/* Fill the header of an outgoing message; the caller has zeroed the rest. */
static inline void isw_msg_hdr_init(struct isw_msg_hdr *hdr, __u16 type,
				    __u32 seq, __u64 epoch, __u64 session)
{
	hdr->type = __cpu_to_le16(type);
	hdr->length = __cpu_to_le16((__u16)isw_msg_size(type));
	hdr->seq = __cpu_to_le32(seq);
	hdr->epoch = __cpu_to_le64(epoch);
	hdr->session = __cpu_to_le64(session);
}

/*
 * isw_cm_req_decode - a connect request's private data
 *
 * @len may exceed the struct: the transport pads. Returns 0 or the enum
 * isw_reject to answer with.
 */
static inline int isw_cm_req_decode(const void *buf, unsigned int len,
				    struct isw_cm_hello *h)
{
	const struct isw_cm_req *w = buf;

	if (!buf || len < sizeof(*w) || __le32_to_cpu(w->magic) != ISW_MAGIC)
		return ISW_REJ_MALFORMED;
	if (__le16_to_cpu(w->version) != ISW_VERSION)
		return ISW_REJ_VERSION;
	h->role = w->role;
	h->queues = w->queues;
	h->queue = w->queue;
	h->session = __le64_to_cpu(w->session);
	h->client = w->client;
	h->nonce = w->nonce;
	if (h->role < ISW_ROLE_CONTROL || h->role > ISW_ROLE_READ ||
	    !h->queues || h->queues > ISW_MAX_QUEUES ||
	    h->queue >= h->queues ||
	    (h->role == ISW_ROLE_CONTROL) != !h->session ||
	    (h->role == ISW_ROLE_CONTROL && h->queue) ||
	    isw_all_zero(h->client, ISW_CLIENT_ID_LEN) ||
	    !isw_all_zero(w->reserved, sizeof(w->reserved)))
		return ISW_REJ_MALFORMED;
	return 0;
}

/* Returns 0, or an enum isw_reject that says what is wrong with the reply. */
static inline int isw_cm_rep_decode(const void *buf, unsigned int len,
				    __u8 role, struct isw_cm_welcome *r)
{
	const struct isw_cm_rep *w = buf;

	if (!buf || len < sizeof(*w) || __le32_to_cpu(w->magic) != ISW_MAGIC)
		return ISW_REJ_MALFORMED;
	if (__le16_to_cpu(w->version) != ISW_VERSION)
		return ISW_REJ_VERSION;
	r->epoch = __le64_to_cpu(w->epoch);
	r->session = __le64_to_cpu(w->session);
	r->lease_ms = __le32_to_cpu(w->lease_ms);
	if (w->role != role || !r->epoch || !r->session || w->reserved0 ||
	    !isw_all_zero(w->reserved1, sizeof(w->reserved1)))
		return ISW_REJ_MALFORMED;
	return 0;
}

/* Returns the donor's reason, or 0 when the reject is not of this protocol. */
static inline int isw_cm_rej_decode(const void *buf, unsigned int len,
				    __u16 *version)
{
	const struct isw_cm_rej *w = buf;

	if (!buf || len < sizeof(*w) || __le32_to_cpu(w->magic) != ISW_MAGIC)
		return 0;
	*version = __le16_to_cpu(w->version);
	return __le16_to_cpu(w->reason);
}

static inline const char *isw_reject_name(int reason)
{
	switch (reason) {
	case ISW_REJ_MALFORMED:	return "malformed request";
	case ISW_REJ_VERSION:	return "protocol version not spoken";
	case ISW_REJ_STALE:	return "session unknown";
	case ISW_REJ_FULL:	return "donor serves no further client";
	case ISW_REJ_DRAINING:	return "donor is draining";
	case ISW_REJ_TRANSPORT:	return "transport not supported";
	case ISW_REJ_RESOURCES:	return "donor out of resources";
	case ISW_REJ_DENIED:	return "client not allowed";
	}
	return "unknown reason";
}

static inline const char *isw_error_name(int code)
{
	switch (code) {
	case ISW_ERR_MALFORMED:	return "malformed message";
	case ISW_ERR_TYPE:	return "message type not accepted";
	case ISW_ERR_NO_MEMORY:	return "no memory to grant";
	case ISW_ERR_QUOTA:	return "client's quota reached";
	case ISW_ERR_NO_GRANT:	return "no such grant";
	case ISW_ERR_SIZE:	return "slab size not served";
	case ISW_ERR_DRAINING:	return "donor is draining";
	case ISW_ERR_RESOURCES:	return "registration failed";
	}
	return "unknown error";
}

#endif /* _INFINISWAP_WIRE_H */
