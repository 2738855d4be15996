// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tables of slabs, sessions, grants and requests, and a way to put a queue pair
 * into the error state. docs/ABI/debugfs-infiniswap; no program should parse
 * the tables. Their files go before anything that they show does: removing a
 * file waits for its readers.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include "activity.h"
#include "debugfs.h"
#include "device.h"
#include "donor.h"
#include "io.h"
#include "session.h"

static struct dentry *isw_debugfs_root;

static void show_leg(struct seq_file *m, const struct isw_grant *g)
{
	if (g->donor)
		seq_printf(m, " %s:%u.%u", g->donor->name, g->id.index,
			   g->id.generation);
	else
		seq_puts(m, " -");
}

/* Hundredths, and small ones too: idle slabs differ in them. */
static void show_activity(struct seq_file *m, u64 activity)
{
	u64 pages = activity >> ISW_EWMA_SHIFT;
	u64 rest = activity & ((1 << ISW_EWMA_SHIFT) - 1);

	seq_printf(m, " %llu.%02llu\n", pages, rest * 100 >> ISW_EWMA_SHIFT);
}

static void show_slab(struct seq_file *m, struct isw_device *dev,
		      struct isw_slab *slab)
{
	struct isw_mapping *map = isw_slab_mapping(dev, slab);
	u64 activity = isw_activity_of(slab);
	u32 leg;

	if (!map && !activity)
		return;
	seq_printf(m, "%u", slab->index);
	if (map)
		seq_printf(m, " %u", map->generation);
	else
		seq_puts(m, " - - - -");
	for (leg = 0; map && leg < ISW_MAX_LEGS; leg++)
		show_leg(m, &map->leg[leg]);
	show_activity(m, activity);
}

