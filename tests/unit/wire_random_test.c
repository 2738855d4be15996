// SPDX-License-Identifier: GPL-2.0-only
/*
 * wire.h against bytes that nobody meant: whatever comes in, the decoder reads
 * no byte outside (ASan watches) and accepts nothing outside its limits.
 */
#include <kselftest_harness.h>

#include "random.h"
#include "wire_samples.h"

#define ROUNDS	200000u

static int grant_in_limits(const struct isw_grant_info *g)
{
	return isw_slab_size_valid(g->length) && !(g->addr & 4095) &&
	       g->addr <= ~0ull - g->length;
}

/* All that a user of an accepted message may rely on. */
static int in_limits(const struct isw_msg *m, unsigned int len)
{
	struct isw_grant_info g;
	__u32 i;

	if (!isw_msg_size(m->type) || isw_msg_size(m->type) != len)
		return 0;
	switch (m->type) {
	case ISW_MSG_STATUS:
		return m->status.total && m->status.used <= m->status.total;
	case ISW_MSG_GRANT:
		return isw_slab_size_valid(m->length);
	case ISW_MSG_GRANTED:
		return grant_in_limits(&m->grant);
	case ISW_MSG_GRANTS:
		if (m->grants.count > ISW_GRANTS_MAX)
			return 0;
		for (i = 0; i < m->grants.count; i++)
			if (!isw_wire_grant_decode(&m->grants.wire[i], &g) ||
			    !grant_in_limits(&g))
				return 0;
		break;
	case ISW_MSG_EVICT:
	case ISW_MSG_CHECK_ACTIVITY:
		return m->ids.count && m->ids.count <= ISW_IDS_MAX;
	case ISW_MSG_ACTIVITY:
		return m->activity.count <= ISW_IDS_MAX;
	}
	return 1;
}

/* Decode @len bytes at exactly that size; what is accepted is in its limits. */
static int survives(const unsigned char *bytes, unsigned int len,
		    unsigned int *accepted)
{
	unsigned char *copy = malloc(len ? len : 1);
	struct isw_msg m;
	int ret, ok;

	memcpy(copy, bytes, len);
	ret = isw_msg_decode(copy, len, &m);
	*accepted += !ret;
	ok = ret ? ret == ISW_ERR_MALFORMED || ret == ISW_ERR_TYPE ||
		   ret == ISW_ERR_SIZE
		 : in_limits(&m, len);
	free(copy);
	return ok;
}

/* Change a few bytes, mostly to values that sit at the edges of checks. */
static void spoil(struct random *r, unsigned char *bytes, unsigned int len)
{
	static const unsigned char edges[] = { 0, 1, 0x7f, 0x80, 0xff };
	unsigned int n = 1 + random_below(r, 4);

	while (n--) {
		unsigned char *byte = &bytes[random_below(r, len)];

		if (random_below(r, 2))
			*byte ^= (unsigned char)(1u << random_below(r, 8));
		else
			*byte = edges[random_below(r, sizeof(edges))];
	}
}

TEST(spoiled_messages)
{
	struct random r = random_start(1);
	unsigned char bytes[ISW_MSG_MAX];
	unsigned int i, accepted = 0;

	for (i = 0; i < ROUNDS; i++) {
		__u16 type = all_types[random_below(&r, N_TYPES)];
		unsigned int len = isw_msg_size(type);
		void *valid = sample(type);

		memcpy(bytes, valid, len);
		free(valid);
		spoil(&r, bytes, len);
		ASSERT_TRUE(survives(bytes, len, &accepted)) TH_LOG("round %u", i);
	}
	/* Both outcomes were seen often, else this test tests nothing. */
	EXPECT_LT(ROUNDS / 20, accepted);
	EXPECT_GT(ROUNDS - ROUNDS / 20, accepted);
}

