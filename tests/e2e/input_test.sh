#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Every wrong input is refused with its own error and a message that names the
# thing, the value and the reason, and leaves nothing behind. A table: each row
# is one test, run in a guest by guest/refused.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

donor=10.7.0.101	# donor1's address
other_address=10.7.0.151	# another of its own
scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"

# ---- the table --------------------------------------------------------------

names=()
commands=()

# row NAME COMMAND… - a test
row()
{
	local command

	printf -v command '%q ' "${@:2}"
	names+=("$1")
	commands+=("$command")
}

# refused NODE ERROR MESSAGE COMMAND - see guest/refused
refused()
{
	lab exec "$1" --timeout 60 -- bash /tmp/refused "${@:2}"
}

# client NAME ERROR MESSAGE COMMAND, donor1 … - a row of refusal there
client()
{
	row "$1" refused client "${@:2}"
}

donor1()
{
	row "$1" refused donor1 "${@:2}"
}

# values ITEM/ATTRIBUTE REASON VALUE… - rows: each value is refused with EINVAL.
# The kernel log names the item without "donors/".
values()
{
	local what=$1 reason=$2 name=${1/donors\//} value

	for value in "${@:3}"; do
		client "$what: '$value'" EINVAL \
			"infiniswap: ${name//"/"/: }: $value: $reason" \
			"echo '$value' >infiniswap0/${what#*/}"
	done
}

# number ATTRIBUTE LOW HIGH - rows: what is no number from LOW to HIGH, with
# those among them that 32 or 64 bits would turn into one. On a debug kernel fewer:
# the same lines of the module run.
number()
{
	local wrong=("" "$(($2 - 1))" "$(($3 + 1))")

	lab_debug || wrong+=(garbage "$((2 ** 32 + $2))" "18446744073709551617" "$2x" 0x10 "1 2")
	values "infiniswap0/$1" "not a number from $2 to $3" "${wrong[@]}"
}

# ---- attributes of a device -------------------------------------------------

device_settings()
{
	local size="not a size" multiple="not a multiple of 4096 from 4096 to below 256T"
	local slab="not a power of two from 1M to 4G" long

	values infiniswap0/size "$size" "" garbage -4096 0x1000000 1GB 1.5G G "1G 1G" \
		18446744073709551616 18446744073709555712 16777217T
	values infiniswap0/size "$multiple" 0 1 4095 4097 256T
	printf -v long '%064d' 4096
	client "infiniswap0/size: 64 digits" EINVAL "$size" "echo $long >infiniswap0/size"
	values infiniswap0/slab_size "$slab" "" garbage -1048576 0 512K 3M 3000000 8G \
		18446744073709551616 16777216T
	values infiniswap0/redundancy "not a redundancy: backup, mirror and none are" "" garbage unset \
		nonesuch None
	values infiniswap0/backup "not the full path of a block device" disk dev/vdb ./vdb
	printf -v long '/%0255d' 1
	client "infiniswap0/backup: 256 characters" ENAMETOOLONG "backup: /0" \
		"echo $long >infiniswap0/backup"
	values infiniswap0/staging "$size" "" garbage -1 1.5M 16777217T
	values infiniswap0/staging "not 0 or a size from 1M to 16G" 1 1048575 17G
	values infiniswap0/integrity "not 0 or 1" "" garbage -1 2 257 yes
	number queues 1 4
	number queue_depth 4 256
	number max_sessions 1 64
	number spares 0 32
	number ready_grants 1 16
	number stall_ms 400 600000
	number donor_loss_timeout 0 86400
	number slab_idle_timeout 0 86400
	number slab_cold_timeout 0 86400
	number hot_slab 0 1000000
	values infiniswap0/copy_rate "not a size" "" garbage -1 1.5M 16777217T
	values infiniswap0/copy_rate "not 0 or a size from 1M to 1T" 1 1048575 2T
	values infiniswap0/power "not 0 or 1" "" garbage -1 2 10 yes 257
	client "a value cannot forge a line of the log" EINVAL \
		'infiniswap0: queues: 1\nforged: not a number' \
		'printf "1\nforged" >/tmp/value; dd if=/tmp/value of=infiniswap0/queues conv=notrunc'
	client "an attribute that is not there" 1 "Permission denied" "echo 1 >infiniswap0/colour"
}

# ---- names ------------------------------------------------------------------

item_names()
{
	local name reason="name is not infiniswap0 to infiniswap31"

	for name in infiniswap infiniswap32 infiniswap00 infiniswap01 infiniswap-1 \
		infiniswap1x infiniswap4294967296 Infiniswap1 foo; do
		client "device '$name'" EINVAL "infiniswap: $name: $reason" "mkdir $name"
	done
	client "device with a line end in its name" EINVAL \
		"infiniswap: infiniswap1\\n: $reason" "mkdir \$'infiniswap1\n'"
	client "device that exists" EEXIST "infiniswap0" "mkdir infiniswap0"
	client "device that does not exist" ENOENT "infiniswap7" "rmdir infiniswap7"
	client "donor with a name of 20 characters" ENAMETOOLONG \
		"infiniswap0: donors: twenty_characters_20: longer than 19 characters" \
		"mkdir infiniswap0/donors/twenty_characters_20"
	client "donor with a space in its name" EINVAL \
		"infiniswap0: donors: a b: has a space" "mkdir 'infiniswap0/donors/a b'"
	client "donor that exists" EEXIST "donors/donor1" "mkdir infiniswap0/donors/donor1"
	client "device that has donors is removed" ENOTEMPTY infiniswap0 "rmdir infiniswap0"
}

donor_settings()
{
	values infiniswap0/donors/donor1/address "not an IPv4 or IPv6 address of a host" \
		garbage donor1 10.7.0 10.7.0.900 10.7.0.101:9400 "10.7.0.101 x" \
		0.0.0.0 255.255.255.255 224.0.0.1 :: ff02::1 1:2:3
	client "infiniswap0/donors/donor1/address: 100 characters" EINVAL \
		"not an IPv4 or IPv6 address" \
		"printf '%0100d\n' 1 >infiniswap0/donors/donor1/address"
	values infiniswap0/donors/donor1/port "not a number from 1 to 65535" \
		"" garbage -1 0 65536 74936 9400x 0x24b8 4294976696
	printf -v long '%032d' 1
	values infiniswap0/donors/donor1/domain \
		"not a word of up to 31 printable ASCII characters" "$long" "rack 1"
	values infiniswap0/donors/donor1/drain "not 0 or 1" "" garbage -1 2 257 yes
}

# ---- switching on -----------------------------------------------------------

# power NAME ERROR MESSAGE SETTING… - a row of `powered`
power()
{
	client "power: $1" "$2" "$3" "powered ${*:4}"
}

switching_on()
{
	local memory=${LAB_MEM_FACTOR:-$(lab_debug && echo 2 || echo 1)}	# as the lab has it
	local good="size=1G redundancy=none"
	local small="size=16M slab_size=2M redundancy=none"
	local disk="size=16M slab_size=2M redundancy=backup backup"
	local none="infiniswap9: power: 1: no donor can be reached"
	local full="infiniswap9: power: 1: no donor granted a slab of 2097152 bytes within 10 s"

	power "redundancy is unset" EINVAL "infiniswap9: power: 1: redundancy is unset" \
		size=1G "@d=$donor"
	power "size is unset" EINVAL "infiniswap9: power: 1: size is unset" \
		redundancy=none "@d=$donor"
	power "size is no multiple of slab_size" EINVAL \
		"infiniswap9: power: 1: size 1052672 is not a multiple of slab_size 1048576" \
		size=1052672 slab_size=1M redundancy=none "@d=$donor"
	power "redundancy backup without a disk" EINVAL \
		"infiniswap9: power: 1: redundancy is backup and backup is unset" \
		size=1G redundancy=backup "@d=$donor"
	power "redundancy none with a disk" EINVAL \
		"infiniswap9: power: 1: redundancy is none and backup is /dev/vda" \
		"$good" backup=/dev/vda "@d=$donor"
	power "slabs that get cold without a backup" EINVAL \
		"infiniswap9: power: 1: slab_cold_timeout is 60 and redundancy is not backup" \
		"$good" slab_cold_timeout=60 "@d=$donor"
	power "a mirror with one session" EINVAL \
		"infiniswap9: power: 1: redundancy is mirror and max_sessions is 1" \
		size=1G redundancy=mirror max_sessions=1 "@d=$donor"
	power "slabs that get hot without a backup" EINVAL \
		"infiniswap9: power: 1: hot_slab is 20 and backup is unset" \
		"$good" hot_slab=20 "@d=$donor"
	power "a backup that does not exist" ENOENT \
		"infiniswap9: backup: /dev/nonesuch: no such device" "$disk=/dev/nonesuch" "@d=$donor"
	power "a backup that is a file" ENOTBLK "backup: /etc/passwd: not a block device" \
		"$disk=/etc/passwd" "@d=$donor"
	power "a backup that is mounted" EBUSY "backup: /dev/vda: in use" "$disk=/dev/vda" "@d=$donor"
	power "a backup that is read-only" EACCES "backup: /dev/loop7: read-only" \
		"$disk=/dev/loop7" "@d=$donor"
	power "a backup that is too small" ENOSPC \
		"backup: /dev/loop6: has 8388608 bytes, fewer than size 16777216" \
		"$disk=/dev/loop6" "@d=$donor"
	power "no donor" EDESTADDRREQ "infiniswap9: power: 1: no donor has an address" "$good"
	power "a donor without address" EDESTADDRREQ \
		"infiniswap9: power: 1: no donor has an address" "$good" @d=
	power "every donor is to be drained" EDESTADDRREQ \
		"infiniswap9: power: 1: no donor has an address, or all are to be drained" \
		"$good" "@d=$donor" donors/d/drain=1
	power "two donors with one address" EINVAL \
		"infiniswap9: power: 1: donors d and e have the same address" \
		"$good" "@d=$donor" "@e=$donor"
	power "a mirror of one donor with two addresses" ENOTCONN \
		":9400: is the daemon of donor " \
		size=16M slab_size=2M redundancy=mirror "@d=$donor" "@e=$other_address"
	power "more staging than this memory" ENOMEM \
		"infiniswap9: power: 1: no memory for 17179869184 bytes of staging" \
		"$disk=/dev/disk/by-id/virtio-lab-disk" staging=16G "@d=$donor"
	power "more than memory could ever describe" ENOMEM \
		"infiniswap9: power: 1: no memory for 1044480 slabs" \
		size=255T slab_size=256M redundancy=none "@d=$donor"
	power "more than this memory can describe" ENOMEM \
		"infiniswap9: power: 1: no memory for $((1536 * memory)) slabs" \
		"size=$((96 * memory))G" slab_size=64M redundancy=none "@d=$donor"
	power "a donor that does not exist, errno" ENOTCONN "$none" "$good" @d=10.7.0.77
	power "a donor that does not exist, reason" ENOTCONN \
		"infiniswap9: d: 10.7.0.77:9400: no session: " "$good" @d=10.7.0.77
	power "an address without a route" ENOTCONN \
		"infiniswap9: d: 192.0.2.1:9400: no session: " "$good" @d=192.0.2.1
	power "a donor without daemon, errno" ENOTCONN "$none" "$good" "@d=$donor:9499"
	power "a donor without daemon, reason" ENOTCONN \
		"infiniswap9: d: $donor:9499: no session: " "$good" "@d=$donor:9499"
	power "this host itself" ENOTCONN "infiniswap9: d: 10.7.0.1:9400: no session: " \
		"$good" @d=10.7.0.1
	power "a donor that rejects by protocol version" ENOTCONN \
		"infiniswap9: d: protocol version 1 is not spoken, but 7" "$good" "@d=$donor:9411"
	power "a donor that accepts in another version" ENOTCONN \
		"d: $donor:9412: no session: protocol version not spoken" "$good" "@d=$donor:9412"
	power "a donor that is full" ENOSPC "$full" "$small" "@d=$donor:9402"
	power "a donor that is full, reason" ENOSPC \
		"infiniswap9: d: grant of 2 MiB refused: no memory to grant" \
		"$small" "@d=$donor:9402"
	power "a slab that the donor does not serve" ENOSPC \
		"infiniswap9: d: grant of 2 MiB refused: slab size not served" \
		"$small" "@d=$donor:9403"
	power "a slab above the client's quota" ENOSPC \
		"infiniswap9: d: grant of 2 MiB refused: client's quota reached" \
		"$small" "@d=$donor:9404"
	row "power: the donor has nothing of all this" donor_is_idle
}

# ---- in use -----------------------------------------------------------------

# What the daemons hold for clients: nothing.
donor_is_idle()
{
	wait_for 20 donor_has_no_client || {
		lab_run donor1 rdma resource show
		fail "donor1 does not give up what clients had"
	}
}

donor_has_no_client()
{
	[ "$(lab_run donor1 "rdma resource show qp link rxe0 | grep -c infiniswapd || true")" = 0 ] &&
		[ "$(lab_run donor1 "rdma resource show mr link rxe0 | grep -c infiniswapd || true")" = 0 ]
}

switch_on()
{
	lab_run client "cd /sys/kernel/config/infiniswap/infiniswap0 &&
		echo 64M >size && echo 1M >slab_size && echo none >redundancy &&
		echo $donor >donors/donor1/address && echo 9405 >donors/donor1/port &&
		mkdir donors/unused && echo 1 >power"
}

# hold COMMAND ARGUMENT… - run it while something has the device open
hold()
{
	local status=0

	lab_run client 'tail -f /dev/null </dev/infiniswap0 >/dev/null 2>&1 & echo $! >/tmp/holder'
	"$@" || status=$?
	lab_run client 'kill $(cat /tmp/holder)'
	wait_for 10 lab_run client '! test -d /proc/$(cat /tmp/holder)'
	return "$status"
}

# swapped COMMAND ARGUMENT… - run it while the device is swap
swapped()
{
	local status=0

	lab_run client 'mkswap /dev/infiniswap0 && swapon /dev/infiniswap0'
	"$@" || status=$?
	lab_run client swapoff /dev/infiniswap0
	return "$status"
}

in_use()
{
	local attr config=/sys/kernel/config/infiniswap

	row "the device is switched on" switch_on
	for attr in size slab_size redundancy backup staging integrity queues queue_depth max_sessions; do
		client "infiniswap0/$attr while powered" EBUSY \
			"infiniswap0: $attr: 4: device is powered" "echo 4 >infiniswap0/$attr"
	done
	for attr in spares ready_grants stall_ms donor_loss_timeout slab_idle_timeout \
		slab_cold_timeout hot_slab; do
		client "infiniswap0/$attr: garbage while powered" EINVAL \
			"infiniswap0: $attr: garbage: not a number" "echo garbage >infiniswap0/$attr"
	done
	client "infiniswap0/copy_rate: garbage while powered" EINVAL \
		"infiniswap0: copy_rate: garbage: not a size" "echo garbage >infiniswap0/copy_rate"
	client "address of a donor while powered" EBUSY \
		"infiniswap0: donor1: address: 10.7.0.102: device is powered" \
		"echo 10.7.0.102 >infiniswap0/donors/donor1/address"
	client "port of a donor while powered" EBUSY \
		"infiniswap0: donor1: port: 9401: device is powered" \
		"echo 9401 >infiniswap0/donors/donor1/port"
	client "domain of a donor while powered" EBUSY \
		"infiniswap0: donor1: domain: rack: device is powered" \
		"echo rack >infiniswap0/donors/donor1/domain"
	client "slabs that get cold without a backup, while powered" EINVAL \
		"infiniswap0: slab_cold_timeout: 60: redundancy is not backup" \
		"echo 60 >infiniswap0/slab_cold_timeout"
	client "slabs that get hot without a backup, while powered" EINVAL \
		"infiniswap0: hot_slab: 20: backup is unset" "echo 20 >infiniswap0/hot_slab"
	client "address of another donor while powered" EEXIST \
		"infiniswap0: unused: address: $donor: another donor has it" \
		"cd infiniswap0/donors/unused; echo 9405 >port
			echo $donor >address; failed=\$?; echo 9400 >port; (exit \$failed)"
	client "bad address of a new donor while powered" EINVAL \
		"infiniswap0: unused: address: nowhere: not an IPv4" \
		"echo nowhere >infiniswap0/donors/unused/address"
	client "a powered device is removed" EBUSY infiniswap0 "rmdir infiniswap0"
	client "a powered device is made" EEXIST infiniswap0 "mkdir infiniswap0"
	client "the module in use is removed" 1 "infiniswap is in use" "rmmod infiniswap"
	power "a backup that is an Infiniswap device" EINVAL \
		"infiniswap9: backup: /dev/infiniswap0: is an Infiniswap device itself" \
		size=16M slab_size=2M redundancy=backup backup=/dev/infiniswap0 "@d=$donor"
	power "a donor that serves no further client" ENOTCONN \
		"d: $donor:9405: no session: donor serves no further client" \
		size=1G redundancy=none "@d=$donor:9405"
	row "power off while open" hold refused client EBUSY \
		"infiniswap0: power: 0: the device is in use" "echo 0 >infiniswap0/power"
	row "power off while swap" swapped refused client EBUSY \
		"infiniswap0: power: 0: the device is in use" "echo 0 >infiniswap0/power"
	row "infiniswapctl: remove a device that is open" hold refused client 1 \
		"infiniswap0: power: 0: the device is in use" "infiniswapctl remove infiniswap0"
	row "infiniswapctl: remove a device that is swap" swapped refused client 1 \
		"infiniswap0: in use as swap: swapoff /dev/infiniswap0 first" \
		"infiniswapctl remove infiniswap0"
	client "debugfs: an unknown donor" ENOENT "" \
		"echo nobody read >/sys/kernel/debug/infiniswap/infiniswap0/qp_error"
	client "debugfs: an unknown queue" EINVAL "" \
		"echo donor1 read 99 >/sys/kernel/debug/infiniswap/infiniswap0/qp_error"
	client "sysfs is read-only" 1 "Permission denied" \
		"chmod u-w,a+r /sys/block/infiniswap0/infiniswap/state; setpriv --bounding-set=-all bash -c 'echo down >/sys/block/infiniswap0/infiniswap/state'"
	row "the device is switched off" lab_run client "echo 0 >$config/infiniswap0/power &&
		rmdir $config/infiniswap0/donors/unused"
}

# ---- infiniswapctl ----------------------------------------------------------

# ctl NAME STATUS MESSAGE ARGUMENTS - a row
ctl()
{
	client "infiniswapctl: $1" "$2" "$3" "infiniswapctl $4"
}

tool()
{
	local good="--redundancy none --donor d=$donor"

	ctl "no command" 2 "Usage" ""
	ctl "an unknown command" 2 "connect" "connect"
	ctl "an unknown option" 2 "--colour" "list --colour"
	ctl "an unknown column" 2 "COLOUR: no such column" "list -o COLOUR"
	ctl "show without device" 2 "which device" "show"
	ctl "show a device that is not there" 1 "infiniswap7: no such device" "show infiniswap7"
	ctl "donors of a device that is not there" 1 "infiniswap7: no such device" "donors infiniswap7"
	ctl "remove a device that is not there" 1 "infiniswap7: no such device" "remove infiniswap7"
	ctl "create without size" 2 "--size is missing" "create $good"
	ctl "create without redundancy" 2 "--redundancy is missing" "create --size 1G --donor d=$donor"
	ctl "create without donor" 2 "--donor is missing" "create --size 1G --redundancy none"
	ctl "create another kind of device" 2 "sda: not a device name" "create sda --size 1G $good"
	ctl "create infiniswap32" 2 "name is not infiniswap0 to infiniswap31" \
		"create infiniswap32 --size 1G $good"
	ctl "create what exists" 1 "infiniswap0: exists already" "create infiniswap0 --size 1G $good"
	ctl "a bad size" 2 "infiniswap9: size: 1Z: not a size (Invalid argument)" \
		"create infiniswap9 --size 1Z $good"
	ctl "a bad slab size" 2 "slab_size: 3M: not a power of two from 1M to 4G (Invalid argument)" \
		"create infiniswap9 --size 1G --slab-size 3M $good"
	ctl "a mirror of one donor" 2 \
		"redundancy is mirror and there is no second donor of another domain than d's" \
		"create infiniswap9 --size 1G --redundancy mirror --donor d=$donor"
	ctl "a mirror within one domain" 2 \
		"redundancy is mirror and there is no second donor of another domain than d's" \
		"create infiniswap9 --size 1G --redundancy mirror --donor d=$donor --donor e=10.7.0.99 \
		--domain d=rack --domain e=rack"
	ctl "a domain of an unknown donor" 2 "--domain e=rack: there is no --donor of this name" \
		"create infiniswap9 --size 1G $good --domain e=rack"
	ctl "a domain without a name" 2 "--domain =rack: expected NAME=DOMAIN" \
		"create infiniswap9 --size 1G $good --domain =rack"
	ctl "an unknown setting" 2 "colour: red: No such file" "create infiniswap9 --size 1G $good -o colour=red"
	ctl "a bad address" 2 \
		"donors/d/address: 10.7.0.900: not an IPv4 or IPv6 address of a host (Invalid argument)" \
		"create infiniswap9 --size 1G --redundancy none --donor d=10.7.0.900"
	ctl "a bad port" 2 \
		"donors/d/port: 99999: not a number from 1 to 65535 (Invalid argument)" \
		"create infiniswap9 --size 1G --redundancy none --donor d=$donor:99999"
	ctl "a donor's name that is too long" 2 \
		"twenty_characters_20: longer than 19 characters (File name too long)" \
		"create infiniswap9 --size 1G --redundancy none --donor twenty_characters_20=$donor"
	ctl "a donor without daemon" 1 "power: 1: no donor can be reached (Transport endpoint is not" \
		"create infiniswap9 --size 1G --redundancy none --donor d=$donor:9499"
}

# ---- infiniswapd ------------------------------------------------------------

# option NAME STATUS MESSAGE ARGUMENTS - a row of infiniswapd, which must end
option()
{
	donor1 "infiniswapd: $1" "$2" "infiniswapd: $3" "infiniswapd $4"
}

# file MESSAGE LINE… - a row with these lines as the configuration file
file()
{
	local lines

	printf -v lines '%q ' "${@:2}"
	donor1 "infiniswapd: file with '${*: -1}'" 2 "infiniswapd: /tmp/bad.conf:$1" \
		"printf '%s\n' $lines >/tmp/bad.conf; infiniswapd --config /tmp/bad.conf"
}

daemon()
{
	local uncapped="setpriv --bounding-set=-all --inh-caps=-all"
	local limited="prlimit --memlock=1048576:1048576 $uncapped"

	option "an unknown option" 2 "unrecognized option '--colour" "--colour=red"
	option "a stray word" 2 '"stray": not an option' stray
	option "an option without value" 2 "option '--port' requires an argument" --port
	option "port 0" 2 "--port=0: must be from 1 to 65535" --port=0
	option "port 65536" 2 "--port=65536: must be from 1 to 65535" --port=65536
	option "a size that is none" 2 "--memory=lots: not a number" --memory=lots
	option "a size that overflows" 2 "--memory=16777217T: number too large" --memory=16777217T
	option "a negative size" 2 "--headroom=-1: not a number" --headroom=-1
	option "a slab size that is no power of two" 2 "--slab_size=3M: not a power of two" --slab-size=3M
	option "an unknown log level" 2 "--log_level=loud: not one of" --log-level=loud
	file "1: colour = red: no such key" "colour = red"
	file "2: memory = 1X: not a size" "port = 9400" "memory = 1X"
	file "3: lease = 0: must be from 1" "port = 9400" "" "lease = 0"
	file '1: not "key = value"' "nonsense"
	file "2: port = 9401: sections are not used here" "[donor]" "port = 9401"
	option "a file that is not there" 2 "/tmp/absent.conf: No such file" "--config /tmp/absent.conf"
	option "a file that is a directory" 2 "/tmp: Is a directory" "--config /tmp"
	donor1 "infiniswapd: a file that may not be read" 2 \
		"infiniswapd: /tmp/secret.conf: Permission denied" \
		"touch /tmp/secret.conf; chmod 0 /tmp/secret.conf; $uncapped infiniswapd --config /tmp/secret.conf"
	option "a port that is in use" 1 "error: cannot listen on port 9400: " ""
	option "an address of another host" 1 "error: cannot listen on 10.7.0.77 port 9400: " --bind=10.7.0.77
	option "a host's name that is none" 1 "error: bind no.such.host: " --bind=no.such.host
	option "a file that is not meminfo" 1 "error: /dev/null: no MemTotal" --meminfo=/dev/null
	row "infiniswapd: more memory than there is" warned \
		"warning: memory = 1048576 MiB, but this host has" infiniswapd --port=9421 --memory=1T
	row "infiniswapd: less locked memory than memory" warned \
		"warning: locked memory is limited to 1 MiB, less than memory = 64 MiB" \
		"$limited infiniswapd --port=9422 --memory=64M --prepare=1 --slab-size=4M"
	row "infiniswapd: a grant that may not be locked" unlockable "$limited"
	row "infiniswapd: a client of another protocol version" other_version
}

# warned MESSAGE COMMAND… - an infiniswapd that starts all the same says it
warned()
{
	lab_run donor1 "${*:2} >/tmp/warned.log 2>&1 & echo \$! >/tmp/warned.pid"
	wait_for 10 lab_run donor1 grep -q 'ready on' /tmp/warned.log || true
	lab_run donor1 'kill $(cat /tmp/warned.pid); cat /tmp/warned.log'
	lab_run donor1 "grep -qF '$1' /tmp/warned.log" || fail "not said: $1"
}

# unlockable PREFIX - a grant that the limit forbids is refused
unlockable()
{
	lab_run donor1 "$1 infiniswapd --port=9406 --memory=64M --headroom=0 --prepare=0 >/tmp/limited.log 2>&1 &
		echo \$! >/tmp/limited.pid"
	wait_for 10 lab_run donor1 grep -q 'ready on' /tmp/limited.log
	refused client ENOSPC "infiniswap9: d: grant of 2 MiB refused: registration failed" \
		"powered size=16M slab_size=2M redundancy=none @d=$donor:9406"
	lab_run donor1 'cat /tmp/limited.log; kill $(cat /tmp/limited.pid)'
	lab_run donor1 "grep -q 'cannot register 2 MiB: Cannot allocate memory' /tmp/limited.log"
}

other_version()
{
	refused client 1 "rejected by version 1: protocol version not spoken" \
		"/lab/bin/cmpeer connect $donor 9400 7"
	lab_run donor1 "grep -q 'rejected a connection from 10.7.0.1: protocol version not spoken: 7, this is 1' \
		/var/log/infiniswapd.log"
}

# ---- iWARP ------------------------------------------------------------------

# Debian's kernel has no siw, so it is built out of Debian's sources.
siw_build()
{
	local files sources

	files=$(printf "drivers/infiniband/sw/siw/%s " Makefile iwarp.h siw.h siw_cm.c siw_cm.h \
		siw_cq.c siw_main.c siw_mem.c siw_mem.h siw_qp.c siw_qp_rx.c siw_qp_tx.c \
		siw_verbs.c siw_verbs.h)
	# shellcheck disable=SC2086 # words
	sources=$("$ISW_TOP/scripts/setup" linux-source-file $files)
	cp -r "$sources/drivers/infiniband/sw/siw" "$scratch"
	make -s -C "$("$ISW_TOP/scripts/setup" kdir)" M="$scratch/siw" CONFIG_RDMA_SIW=m \
		CONFIG_DEBUG_INFO_BTF_MODULES= modules
	strip -g "$scratch/siw/siw.ko"
}

siw_on()
{
	lab put "$1" "$scratch/siw/siw.ko" /tmp
	lab_run "$1" 'modprobe -a libcrc32c iw_cm ib_core && insmod /tmp/siw.ko &&
		rdma link delete rxe0 && rdma link add siw0 type siw netdev eth0'
	wait_for 10 lab_run "$1" 'rdma link show siw0/1 | grep -q "state ACTIVE"'
}

siw_everywhere()
{
	siw_build
	lab_run donor1 'kill $(pidof infiniswapd cmpeer)'
	wait_for 20 lab_run donor1 '! pidof infiniswapd'
	siw_on client
	siw_on donor1
	lab_run donor1 daemon-up
}

siw_daemon_rejects()
{
	refused client 1 "rejected by version 1: transport not supported" \
		"/lab/bin/cmpeer connect $donor 9400 1"
	lab_run donor1 'grep "siw0 is iWARP" /var/log/infiniswapd.log'
}

iwarp()
{
	row "iWARP: siw replaces Soft-RoCE" siw_everywhere
	power "an iWARP device" ENOTCONN \
		"d: $donor:9400: no session: transport not supported: neither InfiniBand nor RoCE" \
		size=1G redundancy=none "@d=$donor"
	row "infiniswapd: a client over iWARP" siw_daemon_rejects
	option "an address of an iWARP device" 1 \
		"error: cannot listen on $donor port 9499: Protocol not supported (the RDMA device is iWARP)" \
		"--bind=$donor --port=9499"
	row "the client's RDMA device is removed" lab_run client rdma link delete siw0
	power "no RDMA device" ENOTCONN "infiniswap9: d: $donor:9400: no session: " \
		size=1G redundancy=none "@d=$donor"
}

# ---- the end ----------------------------------------------------------------

# An attribute that is new, or was forgotten: is there a row that begins so?
every_attribute_has_rows()
{
	local file

	lab_run client 'cd /sys/kernel/config/infiniswap &&
		find infiniswap0 -path "*/donors/*" ! -path "*/donor1/*" -o -type f -print' \
		>"$scratch/attributes"
	[ "$(wc -l <"$scratch/attributes")" -ge 18 ] || fail "$(<"$scratch/attributes")"
	printf '%s\n' "${names[@]}" >"$scratch/names"
	while read -r file; do
		grep -q "^$file: " "$scratch/names" || fail "$file: no row"
	done <"$scratch/attributes"
}

# resources NODE - without contexts: a daemon opens a device for its first client
resources()
{
	lab_run "$1" 'rdma resource | sed "s/ ctx [0-9]*//"'
}

same_resources()
{
	[ "$(resources "$1")" = "$(<"$scratch/$1.resources")" ]
}

nothing_is_left()
{
	local node

	for node in client donor1; do
		wait_for 20 same_resources "$node" || {
			cat "$scratch/$node.resources"
			resources "$node"
			fail "$node: RDMA resources are left"
		}
	done
}

module_unloads()
{
	lab_run client 'rmdir /sys/kernel/config/infiniswap/infiniswap0/donors/donor1 \
		/sys/kernel/config/infiniswap/infiniswap0 && rmmod infiniswap'
}

# ---- many rows in one go ----------------------------------------------------

# Rows of refusals that follow each other on one node are run there in one go:
# to begin a command in a guest takes longer than most of them.
turn=()
turn_node=''

# in_turn NODE I - row I is one of those
in_turn()
{
	if [ "$1" != "$turn_node" ] || [ ${#turn[@]} -ge 16 ]; then
		run_those_in_turn
	fi
	turn_node=$1
	turn+=("$2")
}

# The output of each ends with "[status N]"; one that has none was not run.
run_those_in_turn()
{
	local arguments=() i

	[ ${#turn[@]} -gt 0 ] || return 0
	for i in "${turn[@]}"; do
		eval "set -- ${commands[i]}"
		arguments+=("${@:3}")
	done
	# shellcheck disable=SC2016 # for the guest's shell
	lab exec "$turn_node" --timeout 300 -- bash -c '
		for (( ; $# > 0; )); do
			bash /tmp/refused "$1" "$2" "$3" 2>&1
			echo "[status $?]"
			shift 3
		done' refused "${arguments[@]}" >"$scratch/turn" 2>&1 || true
	exec {turn_output}<"$scratch/turn"
	for i in "${turn[@]}"; do
		ktap_test "${names[i]}" result_of_turn
	done
	exec {turn_output}<&-
	turn=()
}

result_of_turn()
{
	local line

	while IFS= read -r line <&"$turn_output"; do
		[[ $line != "[status "*"]" ]] || return "$(tr -dc 0-9 <<<"$line")"
		printf '%s\n' "$line"
	done
	fail "was not run"
}

# ---- main -------------------------------------------------------------------

device_settings
item_names
donor_settings
switching_on
in_use
tool
lab_debug || daemon	# no kernel takes part
row "every attribute has rows" every_attribute_has_rows
row "nothing is left on either side" nothing_is_left
iwarp
row "the module unloads" module_unloads
row "kernel logs are clean" lab_logs_clean

# siw is built for one kernel and goes to both nodes
lab_up --donor-kernel "$LAB_KERNEL" --donors 1 --client-mem 256M --donor-mem 512M --no-daemon
for node in client donor1; do
	lab put "$node" "$here/guest/refused" /tmp
done
lab_run client 'modprobe loop && truncate -s 8M /run/small && losetup /dev/loop6 /run/small &&
	losetup -r /dev/loop7 /run/small'
lab_run client 'modprobe infiniswap && cd /sys/kernel/config/infiniswap &&
	mkdir infiniswap0 infiniswap0/donors/donor1'
lab_run donor1 ip address add $other_address/24 dev eth0
lab_run donor1 "daemon-up --memory=128M --headroom=0 --slab-size=1M"
lab_run donor1 "daemon-up --port=9402 --prepare=0 --headroom=1000G"
lab_run donor1 "daemon-up --port=9403 --prepare=0 --memory=1M"
lab_run donor1 "daemon-up --port=9404 --prepare=0 --headroom=0 --client-quota=1M"
lab_run donor1 "daemon-up --port=9405 --prepare=0 --headroom=0 --max-clients=1"
for peer in "listen $donor 9411 7" "accept $donor 9412 7"; do
	lab_run donor1 "/lab/bin/cmpeer $peer >/tmp/peer 2>&1 & echo \$! >>/tmp/peers"
	wait_for 10 lab_run donor1 'grep -q ready /tmp/peer && rm /tmp/peer'
done
for node in client donor1; do
	resources "$node" >"$scratch/$node.resources"
done

ktap_plan "${#names[@]}"
for i in "${!names[@]}"; do
	case ${commands[i]} in
	"refused client "*) in_turn client "$i" ;;
	"refused donor1 "*) in_turn donor1 "$i" ;;
	*)
		run_those_in_turn
		eval "ktap_test ${names[i]@Q} ${commands[i]}"
		;;
	esac
done
run_those_in_turn
ktap_finish
