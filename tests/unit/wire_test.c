// SPDX-License-Identifier: GPL-2.0-only
/* wire.h: control messages, one rule at a time. */
#include <kselftest_harness.h>

#include "wire_samples.h"

/* ---- what was sent is what is understood --------------------------------- */

static int round_trip(__u16 type, struct isw_msg *m, void **buf)
{
	*buf = sample(type);
	memset(m, 0xa5, sizeof(*m));
	if (isw_msg_decode(*buf, isw_msg_size(type), m))
		return 0;
	return m->type == type && m->seq == SEQ && m->epoch == EPOCH &&
	       m->session == SESSION;
}

#define TEST_HEADER_ALONE(name, msg)				\
TEST(round_trip_##name)						\
{								\
	struct isw_msg m;					\
	void *buf;						\
								\
	EXPECT_TRUE(round_trip(msg, &m, &buf));			\
	EXPECT_EQ(24, isw_msg_size(msg));			\
	free(buf);						\
}

TEST_HEADER_ALONE(ping, ISW_MSG_PING)
TEST_HEADER_ALONE(pong, ISW_MSG_PONG)
TEST_HEADER_ALONE(query, ISW_MSG_QUERY)
TEST_HEADER_ALONE(bye, ISW_MSG_BYE)
TEST_HEADER_ALONE(bye_ok, ISW_MSG_BYE_OK)

TEST(round_trip_error)
{
	struct isw_msg m;
	void *buf;

	ASSERT_TRUE(round_trip(ISW_MSG_ERROR, &m, &buf));
	EXPECT_EQ(ISW_ERR_QUOTA, m.error.code);
	EXPECT_EQ(ISW_MSG_GRANT, m.error.type);
	free(buf);
}

TEST(round_trip_status)
{
	struct isw_msg m;
	void *buf;

	ASSERT_TRUE(round_trip(ISW_MSG_STATUS, &m, &buf));
	EXPECT_EQ(1ull << 40, m.status.total);
	EXPECT_EQ(3ull << 38, m.status.used);
	EXPECT_EQ(1ull << 38, m.status.donated);
	EXPECT_EQ(1ull << 39, m.status.limit);
	EXPECT_EQ(ISW_STATUS_DRAINING, m.status.flags);
	free(buf);
}

TEST(round_trip_grant)
{
	struct isw_msg m;
	void *buf;

	ASSERT_TRUE(round_trip(ISW_MSG_GRANT, &m, &buf));
	EXPECT_EQ(1ull << 26, m.length);
	free(buf);
}

static int same_grant(const struct isw_grant_info *a,
		      const struct isw_grant_info *b)
{
	return a->id.index == b->id.index &&
	       a->id.generation == b->id.generation && a->addr == b->addr &&
	       a->length == b->length && a->rkey == b->rkey;
}

TEST(round_trip_granted)
{
	struct isw_grant_info want = sample_grant(0);
	struct isw_msg m;
	void *buf;

	ASSERT_TRUE(round_trip(ISW_MSG_GRANTED, &m, &buf));
	EXPECT_TRUE(same_grant(&want, &m.grant));
	free(buf);
}

static int names_first_grant(const struct isw_msg *m)
{
	struct isw_grant_info want = sample_grant(0);

	return m->id.index == want.id.index &&
	       m->id.generation == want.id.generation;
}

TEST(round_trip_release)
{
	struct isw_msg m;
	void *buf;

	ASSERT_TRUE(round_trip(ISW_MSG_RELEASE, &m, &buf));
	EXPECT_TRUE(names_first_grant(&m));
	free(buf);
}

TEST(round_trip_released)
{
	struct isw_msg m;
	void *buf;

	ASSERT_TRUE(round_trip(ISW_MSG_RELEASED, &m, &buf));
	EXPECT_TRUE(names_first_grant(&m));
	free(buf);
}

TEST(round_trip_list)
{
	struct isw_msg m;
	void *buf;

	ASSERT_TRUE(round_trip(ISW_MSG_LIST, &m, &buf));
	EXPECT_EQ(30, m.from);
	free(buf);
}

TEST(round_trip_grants_full)
{
	struct isw_grant_info want, got;
	struct isw_msg m;
	void *buf;
	__u32 i;

	ASSERT_TRUE(round_trip(ISW_MSG_GRANTS, &m, &buf));
	EXPECT_EQ(60, m.grants.next);
	ASSERT_EQ(ISW_GRANTS_MAX, m.grants.count);
	for (i = 0; i < m.grants.count; i++) {
		want = sample_grant(i);
		EXPECT_TRUE(isw_wire_grant_decode(&m.grants.wire[i], &got));
		EXPECT_TRUE(same_grant(&want, &got));
	}
	free(buf);
}

TEST(round_trip_grants_empty)
{
	struct isw_msg_grants *w = calloc(1, sizeof(*w));
	struct isw_msg m;

	isw_msg_hdr_init(&w->hdr, ISW_MSG_GRANTS, 1, EPOCH, SESSION);
	EXPECT_EQ(0, isw_msg_decode(w, sizeof(*w), &m));
	EXPECT_EQ(0, m.grants.count);
	EXPECT_EQ(0, m.grants.next);
	free(w);
}

static int names_all_grants(const struct isw_msg *m)
{
	struct isw_grant_info want;
	struct isw_grant_id got;
	__u32 i;

	for (i = 0; i < ISW_IDS_MAX; i++) {
		want = sample_grant(i);
		got = isw_wire_id_decode(&m->ids.wire[i]);
		if (got.index != want.id.index ||
		    got.generation != want.id.generation)
			return 0;
	}
	return m->ids.count == ISW_IDS_MAX;
}

TEST(round_trip_check_activity)
{
	struct isw_msg m;
	void *buf;

	ASSERT_TRUE(round_trip(ISW_MSG_CHECK_ACTIVITY, &m, &buf));
	EXPECT_TRUE(names_all_grants(&m));
	free(buf);
}

TEST(round_trip_evict)
{
	struct isw_msg m;
	void *buf;

	ASSERT_TRUE(round_trip(ISW_MSG_EVICT, &m, &buf));
	EXPECT_EQ(5000, m.ids.deadline_ms);
	EXPECT_TRUE(names_all_grants(&m));
	free(buf);
}

TEST(round_trip_activity)
{
	struct isw_msg m;
	void *buf;
	__u32 i;

	ASSERT_TRUE(round_trip(ISW_MSG_ACTIVITY, &m, &buf));
	ASSERT_EQ(ISW_IDS_MAX, m.activity.count);
	for (i = 0; i < m.activity.count; i++) {
		struct isw_grant_info want = sample_grant(i);
		struct isw_grant_id got =
			isw_wire_id_decode(&m.activity.wire[i].id);

		EXPECT_EQ(want.id.index, got.index);
		EXPECT_EQ(want.id.generation, got.generation);
		EXPECT_EQ(0xfffffff0u + i,
			  __le32_to_cpu(m.activity.wire[i].activity));
	}
	free(buf);
}

TEST(bytes_on_the_wire_are_little_endian)
{
	static const unsigned char want[32] = {
		1, 0, 32, 0, 0x44, 0x33, 0x22, 0x11,
		0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,
		0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe,
		4, 0, 6, 0, 0, 0, 0, 0,
	};
	void *buf = sample(ISW_MSG_ERROR);

	EXPECT_EQ(0, memcmp(buf, want, sizeof(want)));
	free(buf);
}

/* ---- what is not exactly a message is refused ----------------------------- */

TEST(every_truncated_length_is_malformed)
{
	struct isw_msg m;
	unsigned int i, len;

	for (i = 0; i < N_TYPES; i++) {
		void *buf = sample(all_types[i]);

		for (len = 0; len < isw_msg_size(all_types[i]); len++)
			EXPECT_EQ(ISW_ERR_MALFORMED, decode_exact(buf, len, &m))
				TH_LOG("type %u cut to %u", all_types[i], len);
		EXPECT_EQ(0, decode_exact(buf, len, &m));
		free(buf);
	}
}

TEST(every_excess_length_is_malformed)
{
	static unsigned char room[ISW_MSG_MAX + 64];
	struct isw_msg m;
	unsigned int i, len;

	for (i = 0; i < N_TYPES; i++) {
		unsigned int size = isw_msg_size(all_types[i]);
		void *buf = sample(all_types[i]);

		memset(room, 0, sizeof(room));
		memcpy(room, buf, size);
		for (len = size + 1; len <= sizeof(room); len++)
			EXPECT_EQ(ISW_ERR_MALFORMED, isw_msg_decode(room, len, &m))
				TH_LOG("type %u grown to %u", all_types[i], len);
		free(buf);
	}
}

TEST(length_in_the_header_must_be_the_real_one)
{
	unsigned int i, length;
	struct isw_msg m;

	for (i = 0; i < N_TYPES; i++) {
		unsigned int size = isw_msg_size(all_types[i]);
		struct isw_msg_hdr *hdr = sample(all_types[i]);

		for (length = 0; length < 0x10000; length++) {
			if (length == size)
				continue;
			hdr->length = __cpu_to_le16((__u16)length);
			ASSERT_EQ(ISW_ERR_MALFORMED, isw_msg_decode(hdr, size, &m))
				TH_LOG("type %u says %u", all_types[i], length);
		}
		free(hdr);
	}
}

TEST(refused_message_still_tells_type_and_seq)
{
	struct isw_msg m;
	void *buf = sample(ISW_MSG_STATUS);

	EXPECT_EQ(ISW_ERR_MALFORMED,
		  decode_exact(buf, sizeof(struct isw_msg_hdr), &m));
	EXPECT_EQ(ISW_MSG_STATUS, m.type);
	EXPECT_EQ(SEQ, m.seq);

	EXPECT_EQ(ISW_ERR_MALFORMED, decode_exact(buf, 8, &m));
	EXPECT_EQ(0, m.type);
	EXPECT_EQ(0, m.seq);
	free(buf);
}

TEST(every_unknown_type_is_refused_as_such)
{
	struct isw_msg_hdr hdr;
	struct isw_msg m;
	unsigned int type;

	for (type = 0; type < 0x10000; type++) {
		if (isw_msg_size((__u16)type))
			continue;
		isw_msg_hdr_init(&hdr, (__u16)type, SEQ, EPOCH, SESSION);
		hdr.length = __cpu_to_le16(sizeof(hdr));
		ASSERT_EQ(ISW_ERR_TYPE, isw_msg_decode(&hdr, sizeof(hdr), &m));
		ASSERT_EQ(type, m.type);
		ASSERT_EQ(SEQ, m.seq);
	}
}

TEST(known_types_are_exactly_those_with_samples)
{
	unsigned int type, i, known = 0;

	for (type = 0; type < 0x10000; type++)
		known += !!isw_msg_size((__u16)type);
	EXPECT_EQ(N_TYPES, known);
	for (i = 0; i < N_TYPES; i++)
		EXPECT_NE(0, isw_msg_size(all_types[i]));
}

/* Every byte of [@from, @from + @n) of a valid message must be zero. */
static int reserved_bytes_hold(__u16 type, size_t from, size_t n)
{
	unsigned char *buf = sample(type);
	struct isw_msg m;
	size_t i;
	int bit, ok = 1;

	for (i = from; i < from + n; i++)
		for (bit = 0; bit < 8; bit++) {
			buf[i] = (unsigned char)(1u << bit);
			ok &= isw_msg_decode(buf, isw_msg_size(type), &m) ==
			      ISW_ERR_MALFORMED;
			buf[i] = 0;
		}
	ok &= !isw_msg_decode(buf, isw_msg_size(type), &m);
	free(buf);
	return ok;
}

#define RESERVED_OF(type, field) \
	offsetof(struct type, field), sizeof(((struct type *)0)->field)

TEST(reserved_bytes_of_error)
{
	EXPECT_TRUE(reserved_bytes_hold(ISW_MSG_ERROR,
					RESERVED_OF(isw_msg_error, reserved)));
}

TEST(reserved_bytes_of_status)
{
	EXPECT_TRUE(reserved_bytes_hold(ISW_MSG_STATUS,
					RESERVED_OF(isw_msg_status, reserved)));
}

TEST(reserved_bytes_of_granted)
{
	EXPECT_TRUE(reserved_bytes_hold(ISW_MSG_GRANTED,
					RESERVED_OF(isw_msg_granted, grant.reserved)));
}

TEST(reserved_bytes_of_list)
{
	EXPECT_TRUE(reserved_bytes_hold(ISW_MSG_LIST,
					RESERVED_OF(isw_msg_list, reserved)));
}

TEST(reserved_bytes_of_every_entry_of_grants)
{
	size_t i;

	for (i = 0; i < ISW_GRANTS_MAX; i++)
		EXPECT_TRUE(reserved_bytes_hold(ISW_MSG_GRANTS,
				RESERVED_OF(isw_msg_grants, grant[i].reserved)))
			TH_LOG("entry %zu", i);
}

TEST(reserved_bytes_of_activity_and_of_every_entry)
{
	size_t i;

	EXPECT_TRUE(reserved_bytes_hold(ISW_MSG_ACTIVITY,
					RESERVED_OF(isw_msg_activity, reserved)));
	for (i = 0; i < ISW_IDS_MAX; i++)
		EXPECT_TRUE(reserved_bytes_hold(ISW_MSG_ACTIVITY,
				RESERVED_OF(isw_msg_activity, slab[i].reserved)))
			TH_LOG("entry %zu", i);
}

/* ---- values out of their limits are refused ------------------------------- */

static int decode_status(__u64 total, __u64 used)
{
	struct isw_msg_status *w = sample(ISW_MSG_STATUS);
	struct isw_msg m;
	int ret;

	w->total = __cpu_to_le64(total);
	w->used = __cpu_to_le64(used);
	ret = isw_msg_decode(w, sizeof(*w), &m);
	free(w);
	return ret;
}

TEST(status_must_have_a_total_and_use_no_more)
{
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_status(0, 0));
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_status(1, 2));
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_status(1, ~0ull));
	EXPECT_EQ(0, decode_status(1, 0));
	EXPECT_EQ(0, decode_status(1, 1));
	EXPECT_EQ(0, decode_status(~0ull, ~0ull));
}

