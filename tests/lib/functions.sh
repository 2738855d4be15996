# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# For scripts that test a running system in the lab: clean-up that always runs,
# waiting with a deadline, and words for the lab. Sourced; brings ktap.sh along.
#
#	here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
#	. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"
#
# A script that needs more time than tests/settings gives says so in a line of
# its own near the top: "# timeout=SECONDS".

ISW_TOP=${ISW_TOP:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
export ISW_TOP

# shellcheck source=tests/lib/ktap.sh
. "$ISW_TOP/tests/lib/ktap.sh"

# Programs for guests, built by `make guest-programs`.
ISW_GUEST_PROGRAMS=$ISW_TOP/build/tests/guest
export ISW_GUEST_PROGRAMS

# ---- clean-up ---------------------------------------------------------------

cleanup_hooks=()

# cleanup_add COMMAND… - run it when the script ends, however it ends; the last
# one added runs first. Only in the script itself: a test's subshell has none.
cleanup_add()
{
	local hook

	printf -v hook '%q ' "$@"
	cleanup_hooks=("$hook" "${cleanup_hooks[@]}")
}

cleanup_run()
{
	local status=$? hook

	trap - EXIT
	# A second signal, as `timeout` sends to a group, must not cut it short.
	trap '' TERM INT HUP
	set +e
	for hook in "${cleanup_hooks[@]}"; do
		eval "$hook"
	done
	exit "$status"
}

trap cleanup_run EXIT
# The runner's time limit comes as SIGTERM, Ctrl-C as SIGINT: the EXIT trap runs.
trap 'exit 143' TERM
trap 'exit 130' INT HUP

# ---- waiting ----------------------------------------------------------------

# wait_for SECONDS COMMAND… - until it succeeds; fails, and says so, if it has
# not by then. COMMAND's output is kept from view. LAB_TIME_FACTOR makes the
# limit longer, for guests that are slower. A turn counts for 2 s at most: while the
# machine stands still, or its clock is set, nothing can happen that is waited for.
wait_for()
{
	local limit waited=0 interval=0.2 last now turn

	limit=$(lab_time "$1")
	shift
	last=${EPOCHREALTIME/[.,]/}
	until "$@" >/dev/null 2>&1; do
		if ((waited >= limit * 1000000)); then
			echo "waited ${limit} s in vain for: $*" >&2
			return 1
		fi
		sleep "$interval"
		now=${EPOCHREALTIME/[.,]/}
		turn=$((now - last)) last=$now
		waited=$((waited + (turn < 0 || turn > 2000000 ? 2000000 : turn)))
	done
}

# lab_time N - a limit of time, made longer as wait_for's is
lab_time()
{
	echo $(($1 * ${LAB_TIME_FACTOR:-1}))
}

# ---- figures ----------------------------------------------------------------

# figure KEY=VALUE… - what scripts/soak notes of a run, beside its verdict. A key that
# comes again is a list there.
figure()
{
	printf 'figure: %s\n' "$@"
}

# ---- the lab ----------------------------------------------------------------

# The clients' kernel: ISW_KERNEL, or what LAB_KERNEL says, or 6.1.
export LAB_KERNEL=${ISW_KERNEL:-${LAB_KERNEL:-6.1}}

# A lab of the script's own: neither a person's nor another test's is in its way.
export LAB_NAME=${LAB_NAME:-test$$}

lab()
{
	"$ISW_TOP/scripts/lab" "$@"
}

# lab_up ARGUMENT… - `lab up`, and `lab down` when the script ends. Were it
# killed, the lab would see that its owner is gone. scripts/check has built all.
lab_up()
{
	cleanup_add lab down
	ktap_failed() { lab_failed; }
	lab up --owner $$ ${ISW_BUILT:+--no-build} "$@"
}

# lab_failed - for a test that failed: the state of the client's device, if it has one; of all
# nodes what sleeps uninterruptibly and where, what the kernel said last, and the daemon
lab_failed()
{
	local node

	lab_run client 'cd /sys/block/infiniswap0/infiniswap 2>/dev/null && grep -r . donors | grep -v ":0$"' || :
	lab status
	for node in $(lab status | awk '/ up, answers/ { print $1 }'); do
		echo "$node:"
		# shellcheck disable=SC2016 # for the guest's shell
		lab_run "$node" 'for stat in /proc/[0-9]*/stat; do
				grep -q ") D " $stat 2>/dev/null || continue
				cut -d " " -f 1-3 $stat
				cat ${stat%stat}stack
			done
			dmesg | tail -n 40
			[ ! -s /var/log/infiniswapd.log ] || {
				pidof infiniswapd || echo no daemon
				tail -n 15 /var/log/infiniswapd.log; }'
	done
}

# lab_debug - whether the client's kernel is the one that looks for bugs
lab_debug()
{
	[ "$LAB_KERNEL" = 6.1-debug ]
}

# storm_has_it - for a test of what storm_test does as well on the debug kernel, to which
# one load of minutes is enough: it stands aside there
storm_has_it()
{
	! lab_debug || skip "the storm on this kernel does it, too"
}

# lab_load N - how much of something is enough: a tenth on the debug kernel, where
# all takes several times as long
lab_load()
{
	echo $(($1 / $(lab_debug && echo 10 || echo 1)))
}

# lab_press TIMEOUT PROCESSES MIB ARGUMENT… - pageverify in the client, with more memory
# in all its processes than there is. On the debug kernel an eighth of it, held to half of
# that: pages move so slowly there, and all are read back in the end.
lab_press()
{
	local timeout=$1 processes=$2 mib=$3 held=()

	shift 3
	if lab_debug; then
		mib=$((mib / 8))
		held=(held-to "$((mib / 2))M")
	fi
	lab exec client --timeout "$timeout" -- "${held[@]}" \
		pageverify -p "$processes" -m $((mib / processes)) "$@"
}

# lab_run NODE COMMAND… - in NODE's shell, one string or a command with words
lab_run()
{
	local node=$1

	shift
	lab exec "$node" -- "$@"
}

# lab_counter NODE PATH - the value of a file below the device's sysfs folder,
# or of any file if PATH starts with /
lab_counter()
{
	local path=$2

	[[ $path == /* ]] || path=/sys/block/infiniswap0/infiniswap/$path
	lab exec "$1" -- cat "$path"
}

# lab_counter_is NODE PATH VALUE, lab_counter_above NODE PATH VALUE - for wait_for
lab_counter_is()
{
	[ "$(lab_counter "$1" "$2")" = "$3" ]
}

lab_counter_above()
{
	local value

	value=$(lab_counter "$1" "$2")
	[ "$value" -gt "$3" ]
}

# log_mark, logged TEXT - whether the client's kernel said TEXT after the last mark, for wait_for
log_mark()
{
	log_mark="mark $EPOCHREALTIME"
	lab_run client "echo $log_mark >/dev/kmsg"
}

logged()
{
	lab_run client "dmesg | sed '1,/$log_mark\$/d' | grep -q '$1'"
}

# pages_come_in N - a load has filled the client's memory, and more than N pages came in
# from donors
pages_come_in()
{
	wait_for 180 lab_counter_above client pages_in_remote "$1"
}

# lab_device_on SIZE SLAB_SIZE [OPTION…] - the client's /dev/infiniswap0 over all
# donors that are up, for whatever use; OPTIONs are those of infiniswapctl create.
# `lab swap off` removes it.
lab_device_on()
{
	local size=$1 slab_size=$2 donor address
	local -a with=()

	shift 2
	while read -r donor address; do
		with+=(--donor "$donor=$address")
	done < <(lab status | awk '/^donor.* up,/ { print $1, $2 }')
	lab_run client infiniswapctl create infiniswap0 --size "$size" \
		--slab-size "$slab_size" --redundancy none "${with[@]}" "$@"
	# udev or devtmpfs, not the tool, makes the node
	wait_for 10 lab_run client test -b /dev/infiniswap0
}

# pattern_write FROM COUNT WORD, pattern_is FROM COUNT WORD - fill that part of the
# client's /dev/infiniswap0 with WORD, is it full of it? In MiB.
pattern_write()
{
	lab exec client --timeout 60 -- sh -c "yes $3 | dd of=/dev/infiniswap0 bs=64k \
		seek=$(($1 * 16)) count=$(($2 * 16)) iflag=fullblock oflag=direct 2>&1"
}

pattern_is()
{
	lab exec client --timeout 60 -- sh -c "yes $3 | head -c $2M >/run/wanted
		dd if=/dev/infiniswap0 bs=64k skip=$(($1 * 16)) count=$(($2 * 16)) iflag=direct \
			2>/run/why >/run/got && cmp /run/wanted /run/got && rm -f /run/got /run/wanted ||
			{ cat /run/why; false; }"
}

# pages_read_one_by_one COUNT - that many of the client's /dev/infiniswap0 to /run/got there;
# prints the numbers of those that could not be read
pages_read_one_by_one()
{
	lab exec client --timeout 120 -- sh -c "dd if=/dev/infiniswap0 of=/run/got bs=4k count=$1 \
			iflag=direct conv=noerror,sync 2>/run/why
		awk '/error reading/ { getline; split(\$1, records, \"+\"); print records[1] + records[2] }' \
			/run/why"
}

# none_counted COUNTER… - these of the client's device are 0, and say so if not
none_counted()
{
	local counter

	for counter; do
		lab_counter_is client "$counter" 0 || fail "$counter: $(lab_counter client "$counter")"
	done
}

# field NAME - a number of what pageverify said, which is in $result
field()
{
	# shellcheck disable=SC2154 # the script's own
	sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" "$result"
}

# no_page_wrong - pageverify found no page wrong and none lost
no_page_wrong()
{
	[ "$(field bad)" = 0 ] || fail "$(field bad) wrong pages"
	[ "$(field sigbus)" = 0 ] || fail "$(field sigbus) SIGBUS"
}

# lab_logs_clean - no BUG, WARNING, hung task… in any guest's kernel log
lab_logs_clean()
{
	lab check-logs
}
