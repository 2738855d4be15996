/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every state of model.h that can be reached, breadth first, so that the way to a
 * wrong one is as short as can be. A state is wrong in itself, by a step that
 * leads to it, or because not everything can be brought to an end from it.
 */
#ifndef TESTS_UNIT_MODEL_SEARCH_H
#define TESTS_UNIT_MODEL_SEARCH_H

#include <stdlib.h>
#include <sys/mman.h>

#include "model.h"

#define MAX_STATES	(1u << 20)
#define MAX_EDGES	(1u << 22)
#define TABLE_SIZE	(1u << 21)

static struct {
	struct state *states;
	__u32 *parent;
	__u32 *table;			/* index + 1 */
	__u32 *edges;			/* to where progress leads */
	__u32 *first_edge;
	__u32 nr, nr_edges, at;
	unsigned long steps;
	const char *why;		/* the first wrong thing */
	__u32 wrong;			/* where it is, or where the step began */
	struct state last;		/* to where a wrong step leads */
	bool step_is_wrong;
	bool full;

	/* telling the way */
	const struct state *wanted;
	char label[100];
	bool told;
} search;

static void *table_of(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

static __u32 hash_of(const struct state *s)
{
	__u64 h = 0, word;
	size_t i;

	for (i = 0; i < sizeof(*s); i += sizeof(word)) {
		memcpy(&word, (const char *)s + i, sizeof(word));
		h = (h ^ word) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return (__u32)(h >> 7) & (TABLE_SIZE - 1);
}

/* The index of @s, which is new or not. */
static __u32 state_index(const struct state *s)
{
	__u32 h = hash_of(s);

	for (; search.table[h]; h = (h + 1) & (TABLE_SIZE - 1))
		if (!memcmp(&search.states[search.table[h] - 1], s, sizeof(*s)))
			return search.table[h] - 1;
	if (search.nr == MAX_STATES) {
		search.why = "more states than there is room for";
		search.full = true;
		return 0;
	}
	search.states[search.nr] = *s;
	search.parent[search.nr] = search.at;
	search.table[h] = ++search.nr;
	return search.nr - 1;
}

static void model_emit(const struct state *next, bool progress,
		       const char *format, ...)
{
	struct state s = *next;
	va_list args;
	__u32 index;

	model_canonical(&s);
	if (search.wanted) {
		if (search.told || memcmp(&s, search.wanted, sizeof(s)))
			return;
		va_start(args, format);
		vsnprintf(search.label, sizeof(search.label), format, args);
		va_end(args);
		search.told = true;
		return;
	}
	search.steps++;
	if (search.why)
		return;
	if (!model_bad)
		model_bad = model_wrong(&s);
	if (!model_bad)
		model_bad = model_step_wrong(&search.states[search.at], &s);
	if (model_bad) {
		search.why = model_bad;
		search.wrong = search.at;
		search.last = s;
		search.step_is_wrong = true;
		return;
	}
	index = state_index(&s);
	if (!progress || index == search.at)
		return;
	if (search.nr_edges == MAX_EDGES) {
		search.why = "more steps than there is room for";
		search.full = true;
		return;
	}
	search.edges[search.nr_edges++] = index;
}

/*
 * From each state there must be a way to an end, a state where nobody has to do
 * anything, that is as it should be. Edges lead to later states mostly: a few
 * rounds from the last state to the first are enough.
 */
static void search_ends(void)
{
	__u8 *ends = table_of(search.nr);
	bool more = true;
	__u32 i, e;

	while (more) {
		more = false;
		for (i = search.nr; i--; ) {
			if (ends[i])
				continue;
			for (e = search.first_edge[i]; e < search.first_edge[i + 1]; e++)
				if (ends[search.edges[e]])
					ends[i] = 1;
			if (search.first_edge[i] == search.first_edge[i + 1]) {
				search.why = model_unfinished(&search.states[i]);
				ends[i] = 1;
				if (search.why) {
					search.wrong = i;
					return;
				}
			}
			more |= ends[i];
		}
	}
	for (i = 0; i < search.nr; i++) {
		if (!ends[i]) {
			search.why = "it goes round for ever";
			search.wrong = i;
			return;
		}
	}
	munmap(ends, search.nr);
}

static void tell_state(const struct state *s)
{
	__u64 word = word_of(s->word);
	int i;

	printf("# %33s%s%s%s%s%s legs %u seq %u, map", "",
	       word & WRITTEN ? "WRITTEN " : "", word & BUSY ? "BUSY " : "",
	       word & PARKED ? "PARKED " : "", word & STAGED ? "STAGED " : "",
	       word & BACKUP ? "BACKUP " : "", isw_word_legs(word), seq_of(word));
	for (i = 0; i < ISW_MAX_LEGS; i++)
		printf(" %d", map_donor(s->map, i));
	printf(", retiring %u, mem", map_retiring(s->map));
	for (i = 0; i < (int)model_config->donors; i++)
		printf(" %s:%u", isw_donor_state_name(s->donor[i]), s->mem[i]);
	printf(", disk %u\n", s->disk);
}

static void tell_step(const struct state *from, const struct state *to)
{
	search.wanted = to;
	search.told = false;
	model_next(from);
	search.wanted = NULL;
	model_bad = NULL;
	printf("# %s\n", search.told ? search.label : "?");
	tell_state(to);
}

/* How it comes to the wrong state, step by step. */
static void search_tell(void)
{
	__u32 way[1000], n = 0, i = search.wrong;

	printf("# %s:\n", search.why);
	for (; i && n < 1000; i = search.parent[i])
		way[n++] = i;
	for (i = 0; n--; i = way[n])
		tell_step(&search.states[i], &search.states[way[n]]);
	if (search.step_is_wrong)
		tell_step(&search.states[search.wrong], &search.last);
}

/* Why @c is wrong, or NULL. */
static const char *search_run(const struct config *c, bool tell)
{
	struct state s = model_start(c);

	memset(&search, 0, sizeof(search));
	search.states = table_of(MAX_STATES * sizeof(*search.states));
	search.parent = table_of(MAX_STATES * sizeof(__u32));
	search.first_edge = table_of((MAX_STATES + 1ul) * sizeof(__u32));
	search.table = table_of(TABLE_SIZE * sizeof(__u32));
	search.edges = table_of(MAX_EDGES * sizeof(__u32));

	model_bad = NULL;
	state_index(&s);
	for (search.at = 0; search.at < search.nr && !search.why; search.at++) {
		s = search.states[search.at];
		search.first_edge[search.at] = search.nr_edges;
		model_next(&s);
	}
	search.first_edge[search.at] = search.nr_edges;
	if (!search.why)
		search_ends();
	printf("# %u states, %lu steps\n", search.nr, search.steps);
	if (tell && search.why)
		search_tell();
	fflush(stdout);

	munmap(search.states, MAX_STATES * sizeof(*search.states));
	munmap(search.parent, MAX_STATES * sizeof(__u32));
	munmap(search.first_edge, (MAX_STATES + 1ul) * sizeof(__u32));
	munmap(search.table, TABLE_SIZE * sizeof(__u32));
	munmap(search.edges, MAX_EDGES * sizeof(__u32));
	return search.why;
}

#endif /* TESTS_UNIT_MODEL_SEARCH_H */
