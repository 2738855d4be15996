/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All states of a small model, breadth first, for a test that has defined
 *
 *	enum rule, NONE_BROKEN among them; struct state; STATES, how many there
 *	can be; pack(), a number below that for each; struct next with so many
 *	states s as n says; next_states(); wrong(), NULL or what is not right
 *
 * and asserts by search(). search.h is the one for pages, which cannot be numbered.
 */
#ifndef UNIT_MODEL_WALK_H
#define UNIT_MODEL_WALK_H

#include <stdbool.h>
#include <stdio.h>

#include <kselftest_harness.h>

static bool seen[STATES];
static struct state queue[STATES];	/* every state that can come about */
static __u32 nr;

/* NULL, or what is wrong in one of them. */
static const char *walk(const struct state *start)
{
	const char *found = NULL;
	struct next x;
	__u32 at, k;

	queue[nr++] = *start;
	seen[pack(start)] = true;
	for (at = 0; at < nr && !found; at++) {
		next_states(&x, &queue[at]);
		for (k = 0; k < x.n && !found; k++) {
			__u32 v = pack(&x.s[k]);

			found = wrong(&x.s[k]);
			if (seen[v])
				continue;
			seen[v] = true;
			queue[nr++] = x.s[k];
		}
	}
	return found;
}

static const char *walked(const char *found)
{
	printf("# %u states: %s\n", nr, found ? found : "all right");
	fflush(stdout);
	return found;
}

#define FINDS_OUT(name, rule)						\
TEST(finds_out_##name)							\
{									\
	EXPECT_NE(NULL, search(rule));					\
}

#endif /* UNIT_MODEL_WALK_H */