static int decode_grant(__u64 length)
{
	struct isw_msg_grant *w = sample(ISW_MSG_GRANT);
	struct isw_msg m;
	int ret;

	w->length = __cpu_to_le64(length);
	ret = isw_msg_decode(w, sizeof(*w), &m);
	free(w);
	return ret;
}

TEST(grant_takes_every_slab_size_and_no_other)
{
	int shift;

	for (shift = 0; shift < 64; shift++) {
		int valid = shift >= ISW_SLAB_SHIFT_MIN && shift <= ISW_SLAB_SHIFT_MAX;

		EXPECT_EQ(valid ? 0 : ISW_ERR_SIZE, decode_grant(1ull << shift))
			TH_LOG("1 << %d", shift);
	}
	EXPECT_EQ(ISW_ERR_SIZE, decode_grant(0));
	EXPECT_EQ(ISW_ERR_SIZE, decode_grant((1ull << 26) + 1));
	EXPECT_EQ(ISW_ERR_SIZE, decode_grant((1ull << 26) - 4096));
	EXPECT_EQ(ISW_ERR_SIZE, decode_grant(3ull << 25));
	EXPECT_EQ(ISW_ERR_SIZE, decode_grant(~0ull));
}

static int decode_granted(__u64 addr, __u64 length)
{
	struct isw_msg_granted *w = sample(ISW_MSG_GRANTED);
	struct isw_msg m;
	int ret;

	w->grant.addr = __cpu_to_le64(addr);
	w->grant.length = __cpu_to_le64(length);
	ret = isw_msg_decode(w, sizeof(*w), &m);
	free(w);
	return ret;
}

