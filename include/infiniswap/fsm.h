/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * State machines as tables: next state for (state, event), or REFUSED. Pure:
 * whoever owns the object wraps these with its lock and entry actions.
 *
 * A donor, as the client sees it:
 *
 *            CONNECT            UP              ERROR
 *    idle ----------> connecting ----> live -----------> broken
 *     ^ ^                |  ^           |  \ BYE            | DRAINED
 *     | |     FAILED     |  |           |   v               v
 *     | +----------------+  |           | leaving <--- reconnecting --+
 *     |                     |           |   | DRAINED    | UP | LOST  | FAILED
 *     +---------------------------------+---+        live  |   v  ----+
 *                                                          |  lost
 *
 * broken: the queue pairs are being drained; no request is posted, requests
 * for the donor's pages are held. reconnecting: its grants may still live;
 * requests are held. lost: held too long or the donor's epoch changed; its
 * grants are forgotten, then the donor is idle again.
 */
#ifndef _INFINISWAP_FSM_H
#define _INFINISWAP_FSM_H

#include <linux/types.h>

#define ISW_FSM_REFUSED	0xff

enum isw_donor_state {
	ISW_DONOR_IDLE,			/* no session, no grants */
	ISW_DONOR_CONNECTING,		/* first connection under way, no grants */
	ISW_DONOR_LIVE,			/* requests may be posted */
	ISW_DONOR_BROKEN,		/* queue pairs going down */
	ISW_DONOR_RECONNECTING,		/* grants held, session being resumed */
	ISW_DONOR_LOST,			/* grants being forgotten */
	ISW_DONOR_LEAVING,		/* session ended on purpose */
	ISW_DONOR_STATES
};

enum isw_donor_event {
	ISW_DONOR_EV_CONNECT,		/* the client wants this donor */
	ISW_DONOR_EV_UP,		/* all queue pairs up, grants compared */
	ISW_DONOR_EV_FAILED,		/* this attempt to connect failed */
	ISW_DONOR_EV_ERROR,		/* queue pair error, stall, disconnect */
	ISW_DONOR_EV_DRAINED,		/* no posted work request is left */
	ISW_DONOR_EV_GIVE_UP,		/* donor_loss_timeout, or another epoch */
	ISW_DONOR_EV_FORGOTTEN,		/* no leg names the donor any more */
	ISW_DONOR_EV_BYE,		/* the client ends the session */
	ISW_DONOR_EVENTS
};

static const __u8 isw_donor_fsm[ISW_DONOR_STATES][ISW_DONOR_EVENTS] = {
#define NO ISW_FSM_REFUSED
	/*                          CONNECT                 UP              FAILED                  ERROR               DRAINED                  GIVE_UP          FORGOTTEN       BYE */
	[ISW_DONOR_IDLE]         = { ISW_DONOR_CONNECTING,  NO,             NO,                     NO,                 NO,                      NO,              NO,             NO },
	[ISW_DONOR_CONNECTING]   = { NO,                    ISW_DONOR_LIVE, ISW_DONOR_IDLE,         NO,                 NO,                      NO,              NO,             NO },
	[ISW_DONOR_LIVE]         = { NO,                    NO,             NO,                     ISW_DONOR_BROKEN,   NO,                      NO,              NO,             ISW_DONOR_LEAVING },
	[ISW_DONOR_BROKEN]       = { NO,                    NO,             NO,                     NO,                 ISW_DONOR_RECONNECTING,  NO,              NO,             NO },
	[ISW_DONOR_RECONNECTING] = { NO,                    ISW_DONOR_LIVE, ISW_DONOR_RECONNECTING, NO,                 NO,                      ISW_DONOR_LOST,  NO,             ISW_DONOR_LEAVING },
	[ISW_DONOR_LOST]         = { NO,                    NO,             NO,                     NO,                 NO,                      NO,              ISW_DONOR_IDLE, NO },
	[ISW_DONOR_LEAVING]      = { NO,                    NO,             NO,                     NO,                 ISW_DONOR_IDLE,          NO,              NO,             NO },
#undef NO
};

/* Next state, or ISW_FSM_REFUSED when @event means nothing in @state. */
static inline __u8 isw_donor_next(__u8 state, __u8 event)
{
	if (state >= ISW_DONOR_STATES || event >= ISW_DONOR_EVENTS)
		return ISW_FSM_REFUSED;
	return isw_donor_fsm[state][event];
}

static inline const char *isw_donor_state_name(__u8 state)
{
	static const char * const names[ISW_DONOR_STATES] = {
		[ISW_DONOR_IDLE]		= "idle",
		[ISW_DONOR_CONNECTING]		= "connecting",
		[ISW_DONOR_LIVE]		= "live",
		[ISW_DONOR_BROKEN]		= "broken",
		[ISW_DONOR_RECONNECTING]	= "reconnecting",
		[ISW_DONOR_LOST]		= "lost",
		[ISW_DONOR_LEAVING]		= "leaving",
	};

	return state < ISW_DONOR_STATES ? names[state] : "?";
}

#endif /* _INFINISWAP_FSM_H */
