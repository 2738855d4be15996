#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make install` but for the module: what comes, where it goes, and that it
# fits together.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ISW_TOP=${ISW_TOP:-$here/../..}
# shellcheck source=tests/lib/functions.sh
. "$ISW_TOP/tests/lib/functions.sh"

scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"

# installed PREFIX - a fresh one
installed()
{
	root=$scratch/root
	rm -rf "$root"
	make -s -C "$ISW_TOP" install-userspace DESTDIR="$root" PREFIX="$1"
}

# is MODE FILE
is()
{
	[ "$(stat -c %a "$root/$2")" = "$1" ] || fail "$2: $(stat -c %A "$root/$2")"
	[ -s "$root/$2" ] || fail "$2 is empty"
}

test_every_file_has_its_place_and_mode()
{
	installed /usr/local
	is 755 usr/local/sbin/infiniswapd
	is 755 usr/local/sbin/infiniswapctl
	is 644 usr/local/share/man/man8/infiniswapd.8
	is 644 usr/local/share/man/man8/infiniswapctl.8
	is 644 usr/local/share/man/man5/infiniswapd.conf.5
	is 644 usr/local/lib/systemd/system/infiniswapd.service
	is 644 usr/local/lib/systemd/system/infiniswap@.service
	is 644 usr/local/lib/systemd/system/dev-infiniswap0.swap.d/infiniswap.conf
	is 644 usr/local/lib/systemd/system/dev-infiniswap31.swap.d/infiniswap.conf
	is 644 usr/local/lib/udev/rules.d/90-infiniswap.rules
	is 644 usr/local/share/bash-completion/completions/infiniswapctl
	is 644 etc/infiniswap/infiniswapd.conf
	[ "$(find "$root" -type f ! -path '*.swap.d/*' | wc -l)" = 10 ] ||
		fail "more was installed" "$(find "$root" -type f)"
	[ "$(find "$root" -path '*.swap.d/*' | wc -l)" = 32 ]
}

test_units_start_the_programs_that_were_installed()
{
	local prefix

	for prefix in /usr /usr/local /opt/isw; do
		installed "$prefix"
		grep -qx "ExecStart=$prefix/sbin/infiniswapd" \
			"$root$prefix/lib/systemd/system/infiniswapd.service"
		[ -x "$root$prefix/sbin/infiniswapd" ]
		grep -qF "ExecStart=$prefix/sbin/infiniswapctl create " \
			"$root$prefix/lib/systemd/system/infiniswap@.service"
		[ -x "$root$prefix/sbin/infiniswapctl" ]
	done
}

# unit_key KEY - its value in the installed unit
unit_key()
{
	sed -n "s/^$1=//p" "$root/usr/lib/systemd/system/infiniswapd.service"
}

# What the daemon does is in tests/daemon/end_test.c: READY, signs of life, drain.
test_unit_waits_for_what_the_daemon_says_and_does()
{
	local drain

	installed /usr
	[ "$(unit_key Type)" = notify ]
	# a sign of life each second, and the loop may be late
	[ "$(unit_key WatchdogSec)" -ge 10 ]
	drain=$("$root/usr/sbin/infiniswapd" --config /dev/null --dump-config |
		sed -n 's/^drain_timeout = //p')
	[ "$(unit_key TimeoutStopSec)" -gt "$drain" ] ||
		fail "killed after $(unit_key TimeoutStopSec) s of a drain of $drain s"
}

test_unit_may_hear_of_stalls()
{
	installed /usr
	[ "$(unit_key CapabilityBoundingSet)" = CAP_SYS_RESOURCE ]
	[ "$(unit_key AmbientCapabilities)" = CAP_SYS_RESOURCE ]
}

# By the OOM killer's score, and by a limit of its own. What is left above that is no more
# than the headroom that the daemon leaves by itself: nobody lends less for the limit's sake.
test_unit_makes_the_daemon_the_first_victim()
{
	local score share headroom key page

	installed /usr
	score=$(unit_key OOMScoreAdjust)
	[ "$score" -ge 900 ]
	grep -q "echo $score >/proc/self/oom_score_adj" "$ISW_TOP/tests/lab/guest/daemon-up" ||
		fail "the lab's daemons have another score"
	[ "$(unit_key MemorySwapMax)" = 0 ]
	share=$(unit_key MemoryMax)
	headroom=$("$root/usr/sbin/infiniswapd" --config /dev/null --dump-config |
		sed -n 's/^headroom = //p' | numfmt --from=iec)
	awk -v share="${share%\%}" -v headroom="$headroom" '
		/^MemTotal/ { exit !(headroom / 1024 >= $2 * (100 - share) / 100) }' /proc/meminfo ||
		fail "$share of RAM is less than what headroom, $headroom bytes, leaves"
	for key in OOMScoreAdjust MemoryMax; do
		for page in admin-guide.md man/infiniswapd.8.md; do
			grep -qF "\`$key=$(unit_key "$key")\`" "$ISW_TOP/docs/$page" ||
				fail "docs/$page has another $key="
		done
	done
}

