# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Debian packages that this project installs on the machine it runs on, and how.
#
# Only tools and libraries are ever installed. Kernels, kernel headers and
# sources, and whatever would start a service or write to /boot, are unpacked
# into the cache instead: see scripts/lib/lab/apt.py.

# To compile the module, the daemon and the tools.
PACKAGES_BUILD="make gcc gcc-12 libc6-dev pkg-config kmod libelf1
	libibverbs-dev librdmacm-dev liburing-dev libinih-dev
	libjson-c-dev libsmartcols-dev libblkid-dev python3 xz-utils"

# To make the guests' image and to run the guests.
PACKAGES_LAB="gcc libc6-dev python3 kmod cpio e2fsprogs xz-utils
	util-linux qemu-system-x86 zstd"

# To build the lab's kernel that finds bugs.
PACKAGES_KERNEL="make gcc libc6-dev flex bison bc libelf-dev libssl-dev
	perl kmod xz-utils"

# To draw what was measured.
PACKAGES_BENCH="gnuplot-nox"

# To run the whole test suite.
PACKAGES_CHECK="bzip2 groff-base libasan8 libubsan1 shellcheck rsync perl sparse"

# packages_of SET... - print the packages of the named sets.
packages_of()
{
	local set

	for set in "$@"; do
		case $set in
		build)	echo "$PACKAGES_BUILD" ;;
		lab)	echo "$PACKAGES_LAB" ;;
		kernel)	echo "$PACKAGES_KERNEL" ;;
		bench)	echo "$PACKAGES_BENCH" ;;
		check)	echo "$PACKAGES_BUILD $PACKAGES_LAB $PACKAGES_BENCH $PACKAGES_CHECK" ;;
		*)
			echo "setup: no package set is called '$set' (known: build, lab, kernel, bench, check)" >&2
			return 2 ;;
		esac
	done
}

# packages_missing PACKAGE... - print those that are not installed.
packages_missing()
{
	local installed

	# A package that was removed is still known, with another status.
	installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
		sed -n 's/^installed //p') || true
	comm -23 <(printf '%s\n' "$@" | sort -u) <(sort -u <<<"$installed")
}

# as_root COMMAND... - run it with root's rights, never asking for a password.
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo -n "$@"
	fi
}

# apt_get ARGUMENT... - apt-get that asks nothing and waits for dpkg's lock.
apt_get()
{
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q \
		-o DPkg::Lock::Timeout=600 -o APT::Update::Error-Mode=any "$@" </dev/null
}

# packages_install SET... - install what is missing of these sets.
#
# Without root's rights nothing is tried: the missing packages are named, so
# that somebody who has them can install them.
packages_install()
{
	local all log
	local -a missing

	all=$(packages_of "$@") || return
	# shellcheck disable=SC2086 # a list of words
	mapfile -t missing < <(packages_missing $all)
	[ ${#missing[@]} -gt 0 ] || return 0

	if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
		echo "setup: packages are missing, and there is neither root nor sudo without a password:" >&2
		echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
		return 1
	fi

	echo "setup: installing ${missing[*]}" >&2
	log=$(mktemp)
	# An old package list names versions that mirrors no longer carry, so a
	# failure is tried once more with a fresh list.
	if ! packages_apt_install "${missing[@]}" >"$log" 2>&1 &&
	   ! { apt_get update && packages_apt_install "${missing[@]}"; } >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		echo "setup: apt-get could not install ${missing[*]}" >&2
		return 1
	fi
	rm -f "$log"
}

packages_apt_install()
{
	apt_get install -y --no-install-recommends "$@"
}
