// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tables of slabs and sessions, and a way to put a queue pair into the error
 * state. docs/ABI/debugfs-infiniswap; no program should parse the tables.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include "debugfs.h"
#include "device.h"
#include "donor.h"
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

static int slabs_show(struct seq_file *m, void *v)
{
	struct isw_device *dev = m->private;
	struct isw_mapping *map;
	u32 i, leg;

	seq_puts(m, "# slab generation legs (donor:index.generation)\n");
	mutex_lock(&dev->lock);
	for (i = 0; i < dev->nr_slabs; i++) {
		map = rcu_dereference_protected(dev->slabs[i].mapping,
						lockdep_is_held(&dev->lock));
		if (!map)
			continue;
		seq_printf(m, "%u %u", i, map->generation);
		for (leg = 0; leg < ISW_MAX_LEGS; leg++)
			show_leg(m, &map->leg[leg]);
		seq_putc(m, '\n');
	}
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
	mutex_lock(&dev->lock);
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
