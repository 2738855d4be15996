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
	is 644 usr/local/lib/udev/rules.d/90-infiniswap.rules
	is 644 etc/infiniswap/infiniswapd.conf
	[ "$(find "$root" -type f | wc -l)" = 8 ] || fail "more was installed" "$(find "$root" -type f)"
}

test_unit_starts_the_program_that_was_installed()
{
	local prefix

	for prefix in /usr /usr/local /opt/isw; do
		installed "$prefix"
		grep -qx "ExecStart=$prefix/sbin/infiniswapd" \
			"$root$prefix/lib/systemd/system/infiniswapd.service"
		[ -x "$root$prefix/sbin/infiniswapd" ]
	done
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

# As far as it can be told without a kernel's headers.
test_install_brings_module_and_all_this()
{
	make -C "$ISW_TOP" -pq help >"$scratch/rules" || true
	grep -qx 'install: install-modules install-userspace' "$scratch/rules"
}

ktap_main
