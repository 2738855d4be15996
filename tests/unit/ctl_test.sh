#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# infiniswapctl against a tree of files that behaves like the module's configfs
# and sysfs (ctl/configfs.c), a fresh tree for each test.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/ctl.sh
. "$here/../lib/ctl.sh"

export INFINISWAP_CONFIGFS=$scratch/config
export INFINISWAP_SYSFS=$scratch/block
export INFINISWAP_PROC=$scratch/proc
export INFINISWAP_KMSG=$scratch/kmsg
export REFUSE=$scratch/refuse
PATH=$PATH:/usr/sbin:/sbin	# mkfs and mkswap, for users too

# ---- helpers ----------------------------------------------------------------

tree_new()
{
	rm -rf "$INFINISWAP_CONFIGFS" "$INFINISWAP_SYSFS" "$INFINISWAP_PROC"
	mkdir "$INFINISWAP_CONFIGFS" "$INFINISWAP_SYSFS" "$INFINISWAP_PROC"
	echo "Filename Type Size Used Priority" >"$INFINISWAP_PROC/swaps"
	: >"$INFINISWAP_KMSG"
	: >"$REFUSE"
}

json()
{
	/usr/bin/python3 -c 'import json, sys
value = json.load(sys.stdin)
print(eval("value" + sys.argv[1]))' "$1" <<<"$out"
}

setting()
{
	cat "$INFINISWAP_CONFIGFS/$1"
}

create_one()
{
	ctl 0 create infiniswap0 --size 1G --redundancy none \
		--donor a=10.7.0.2 --donor b=10.7.0.3:9401 "$@"
}

# What the module would show of a device that is up, with donors a and b.
status_write()
{
	local at=$INFINISWAP_SYSFS/infiniswap0/infiniswap donor

	mkdir -p "$at/donors/a" "$at/donors/b"
	echo up >"$at/state"
	echo none >"$at/redundancy"
	echo 16 >"$at/slabs"
	echo 3 >"$at/slabs_mapped"
	echo 1000 >"$at/pages_in_remote"
	echo 2000 >"$at/pages_out_remote"
	echo 0 >"$at/read_errors"
	for donor in a b; do
		echo live >"$at/donors/$donor/state"
		echo 2 >"$at/donors/$donor/slabs"
		echo 500 >"$at/donors/$donor/pages_in"
		echo 700 >"$at/donors/$donor/pages_out"
		echo 0 >"$at/donors/$donor/errors"
		echo 1 >"$at/donors/$donor/crc_errors"
		echo 4 >"$at/donors/$donor/evictions"
	done
	echo rack1 >"$INFINISWAP_CONFIGFS/infiniswap0/donors/a/domain"
	echo 1 >"$INFINISWAP_CONFIGFS/infiniswap0/donors/b/drain"
	echo 1073741824 >"$INFINISWAP_CONFIGFS/infiniswap0/size"
}

swap_on()
{
	echo "/dev/infiniswap0 partition 1048572 0 -2" >>"$INFINISWAP_PROC/swaps"
}

# ---- create and remove ------------------------------------------------------

test_create_sets_everything()
{
	create_one --slab-size 16M --queue-depth 64 -o stall_ms=800
	equal "$out" /dev/infiniswap0
	equal "$(setting infiniswap0/size)" 1G
	equal "$(setting infiniswap0/slab_size)" 16M
	equal "$(setting infiniswap0/redundancy)" none
	equal "$(setting infiniswap0/queue_depth)" 64
	equal "$(setting infiniswap0/stall_ms)" 800
	equal "$(setting infiniswap0/power)" 1
	equal "$(setting infiniswap0/donors/a/address)" 10.7.0.2
	equal "$(setting infiniswap0/donors/a/port)" 9400
	equal "$(setting infiniswap0/donors/b/port)" 9401
}

test_create_takes_the_first_free_name()
{
	create_one
	ctl 0 create --size 1G --redundancy none --donor a=10.7.0.2
	equal "$out" /dev/infiniswap1
}