TEST(granted_address_is_page_aligned)
{
	__u64 low;

	for (low = 1; low < 4096; low++)
		EXPECT_EQ(ISW_ERR_MALFORMED, decode_granted((1ull << 40) + low, 1ull << 26));
	EXPECT_EQ(0, decode_granted((1ull << 40) + 4096, 1ull << 26));
}

TEST(granted_range_does_not_wrap)
{
	__u64 length = 1ull << 26;

	EXPECT_EQ(0, decode_granted(0, length));
	EXPECT_EQ(0, decode_granted(0 - length - 4096, length));
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_granted(0 - length, length));
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_granted(0 - length + 4096, length));
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_granted(~4095ull, length));
}

TEST(granted_length_is_a_slab_size)
{
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_granted(1ull << 40, 0));
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_granted(1ull << 40, 4096));
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_granted(1ull << 40, 3ull << 25));
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_granted(1ull << 40, 1ull << 33));
}

TEST(grants_count_is_bounded)
{
	static const __u32 counts[] = {
		ISW_GRANTS_MAX + 1, ISW_GRANTS_MAX + 2, 0x7fffffff, 0x80000000,
		0x08000001,	/* times 32 wraps to 32 in 32 bits */
		0xffffffff,
	};
	struct isw_msg_grants *w = sample(ISW_MSG_GRANTS);
	struct isw_msg m;
	unsigned int i;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		w->count = __cpu_to_le32(counts[i]);
		EXPECT_EQ(ISW_ERR_MALFORMED, isw_msg_decode(w, sizeof(*w), &m));
	}
	free(w);
}