# Five starts in ten seconds were all: a donor whose address came late stayed away.
test_unit_is_started_again_without_end()
{
	installed /usr
	[ "$(unit_key StartLimitIntervalSec)" = 0 ]
	! "$root/usr/sbin/infiniswapd" --memory=much 2>/dev/null || fail "that is no size"
	[ "$(unit_key RestartPreventExitStatus)" = 2 ]
}

# verified UNIT... - systemd finds nothing wrong with these, nor with what starting
# one of them starts. What others bring is empty here, with systemd's own order.
verified()
{
	local name program

	for name in network-online rdma-hw shutdown umount multi-user; do
		printf '[Unit]\nDescription=%s\n' "$name" >"$unit/$name.target"
	done
	printf '[Unit]\nWants=swap.target\nAfter=swap.target\nDefaultDependencies=no\n' \
		>"$unit/sysinit.target"
	printf '[Unit]\nRequires=sysinit.target\nAfter=sysinit.target\n' >"$unit/basic.target"
	printf '[Unit]\nDescription=Swaps\n' >"$unit/swap.target"
	for program in bin/kill bin/sh sbin/mkswap sbin/swapon sbin/swapoff; do
		install -D /bin/true "$root/$program"
	done
	systemd-analyze verify --man=no --root="$root" "$@" >"$scratch/errors" 2>&1 &&
		[ ! -s "$scratch/errors" ]
}

test_units_are_right_to_systemd()
{
	local unit

	command -v systemd-analyze >/dev/null || skip "systemd-analyze is not installed"
	installed /usr
	unit=$root/usr/lib/systemd/system
	: >"$root/etc/infiniswap/infiniswap0.conf"
	cp "$unit/infiniswap@.service" "$unit/infiniswap@0.service"
	verified "$unit/infiniswapd.service" "$unit/infiniswap@0.service" ||
		fail "$(<"$scratch/errors")"
}

# systemd makes a .swap unit of what is in /proc/swaps. If it had the usual order,
# before sysinit.target, nothing that needs the network could be before it.
test_swap_is_stopped_by_its_service_alone()
{
	local unit swap

	command -v systemd-analyze >/dev/null || skip "systemd-analyze is not installed"
	installed /usr
	unit=$root/usr/lib/systemd/system
	swap=$unit/dev-infiniswap0.swap
	: >"$root/etc/infiniswap/infiniswap0.conf"
	cp "$unit/infiniswap@.service" "$unit/infiniswap@0.service"
	printf '[Unit]\nRequires=%s\nAfter=%s\n[Swap]\nWhat=/dev/infiniswap0\n' \
		infiniswap@0.service infiniswap@0.service >"$swap"
	mkdir "$unit/swap.target.wants"
	ln -s ../dev-infiniswap0.swap "$unit/swap.target.wants"
	verified "$swap" || fail "$(<"$scratch/errors")"
	rm -r "$swap.d"
	! verified "$swap" || fail "no cycle without the drop-in: this test shows nothing"
	grep -q 'ordering cycle' "$scratch/errors"
}

# 0 is a service that may do nothing, 10 one that may do all; most have 9 or more.
test_unit_exposes_little_of_the_host()
{
	command -v systemd-analyze >/dev/null || skip "systemd-analyze is not installed"
	installed /usr
	systemd-analyze security --no-pager --offline=yes --threshold=25 \
		"$root/usr/lib/systemd/system/infiniswapd.service" >"$scratch/exposure" ||
		fail "$(grep '✗\|Overall' "$scratch/exposure")"
}

