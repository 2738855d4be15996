// SPDX-License-Identifier: GPL-2.0-only
/*
 * Print the host's time stamp counter frequency in kHz.
 *
 * Under TCG the guest's counter is the host's. Told its frequency, the guest
 * need not calibrate it against an emulated timer, which goes wrong when the
 * host is busy.
 */
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

int main(void)
{
	struct timespec begin, end, pause = { .tv_nsec = 200000000 };
	unsigned long long ticks;
	double ms;

	clock_gettime(CLOCK_MONOTONIC_RAW, &begin);
	ticks = __rdtsc();
	nanosleep(&pause, NULL);
	clock_gettime(CLOCK_MONOTONIC_RAW, &end);
	ticks = __rdtsc() - ticks;
	ms = (end.tv_sec - begin.tv_sec) * 1e3 + (end.tv_nsec - begin.tv_nsec) / 1e6;
	printf("%.0f\n", ticks / ms);
	return 0;
}
