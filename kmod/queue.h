/* SPDX-License-Identifier: GPL-2.0-only */
/* The block layer's side of a device: tag set, disk, request entry points. */
#ifndef _ISW_QUEUE_H
#define _ISW_QUEUE_H

struct isw_device;

int isw_tags_alloc(struct isw_device *dev);
void isw_tags_free(struct isw_device *dev);
bool isw_disk_is_ours(const struct gendisk *disk);
int isw_disk_add(struct isw_device *dev);
int isw_disk_close(struct isw_device *dev);	/* -EBUSY while open */
void isw_disk_remove(struct isw_device *dev);

#endif /* _ISW_QUEUE_H */
