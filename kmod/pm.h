/* SPDX-License-Identifier: GPL-2.0-only */
/* When the machine may be suspended or hibernated. */
#ifndef _ISW_PM_H
#define _ISW_PM_H

#include <linux/types.h>

int isw_pm_init(void);
void isw_pm_exit(void);

/* Any context. True: nothing may be lent that only donors would have. */
bool isw_pm_asleep(void);

#endif /* _ISW_PM_H */
