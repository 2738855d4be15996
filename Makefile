# SPDX-License-Identifier: GPL-2.0-only
#
# Verbs for people. Kbuild has what the kernel's build system reads.
#
#   make                    everything, for the running kernel if its headers
#                           are here, else for the lab's
#   make modules KDIR=DIR   the module for another kernel
#   make help               the other verbs

.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

# Of daemon and tool; dkms.conf has it too.
VERSION := 0.1.0

PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd/system
UDEVDIR ?= $(PREFIX)/lib/udev/rules.d
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
# Where the daemon looks.
config := /etc/infiniswap/infiniswapd.conf

CC := gcc
INSTALL ?= install
PKG_CONFIG ?= pkg-config
CFLAGS ?= -O2 -g

# What the code needs and what it is held to, whatever CFLAGS are.
cflags := -std=gnu11 -D_GNU_SOURCE -pthread -Iinclude
cflags += -Wall -Wextra -Wshadow -Wstrict-prototypes -Wconversion
cflags += $(if $(filter 1,$(WERROR)),-Werror)

# V=1 shows commands, else there is one short line for each.
say = @$(if $(filter 1,$(V)),set -x,printf '  %-7s %s\n' $(1) $(patsubst $(CURDIR)/%,%,$@));

all: daemon tools modules-if-any ## build the daemon, the tool and the module

# ---- the module ----------------------------------------------------------

# A kernel's headers, as a shell word list: KDIR if given, else the running
# kernel's, else the lab's, which scripts/setup fetches into its cache.
running := /lib/modules/$(shell uname -r)/build
find-kdir = kdir='$(KDIR)'; \
	if [ -z "$$kdir" ] && [ -e $(running)/Makefile ]; then kdir=$(running); fi; \
	if [ -z "$$kdir" ]; then \
		echo "no kernel headers in $(running): building for the lab's kernel"; \
		kdir=$$(scripts/setup kdir) || kdir=; \
	fi

