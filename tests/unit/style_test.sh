#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/style finds what its rules forbid: each is broken once, in a small
# project of its own.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ISW_TOP=${ISW_TOP:-$here/../..}
# shellcheck source=tests/lib/functions.sh
. "$ISW_TOP/tests/lib/functions.sh"

scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"

# Those that another program does would take most of the time.
mapfile -t rules < <(sed -n 's/^rule_\([a-z_]*\)()$/\1/p' "$ISW_TOP/scripts/style" |
	grep -vE '^(shellcheck|checkpatch)$')

# project - a fresh one in which all is well
project()
{
	rm -rf "$scratch/project"
	mkdir -p "$scratch"/project/{scripts,tests/lib,include/infiniswap,kmod,daemon}
	cd "$scratch/project"
	git init -q
	cp "$ISW_TOP/scripts/style" scripts/
	cp "$ISW_TOP/tests/lib/ktap.sh" tests/lib/
	cp "$ISW_TOP/.shellcheckrc" .
	cp "$ISW_TOP/kmod/probe.sh" kmod/
	write include/infiniswap/a.h '/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */' \
		'#include <linux/types.h>' '#include <infiniswap/b.h>'
	write kmod/a.c '// SPDX-License-Identifier: GPL-2.0-only' '#include <infiniswap/a.h>'
	write kmod/compat.h '/* SPDX-License-Identifier: GPL-2.0-only */' \
		'#ifdef ISW_HAVE_RQ_LIST' '#endif' '#if LINUX_VERSION_CODE' '#endif'
}

# write FILE LINE…, append FILE LINE…
write()
{
	printf '%s\n' "${@:2}" >"$1"
}

append()
{
	printf '%s\n' "${@:2}" >>"$1"
}

# breaks RULE - style fails by that rule alone
breaks()
{
	scripts/style "${rules[@]}" >out && fail "style found nothing" "$(cat out)"
	[ "$(grep -oE '^not ok [0-9]+ .*' out | cut -d ' ' -f 4)" = "$1" ] || fail "$(cat out)"
}

test_all_is_well()
{
	[ ${#rules[@]} -gt 5 ] || fail "found few rules: ${rules[*]}"
	scripts/style "${rules[@]}" shellcheck || fail "the project that breaks no rule fails"
}

test_source_without_licence()
{
	write daemon/a.c 'int a;'
	breaks every_source_names_its_licence
}

test_script_without_licence()
{
	write scripts/a '#!/bin/sh' 'true'
	chmod +x scripts/a
	breaks every_source_names_its_licence
}

test_shared_header_with_the_programs_licence()
{
	sed -i 's/ OR BSD-3-Clause//' include/infiniswap/a.h
	breaks every_source_names_its_licence
}

test_module_source_with_another_licence()
{
	write kmod/a.c '// SPDX-License-Identifier: MIT'
	breaks every_source_names_its_licence
}

test_kernel_version_outside_compat()
{
	append kmod/a.c '#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0)' '#endif'
	breaks kernel_versions_are_known_to_compat_alone
}

test_flag_of_the_probe_outside_compat()
{
	append kmod/a.c '#ifdef ISW_HAVE_RQ_LIST' '#endif'
	breaks kernel_versions_are_known_to_compat_alone
}

test_flag_that_no_probe_prints()
{
	append kmod/compat.h '#ifdef ISW_HAVE_A_PONY' '#endif'
	breaks probe_prints_every_flag_that_kmod_asks_for
}

test_kernel_branch_in_a_shared_header()
{
	append include/infiniswap/a.h '#ifdef __KERNEL__' '#endif'
	breaks shared_headers_have_no_kernel_branch
}

test_shared_header_that_includes_more()
{
	append include/infiniswap/a.h '#include <stdint.h>'
	breaks shared_headers_include_nothing_else
}

test_module_that_includes_the_daemon()
{
	append kmod/a.c '#include "daemon/a.h"'
	breaks module_daemon_and_tools_do_not_include_each_other
}

test_include_that_climbs_out()
{
	write daemon/a.c '// SPDX-License-Identifier: GPL-2.0-only' '#include "../kmod/a.h"'
	breaks module_daemon_and_tools_do_not_include_each_other
}

test_sleep_instead_of_a_wait()
{
	write tests/lib/a.sh '# SPDX-License-Identifier: GPL-2.0-only' \
		'# shellcheck shell=sh' "sleep ${seconds:=3}"
	breaks scripts_wait_for_a_state_and_never_just_sleep
}

test_space_at_the_end_of_a_line()
{
	append kmod/a.c 'int a; '
	breaks no_line_ends_in_space
}

test_no_newline_at_the_end_of_a_file()
{
	printf 'int a;' >>kmod/a.c
	breaks every_file_ends_in_a_newline
}

test_path_of_somebodys_machine()
{
	append kmod/a.c "// see /ho""me/somebody/notes"
	breaks no_path_of_somebodys_machine
}

test_script_that_is_not_executable()
{
	write scripts/a '#!/bin/sh' '# SPDX-License-Identifier: GPL-2.0-only'
	breaks scripts_are_executable_and_libraries_are_not
}

test_script_that_shellcheck_dislikes()
{
	[ -n "$(command -v shellcheck)" ] || skip "shellcheck is not installed"
	write scripts/a '#!/bin/sh' '# SPDX-License-Identifier: GPL-2.0-only' 'cd $1'
	chmod +x scripts/a
	rules=(shellcheck)
	breaks shellcheck
}

test_ignored_files_are_not_looked_at()
{
	write .gitignore '/build/'
	mkdir build
	write build/a.c 'int a; '
	scripts/style "${rules[@]}" || fail "looked at an ignored file"
}

ktap_main project
