#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# debug=no: what a donor does about pressure is in userspace; evict_test has what its clients do
#
# A donor's host needs its memory back while clients swap to it: it gets it in
# time, whatever a client does, nothing on it is killed, and no page is lost.
#
#	ISW_GROWTHS=25	applications that grow, each its own way, and nothing else (1)
#	ISW_LEAPS=10	applications that grow faster than anything is given back (1)
#	ISW_SEED=N	repeats them: the seed of the first, of the next N + 1 and so on

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"
# shellcheck source=tests/lib/faults.sh
. "$ISW_TOP/tests/lib/faults.sh"
# shellcheck source=tests/lib/load.sh
. "$ISW_TOP/tests/lib/load.sh"

# All donors have 512 MiB: headroom is what an application may grow by in 2 s.
headroom=64
donor_arguments=(--slab_size=1M --memory=300M "--headroom=${headroom}M" --drain_timeout=120)
growths=${ISW_GROWTHS:-1}
leaps=${ISW_LEAPS:-1}
seed=${ISW_SEED:-$RANDOM}
scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"
result=$scratch/samples
memory=$scratch/memory

load_lab_up --daemon-args="${donor_arguments[*]}"

# available NODE - MiB that are to be had there
available()
{
	lab_run "$1" "awk '/^MemAvailable/ { print int(\$2 / 1024) }' /proc/meminfo"
}

granted()
{
	lab_run "$1" infiniswapctl donor status --json | sed -n 's/.*"granted": *\([0-9]*\).*/\1/p'
}

granted_below()
{
	[ "$(granted "$1")" -lt "$2" ]
}

# watch NODE - what is available there, five times a second: seconds and MiB
watch_memory()
{
	lab_run "$1" 'setsid sh -c "while sleep 0.2; do
		read -r now rest </proc/uptime
		set -- \$(grep ^MemAvailable /proc/meminfo)
		echo \$now \$((\$2 / 1024))
	done" </dev/null >/run/memory 2>/dev/null & echo $! >/run/watcher'
}

# seen_again NODE MIB TIME - the last look was not before TIME, and saw that much
seen_again()
{
	lab_run "$1" "tail -n 1 /run/memory | awk '{ exit !(\$1 >= $3 && \$2 >= $2) }'"
}

# watched NODE - what was seen goes to $memory
watched()
{
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run "$1" 'kill $(cat /run/watcher); cat /run/memory' >"$memory"
	[ "$(wc -l <"$memory")" -ge 10 ]
}

# longest_below MIB [SINCE] - seconds that less than MIB were available in one go
longest_below()
{
	awk -v least="$1" -v start="${2:-0}" '
		$1 < start { next }
		$2 < least { if (!below) { below = 1; since = $1 } if ($1 - since > longest) longest = $1 - since; next }
		{ if (below && $1 - since > longest) longest = $1 - since; below = 0 }
		END { printf "%.1f\n", longest }' "$memory"
}

# at_most NUMBER LIMIT - both may have a fraction
at_most()
{
	awk "BEGIN { exit !($1 <= $2) }"
}

# grown DONOR MIB MIB_PER_SECOND - an application there has; when, by its clock
grown()
{
	lab_run "$1" "rm -f /run/grown
		setsid growth $2 $3 </dev/null >/run/grown 2>&1 &
		until grep -q grown /run/grown; do kill -0 \$! || exit 1; sleep 0.1; done
		cut -d ' ' -f 1 /proc/uptime"
}

nothing_was_killed()
{
	local node

	for node in donor1 donor2 donor3; do
		! lab_run "$node" dmesg | grep -i 'out of memory\|oom-kill' || fail "killed on $node"
		lab_run "$node" pidof infiniswapd >/dev/null || fail "$node: no daemon"
	done
}

no_page_is_lost()
{
	none_counted lost_pages read_errors crc_errors
}