# What `uname -r` says where this tree's modules load; kernel.release may say less.
release = $$(sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' "$$kdir/include/generated/utsrelease.h")

# Modules of several kernels stand side by side: kbuild writes beside its sources,
# so each kernel has a directory of links to them. Links to what is gone go too.
link-sources = dir=build/modules/$(release) && mkdir -p $$dir/kmod && \
	ln -sfn $(CURDIR)/Kbuild $(CURDIR)/include $$dir && \
	ln -sf $(CURDIR)/kmod/*.[ch] $(CURDIR)/kmod/*.sh $$dir/kmod && \
	find -L $$dir -type l -delete

# A kernel built with BTF wants pahole for each module; modules run without.
# kbuild would stop, so leave BTF out where pahole is missing.
kbuild = $(MAKE) --no-print-directory -C "$$kdir" M="$(CURDIR)/$$dir" \
	$(if $(shell command -v pahole),,CONFIG_DEBUG_INFO_BTF_MODULES=)

no-kdir = { echo "make: no kernel headers. Get them with one of"; \
	echo "  apt-get install linux-headers-$$(uname -r)   for the running kernel"; \
	echo "  scripts/setup kdir                           for the lab's kernel (no root needed)"; \
	echo "or name a tree: make modules KDIR=/path/to/linux"; } >&2

modules: ## the module alone; KDIR=DIR names another kernel's build tree
	+@$(find-kdir); \
	if [ -z "$$kdir" ]; then $(no-kdir); exit 1; fi; \
	$(link-sources) && echo "$$dir/infiniswap.ko ($$kdir)" && \
	$(kbuild) modules

# For `all`: userspace is worth having on a machine that has no kernel headers.
modules-if-any: daemon tools
	@$(find-kdir); \
	if [ -z "$$kdir" ]; then $(no-kdir); echo "infiniswap.ko was not built" >&2; exit 0; fi; \
	$(MAKE) --no-print-directory modules KDIR="$$kdir"

# ---- userspace -----------------------------------------------------------

# $(call packages,FLAG,LIBRARIES): what pkg-config says, or stop and name what to install.
packages = $(shell $(PKG_CONFIG) $(1) $(2))$(if $(filter-out 0,$(.SHELLSTATUS)),$(error \
	$(PKG_CONFIG) does not find all of: $(2). Install them with: scripts/setup packages build))

daemon-libs := libibverbs librdmacm liburing inih
tools-libs := json-c smartcols blkid
guest-libs := libibverbs librdmacm

daemon-objs := $(patsubst %.c,build/%.o,$(wildcard daemon/*.c))
tools-objs := $(patsubst %.c,build/%.o,$(wildcard tools/*.c))
daemon_test-objs := $(patsubst %.c,build/%.o,$(wildcard tests/daemon/*.c))
e2e-programs := $(patsubst tests/e2e/%.c,build/tests/guest/%,$(wildcard tests/e2e/*.c))
bench-programs := $(patsubst tests/bench/%.c,build/tests/guest/%,$(wildcard tests/bench/*.c))

daemon: build/infiniswapd ## infiniswapd, in build/
tools: build/infiniswapctl ## infiniswapctl, in build/

build/daemon/options.o build/tools/infiniswapctl.o: cflags += -DINFINISWAP_VERSION='"$(VERSION)"'
build/daemon/options.o build/tools/infiniswapctl.o: Makefile

build/infiniswapd: $(daemon-objs)
	$(call say,LD) $(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(call packages,--libs,$(daemon-libs))

build/infiniswapctl: $(tools-objs)
	$(call say,LD) $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(call packages,--libs,$(tools-libs))

# Programs that tests run inside the lab's guests.
guest-programs: $(e2e-programs) $(bench-programs) $(if $(daemon_test-objs),build/tests/guest/daemon_test)

build/tests/guest/daemon_test: $(daemon_test-objs)
	@mkdir -p $(@D)
	$(call say,LD) $(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(call packages,--libs,$(guest-libs))

build/tests/guest/%: build/tests/e2e/%.o
	@mkdir -p $(@D)
	$(call say,LD) $(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $< $(guest-ldlibs)

$(bench-programs): build/tests/guest/%: build/tests/bench/%.o
	@mkdir -p $(@D)
	$(call say,LD) $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $<

build/tests/guest/cmpeer build/tests/guest/evictor: guest-ldlibs = $(call packages,--libs,$(guest-libs))

$(daemon-objs) $(tools-objs): build/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(cflags) $(CFLAGS) -MMD -MP -c -o $@ $<

build/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(cflags) -Itests/lib $(CFLAGS) -MMD -MP -c -o $@ $<

# ---- tests ---------------------------------------------------------------

unit-tests := $(patsubst tests/%.c,build/tests/%,$(wildcard tests/unit/*_test.c))

# kselftest's headers and runner: of a kernel tree if KSELFTEST names one's
# tools/testing/selftests, else out of Debian's linux-source, fetched once.
KSELFTEST ?= build/selftests
selftests := kselftest_harness.h kselftest.h lib.mk run_kselftest.sh \
	kselftest/runner.sh kselftest/prefix.pl kselftest/module.sh

build/selftests:
	@mkdir -p build
	@linux=$$(scripts/setup linux-source-file $(addprefix \
		tools/testing/selftests/,$(selftests))) && \
		ln -sfn "$$linux/tools/testing/selftests" $@

# The harness is a system header here: it is not held to our warnings.
$(unit-tests): build/tests/unit/%: tests/unit/%.c | $(KSELFTEST)
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(cflags) -isystem $(KSELFTEST) $(CFLAGS) -MMD -MP \
		-fsanitize=address,undefined -fno-sanitize-recover=all -o $@ $< -lm

unit-programs: $(unit-tests)

unit: unit-programs ## unit tests, under ASan and UBSan
	@scripts/check --no-build 'unit/*'

# For kselftest's own runner: build/kselftest/run_kselftest.sh -c infiniswap
kselftest: daemon tools guest-programs unit-programs ## install the tests for run_kselftest.sh in build/kselftest
	@rm -rf build/kselftest
	@mkdir -p build/kselftest/kselftest
	@cp -L $(KSELFTEST)/run_kselftest.sh build/kselftest
	@cp -L $(KSELFTEST)/kselftest/* build/kselftest/kselftest
	@$(MAKE) -s --no-print-directory -C tests install \
		INSTALL_PATH=$(CURDIR)/build/kselftest/infiniswap
	@$(MAKE) -s --no-print-directory -C tests emit_tests COLLECTION=infiniswap \
		>build/kselftest/kselftest-list.txt
	@echo "Run: ISW_TOP=$(CURDIR) build/kselftest/run_kselftest.sh -c infiniswap"

style: ## form, layers, shell scripts
	@scripts/style

test: daemon tools guest-programs unit-programs ## build, unit tests and style: no root, < 2 minutes
	@scripts/check --quick --no-build

check: ## everything, in the lab: scripts/check
	@scripts/check

check-debug: ## the lab's tests on a kernel that looks for bugs: scripts/check --debug
	@scripts/check --debug

soak: ## long runs, to be gone on with: scripts/soak --help, docs/reliability.md
	@failed=; for part in page-ins 'page-ins --kernel 6.12' life storm-backup storm-mirror \
		storm-mirror+backup stall-backup stall-mirror low-memory 'low-memory --kernel 6.12' \
		evictions neighbour growth; do \
		scripts/soak $$part || failed="$$failed, $$part"; \
	done; [ -z "$$failed" ] || { echo "soak: wrong, or not all yet: $${failed#, }" >&2; exit 1; }

bench: ## what a page costs, in instructions and time, against what else there is: scripts/bench
	@scripts/bench

bench-full: ## more of it, hours of it, to be gone on with: scripts/bench full --help
	@scripts/bench full

demo: ## redis on remote memory: scripts/demo
	@scripts/demo

# ---- install, clean, help ------------------------------------------------

install: install-modules install-userspace ## what a client needs: module and all of userspace; DESTDIR=, PREFIX=, KDIR=

install-userspace: install-programs install-man install-config ## what a donor needs: programs, manual, systemd units, udev rule; no kernel headers

install-programs: daemon tools
	$(INSTALL) -d $(DESTDIR)$(SBINDIR)
	$(INSTALL) build/infiniswapd build/infiniswapctl $(DESTDIR)$(SBINDIR)

man-pages := $(patsubst docs/man/%.md,build/man/%,$(wildcard docs/man/*.md))

$(man-pages): build/man/%: docs/man/%.md scripts/man
	@mkdir -p $(@D)
	$(call say,MAN) scripts/man $< >$@

install-man: $(man-pages)
	$(foreach n,5 8,$(INSTALL) -D -m 644 -t $(DESTDIR)$(MANDIR)/man$(n) $(filter %.$(n),$^) &&) :

# A drop-in is for one name, or for all that begin alike up to a dash.
swap-units = $$(seq -f 'dev-infiniswap%g.swap' 0 31)

# A configuration that is there is the operator's.
install-config:
	$(INSTALL) -D -m 644 -t $(DESTDIR)$(UDEVDIR) packaging/90-infiniswap.rules
	$(INSTALL) -d $(DESTDIR)$(UNITDIR)
	for unit in infiniswapd.service infiniswap@.service; do \
		sed 's|/usr/sbin/|$(SBINDIR)/|' packaging/$$unit >$(DESTDIR)$(UNITDIR)/$$unit && \
		chmod 644 $(DESTDIR)$(UNITDIR)/$$unit || exit 1; \
	done
	for swap in $(swap-units); do \
		$(INSTALL) -D -m 644 packaging/infiniswap-swap.conf \
			$(DESTDIR)$(UNITDIR)/$$swap.d/infiniswap.conf || exit 1; \
	done
	$(INSTALL) -D -m 644 packaging/infiniswapctl.bash $(DESTDIR)$(COMPLETIONDIR)/infiniswapctl
	[ -e $(DESTDIR)$(config) ] || \
		$(INSTALL) -D -m 644 packaging/infiniswapd.conf $(DESTDIR)$(config)

# A module for the lab's kernel is of no use here, so its headers do not count.
install-modules:
	@kdir='$(or $(KDIR),$(wildcard $(running)))'; \
	if [ -z "$$kdir" ]; then $(no-kdir); exit 1; fi; \
	$(MAKE) --no-print-directory modules KDIR="$$kdir" && \
	dir=build/modules/$(release) && \
	$(kbuild) $(if $(DESTDIR),INSTALL_MOD_PATH='$(DESTDIR)') modules_install && \
	$(if $(DESTDIR),: depmod is for the machine that gets the files,depmod "$(release)")

# Kernels differ in where they want modules of others. What dkms built is dkms's.
uninstall: ## remove what install brought, not the configuration; DESTDIR=, PREFIX=
	rm -f $(addprefix $(DESTDIR)$(SBINDIR)/,infiniswapd infiniswapctl)
	rm -f $(foreach n,5 8,$(patsubst build/man/%,$(DESTDIR)$(MANDIR)/man$(n)/%,$(filter %.$(n),$(man-pages))))
	rm -f $(DESTDIR)$(UDEVDIR)/90-infiniswap.rules $(DESTDIR)$(COMPLETIONDIR)/infiniswapctl
	rm -f $(addprefix $(DESTDIR)$(UNITDIR)/,infiniswapd.service infiniswap@.service)
	for swap in $(swap-units); do \
		rm -f $(DESTDIR)$(UNITDIR)/$$swap.d/infiniswap.conf; \
		rmdir $(DESTDIR)$(UNITDIR)/$$swap.d || :; \
	done
	for module in $(DESTDIR)/lib/modules/*/extra/infiniswap.ko* \
		      $(DESTDIR)/lib/modules/*/updates/infiniswap.ko*; do \
		[ -e "$$module" ] || continue; \
		rm "$$module" && release=$${module#$(DESTDIR)/lib/modules/} && \
		$(if $(DESTDIR),:,depmod "$${release%%/*}") || exit 1; \
	done

clean: ## remove what was built, not what scripts/setup fetched
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 20 | sed 's/^/  make /'

.PHONY: all modules modules-if-any daemon tools guest-programs unit-programs \
	unit kselftest style test check check-debug soak bench bench-full demo install install-userspace install-programs \
	install-man install-config install-modules uninstall \
	clean help

-include $(shell find build -name '*.d' 2>/dev/null)
