// SPDX-License-Identifier: GPL-2.0-only
/*
 * memflip PID WORD - a donor with bad memory: flip one bit in each page of the
 * process that holds WORD, of eight characters, over and over, and print how
 * many there were. Each time another bit.
 */
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_BYTES	4096u
#define WORD_BYTES	8u

static int open_of(const char *pid, const char *file, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, file);
	fd = open(path, flags);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static bool is_target(const unsigned char *page, const char *word)
{
	for (size_t i = 0; i < PAGE_BYTES; i += WORD_BYTES)
		if (memcmp(page + i, word, WORD_BYTES))
			return false;
	return true;
}

static unsigned int flip_range(int mem, uint64_t from, uint64_t to,
			       const char *word, unsigned int flipped)
{
	unsigned char page[PAGE_BYTES];

	for (; from < to; from += PAGE_BYTES) {
		/* guard pages cannot be read */
		if (pread(mem, page, PAGE_BYTES, (off_t)from) != PAGE_BYTES ||
		    !is_target(page, word))
			continue;
		page[flipped * 37 % PAGE_BYTES] ^= 1u << flipped % 8;
		if (pwrite(mem, page, PAGE_BYTES, (off_t)from) != PAGE_BYTES)
			err(1, "writing at %" PRIx64, from);
		flipped++;
	}
	return flipped;
}

int main(int argc, char **argv)
{
	unsigned int flipped = 0;
	uint64_t from, to;
	char line[512];
	FILE *maps;
	int mem;

	if (argc != 3 || strlen(argv[2]) != WORD_BYTES)
		errx(2, "usage: memflip PID WORD, a word of %u characters", WORD_BYTES);
	mem = open_of(argv[1], "mem", O_RDWR);
	maps = fdopen(open_of(argv[1], "maps", O_RDONLY), "r");
	if (!maps)
		err(1, "maps");
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " rw", &from, &to) == 2 &&
		    strstr(line, " rw"))
			flipped = flip_range(mem, from, to, argv[2], flipped);
	printf("%u\n", flipped);
	return 0;
}