test_create_understands_ipv6()
{
	ctl 0 create --size 1G --redundancy none --donor a=fd00::2 \
		--donor 'b=[fd00::3]:9401' --donor 'c=[fd00::4]'
	equal "$(setting infiniswap0/donors/a/address)" fd00::2
	equal "$(setting infiniswap0/donors/b/address)" fd00::3
	equal "$(setting infiniswap0/donors/b/port)" 9401
	equal "$(setting infiniswap0/donors/c/address)" fd00::4
	equal "$(setting infiniswap0/donors/c/port)" 9400
}

# What follows a "]" was dropped, and what is empty ended as "Bad address".
test_create_refuses_half_an_address_and_empty_values()
{
	local wrong

	for wrong in 'a=[fd00::1]9401' 'a=[fd00::1]:' 'a=[fd00::1' 'a=[]' a=10.7.0.2: a=:9400 a= =10.7.0.2; do
		ctl 2 create --size 1G --redundancy none --donor "$wrong"
		has "$err" "create: $wrong: expected NAME=ADDRESS[:PORT]"
	done
	ctl 2 create --size "" --redundancy none --donor a=10.7.0.2
	has "$err" "create: --size: the value is empty"
	ctl 2 create --size 1G --redundancy none --backup "" --donor a=10.7.0.2
	has "$err" "create: --backup: the value is empty"
	equal "$(ls "$INFINISWAP_CONFIGFS")" ""
}

create_with_backup()
{
	ctl "$1" create --size 1G --redundancy backup --donor a=10.7.0.2 "${@:2}"
}

test_create_refuses_a_backup_disk_that_holds_something()
{
	truncate -s 16M "$scratch/disk"
	mkfs.ext4 -q "$scratch/disk"
	create_with_backup 2 --backup "$scratch/disk"
	equal "$err" "infiniswapctl: backup: $scratch/disk: has ext4: wipefs -a it if that may go, or say --force"
	create_with_backup 2 -o "backup=$scratch/disk"
	has "$err" "has ext4"
	equal "$(ls "$INFINISWAP_CONFIGFS")" ""
	create_with_backup 0 --backup "$scratch/disk" --force
	equal "$(setting infiniswap0/backup)" "$scratch/disk"
	rm "$scratch/disk"
	truncate -s 16M "$scratch/disk"
	# one Linux partition of 8 MiB at 1 MiB, and the mark at the sector's end
	printf '\0\0\2\0\x83\0\0\0\0\x8\0\0\0\x40\0\0' |
		dd of="$scratch/disk" bs=1 seek=446 conv=notrunc status=none
	printf '\x55\xaa' | dd of="$scratch/disk" bs=1 seek=510 conv=notrunc status=none
	create_with_backup 2 --backup "$scratch/disk"
	has "$err" "has a partition table (dos)"
}

# mkswap of the device writes its signature to the disk too: it must not be in the
# way of the next boot.
test_create_takes_a_backup_disk_that_was_swap()
{
	rm -f "$scratch/disk"
	truncate -s 16M "$scratch/disk"
	create_with_backup 0 --backup "$scratch/disk"
	ctl 0 remove infiniswap0
	mkswap -q "$scratch/disk"
	create_with_backup 0 --backup "$scratch/disk"
}

test_a_backup_that_is_none_is_for_the_kernel_to_refuse()
{
	echo "backup $scratch/nothing 22 no such device" >"$REFUSE"
	create_with_backup 2 --backup "$scratch/nothing"
	has "$err" "infiniswap0: backup: $scratch/nothing: no such device"
	echo "power 1 15 backup: not a block device" >"$REFUSE"
	create_with_backup 2 --backup "$scratch/nothing"
	has "$err" "not a block device (Block device required)"
}

test_refused_setting_is_explained_and_taken_back()
{
	echo "slab_size 3000000 22 not a power of two" >"$REFUSE"
	ctl 2 create --size 1G --slab-size 3000000 --redundancy none --donor a=10.7.0.2
	equal "$err" "infiniswapctl: infiniswap0: slab_size: 3000000: not a power of two (Invalid argument)"
	equal "$(ls "$INFINISWAP_CONFIGFS")" ""
}

