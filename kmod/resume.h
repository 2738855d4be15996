/* SPDX-License-Identifier: GPL-2.0-only */
/* What a donor's new session finds of our grants, what a lost one leaves. */
#ifndef _ISW_RESUME_H
#define _ISW_RESUME_H

struct isw_donor;

/* conn_wq, no locks: until the donor has made our grants usable again */
int isw_resume_await(struct isw_donor *donor);

/* dev->lock held */
int isw_resume_compare(struct isw_donor *donor);
void isw_resume_forget(struct isw_donor *donor);
void isw_resume_kick(struct isw_donor *donor);

#endif /* _ISW_RESUME_H */
