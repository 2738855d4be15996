# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Completes infiniswapctl's commands and long options, as its own help has them,
# and the names of devices and of their donors.

_infiniswapctl_commands()
{
	infiniswapctl help | awk '/^Commands:/ { on = 1; next } !NF { on = 0 } on { print $1 }'
}

_infiniswapctl_words()
{
	local command=$1 position=$2 device=$3

	case $position:$command in
	1:* | 2:help)		_infiniswapctl_commands ;;
	2:show | 2:remove | 2:donors | 2:*-donor) infiniswapctl list -n -r -o NAME ;;
	2:donor)		printf '%s\n' status clients evictions drain ;;
	3:drain-donor | 3:remove-donor) infiniswapctl donors "$device" -n -r -o DONOR ;;
	*:remove)		infiniswapctl list -n -r -o NAME ;;
	esac 2>/dev/null
}

# What has no words here, a --backup disk for instance, is a file's name.
_infiniswapctl()
{
	local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words

	if [[ $word == -* ]]; then
		[ "$COMP_CWORD" -gt 1 ] || command=
		words=$(infiniswapctl ${command:+"$command"} --help 2>/dev/null |
			grep -o -- '--[a-z][a-z-]*' | sort -u)
	else
		words=$(_infiniswapctl_words "$command" "$COMP_CWORD" "${COMP_WORDS[2]-}")
	fi
	# not compgen -W, which would expand what is in a donor's name
	mapfile -t COMPREPLY < <(awk -v word="$word" 'NF && (word == "" || index($0, word) == 1)' <<<"$words")
}

complete -o default -F _infiniswapctl infiniswapctl