test_refused_donor_is_explained_and_taken_back()
{
	echo "address 10.7.0.900 22 not an IPv4 or IPv6 address" >"$REFUSE"
	ctl 2 create --size 1G --redundancy none --donor a=10.7.0.2 --donor b=10.7.0.900
	equal "$err" "infiniswapctl: infiniswap0: donors/b/address: 10.7.0.900: not an IPv4 or IPv6 address (Invalid argument)"
	equal "$(ls "$INFINISWAP_CONFIGFS")" ""
}

test_refused_power_is_taken_back()
{
	echo "power 1 110 no donor answers" >"$REFUSE"
	ctl 1 create --size 1G --redundancy none --donor a=10.7.0.2
	has "$err" "power: 1: no donor answers (Connection timed out)"
	equal "$(ls "$INFINISWAP_CONFIGFS")" ""
}

test_a_line_about_the_attribute_beats_later_ones()
{
	echo "power 1 107 no donor can be reached" >"$REFUSE"
	export FAKE_LINE="infiniswap: infiniswap0: a: 10.7.0.2:9400: no session"
	ctl 1 create --size 1G --redundancy none --donor a=10.7.0.2
	has "$err" "power: 1: no donor can be reached (Transport endpoint"
}

test_a_donor_named_twice_is_refused()
{
	ctl 2 create --size 1G --redundancy none --donor a=10.7.0.2 --donor a=10.7.0.3
	has "$err" "a=10.7.0.3: this donor is named twice"
	equal "$(ls "$INFINISWAP_CONFIGFS")" ""
}

test_error_without_kernel_log_names_the_errno()
{
	echo "size 1G 22 too big" >"$REFUSE"
	INFINISWAP_KMSG=$scratch/none/kmsg ctl 2 create --size 1G --redundancy none --donor a=10.7.0.2
	equal "$err" "infiniswapctl: infiniswap0: size: 1G: Invalid argument"
}

test_old_kernel_lines_are_not_taken_for_reasons()
{
	echo "4,1,1,-;infiniswap: infiniswap0: size: 1G: an old line" >"$INFINISWAP_KMSG"
	echo "queues 9 22 not 1 to 4" >"$REFUSE"
	ctl 2 create --size 1G --redundancy none --donor a=10.7.0.2 --queues 9
	equal "$err" "infiniswapctl: infiniswap0: queues: 9: not 1 to 4 (Invalid argument)"
}

test_unknown_setting_is_refused_by_name()
{
	ctl 2 create --size 1G --redundancy none --donor a=10.7.0.2 -o colour=red
	has "$err" "colour: red: No such file"
	equal "$(ls "$INFINISWAP_CONFIGFS")" ""
}

test_taken_name_is_left_alone()
{
	create_one
	ctl 1 create infiniswap0 --size 1G --redundancy none --donor a=10.7.0.2
	equal "$err" "infiniswapctl: infiniswap0: exists already"
	equal "$(setting infiniswap0/power)" 1
}

test_remove_leaves_nothing()
{
	create_one
	ctl 0 remove /dev/infiniswap0
	equal "$(ls "$INFINISWAP_CONFIGFS")" ""
}

test_remove_refuses_active_swap()
{
	create_one
	swap_on
	ctl 1 remove infiniswap0
	has "$err" "swapoff /dev/infiniswap0 first"
	equal "$(setting infiniswap0/power)" 1
}

test_remove_of_an_open_device_says_so()
{
	create_one
	echo "power 0 16 the device is open" >"$REFUSE"
	ctl 1 remove infiniswap0
	has "$err" "the device is open (Device or resource busy)"
	has "$err" "close what has /dev/infiniswap0 open"
	equal "$(setting infiniswap0/donors/a/address)" 10.7.0.2
}

