// SPDX-License-Identifier: GPL-2.0-only
/*
 * rawio: requests of a chosen shape on a block device, compared word by word.
 *
 * Buffers lie in a huge page, so that it is known which pieces of memory are
 * adjacent and how many segments a request has. In reversed order no two are.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "measure.h"

#define PAGE_BYTES	4096u
#define PAGE_WORDS	(PAGE_BYTES / sizeof(uint64_t))
#define MAX_PAGES	256u		/* of one request */
#define HUGE_BYTES	(2u << 20)

static int device;
static char *memory;			/* a huge page: the request's buffer is in it */
static uint64_t key;

/* Contents of page @page in version @version; version 0 is zeros. */
static uint64_t word_of(uint64_t page, uint32_t version, size_t i)
{
	if (!version)
		return 0;
	return mix(mix((page << 24 | version) ^ key) + i * MIX_STEP);
}

/*
 * @count pages as @segments pieces, last piece first in memory, a page apart.
 * The first segments take what does not divide.
 */
static int lay_out(struct iovec *iov, uint32_t count, uint32_t segments)
{
	char *end = memory + HUGE_BYTES;

	for (uint32_t i = 0; i < segments; i++) {
		uint32_t pages = count / segments + (i < count % segments);

		end -= (pages + 1) * PAGE_BYTES;
		iov[i].iov_base = end;
		iov[i].iov_len = pages * PAGE_BYTES;
	}
	return (int)segments;
}

/* The n-th page of what is laid out. */
static uint64_t *page_in(const struct iovec *iov, uint32_t n)
{
	while (n >= iov->iov_len / PAGE_BYTES)
		n -= (uint32_t)(iov++->iov_len / PAGE_BYTES);
	return (uint64_t *)((char *)iov->iov_base + (size_t)n * PAGE_BYTES);
}

static void put(uint64_t page, uint32_t count, uint32_t segments,
		const uint32_t *version)
{
	struct iovec iov[MAX_PAGES];
	int n = lay_out(iov, count, segments);

	for (uint32_t p = 0; p < count; p++)
		for (size_t i = 0; i < PAGE_WORDS; i++)
			page_in(iov, p)[i] = word_of(page + p, version[p], i);
	if (pwritev(device, iov, n, (off_t)(page * PAGE_BYTES)) !=
	    (ssize_t)count * PAGE_BYTES)
		err(1, "write of %u pages at page %llu", count,
		    (unsigned long long)page);
}

static void get(uint64_t page, uint32_t count, uint32_t segments,
		const uint32_t *version)
{
	struct iovec iov[MAX_PAGES];
	int n = lay_out(iov, count, segments);

	memset(memory, 0x5a, HUGE_BYTES);	/* neither zeros nor what was there */
	if (preadv(device, iov, n, (off_t)(page * PAGE_BYTES)) !=
	    (ssize_t)count * PAGE_BYTES)
		err(1, "read of %u pages at page %llu", count,
		    (unsigned long long)page);
	for (uint32_t p = 0; p < count; p++) {
		for (size_t i = 0; i < PAGE_WORDS; i++) {
			uint64_t is = page_in(iov, p)[i];
			uint64_t should = word_of(page + p, version[p], i);

			if (is != should)
				errx(1, "page %llu (%u of %u in its request), version %u, word %zu: expected %016llx, found %016llx",
				     (unsigned long long)page + p, p, count,
				     version[p], i, (unsigned long long)should,
				     (unsigned long long)is);
		}
	}
}

static void discard(uint64_t page, uint64_t count, uint32_t *version)
{
	uint64_t range[2] = { page * PAGE_BYTES, count * PAGE_BYTES };

	if (ioctl(device, BLKDISCARD, range))
		err(1, "discard of %llu pages at page %llu",
		    (unsigned long long)count, (unsigned long long)page);
	memset(version, 0, count * sizeof(*version));
}

/* One request each way. */
static void scatter(uint64_t page, uint32_t count, uint32_t segments)
{
	uint32_t version[MAX_PAGES];

	for (uint32_t p = 0; p < count; p++)
		version[p] = 1;
	put(page, count, segments, version);
	get(page, count, segments, version);
}

/*
 * Of 256 pages, by turns: never written, on a donor, discarded, written again
 * after a discard. All are read by one request. The device must be fresh there.
 */
static void holes(uint64_t page)
{
	uint32_t version[MAX_PAGES] = { 0 };

	for (uint32_t p = 0; p < MAX_PAGES; p++) {
		if (p % 4 == 0)
			continue;
		version[p] = 1;
		put(page + p, 1, 1, &version[p]);
		if (p % 4 == 1)
			continue;
		discard(page + p, 1, &version[p]);
		if (p % 4 == 2)
			continue;
		version[p] = 2;
		put(page + p, 1, 1, &version[p]);
	}
	get(page, MAX_PAGES, 1, version);
	get(page, MAX_PAGES, 16, version);
}

/*
 * All pages into the same memory, as readers do that share a buffer: what is left in
 * it can be one page at most. Then each alone.
 */
