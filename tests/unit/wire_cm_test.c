// SPDX-License-Identifier: GPL-2.0-only
/* wire.h: what travels in connection set-up, as RDMA CM private data. */
#include <kselftest_harness.h>

#include "wire_samples.h"

static int decode_req(const struct isw_cm_req *w)
{
	struct isw_cm_hello h;

	return isw_cm_req_decode(w, sizeof(*w), &h);
}

#define TEST_REQUEST(name, the_role, the_session, the_queue)		\
TEST(request_round_trip_##name)						\
{									\
	struct isw_cm_req w = sample_req(the_role);			\
	struct isw_cm_hello h;						\
									\
	ASSERT_EQ(0, isw_cm_req_decode(&w, sizeof(w), &h));		\
	EXPECT_EQ(the_role, h.role);					\
	EXPECT_EQ(3, h.queues);						\
	EXPECT_EQ(the_queue, h.queue);					\
	EXPECT_EQ(the_session, h.session);				\
	EXPECT_EQ(0, memcmp(w.client, h.client, ISW_CLIENT_ID_LEN));	\
	EXPECT_EQ(0, memcmp(w.nonce, h.nonce, ISW_NONCE_LEN));		\
}

TEST_REQUEST(control, ISW_ROLE_CONTROL, 0, 0)
TEST_REQUEST(write, ISW_ROLE_WRITE, SESSION, 2)
TEST_REQUEST(read, ISW_ROLE_READ, SESSION, 2)

TEST(request_of_every_truncated_length_is_malformed)
{
	struct isw_cm_req w = sample_req(ISW_ROLE_CONTROL);
	struct isw_cm_hello h;
	unsigned int len;

	for (len = 0; len < sizeof(w); len++) {
		unsigned char *copy = malloc(len ? len : 1);

		memcpy(copy, &w, len);
		EXPECT_EQ(ISW_REJ_MALFORMED, isw_cm_req_decode(copy, len, &h));
		free(copy);
	}
	EXPECT_EQ(ISW_REJ_MALFORMED, isw_cm_req_decode(NULL, 0, &h));
	EXPECT_EQ(ISW_REJ_MALFORMED, isw_cm_req_decode(NULL, sizeof(w), &h));
}

TEST(request_may_be_padded_by_the_transport)
{
	struct isw_cm_req w = sample_req(ISW_ROLE_READ);
	unsigned char padded[256];
	struct isw_cm_hello h;

	memset(padded, 0xee, sizeof(padded));
	memcpy(padded, &w, sizeof(w));
	EXPECT_EQ(0, isw_cm_req_decode(padded, sizeof(padded), &h));
}

TEST(request_of_another_protocol_is_malformed)
{
	struct isw_cm_req w = sample_req(ISW_ROLE_CONTROL);
	int bit;

	for (bit = 0; bit < 32; bit++) {
		w.magic = __cpu_to_le32(ISW_MAGIC ^ (1u << bit));
		EXPECT_EQ(ISW_REJ_MALFORMED, decode_req(&w));
	}
}

TEST(magic_reads_as_text_on_the_wire)
{
	struct isw_cm_req w = sample_req(ISW_ROLE_CONTROL);

	EXPECT_EQ(0, memcmp(&w, "ISWP", 4));
}

TEST(request_of_another_version_says_so)
{
	struct isw_cm_req w = sample_req(ISW_ROLE_CONTROL);
	unsigned int version;

	for (version = 0; version < 0x10000; version++) {
		w.version = __cpu_to_le16((__u16)version);
		ASSERT_EQ(version == ISW_VERSION ? 0 : ISW_REJ_VERSION, decode_req(&w));
	}
}

TEST(version_is_looked_at_before_the_rest)
{
	struct isw_cm_req w;

	/* A later version may give every other byte another meaning. */
	memset(&w, 0xff, sizeof(w));
	w.magic = __cpu_to_le32(ISW_MAGIC);
	EXPECT_EQ(ISW_REJ_VERSION, decode_req(&w));
}

TEST(request_role_is_one_of_three)
{
	unsigned int role;

	for (role = 0; role < 256; role++) {
		struct isw_cm_req w = sample_req((__u8)role);
		int valid = role >= ISW_ROLE_CONTROL && role <= ISW_ROLE_READ;

		EXPECT_EQ(valid ? 0 : ISW_REJ_MALFORMED, decode_req(&w))
			TH_LOG("role %u", role);
	}
}

TEST(request_queues_are_bounded)
{
	struct isw_cm_req w = sample_req(ISW_ROLE_CONTROL);
	unsigned int n;

	for (n = 0; n < 256; n++) {
		w.queues = (__u8)n;
		EXPECT_EQ(n && n <= ISW_MAX_QUEUES ? 0 : ISW_REJ_MALFORMED, decode_req(&w))
			TH_LOG("%u queues", n);
	}
}

TEST(request_queue_is_below_queues)
{
	struct isw_cm_req w = sample_req(ISW_ROLE_WRITE);
	unsigned int n, i;

	for (n = 1; n <= ISW_MAX_QUEUES; n++)
		for (i = 0; i < 256; i++) {
			w.queues = (__u8)n;
			w.queue = (__u8)i;
			EXPECT_EQ(i < n ? 0 : ISW_REJ_MALFORMED, decode_req(&w))
				TH_LOG("queue %u of %u", i, n);
		}
}

TEST(control_request_has_queue_0_alone)
{
	struct isw_cm_req w = sample_req(ISW_ROLE_CONTROL);

	w.queue = 1;
	EXPECT_EQ(ISW_REJ_MALFORMED, decode_req(&w));
}

TEST(control_request_opens_a_session_and_others_join_one)
{
	struct isw_cm_req control = sample_req(ISW_ROLE_CONTROL);
	struct isw_cm_req data = sample_req(ISW_ROLE_WRITE);

	control.session = __cpu_to_le64(SESSION);
	EXPECT_EQ(ISW_REJ_MALFORMED, decode_req(&control));
	data.session = 0;
	EXPECT_EQ(ISW_REJ_MALFORMED, decode_req(&data));
}

TEST(request_names_its_client)
{
	struct isw_cm_req w = sample_req(ISW_ROLE_CONTROL);

	memset(w.client, 0, sizeof(w.client));
	EXPECT_EQ(ISW_REJ_MALFORMED, decode_req(&w));
	w.client[ISW_CLIENT_ID_LEN - 1] = 1;
	EXPECT_EQ(0, decode_req(&w));
}

TEST(request_reserved_bytes)
{
	struct isw_cm_req w = sample_req(ISW_ROLE_CONTROL);
	unsigned int i;

	for (i = 0; i < sizeof(w.reserved); i++) {
		w.reserved[i] = 0x80;
		EXPECT_EQ(ISW_REJ_MALFORMED, decode_req(&w)) TH_LOG("byte %u", i);
		w.reserved[i] = 0;
	}
	EXPECT_EQ(0, decode_req(&w));
}

/* ---- the reply ------------------------------------------------------------ */

static int decode_rep(const struct isw_cm_rep *w, __u8 role)
{
	struct isw_cm_welcome r;

	return isw_cm_rep_decode(w, sizeof(*w), role, &r);
}

TEST(reply_round_trip)
{
	struct isw_cm_rep w = sample_rep(ISW_ROLE_CONTROL);
	struct isw_cm_welcome r;

	ASSERT_EQ(0, isw_cm_rep_decode(&w, sizeof(w), ISW_ROLE_CONTROL, &r));
	EXPECT_EQ(EPOCH, r.epoch);
	EXPECT_EQ(SESSION, r.session);
	EXPECT_EQ(30000, r.lease_ms);
}

TEST(reply_of_every_truncated_length_is_malformed)
{
	struct isw_cm_rep w = sample_rep(ISW_ROLE_READ);
	struct isw_cm_welcome r;
	unsigned int len;

	for (len = 0; len < sizeof(w); len++) {
		unsigned char *copy = malloc(len ? len : 1);

		memcpy(copy, &w, len);
		EXPECT_EQ(ISW_REJ_MALFORMED,
			  isw_cm_rep_decode(copy, len, ISW_ROLE_READ, &r));
		free(copy);
	}
	EXPECT_EQ(ISW_REJ_MALFORMED,
		  isw_cm_rep_decode(NULL, sizeof(w), ISW_ROLE_READ, &r));
}

TEST(reply_is_of_our_protocol_and_version)
{
	struct isw_cm_rep w = sample_rep(ISW_ROLE_READ);

	w.magic ^= __cpu_to_le32(0x100);
	EXPECT_EQ(ISW_REJ_MALFORMED, decode_rep(&w, ISW_ROLE_READ));
	w = sample_rep(ISW_ROLE_READ);
	w.version = __cpu_to_le16(ISW_VERSION + 1);
	EXPECT_EQ(ISW_REJ_VERSION, decode_rep(&w, ISW_ROLE_READ));
}

TEST(reply_is_for_the_role_that_asked)
{
	__u8 asked, told;

	for (asked = ISW_ROLE_CONTROL; asked <= ISW_ROLE_READ; asked++)
		for (told = 0; told < 8; told++) {
			struct isw_cm_rep w = sample_rep(told);

			EXPECT_EQ(asked == told ? 0 : ISW_REJ_MALFORMED,
				  decode_rep(&w, asked));
		}
}

TEST(reply_has_an_epoch_and_a_session)
{
	struct isw_cm_rep w = sample_rep(ISW_ROLE_READ);

	w.epoch = 0;
	EXPECT_EQ(ISW_REJ_MALFORMED, decode_rep(&w, ISW_ROLE_READ));
	w = sample_rep(ISW_ROLE_READ);
	w.session = 0;
	EXPECT_EQ(ISW_REJ_MALFORMED, decode_rep(&w, ISW_ROLE_READ));
}

TEST(reply_reserved_bytes)
{
	struct isw_cm_rep w = sample_rep(ISW_ROLE_READ);
	unsigned int i;

	w.reserved0 = 1;
	EXPECT_EQ(ISW_REJ_MALFORMED, decode_rep(&w, ISW_ROLE_READ));
	w.reserved0 = 0;
	for (i = 0; i < sizeof(w.reserved1); i++) {
		w.reserved1[i] = 1;
		EXPECT_EQ(ISW_REJ_MALFORMED, decode_rep(&w, ISW_ROLE_READ))
			TH_LOG("byte %u", i);
		w.reserved1[i] = 0;
	}
	EXPECT_EQ(0, decode_rep(&w, ISW_ROLE_READ));
}

/* ---- the reject ----------------------------------------------------------- */

TEST(reject_round_trip)
{
	int reason;

	for (reason = ISW_REJ_MALFORMED; reason <= ISW_REJ_DENIED; reason++) {
		struct isw_cm_rej w = sample_rej((__u16)reason);
		__u16 version = 0;

		EXPECT_EQ(reason, isw_cm_rej_decode(&w, sizeof(w), &version));
		EXPECT_EQ(ISW_VERSION, version);
	}
}

TEST(reject_tells_the_version_that_the_donor_speaks)
{
	struct isw_cm_rej w = sample_rej(ISW_REJ_VERSION);
	__u16 version = 0;

	w.version = __cpu_to_le16(9);
	EXPECT_EQ(ISW_REJ_VERSION, isw_cm_rej_decode(&w, sizeof(w), &version));
	EXPECT_EQ(9, version);
}

TEST(foreign_or_short_reject_has_no_reason)
{
	struct isw_cm_rej w = sample_rej(ISW_REJ_FULL);
	__u16 version;
	unsigned int len;

	for (len = 0; len < sizeof(w); len++) {
		unsigned char *copy = malloc(len ? len : 1);

		memcpy(copy, &w, len);
		EXPECT_EQ(0, isw_cm_rej_decode(copy, len, &version));
		free(copy);
	}
	EXPECT_EQ(0, isw_cm_rej_decode(NULL, sizeof(w), &version));
	w.magic = 0;
	EXPECT_EQ(0, isw_cm_rej_decode(&w, sizeof(w), &version));
}

TEST(every_reason_has_a_name_of_its_own)
{
	int a, b;

	for (a = ISW_REJ_MALFORMED; a <= ISW_REJ_DENIED; a++) {
		EXPECT_STRNE("unknown reason", isw_reject_name(a));
		for (b = ISW_REJ_MALFORMED; b < a; b++)
			EXPECT_STRNE(isw_reject_name(b), isw_reject_name(a));
	}
	EXPECT_STREQ("unknown reason", isw_reject_name(0));
	EXPECT_STREQ("unknown reason", isw_reject_name(ISW_REJ_DENIED + 1));
}

TEST_HARNESS_MAIN