# udev does, at each event of a disk.
test_remove_waits_for_what_opens_the_device_for_a_moment()
{
	create_one
	echo "power 0 16 the device is open" >"$REFUSE"
	{ sleep 0.5; : >"$REFUSE"; } &
	ctl 0 remove infiniswap0
	wait $!
	equal "$(ls "$INFINISWAP_CONFIGFS")" ""
}

test_remove_of_no_device()
{
	ctl 1 remove infiniswap7
	has "$err" "infiniswap7: no such device"
	ctl 1 remove ../etc
	has "$err" "no such device"
}

# ---- donors of a device -----------------------------------------------------

test_a_donor_is_added()
{
	create_one
	ctl 0 add-donor infiniswap0 'c=[fd00::4]:9401' --domain rack2
	equal "$out" ""
	equal "$(setting infiniswap0/donors/c/address)" fd00::4
	equal "$(setting infiniswap0/donors/c/port)" 9401
	equal "$(setting infiniswap0/donors/c/domain)" rack2
	ctl 0 add-donor /dev/infiniswap0 d=10.7.0.5
	equal "$(setting infiniswap0/donors/d/address)" 10.7.0.5
}

# With an address the donor of a device in use can be changed no more.
test_a_donor_gets_its_address_last()
{
	create_one
	echo "port 9401 16 device is powered" >"$REFUSE"
	ctl 1 add-donor infiniswap0 c=10.7.0.4:9401
	equal "$err" "infiniswapctl: infiniswap0: donors/c/port: 9401: device is powered (Device or resource busy)"
	echo "address 10.7.0.4 22 no" >"$REFUSE"
	ctl 1 add-donor infiniswap0 c=10.7.0.4:9401
	has "$err" "donors/c/address: 10.7.0.4: no"
	equal "$(ls "$INFINISWAP_CONFIGFS/infiniswap0/donors")" $'a\nb'
}

test_a_donor_is_added_once()
{
	create_one
	ctl 1 add-donor infiniswap0 a=10.7.0.9
	equal "$err" "infiniswapctl: infiniswap0: a: there is such a donor already"
	equal "$(setting infiniswap0/donors/a/address)" 10.7.0.2
}

test_a_donor_is_drained()
{
	create_one
	ctl 0 drain-donor infiniswap0 a
	equal "$(setting infiniswap0/donors/a/drain)" 1
	equal "$(setting infiniswap0/donors/b/drain)" 0
	ctl 0 drain-donor infiniswap0 a --cancel
	equal "$(setting infiniswap0/donors/a/drain)" 0
}

test_a_drained_donor_is_removed()
{
	create_one
	ctl 0 remove-donor infiniswap0 a
	equal "$(ls "$INFINISWAP_CONFIGFS/infiniswap0/donors")" b
}

test_a_donor_that_is_not_drained_stays()
{
	create_one
	echo "address - 16 not drained: set drain and wait for state drained" >"$REFUSE"
	ctl 1 remove-donor infiniswap0 a
	has "$err" "infiniswap0: donors/a/address: not drained: set drain and wait for state drained (Device"
	has "$err" "infiniswapctl drain-donor infiniswap0 a"
	equal "$(setting infiniswap0/donors/a/address)" 10.7.0.2
}

test_donors_are_changed_of_what_is_there()
{
	create_one
	ctl 1 add-donor infiniswap3 c=10.7.0.4
	has "$err" "infiniswap3: no such device"
	ctl 1 drain-donor infiniswap0 c
	equal "$err" "infiniswapctl: infiniswap0: c: no such donor"
	ctl 1 remove-donor infiniswap0 ../donors/a
	has "$err" "no such donor"
	ctl 2 add-donor infiniswap0 c
	ctl 2 add-donor infiniswap0
	ctl 2 add-donor infiniswap0 c=10.7.0.4 d=10.7.0.5
	ctl 2 add-donor infiniswap0 c=10.7.0.4 --domain ""
	ctl 2 drain-donor infiniswap0
	ctl 2 remove-donor
	equal "$(ls "$INFINISWAP_CONFIGFS/infiniswap0/donors")" $'a\nb'
}