static int slabs_show(struct seq_file *m, void *v)
{
	struct isw_device *dev = m->private;
	u32 i;

	seq_puts(m, "# slab generation legs (donor:index.generation) activity\n");
	if (mutex_lock_interruptible(&dev->lock))
		return -EINTR;
	for (i = 0; i < dev->nr_slabs; i++)
		show_slab(m, dev, &dev->slabs[i]);
	mutex_unlock(&dev->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(slabs);

static void show_conn(struct seq_file *m, const char *role,
		      const struct isw_conn *conn)
{
	seq_printf(m, " %s%u:%d", role, conn->index,
		   atomic_read(&conn->inflight));
}

static int sessions_show(struct seq_file *m, void *v)
{
	struct isw_device *dev = m->private;
	struct isw_donor *donor;
	unsigned int i;

	seq_puts(m, "# donor state session slabs ready queue:work_requests\n");
	if (mutex_lock_interruptible(&dev->lock))
		return -EINTR;
	list_for_each_entry(donor, &dev->donors, node) {
		struct isw_session *s = &donor->session;

		seq_printf(m, "%s %s %016llx %u %u", donor->name,
			   isw_donor_state_name(READ_ONCE(donor->state)),
			   s->number, donor->nr_slabs, donor->nr_ready);
		for (i = 0; i < dev->cfg.queues; i++) {
			show_conn(m, "w", &s->write[i]);
			show_conn(m, "r", &s->read[i]);
		}
		seq_putc(m, '\n');
	}
	mutex_unlock(&dev->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sessions);

static int grants_show(struct seq_file *m, void *v)
{
	struct isw_device *dev = m->private;
	unsigned int i;

	seq_puts(m, "# grant (donor:index.generation) state\n");
	if (mutex_lock_interruptible(&dev->lock))
		return -EINTR;
	for (i = 0; i < dev->nr_ready; i++) {
		const struct isw_grant *g = &dev->ready[i];

		seq_printf(m, "%s:%u.%u %s\n", g->donor->name, g->id.index,
			   g->id.generation,
			   isw_donor_live(g->donor) ? "ready" : "held");
	}
	mutex_unlock(&dev->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(grants);

/*
 * Requests: for the hour when nothing moves, so without any lock that it could wait
 * for, and with a buffer of a page however many there are. What a request waits for
 * may change between two looks at it; all that is followed here lives until power-off.
 */
static void *requests_start(struct seq_file *m, loff_t *pos)
	__acquires(&((struct isw_device *)m->private)->ios_lock)
{
	struct isw_device *dev = m->private;

	spin_lock(&dev->ios_lock);
	return seq_list_start_head(&dev->ios, *pos);
}

static void *requests_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct isw_device *dev = m->private;

	return seq_list_next(v, &dev->ios, pos);
}

static void requests_stop(struct seq_file *m, void *v)
	__releases(&((struct isw_device *)m->private)->ios_lock)
{
	struct isw_device *dev = m->private;

	spin_unlock(&dev->ios_lock);
}

static void show_age(struct seq_file *m, const struct request *rq)
{
	u64 start = READ_ONCE(rq->start_time_ns), now = ktime_get_ns();

	if (start)	/* 0: nobody asked the block layer for times */
		seq_printf(m, " %llu\n",
			   now > start ? div_u64(now - start, NSEC_PER_MSEC) : 0);
	else
		seq_puts(m, " -\n");
}

static int requests_show(struct seq_file *m, void *v)
{
	struct isw_device *dev = m->private;
	struct isw_mapping *map;
	struct isw_slab *slab;
	struct request *rq;
	struct isw_io *io;
	int pending;

	if (v == &dev->ios) {
		seq_puts(m, "# queue tag direction page count slab state waits_for|work_requests generation age_ms\n");
		return 0;
	}
	io = list_entry(v, struct isw_io, all);
	if (!isw_io_is_request(io))
		return 0;	/* the copier's */
	rq = blk_mq_rq_from_pdu(io);
	slab = READ_ONCE(io->slab);	/* NULL: has not been more than a discard */
	if (blk_mq_rq_state(rq) != MQ_RQ_IN_FLIGHT || !slab)
		return 0;
	seq_printf(m, "%u %d %s %llu %u %u", io->hwq, rq->tag,
		   io->write ? "write" : "read", io->page, io->count,
		   slab->index);
	pending = atomic_read(&io->pending);
	if (READ_ONCE(io->wait))
		seq_printf(m, " parked %s", isw_wait_name(READ_ONCE(io->wait)));
	else if (pending > 0)
		seq_printf(m, " posted %d", pending);
	else
		seq_puts(m, " driven -");
	map = READ_ONCE(io->mapping);
	if (map)
		seq_printf(m, " %u", READ_ONCE(map->generation));
	else
		seq_puts(m, " -");
	show_age(m, rq);
	return 0;
}

static const struct seq_operations requests_sops = {
	.start	= requests_start,
	.next	= requests_next,
	.stop	= requests_stop,
	.show	= requests_show,
};
DEFINE_SEQ_ATTRIBUTE(requests);

static int parse_role(const char *word)
{
	if (!strcmp(word, "read"))
		return ISW_ROLE_READ;
	if (!strcmp(word, "write"))
		return ISW_ROLE_WRITE;
	if (!strcmp(word, "control"))
		return ISW_ROLE_CONTROL;
	return -EINVAL;
}

/* With a reference: it may be removed meanwhile. */
static struct isw_donor *donor_find(struct isw_device *dev, const char *name)
{
	struct isw_donor *donor, *found = NULL;

	mutex_lock(&dev->lock);
	list_for_each_entry(donor, &dev->donors, node)
		if (donor->addr.ss_family && !strcmp(donor->name, name))
			found = donor;
	if (found)
		config_item_get(&found->item);
	mutex_unlock(&dev->lock);
	return found;
}

/* "DONOR read|write|control [INDEX]" */
static ssize_t qp_error_write(struct file *file, const char __user *user,
			      size_t count, loff_t *pos)
{
	struct isw_device *dev = file_inode(file)->i_private;
	char line[80], name[CONFIGFS_ITEM_NAME_LEN], word[16];
	struct isw_donor *donor;
	unsigned int index = 0;
	int role, ret;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, user, count))
		return -EFAULT;
	line[count] = '\0';
	if (sscanf(line, "%19s %15s %u", name, word, &index) < 2)
		return -EINVAL;
	role = parse_role(word);
	if (role < 0)
		return role;
	donor = donor_find(dev, name);
	if (!donor)
		return -ENOENT;
	ret = isw_session_break(donor, role, index);
	config_item_put(&donor->item);
	return ret ?: count;
}

static const struct file_operations qp_error_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = qp_error_write,
	.llseek = noop_llseek,
};

void isw_debugfs_add(struct isw_device *dev)
{
	dev->debugfs = debugfs_create_dir(dev->name, isw_debugfs_root);
	debugfs_create_file("slabs", 0400, dev->debugfs, dev, &slabs_fops);
	debugfs_create_file("sessions", 0400, dev->debugfs, dev,
			    &sessions_fops);
	debugfs_create_file("grants", 0400, dev->debugfs, dev, &grants_fops);
	debugfs_create_file("requests", 0400, dev->debugfs, dev,
			    &requests_fops);
	debugfs_create_file("qp_error", 0200, dev->debugfs, dev,
			    &qp_error_fops);
}

void isw_debugfs_remove(struct isw_device *dev)
{
	debugfs_remove_recursive(dev->debugfs);
	dev->debugfs = NULL;
}

void isw_debugfs_init(void)
{
	isw_debugfs_root = debugfs_create_dir("infiniswap", NULL);
}

void isw_debugfs_exit(void)
{
	debugfs_remove_recursive(isw_debugfs_root);
}