static void overlap(uint64_t page, uint32_t count)
{
	struct iovec iov[MAX_PAGES];
	uint32_t version[MAX_PAGES];

	for (uint32_t p = 0; p < count; p++) {
		version[p] = 1;
		iov[p].iov_base = memory;
		iov[p].iov_len = PAGE_BYTES;
	}
	put(page, count, 1, version);
	if (preadv(device, iov, (int)count, (off_t)(page * PAGE_BYTES)) >= 0)
		errx(1, "%u different pages were read into one, and each was right",
		     count);
	for (uint32_t p = 0; p < count; p++)
		get(page + p, 1, 1, &version[p]);
}

/* A discard of [@first, @first + @count) of @pages written ones, in one go. */
static void span(uint64_t pages, uint64_t first, uint64_t count)
{
	uint32_t *version = calloc(pages, sizeof(*version));

	if (!version)
		err(1, "versions");
	for (uint64_t p = 0; p < pages; p++)
		version[p] = 1;
	for (uint64_t p = 0; p < pages; p += MAX_PAGES)
		put(p, MAX_PAGES, 1, &version[p]);
	discard(first, count, &version[first]);
	for (uint64_t p = 0; p < pages; p += MAX_PAGES)
		get(p, MAX_PAGES, 1, &version[p]);
	free(version);
}

/* Anything, anywhere, in any order, against what it must lead to. */
static void model(uint64_t pages, uint64_t seconds, uint64_t seed)
{
	uint64_t end = now_ns() + seconds * 1000000000u, state = seed, did[3] = { 0 };
	uint32_t *version = calloc(pages, sizeof(*version)), last = 0;

	if (!version)
		err(1, "versions");
	discard(0, pages, version);
	while (now_ns() < end) {
		uint64_t r = mix(state += MIX_STEP), s = mix(state += MIX_STEP);
		uint32_t count = (uint32_t)(r % MAX_PAGES) + 1;
		uint32_t segments = (uint32_t)(r >> 16) % 20 + 1;
		uint64_t page = s % (pages - count);
		unsigned int what = (unsigned int)(r >> 32) % 8;

		if (segments > count)
			segments = count;
		if (what < 3) {
			last++;
			for (uint32_t p = 0; p < count; p++)
				version[page + p] = last;
			put(page, count, segments, &version[page]);
			did[0]++;
		} else if (what < 4) {
			discard(page, count, &version[page]);
			did[1]++;
		} else {
			get(page, count, segments, &version[page]);
			did[2]++;
		}
	}
	for (uint64_t p = 0; p + MAX_PAGES <= pages; p += MAX_PAGES)
		get(p, MAX_PAGES, 1, &version[p]);
	printf("{\"seed\": %llu, \"writes\": %llu, \"discards\": %llu, \"reads\": %llu}\n",
	       (unsigned long long)seed, (unsigned long long)did[0],
	       (unsigned long long)did[1], (unsigned long long)did[2]);
	free(version);
}

static const char usage[] =
	"Usage: rawio DEVICE SEED COMMAND NUMBER...\n\n"
	"  scatter PAGE COUNT SEGMENTS  write and read COUNT pages, each as one call\n"
	"  holes PAGE                   read 256 pages that differ in where they are;\n"
	"                               none of them may have been written before\n"
	"  overlap PAGE COUNT           write COUNT pages, read all into the memory of one,\n"
	"                               which must fail, then one by one\n"
	"  span PAGES FIRST COUNT       write PAGES, discard COUNT from FIRST on, read\n"
	"  model PAGES SECONDS          random writes, discards and reads\n\n"
	"What is read is compared. Needs one huge page of 2 MiB (vm.nr_hugepages).\n"
	"Exit status: 0 all right, 1 not so, 2 wrong usage.\n";

int main(int argc, char **argv)
{
	uint64_t arg[3] = { 0 };
	const char *command;

	if (argc < 5 || argc > 7) {
		fputs(usage, stderr);
		return 2;
	}
	device = open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
	if (device < 0)
		err(1, "%s", argv[1]);
	memory = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "a huge page");
	key = mix(number(argv[2], 0, UINT64_MAX));
	command = argv[3];
	for (int i = 4; i < argc; i++)
		arg[i - 4] = number(argv[i], 0, UINT32_MAX);

	if (!strcmp(command, "scatter") && argc == 7 && arg[1] <= MAX_PAGES &&
	    arg[2] && arg[2] <= arg[1])
		scatter(arg[0], (uint32_t)arg[1], (uint32_t)arg[2]);
	else if (!strcmp(command, "holes") && argc == 5)
		holes(arg[0]);
	else if (!strcmp(command, "overlap") && argc == 6 && arg[1] > 1 &&
		 arg[1] <= MAX_PAGES)
		overlap(arg[0], (uint32_t)arg[1]);
	else if (!strcmp(command, "span") && argc == 7 &&
		 arg[0] % MAX_PAGES == 0 && arg[1] + arg[2] <= arg[0])
		span(arg[0], arg[1], arg[2]);
	else if (!strcmp(command, "model") && argc == 6 && arg[0] > MAX_PAGES)
		model(arg[0], arg[1], number(argv[2], 0, UINT64_MAX));
	else
		errx(2, "%s: unknown, or wrong numbers (rawio without arguments)", command);
	return 0;
}