# revoked DONOR - slabs, of 1 MiB, that it has taken from clients that did not give them back
revoked()
{
	lab_run "$1" infiniswapctl donor evictions --noheadings --raw --output REVOKED |
		awk '{ count += $1 } END { print count + 0 }'
}

# One on the donor that has the most slabs grows until almost no more than headroom
# is there, and then, as fast as was drawn, to as much more as was drawn. What is
# missing of headroom is back 5 s after it stopped, but for the eighth that is too
# little to evict for. It is urgent when less than a quarter is there.
grow()
{
	local donor rate excess room before least stopped below urgent back

	donor=$(fullest)
	rate=$((headroom / 16 + RANDOM % (headroom / 2 - headroom / 16 + 1)))
	room=$(($(granted "$donor") >> 20))
	least=$((headroom - headroom / 8))
	excess=$((headroom / 4 + RANDOM % (room * 3 / 4 - headroom / 4)))
	samples_pass $((RANDOM % 30))
	before=$(lab_counter client "donors/$donor/evictions")
	grown "$donor" $(($(available "$donor") - headroom - 2 * rate)) $((headroom / 2)) >"$scratch/said"
	watch_memory "$donor"
	stopped=$(grown "$donor" $(($(available "$donor") - headroom + excess)) "$rate")
	# longer than it may take: what is back by then is back
	wait_for 20 seen_again "$donor" "$least" "$(awk "BEGIN { print $stopped + 6 }")"
	watched "$donor"
	below=$(longest_below "$headroom")
	urgent=$(longest_below $((headroom / 4)))
	back=$(longest_below "$least" "$stopped")
	echo "$donor, $room MiB granted, by $rate MiB a second to $excess MiB too many:" \
		"less than headroom for $below s, than a quarter for $urgent s, back after $back s;" \
		"$(($(lab_counter client "donors/$donor/evictions") - before)) slabs evicted"
	figure "below_s=$below" "urgent_s=$urgent" "back_s=$back"
	at_most "$back" 5
	at_most "$urgent" 1
	[ "$(lab_counter client "donors/$donor/evictions")" -gt "$before" ] || fail "nothing was evicted"
	nothing_was_killed
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run "$donor" 'kill $(pidof growth)'
}

test_donor_that_grows_gets_its_memory_back_and_clients_lose_nothing()
{
	local disk donor n taken=0

	! lab_debug || skip "a debug kernel takes longer than the donor gives it"
	lab swap on --size 448M --slab-size 1M --redundancy backup
	load_start "$seed"
	disk=$(lab_counter client pages_in_backup)
	for ((n = 0; n < growths; n++)); do
		echo "seed $((seed + n))"
		figure "seed=$((seed + n))"
		RANDOM=$((seed + n))	# here: a subshell draws anew
		grow
	done
	load_end
	no_page_is_lost
	# a client's machine that stalls for a quarter of a second is late when it is urgent
	for donor in donor1 donor2 donor3; do
		taken=$((taken + $(revoked "$donor")))
	done
	[ "$(lab_counter client failovers)" -le "$taken" ] || fail "a session broke"
	# half a second, when it is urgent, is not enough to move them all
	figure "evicted=$(lab_counter client evictions)" "forced=$(lab_counter client evictions_forced)" "revoked=$taken"
	echo "$(lab_counter client evictions) slabs evicted, $(lab_counter client evictions_forced) in haste," \
		"$taken revoked, $(lab_counter client failovers) sessions broken," \
		"$(($(lab_counter client pages_in_backup) - disk)) pages read from the disk"
	lab swap off
}