test_configuration_is_one_that_the_daemon_reads()
{
	local as_default

	installed /usr
	as_default=$("$root/usr/sbin/infiniswapd" --config /dev/null --dump-config)
	[ "$("$root/usr/sbin/infiniswapd" --config "$root/etc/infiniswap/infiniswapd.conf" --dump-config)" = "$as_default" ] ||
		fail "the example changes something"
	# With its examples taken for real every key is one.
	sed 's/^#\([a-z_]* = \)/\1/' "$root/etc/infiniswap/infiniswapd.conf" >"$scratch/all"
	"$root/usr/sbin/infiniswapd" --config "$scratch/all" --dump-config >"$scratch/dump"
	grep -qx 'client_quota = 32768M' "$scratch/dump"
}

# What is commented out is the default, as the text above it says.
test_configuration_shows_every_key()
{
	local key

	installed /usr
	while read -r key; do
		grep -q "^#$key = " "$root/etc/infiniswap/infiniswapd.conf" ||
			fail "$key is not in the example"
	done < <("$root/usr/sbin/infiniswapd" --config /dev/null --dump-config | sed 's/ =.*//')
}

test_configuration_of_the_operator_stays()
{
	installed /usr
	echo "memory = 1G" >"$root/etc/infiniswap/infiniswapd.conf"
	make -s -C "$ISW_TOP" install-userspace DESTDIR="$root" PREFIX=/usr
	[ "$(<"$root/etc/infiniswap/infiniswapd.conf")" = "memory = 1G" ]
}

test_manual_pages_are_right_to_man()
{
	local page

	command -v groff >/dev/null || skip "groff is not installed"
	installed /usr
	for page in "$root"/usr/share/man/man?/*; do
		groff -k -man -ww -Tutf8 -P-cbou "$page" >"$scratch/text" 2>"$scratch/errors"
		[ ! -s "$scratch/errors" ] || fail "$page" "$(<"$scratch/errors")"
		grep -q DESCRIPTION "$scratch/text"
		! grep -n '\*\*\|`' "$scratch/text" || fail "$page: Markdown is left"
	done
}

test_uninstall_leaves_the_configuration_alone()
{
	local module

	installed /usr
	for module in 6.1.0-1-amd64/extra/infiniswap.ko 6.12.1-amd64/updates/infiniswap.ko.xz; do
		install -D /dev/null "$root/lib/modules/$module"
	done
	make -s -C "$ISW_TOP" uninstall DESTDIR="$root" PREFIX=/usr >"$scratch/said" 2>&1
	[ "$(find "$root" -type f)" = "$root/etc/infiniswap/infiniswapd.conf" ] ||
		fail "$(find "$root" -type f)"
	[ -z "$(find "$root" -name '*.swap.d')" ]
}

test_versions_are_one()
{
	local version

	installed /usr
	version=$(sed -n 's/^VERSION := //p' "$ISW_TOP/Makefile")
	[ "$("$root/usr/sbin/infiniswapd" --version | cut -d ' ' -f 2)" = "$version" ]
	[ "$("$root/usr/sbin/infiniswapctl" --version)" = "infiniswapctl $version" ]
	grep -qx "PACKAGE_VERSION=\"$version\"" "$ISW_TOP/dkms.conf"
}

# completes WORD... - what bash offers for the last one
completes()
{
	(
		PATH=$root/usr/sbin:$PATH
		complete() { :; }
		# shellcheck disable=SC1091
		. "$root/usr/share/bash-completion/completions/infiniswapctl"
		COMP_WORDS=(infiniswapctl "$@") COMP_CWORD=$#
		_infiniswapctl
		echo "${COMPREPLY[*]}"
	)
}

test_bash_completes_commands_options_and_names()
{
	installed /usr
	export INFINISWAP_CONFIGFS=$scratch/config
	mkdir -p "$INFINISWAP_CONFIGFS/infiniswap0/donors/"{rack1,rack2,other}
	[ "$(completes dr)" = drain-donor ]
	[ "$(completes help cr)" = create ]
	[ "$(completes create --red)" = --redundancy ]
	[ "$(completes --ver)" = --version ]
	[ "$(completes list --no)" = --noheadings ]
	[ "$(completes donor ev)" = evictions ]
	[ "$(completes remove-donor inf)" = infiniswap0 ]
	[ "$(completes drain-donor infiniswap0 r)" = "rack1 rack2" ]
	[ -z "$(completes create --backup /de)" ]
}

# As far as it can be told without a kernel's headers.
test_install_brings_module_and_all_this()
{
	make -C "$ISW_TOP" -pq help >"$scratch/rules" || true
	grep -qx 'install: install-modules install-userspace' "$scratch/rules"
}

ktap_main
