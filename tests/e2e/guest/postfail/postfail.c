// SPDX-License-Identifier: GPL-2.0-only
/*
 * postfail: Soft-RoCE refuses RDMA reads and writes. As many as are written to
 * /sys/module/postfail/parameters/fail are not posted; ib_post_send() says so.
 * What is read from the host whose IPv4 address ends in the number in "lose" does
 * not arrive, while all else does, so that its sessions can be made anew.
 */
#include <linux/ip.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/netfilter_ipv4.h>
#include <linux/skbuff.h>
#include <linux/udp.h>
#include <rdma/ib_pack.h>
#include <rdma/ib_verbs.h>

static int fail;
module_param(fail, int, 0644);

static int lose;
module_param(lose, int, 0644);

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

static unsigned int on_packet(void *priv, struct sk_buff *skb,
			      const struct nf_hook_state *state)
{
	const struct iphdr *ip = ip_hdr(skb);
	u8 opcode;

	if (!READ_ONCE(lose) || (ntohl(ip->saddr) & 0xff) != READ_ONCE(lose) ||
	    ip->protocol != IPPROTO_UDP ||
	    skb_copy_bits(skb, skb_network_offset(skb) + ip->ihl * 4 +
			  sizeof(struct udphdr), &opcode, sizeof(opcode)))
		return NF_ACCEPT;
	return opcode < IB_OPCODE_RC_RDMA_READ_RESPONSE_FIRST ||
	       opcode > IB_OPCODE_RC_RDMA_READ_RESPONSE_ONLY ? NF_ACCEPT : NF_DROP;
}

static const struct nf_hook_ops packets = {
	.hook = on_packet,
	.pf = NFPROTO_IPV4,
	.hooknum = NF_INET_LOCAL_IN,
};

static int __init postfail_init(void)
{
	int ret = register_kprobe(&probe);

	if (ret)
		return ret;
	ret = nf_register_net_hook(&init_net, &packets);
	if (ret)
		unregister_kprobe(&probe);
	return ret;
}

static void __exit postfail_exit(void)
{
	nf_unregister_net_hook(&init_net, &packets);
	unregister_kprobe(&probe);
}

module_init(postfail_init);
module_exit(postfail_exit);
MODULE_DESCRIPTION("Soft-RoCE that refuses to post");
MODULE_LICENSE("GPL");
