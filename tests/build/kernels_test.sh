#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The module builds without a warning for every kernel that the lab boots and for
# the newest that Debian has. With modpost, so every symbol is one that kernel has.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

# Tests call make: not as children of the make that may have called this.
unset MAKEFLAGS MFLAGS MAKELEVEL

work=$(mktemp -d)
cleanup_add rm -rf "$work"

# sources DIR - the module's own copy: what is built in the checkout would not be
# compiled again, and its warnings not be seen
sources()
{
	mkdir -p "$work/$1"
	cp -r "$ISW_TOP/Makefile" "$ISW_TOP/Kbuild" "$ISW_TOP/kmod" "$ISW_TOP/include" "$work/$1"
}

# build KERNEL ARGUMENT... - in the directory of that name; its messages, without
# the lines that tell progress
build()
{
	local kernel=$1 kdir log=$work/$1.log status=0

	shift
	kdir=$("$ISW_TOP/scripts/setup" kdir "${kernel%-*}")
	make -j2 -C "$work/$kernel" modules KDIR="$kdir" W=1 "$@" >"$log" 2>&1 || status=$?
	grep -vE "^  |^make|^build/modules/" "$log" || true
	return "$status"
}

# silent COMMAND... - it succeeds and says nothing
silent()
{
	local said

	said=$("$@") || fail "$said"
	[ -z "$said" ] || fail "$said"
}

# A gcc of the newest kernel would do without this: what Debian's of today does
# not know. It also ignores attributes that only later ones have.
older_cc()
{
	cat >"$work/cc" <<-'END'
		#!/bin/bash
		for flag; do
			shift
			case $flag in
			-fmin-function-alignment=*) ;;
			*) set -- "$@" "$flag" ;;
			esac
		done
		exec gcc-12 "$@" -Wno-attributes
	END
	chmod +x "$work/cc"
	echo "$work/cc"
}

# without_pahole COMMAND... - kbuild's word that the machine has none is not ours
without_pahole()
{
	"$@" | sed '/^warning: pahole version differs/,/^  You are using:/d'
	return "${PIPESTATUS[0]}"
}

test_6_1_without_a_warning_of_gcc_and_sparse()
{
	sources 6.1
	silent build 6.1 C=2
}

test_6_12_without_a_warning_of_gcc_and_sparse()
{
	sources 6.12
	silent build 6.12 C=2
}

test_newest_kernel_of_debian_without_a_warning_of_gcc()
{
	local said

	if ! said=$("$ISW_TOP/scripts/setup" kernel-release newest 2>&1); then
		echo "$said"
		skip "headers of Debian's newest kernel cannot be had: no mirror can be reached"
	fi
	echo "${said##*$'\n'}"
	sources newest
	silent without_pahole build newest CC="$(older_cc)"
	[ -f "$work/newest/build/modules/${said##*$'\n'}/infiniswap.ko" ]
}

# Were sparse or W=1 not run at all, the tests above would pass.
test_mistakes_are_seen()
{
	local said

	sources 6.1-wrong
	sed -i 's/^isw-parts :=.*/isw-parts := main/; /^	     /d' "$work/6.1-wrong/Kbuild"
	echo 'u32 isw_wrong(__be32 value) { return value; }' >>"$work/6.1-wrong/kmod/main.c"
	! said=$(build 6.1-wrong C=2) || fail "it builds without its other parts"
	grep -q 'incorrect type in return expression' <<<"$said" || fail "not by sparse: $said"
	grep -q 'no previous prototype for .isw_wrong' <<<"$said" || fail "not by W=1: $said"
	grep -q 'modpost: .*undefined' <<<"$said" || fail "not by modpost: $said"
}

ktap_main