# ---- list, show, donors -----------------------------------------------------

test_list_shows_a_device()
{
	create_one
	status_write
	swap_on
	ctl 0 list --noheadings --raw -o NAME,SIZE,STATE,SLABS,MAPPED,DONORS,PAGES-IN,PAGES-OUT,SWAP
	equal "$out" "infiniswap0 1G up 16 3 2 1000 2000 on"
	ctl 0 list --bytes -n -r -o size
	equal "$out" 1073741824
}

test_list_of_a_device_that_is_off()
{
	create_one
	ctl 0 list -n -r -o NAME,STATE,DONORS,SWAP
	equal "$out" "infiniswap0 off 2 off"
}

test_list_json()
{
	create_one
	status_write
	ctl 0 list --json	# sizes are numbers without --bytes
	equal "$(json '["devices"][0]["name"]')" infiniswap0
	equal "$(json '["devices"][0]["size"] + 1')" 1073741825
	equal "$(json '["devices"][0]["mapped"] + 1')" 4
}

test_list_of_nothing()
{
	ctl 0 list
	equal "$out" ""
	ctl 0 list --json
	equal "$(json '["devices"]')" "[]"
}

test_list_sorts_by_number()
{
	mkdir "$INFINISWAP_CONFIGFS"/infiniswap{10,9,0}
	ctl 0 list -n -r -o NAME
	equal "$out" $'infiniswap0\ninfiniswap9\ninfiniswap10'
}

test_donors_table()
{
	create_one
	status_write
	ctl 0 donors -n -r -o DEVICE,DONOR,ADDRESS,STATE,SLABS,PAGES-IN,PAGES-OUT,ERRORS,CRC-ERRORS,EVICTIONS,DRAIN
	equal "$out" $'infiniswap0 a 10.7.0.2:9400 live 2 500 700 0 1 4 0\ninfiniswap0 b 10.7.0.3:9401 live 2 500 700 0 1 4 1'
	ctl 0 donors
	has "$out" DOMAIN
	has "$out" rack1
	ctl 0 donors infiniswap0 --json
	equal "$(json '["donors"][1]["address"]')" 10.7.0.3:9401
	ctl 1 donors infiniswap3
}

test_show_text_and_json()
{
	create_one
	status_write
	ctl 0 show infiniswap0
	has "$out" "pages_in_remote      1000"
	has "$out" "10.7.0.3:9401"
	has "$out" "CRC-ERRORS EVICTIONS"
	has "$out" rack1
	ctl 0 show infiniswap0 --json
	equal "$(json '["settings"]["queue_depth"]')" 40
	equal "$(json '["status"]["pages_out_remote"] + 1')" 2001
	equal "$(json '["donors"][0]["state"]')" live
	equal "$(json '["donors"][0]["crc_errors"] + 1')" 2
	equal "$(json '["donors"][0]["evictions"] + 1')" 5
	equal "$(json '["donors"][0]["domain"]')" rack1
	equal "$(json '["donors"][1]["drain"] + 1')" 2
	equal "$(json '["swap"]')" False
}

test_json_says_the_same_of_a_device_that_is_off()
{
	create_one
	echo 007 >"$INFINISWAP_CONFIGFS/infiniswap0/donors/a/domain"
	ctl 0 show infiniswap0 --json
	equal "$(json '["status"]["state"]')" off
	equal "$(json '["donors"][0]["state"]')" off
	equal "$(json '["donors"][0]["domain"]')" 007
	echo >"$INFINISWAP_CONFIGFS/infiniswap0/donors/a/address"
	ctl 0 donors infiniswap0 --json -o DONOR,ADDRESS
	has "$out" null
}

# ---- usage ------------------------------------------------------------------