TEST(spoiled_and_cut_messages)
{
	struct random r = random_start(2);
	unsigned char bytes[ISW_MSG_MAX];
	unsigned int i, accepted = 0;

	for (i = 0; i < ROUNDS; i++) {
		__u16 type = all_types[random_below(&r, N_TYPES)];
		unsigned int size = isw_msg_size(type);
		unsigned int len = random_below(&r, size + 1);
		void *valid = sample(type);

		memcpy(bytes, valid, size);
		free(valid);
		/* The header agrees with the cut, as a hostile peer's would. */
		((struct isw_msg_hdr *)bytes)->length = __cpu_to_le16((__u16)len);
		spoil(&r, bytes, size);
		ASSERT_TRUE(survives(bytes, len, &accepted)) TH_LOG("round %u", i);
	}
}

TEST(a_body_of_one_type_under_the_header_of_another)
{
	struct random r = random_start(3);
	unsigned char bytes[ISW_MSG_MAX];
	unsigned int i, accepted = 0;

	for (i = 0; i < ROUNDS / 4; i++) {
		__u16 type = all_types[random_below(&r, N_TYPES)];
		__u16 body = all_types[random_below(&r, N_TYPES)];
		void *valid = sample(body);

		memset(bytes, 0, sizeof(bytes));
		memcpy(bytes, valid, isw_msg_size(body));
		free(valid);
		isw_msg_hdr_init((struct isw_msg_hdr *)bytes, type, SEQ, EPOCH, SESSION);
		ASSERT_TRUE(survives(bytes, isw_msg_size(type), &accepted))
			TH_LOG("%u as %u", body, type);
	}
}

TEST(noise)
{
	struct random r = random_start(4);
	unsigned char bytes[ISW_MSG_MAX + 64];
	unsigned int i, j, accepted = 0;

	for (i = 0; i < ROUNDS / 4; i++) {
		unsigned int len = random_below(&r, sizeof(bytes) + 1);

		for (j = 0; j < len; j++)
			bytes[j] = (unsigned char)random_u64(&r);
		ASSERT_TRUE(survives(bytes, len, &accepted)) TH_LOG("round %u", i);
	}
}

static int hello_in_limits(const struct isw_cm_hello *h)
{
	return h->role >= ISW_ROLE_CONTROL && h->role <= ISW_ROLE_READ &&
	       h->queues >= 1 && h->queues <= ISW_MAX_QUEUES &&
	       h->queue < h->queues &&
	       (h->role == ISW_ROLE_CONTROL) == (h->session == 0);
}

static int refusal(int reason)
{
	return reason == ISW_REJ_MALFORMED || reason == ISW_REJ_VERSION;
}

TEST(spoiled_connect_requests)
{
	struct random r = random_start(5);
	unsigned int i, accepted = 0;

	for (i = 0; i < ROUNDS; i++) {
		struct isw_cm_req w = sample_req((__u8)(1 + random_below(&r, 3)));
		unsigned int len = random_below(&r, 4) ? sizeof(w) :
				   random_below(&r, sizeof(w));
		unsigned char *copy = malloc(len ? len : 1);
		struct isw_cm_hello h;
		int ret;

		spoil(&r, (unsigned char *)&w, sizeof(w));
		memcpy(copy, &w, len);
		ret = isw_cm_req_decode(copy, len, &h);
		ASSERT_TRUE(ret ? refusal(ret) : len == sizeof(w) && hello_in_limits(&h));
		accepted += !ret;
		free(copy);
	}
	EXPECT_LT(ROUNDS / 20, accepted);
}

TEST(spoiled_replies)
{
	struct random r = random_start(6);
	unsigned int i, accepted = 0;

	for (i = 0; i < ROUNDS; i++) {
		__u8 role = (__u8)(1 + random_below(&r, 3));
		struct isw_cm_rep w = sample_rep(role);
		struct isw_cm_welcome got;
		int ret;

		spoil(&r, (unsigned char *)&w, sizeof(w));
		ret = isw_cm_rep_decode(&w, sizeof(w), role, &got);
		ASSERT_TRUE(ret ? refusal(ret) : got.epoch && got.session);
		accepted += !ret;
	}
	EXPECT_LT(ROUNDS / 20, accepted);
}

TEST_HARNESS_MAIN