static int decode_ids(__u16 type, __u32 count, __u32 deadline_ms)
{
	struct isw_msg_ids *w = sample(type);
	struct isw_msg m;
	int ret;

	w->count = __cpu_to_le32(count);
	w->deadline_ms = __cpu_to_le32(deadline_ms);
	ret = isw_msg_decode(w, sizeof(*w), &m);
	free(w);
	return ret;
}

TEST(evict_and_check_activity_name_one_to_60_grants)
{
	static const __u16 types[] = { ISW_MSG_EVICT, ISW_MSG_CHECK_ACTIVITY };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		EXPECT_EQ(ISW_ERR_MALFORMED, decode_ids(types[i], 0, 0));
		EXPECT_EQ(0, decode_ids(types[i], 1, 0));
		EXPECT_EQ(0, decode_ids(types[i], 60, 0));
		EXPECT_EQ(ISW_ERR_MALFORMED, decode_ids(types[i], 61, 0));
		/* Times 8 it wraps to 8 in 32 bits. */
		EXPECT_EQ(ISW_ERR_MALFORMED, decode_ids(types[i], 0x20000001, 0));
		EXPECT_EQ(ISW_ERR_MALFORMED, decode_ids(types[i], ~0u, 0));
	}
}

TEST(evict_alone_has_a_deadline)
{
	EXPECT_EQ(0, decode_ids(ISW_MSG_EVICT, 1, ~0u));
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_ids(ISW_MSG_CHECK_ACTIVITY, 1, 1));
	EXPECT_EQ(ISW_ERR_MALFORMED,
		  decode_ids(ISW_MSG_CHECK_ACTIVITY, 1, 0x80000000));
}