test_usage_errors_are_status_2()
{
	ctl 2
	ctl 2 connect
	ctl 2 list --colour
	ctl 2 list -o NAME,COLOUR
	ctl 2 show
	ctl 2 create --redundancy none --donor a=10.7.0.2
	ctl 2 create --size 1G --donor a=10.7.0.2
	has "$err" "--redundancy is missing"
	ctl 2 create --size 1G --redundancy none
	ctl 2 create --size 1G --redundancy none --donor 10.7.0.2
	ctl 2 create --size 1G --redundancy none --donor ../a=10.7.0.2
	ctl 2 create sda --size 1G --redundancy none --donor a=10.7.0.2
	equal "$(ls "$INFINISWAP_CONFIGFS")" ""
}

test_wrong_options_are_said_by_the_program_and_its_command()
{
	local command

	for command in create remove list show donors donor add-donor drain-donor remove-donor; do
		ctl 2 "$command" --bogus
		equal "$err" "infiniswapctl: $command: unrecognized option '--bogus'
Try 'infiniswapctl $command --help'."
	done
	ctl 2 donor clients --bogus
	has "$err" "infiniswapctl: donor: unrecognized option '--bogus'"
	ctl 2 create --size
	has "$err" "infiniswapctl: create: option '--size' requires an argument"
	ctl 2 list now
	has "$err" "Try 'infiniswapctl list --help'."
}

test_help_is_a_command_too()
{
	local all

	ctl 0 --help
	all=$out
	ctl 0 help
	equal "$out" "$all"
	ctl 0 create --help
	all=$out
	ctl 0 help create
	equal "$out" "$all"
	ctl 2 help nonsense
	has "$err" "nonsense: no such command"
	ctl 2 help create remove
}

# without_configfs PATH - the tool has to load the module with what is in PATH
without_configfs()
{
	[ ! -e /sys/kernel/config/infiniswap ] || skip "the module is loaded here"
	printf '#!/bin/sh\nunset INFINISWAP_CONFIGFS\nPATH=%s exec %s "$@"\n' \
		"$1" "$(realpath "$ctl")" >"$scratch/without"
	chmod +x "$scratch/without"
	ctl=$scratch/without
}

test_a_module_that_cannot_be_loaded_has_a_reason()
{
	without_configfs "$scratch/none"
	ctl 1 create --size 1G --redundancy none --donor a=10.7.0.2
	equal "$err" "infiniswapctl: cannot load the module: modprobe is not in PATH"
}

test_modprobe_says_why_it_failed()
{
	mkdir -p "$scratch/bin"
	printf '#!/bin/sh\necho "modprobe: FATAL: no such module" >&2\nexit 1\n' >"$scratch/bin/modprobe"
	chmod +x "$scratch/bin/modprobe"
	without_configfs "$scratch/bin"
	ctl 1 create --size 1G --redundancy none --donor a=10.7.0.2
	has "$err" "modprobe: FATAL: no such module"
	if [ "$(id -u)" = 0 ]; then
		has "$err" "cannot load the module: modprobe infiniswap failed: see above, and dmesg"
	else
		has "$err" "cannot load the module: modprobe infiniswap failed: it takes root's rights"
	fi
}

test_every_option_is_in_the_manual()
{
	local page=$here/../../docs/man/infiniswapctl.8.md command option

	for command in create remove list show donors add-donor drain-donor remove-donor donor; do
		ctl 0 "$command" --help
		grep -q "^    infiniswapctl $command\b" "$page" || fail "$command is not in the manual"
		while read -r option; do
			grep -q -- "$option" "$page" || fail "$command: $option is not in the manual"
		done < <(grep -o -- '--[a-z][a-z-]*' <<<"$out" | sort -u)
	done
	ctl 0 --help
	ctl 0 --version
}

test_full_output_is_an_error()
{
	create_one
	! LD_PRELOAD=$ctl_preload "$ctl" list >/dev/full 2>/dev/null || fail "list > /dev/full"
}

ctl_preload=$scratch/configfs.so
gcc -std=gnu11 -D_GNU_SOURCE -O2 -shared -fPIC -o "$ctl_preload" \
	"$here/ctl/configfs.c" -ldl
ktap_main tree_new
