/* SPDX-License-Identifier: GPL-2.0-only */
/* When the machine may be suspended or hibernated. */
#ifndef _ISW_PM_H
#define _ISW_PM_H

int isw_pm_init(void);
void isw_pm_exit(void);

#endif /* _ISW_PM_H */
