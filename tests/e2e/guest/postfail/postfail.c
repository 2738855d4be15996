// SPDX-License-Identifier: GPL-2.0-only
/*
 * postfail: Soft-RoCE refuses RDMA reads and writes. As many as are written to
 * /sys/module/postfail/parameters/fail are not posted; ib_post_send() says so.
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <rdma/ib_verbs.h>

static int fail;
module_param(fail, int, 0644);

/* Instead of rxe_post_send(), with its arguments. */
static int refuse(struct ib_qp *qp, const struct ib_send_wr *wr,
		  const struct ib_send_wr **bad_wr)
{
	*bad_wr = wr;
	return -ENOMEM;
}

static int on_post(struct kprobe *p, struct pt_regs *regs)
{
	const struct ib_send_wr *wr;

	wr = (const void *)regs_get_kernel_argument(regs, 1);
	if (!wr)	/* a program's: it has put them into the queue itself */
		return 0;
	if (wr->opcode != IB_WR_RDMA_READ && wr->opcode != IB_WR_RDMA_WRITE)
		return 0;
	if (!wr->num_sge)	/* ib_drain_sq() cannot do without its own */
		return 0;
	if (READ_ONCE(fail) <= 0)
		return 0;
	WRITE_ONCE(fail, fail - 1);	/* the guest has one CPU */
	instruction_pointer_set(regs, (unsigned long)refuse);
	return 1;
}

static struct kprobe probe = {
	.symbol_name = "rxe_post_send",
	.pre_handler = on_post,
};

static int __init postfail_init(void)
{
	return register_kprobe(&probe);
}

static void __exit postfail_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(postfail_init);
module_exit(postfail_exit);
MODULE_DESCRIPTION("Soft-RoCE that refuses to post");
MODULE_LICENSE("GPL");
