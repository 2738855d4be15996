#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# debug=no: daemon and client are both in userspace
#
# infiniswapd against a client in userspace, on a donor of the lab. The program
# in the guest prints the results; this script adds that the kernel stayed quiet.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

lab_up --donors 1 --no-daemon
lab exec donor1 --timeout 850 -- /lab/bin/daemon_test --address 10.7.0.101
lab_logs_clean
