// SPDX-License-Identifier: GPL-2.0-only
/* infiniswap: swap to the memory of other machines over RDMA. Init and exit. */
#include <linux/module.h>
#include <linux/workqueue.h>
#include <rdma/ib_verbs.h>

#include "backup.h"
#include "configfs.h"
#include "copier.h"
#include "debugfs.h"
#include "device.h"
#include "pm.h"
#include "session.h"

struct workqueue_struct *isw_io_wq, *isw_map_wq, *isw_conn_wq, *isw_backup_wq,
			*isw_copy_wq;

/* Its data say that it is there; it is found by a donor's address. */
static int hca_added(struct ib_device *ibdev)
{
	ib_set_client_data(ibdev, &isw_ib_client, ibdev);
	isw_devices_add_hca(ibdev);
	return 0;
}

static void hca_removed(struct ib_device *ibdev, void *data)
{
	ib_set_client_data(ibdev, &isw_ib_client, NULL);
	isw_devices_remove_hca(ibdev);
}

struct ib_client isw_ib_client = {
	.name = "infiniswap",
	.add = hca_added,
	.remove = hca_removed,
};

static int wqs_create(void)
{
	isw_io_wq = alloc_workqueue("isw-io", WQ_MEM_RECLAIM | WQ_HIGHPRI |
				    WQ_UNBOUND, 0);
	isw_map_wq = alloc_workqueue("isw-map", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	isw_conn_wq = alloc_workqueue("isw-conn", WQ_MEM_RECLAIM | WQ_UNBOUND,
				      0);
	isw_backup_wq = alloc_workqueue("isw-backup", WQ_MEM_RECLAIM |
					WQ_HIGHPRI | WQ_UNBOUND, 0);
	isw_copy_wq = alloc_workqueue("isw-copy", WQ_MEM_RECLAIM | WQ_UNBOUND,
				      0);
	return isw_io_wq && isw_map_wq && isw_conn_wq && isw_backup_wq &&
	       isw_copy_wq ? 0 : -ENOMEM;
}

static void wqs_destroy(void)
{
	if (isw_copy_wq)
		destroy_workqueue(isw_copy_wq);
	if (isw_backup_wq)
		destroy_workqueue(isw_backup_wq);
	if (isw_conn_wq)
		destroy_workqueue(isw_conn_wq);
	if (isw_map_wq)
		destroy_workqueue(isw_map_wq);
	if (isw_io_wq)
		destroy_workqueue(isw_io_wq);
}

static int __init isw_init(void)
{
	int ret;

	ret = wqs_create();
	if (ret)
		goto err_wqs;
	isw_debugfs_init();
	ret = ib_register_client(&isw_ib_client);
	if (ret)
		goto err_debugfs;
	ret = isw_pm_init();
	if (ret)
		goto err_client;
	ret = isw_configfs_init();
	if (ret)
		goto err_pm;
	return 0;

err_pm:
	isw_pm_exit();
err_client:
	ib_unregister_client(&isw_ib_client);
err_debugfs:
	isw_debugfs_exit();
err_wqs:
	wqs_destroy();
	return ret;
}

/* No device exists: each holds a reference on the module. */
static void __exit isw_exit(void)
{
	isw_configfs_exit();
	isw_pm_exit();
	ib_unregister_client(&isw_ib_client);
	isw_debugfs_exit();
	wqs_destroy();
}

module_init(isw_init);
module_exit(isw_exit);

MODULE_AUTHOR("The infiniswap maintainers");
MODULE_DESCRIPTION("Swap to the memory of other machines over RDMA");
MODULE_LICENSE("GPL");
MODULE_SOFTDEP("pre: crc32c");	/* the fastest for this CPU */