# go_with COMMAND - the donor with the most slabs is told so; it has moved all before its
# daemon ends, and lends again when that is there again
go_with()
{
	local donor slabs began=$SECONDS

	donor=$(fullest)
	slabs=$(lab_counter client "donors/$donor/slabs")
	[ "$slabs" -gt 0 ]
	lab_run "$donor" "$1"
	wait_for 100 lab_run "$donor" '! pidof infiniswapd'
	echo "$donor: $slabs slabs, ended after $((SECONDS - began)) s"
	! lab_run "$donor" grep 'drain timed out' /var/log/infiniswapd.log || fail "not all went in time"
	lab_counter_is client "donors/$donor/slabs" 0
	daemon_up "$donor"
	wait_for 60 lab_counter_is client "donors/$donor/state" live
}

# There is no other copy, and two donors that have room for what the third one has.
test_daemon_that_is_told_to_end_has_moved_its_pages_first()
{
	lab swap on --size 448M --slab-size 1M --redundancy none
	load_start "$seed"
	# shellcheck disable=SC2016 # for the guest's shell
	go_with 'kill -TERM $(pidof infiniswapd)'
	go_with 'infiniswapctl donor drain'
	load_end
	no_page_is_lost
	none_counted write_errors
	lab swap off
}

# watch_daemon - on donor1: what the daemon holds, ten times a second, seconds and KiB
watch_daemon()
{
	lab_run donor1 'setsid sh -c "while sleep 0.1; do
		read -r now rest </proc/uptime
		echo \$now \$(sed -n \"s/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p\" /proc/$(pidof infiniswapd)/status)
	done" </dev/null >/run/held 2>/dev/null & echo $! >/run/watcher'
}

# daemon_holds_less MIB - than when watch_daemon began
daemon_holds_less()
{
	lab_run donor1 "awk 'NR == 1 { first = \$2 } END { exit !(first - \$2 >= $1 * 1024) }' /run/held"
}

# evictions_are_over - what was evicted of donor1 is back or taken
evictions_are_over()
{
	lab_run donor1 "infiniswapctl donor evictions --noheadings --raw \
		--output EVICTED,RELEASED,REVOKED,CALLED-OFF |
		awk '\$1 != \$2 + \$3 + \$4 { exit 1 }'"
}

# held_until - by the last deadline of donor1's evictions and what watch_daemon saw: how
# many seconds after it the daemon held no more than now, and the MiB that it held before
held_until()
{
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run donor1 'kill $(cat /run/watcher); cat /run/held' >"$scratch/held"
	# their age as it was not later than now
	lab_run donor1 'ages=$(infiniswapctl donor evictions --noheadings --raw --output AGE-MS,URGENT)
		cut -d " " -f 1 /proc/uptime; echo "$ages"' >"$scratch/ages"
	awk '	NR == 1 { now = $1; next }
		NR == FNR {
			by = now - $1 / 1000 + ($2 == "yes" ? 0.5 : 3)
			if (by > last) last = by
			next
		}
		{ time[++n] = $1; held[n] = $2 }
		END {
			for (i = n; i > 1 && held[i - 1] < held[n] + 512; i--)
				;
			printf "%.1f %.0f\n", time[i] - last, (held[1] - held[n]) / 1024
		}' "$scratch/ages" "$scratch/held"
}

test_client_that_does_not_answer_changes_nothing_for_the_donor_or_for_its_pages()
{
	local before revoked_before seconds mib taken

	revoked_before=$(revoked donor1)
	lab_device_on 64M 1M --redundancy backup --backup /dev/disk/by-id/virtio-lab-disk
	pattern_write 0 32 SILENT.
	wait_for 20 lab_counter_is client staged_pages 0
	before=$(granted donor1)
	[ "$before" -gt 0 ]
	lab pause client
	watch_daemon
	lab_run donor1 "setsid growth $(($(available donor1) - headroom / 2)) $((headroom / 2)) </dev/null >/run/grown 2>&1 & echo \$! >/run/growth"
	wait_for 60 lab_run donor1 grep -q grown /run/grown
	# the deadline itself is judged below
	wait_for 20 granted_below donor1 "$before"
	wait_for 20 evictions_are_over
	taken=$(($(revoked donor1) - revoked_before))
	wait_for 5 daemon_holds_less "$taken"
	lab_run donor1 infiniswapctl donor evictions
	read -r seconds mib < <(held_until)
	echo "$taken MiB taken, $mib MiB less in the daemon $seconds s after the deadline"
	[ "$mib" -ge "$taken" ] || fail "the memory is not back"
	at_most "$seconds" 1
	lab resume client
	pattern_is 0 32 SILENT.
	no_page_is_lost
	nothing_was_killed
	lab_run donor1 'kill $(cat /run/growth)'
	lab_run client infiniswapctl remove infiniswap0
}

# held_below MIB - the cgroup of donor1's daemon has so little in it
held_below()
{
	lab_run donor1 "[ \$(cat $cgroup/memory.current) -lt $(($1 << 20)) ]"
}

# What a host allows its daemon is what systemd sets: memory.max and memory.high. The kernel
# would kill the daemon at the first, and make it wait at the second.
test_daemon_lends_what_its_cgroup_allows_and_is_not_killed_there()
{
	local cgroup=/sys/fs/cgroup/lends lent from

	daemon_kill donor1
	lab_run donor1 "mkdir $cgroup && echo 112M >$cgroup/memory.max && echo \$\$ >$cgroup/cgroup.procs &&
		daemon-up ${donor_arguments[*]} --headroom=16M"
	lab_run client infiniswapctl create infiniswap0 --size 128M --slab-size 1M --redundancy backup \
		--backup /dev/disk/by-id/virtio-lab-disk --donor donor1=10.7.0.101
	pattern_write 0 128 CGROUP.
	wait_for 60 lab_counter_is client staged_pages 0
	lent=$(($(granted donor1) >> 20))
	lab_run donor1 "cat $cgroup/memory.current $cgroup/memory.events; infiniswapctl donor status"
	echo "$lent MiB granted in 112 MiB"
	[ "$lent" -gt 32 ]
	[ "$lent" -le 96 ]
	lab_run donor1 "echo 64M >$cgroup/memory.high"
	wait_for 30 held_below 64
	lab_run donor1 infiniswapctl donor evictions
	echo "$(($(granted donor1) >> 20)) MiB granted when it may have 64"
	[ "$(granted donor1)" -gt 0 ]
	lab_run donor1 "cat $cgroup/memory.events; grep -x 'oom_kill 0' $cgroup/memory.events"
	for from in 0 32 64 96; do	# the client has no room for all at once
		pattern_is "$from" 32 CGROUP.
	done
	no_page_is_lost
	lab_run client infiniswapctl remove infiniswap0
}

# available_is MIB - what donor1's daemon, which reads a copy, takes for available
available_is()
{
	lab_run donor1 "sed 's/^MemAvailable:.*/MemAvailable: $(($1 * 1024)) kB/' /proc/meminfo >/run/new &&
		mv /run/new /run/meminfo"
}

# eviction FIELD - of donor1's last one
eviction()
{
	lab_run donor1 infiniswapctl donor evictions --json |
		tr -d ' \n' | sed "s/.*\"evictions\":\[{[^}]*\"$1\":\([0-9]*\).*/\1/"
}

eviction_is()
{
	[ "$(eviction "$1")" = "$2" ]
}

# Of 24 slabs 12 are used. 4 MiB of headroom are missing, and 6 more went in the
# last second: 10 slabs must go, and 20 of the 26 grants, two of which are held
# ready, are asked for. At least 8 of those are not used.
test_least_active_ones_of_those_drawn_are_evicted()
{
	local kept

	daemon_kill donor1
	available_is 18
	lab_run donor1 daemon-up --slab_size=1M --memory=300M --headroom=16M --evict_deadline=6 \
		--meminfo=/run/meminfo
	lab_run client infiniswapctl create infiniswap0 --size 24M --slab-size 1M --redundancy backup \
		--backup /dev/disk/by-id/virtio-lab-disk --donor donor1=10.7.0.101
	pattern_write 0 24 BATCHED
	wait_for 20 lab_counter_is client slabs_mapped 24
	wait_for 20 lab_counter_is client staged_pages 0
	wait_for 20 lab_run donor1 "infiniswapctl donor status --json | grep -q '\"grants\": *26\b'"
	lab_run client 'setsid sh -c "while dd if=/dev/infiniswap0 of=/dev/null bs=64k count=192 iflag=direct
		do :; done" </dev/null >/dev/null 2>&1 & echo $! >/run/reader'
	wait_for 20 lab_run client "awk 'NR == 1 { next } \$1 < 12 && \$NF > 20 { n++ }
		\$1 >= 12 && \$NF < 10 { n++ } END { exit n != 24 }' /sys/kernel/debug/infiniswap/infiniswap0/slabs"
	available_is 12
	wait_for 10 eviction_is evicted 10
	available_is 16
	eviction_is drawn 20
	wait_for 20 eviction_is released 10
	# one that is held ready and was not asked for may go as well
	wait_for 10 granted_below donor1 $(((16 << 20) + 1))
	lab_run client 'kill $(cat /run/reader)'
	lab_run donor1 infiniswapctl donor evictions
	kept=$(lab_run client "sed 1d /sys/kernel/debug/infiniswap/infiniswap0/slabs |
		awk '\$1 < 12 && /donor1/' | wc -l")
	echo "$kept of the 12 that are used were kept"
	[ "$kept" -ge 10 ]
	pattern_is 0 24 BATCHED
	no_page_is_lost
	lab_run client infiniswapctl remove infiniswap0
}

# stalled - microseconds in which nothing on donor1 got on for want of memory
stalled()
{
	lab_run donor1 "sed -n 's/^full.*total=//p' /proc/pressure/memory"
}

stalled_above()
{
	[ "$(stalled)" -gt "$1" ]
}

something_is_evicted()
{
	[ -n "$(lab_run donor1 infiniswapctl donor evictions --noheadings)" ]
}

# What stalls is a process at the limit of its cgroup. Its host has what it needs, as the
# file has it, and nothing happens; then an MiB of headroom is missing, for which nothing is
# evicted either, but for a stall. Only the kernel's report tells the daemon of it.
test_stall_takes_back_what_is_missing_of_headroom_and_is_urgent()
{
	local since now age reason urgent seconds

	daemon_kill donor1
	available_is $((headroom + 2))
	daemon_up donor1 --meminfo=/run/meminfo
	lab_run client infiniswapctl create infiniswap0 --size 24M --slab-size 1M --redundancy backup \
		--backup /dev/disk/by-id/virtio-lab-disk --donor donor1=10.7.0.101
	pattern_write 0 24 STALLED
	wait_for 20 lab_counter_is client slabs_mapped 24
	wait_for 20 lab_counter_is client staged_pages 0
	lab_run donor1 'setsid held-to 8M growth 64 64 </dev/null >/dev/null 2>&1 & echo $! >/run/stalled'
	wait_for 20 stalled_above $(($(stalled) + 1000000))
	! something_is_evicted || fail "evicted for a stall while the host has its headroom"
	since=$(lab_run donor1 "sed 's/^MemAvailable:.*/MemAvailable: $(((headroom - 1) * 1024)) kB/' \
		/proc/meminfo >/run/new && cut -d ' ' -f 1 /proc/uptime && mv /run/new /run/meminfo")
	wait_for 10 something_is_evicted
	# what went does not come back in that file, as if others had taken it
	available_is $((headroom * 2))
	read -r now age reason urgent < <(lab_run donor1 "echo \$(cut -d ' ' -f 1 /proc/uptime) \$(
		infiniswapctl donor evictions --noheadings --raw --output AGE-MS,REASON,URGENT | tail -n 1)")
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run donor1 'kill -9 $(cat /run/stalled)'
	lab_run donor1 infiniswapctl donor evictions
	seconds=$(awk "BEGIN { printf \"%.1f\", $now - $age / 1000 - $since }")
	echo "evicted $seconds s after headroom was missed, for $reason, urgent: $urgent"
	[ "$reason $urgent" = "stall yes" ]
	at_most "$seconds" 1
	pattern_is 0 24 STALLED
	no_page_is_lost
	nothing_was_killed
	lab_run client infiniswapctl remove infiniswap0
}

# killed NODE - what the kernel killed there for want of memory, by name
killed()
{
	lab_run "$1" dmesg | sed -n 's/.*Killed process [0-9]* (\([^)]*\)).*/\1/p'
}

# An application on donor1 takes all that is available and three quarters of what is lent, by
# 8 to 32 times the headroom a second or as fast as it can. The daemon may be killed for it,
# and is started again.
leap()
{
	local rate room word died from

	rate=$((16 * (8 + RANDOM % 25)))
	printf -v word 'LEAP%03d' "$1"	# of a length that every MiB begins with it
	pattern_write 0 96 "$word"
	wait_for 20 lab_counter_is client staged_pages 0
	wait_for 20 lab_counter_is client slabs_mapped 96
	room=$(($(granted donor1) >> 20))
	[ "$(lab_run donor1 'cat /proc/$(pidof infiniswapd)/oom_score_adj')" = 900 ]
	# the kernel shows a trace of who wanted memory, and that is no bug here
	lab_run donor1 'dmesg -C; echo 4 >/proc/sys/kernel/printk'
	grown donor1 $(($(available donor1) + room * 3 / 4)) "$rate" >"$scratch/said" ||
		fail "it did not grow to its end; killed: $(killed donor1)"
	lab_run donor1 "echo 7 >/proc/sys/kernel/printk; ! dmesg | grep 'BUG:\|WARNING:'"
	died=$(killed donor1)
	echo "$room MiB granted, $rate MiB a second: $(lab_run donor1 cat /run/grown)," \
		"${died:-nobody} was killed"
	if [ -n "$died" ]; then
		[ "$died" = infiniswapd ]
		wait_for 20 lab_run donor1 '! pidof infiniswapd'
		daemon_up donor1 --headroom=16M
	else
		granted_below donor1 $((room << 20)) || fail "the host was never short of memory"
	fi
	lab_run donor1 'kill $(pidof growth)'
	for from in 0 32 64; do		# the client has no room for all at once
		pattern_is "$from" 32 "$word"
	done
	no_page_is_lost
}

test_leap_of_an_application_kills_the_daemon_at_most_and_loses_no_page()
{
	local n

	echo "seed $seed"
	RANDOM=$seed
	daemon_kill donor1
	daemon_up donor1 --headroom=16M
	lab_run client infiniswapctl create infiniswap0 --size 96M --slab-size 1M --redundancy backup \
		--backup /dev/disk/by-id/virtio-lab-disk --donor donor1=10.7.0.101
	for ((n = 1; n <= leaps; n++)); do
		leap "$n"
	done
	lab_run client infiniswapctl remove infiniswap0
}

test_module_goes_and_donors_have_their_memory_back()
{
	local donor

	lab_run client rmmod infiniswap
	for donor in donor1 donor2 donor3; do
		wait_for 20 granted_below "$donor" 1
	done
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

if [ -n "${ISW_GROWTHS:-}" ]; then
	unset -f test_daemon_that_is_told_to_end_has_moved_its_pages_first \
		test_client_that_does_not_answer_changes_nothing_for_the_donor_or_for_its_pages \
		test_daemon_lends_what_its_cgroup_allows_and_is_not_killed_there \
		test_least_active_ones_of_those_drawn_are_evicted \
		test_stall_takes_back_what_is_missing_of_headroom_and_is_urgent \
		test_leap_of_an_application_kills_the_daemon_at_most_and_loses_no_page
fi

ktap_main