static int decode_activity(__u32 count)
{
	struct isw_msg_activity *w = sample(ISW_MSG_ACTIVITY);
	struct isw_msg m;
	int ret;

	w->count = __cpu_to_le32(count);
	ret = isw_msg_decode(w, sizeof(*w), &m);
	free(w);
	return ret;
}

TEST(activity_tells_of_60_grants_at_most)
{
	EXPECT_EQ(0, decode_activity(0));
	EXPECT_EQ(0, decode_activity(60));
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_activity(61));
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_activity(0x10000001));
	EXPECT_EQ(ISW_ERR_MALFORMED, decode_activity(~0u));
}

TEST(one_bad_entry_spoils_grants)
{
	struct isw_msg_grants *w = sample(ISW_MSG_GRANTS);
	struct isw_msg m;
	unsigned int i;

	for (i = 0; i < ISW_GRANTS_MAX; i++) {
		w->grant[i].length = 0;
		EXPECT_EQ(ISW_ERR_MALFORMED, isw_msg_decode(w, sizeof(*w), &m));
		/* … unless it lies behind those that count. */
		w->count = __cpu_to_le32(i);
		EXPECT_EQ(0, isw_msg_decode(w, sizeof(*w), &m));
		w->count = __cpu_to_le32(ISW_GRANTS_MAX);
		w->grant[i].length = __cpu_to_le64(1ull << 26);
	}
	free(w);
}

/* ---- names ---------------------------------------------------------------- */

TEST(every_error_has_a_name_of_its_own)
{
	int a, b;

	for (a = ISW_ERR_MALFORMED; a <= ISW_ERR_RESOURCES; a++) {
		EXPECT_STRNE("unknown error", isw_error_name(a));
		for (b = ISW_ERR_MALFORMED; b < a; b++)
			EXPECT_STRNE(isw_error_name(b), isw_error_name(a));
	}
	EXPECT_STREQ("unknown error", isw_error_name(0));
	EXPECT_STREQ("unknown error", isw_error_name(ISW_ERR_RESOURCES + 1));
	EXPECT_STREQ("unknown error", isw_error_name(-1));
}

TEST_HARNESS_MAIN
