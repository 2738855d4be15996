// SPDX-License-Identifier: GPL-2.0-only
/*
 * Between infiniswapd and libibverbs, with LD_PRELOAD: grants cannot be registered,
 * one for want of memory if /run/fail-registration is there, which it removes, all
 * as long as /run/fail-registrations is.
 */
#include <dlfcn.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <unistd.h>

#undef ibv_reg_mr

#define GRANT_MIN	(1u << 20)	/* less is no grant */

typedef struct ibv_mr *(*reg_fn)(struct ibv_pd *pd, void *addr, size_t length,
				 int flags);

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length,
			  int flags)
{
	static reg_fn next;

	if (length >= GRANT_MIN && (!unlink("/run/fail-registration") ||
				    !access("/run/fail-registrations", F_OK))) {
		errno = ENOMEM;
		return NULL;
	}
	if (!next)
		next = (reg_fn)dlvsym(RTLD_NEXT, "ibv_reg_mr", "IBVERBS_1.1");
	return next(pd, addr, length, flags);
}
