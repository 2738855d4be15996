// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the kernel keeps things: settings in configfs, status in sysfs, active
 * swap in /proc. Tests point the three variables below at a tree of their own.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "infiniswapctl.h"

#define PREFIX		"infiniswap"
#define CONFIGFS	"/sys/kernel/config"
#define CONFIGFS_MAGIC	0x62656570	/* fs/configfs/mount.c */

static const char *root(const char *variable, const char *standard)
{
	const char *value = secure_getenv(variable);

	return value ? value : standard;
}

static const char *config_root(void)
{
	return root("INFINISWAP_CONFIGFS", CONFIGFS "/" PREFIX);
}

static const char *block_root(void)
{
	return root("INFINISWAP_SYSFS", "/sys/block");
}

static const char *proc_root(void)
{
	return root("INFINISWAP_PROC", "/proc");
}

/* ---- files and directories ----------------------------------------------- */

static char *file_read(const char *path)
{
	char buf[4096];
	ssize_t len;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	len = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (len < 0)
		return NULL;
	while (len > 0 && isspace((unsigned char)buf[len - 1]))
		len--;
	buf[len] = '\0';
	return xstrdup(buf);
}

void names_free(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->name[i]);
	free(names->name);
}

static int by_version(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

/* The entries of one kind (S_IFDIR, S_IFREG) in @path; none if there is no @path. */
static struct names names_in(const char *path, mode_t kind)
{
	struct names names = { NULL, 0 };
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	dir = opendir(path);
	if (!dir)
		return names;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    fstatat(dirfd(dir), entry->d_name, &st, 0) ||
		    (st.st_mode & S_IFMT) != kind)
			continue;
		names.name = xreallocarray(names.name, names.count + 1,
					   sizeof(*names.name));
		names.name[names.count++] = xstrdup(entry->d_name);
	}
	closedir(dir);
	if (names.count)
		qsort(names.name, names.count, sizeof(*names.name), by_version);
	return names;
}

/* ---- devices --------------------------------------------------------------- */

char *config_path(const char *device, const char *donor, const char *attr)
{
	const char *top = config_root();

	if (donor && attr)
		return xasprintf("%s/%s/donors/%s/%s", top, device, donor, attr);
	if (donor)
		return xasprintf("%s/%s/donors/%s", top, device, donor);
	if (attr)
		return xasprintf("%s/%s/%s", top, device, attr);
	return xasprintf("%s/%s", top, device);
}

const char *device_name(const char *arg)
{
	if (!strncmp(arg, "/dev/", 5))
		arg += 5;
	if (strncmp(arg, PREFIX, strlen(PREFIX)) || strchr(arg, '/'))
		return NULL;
	return arg;
}

bool is_item_name(const char *name)
{
	return name[0] && name[0] != '.' && !strchr(name, '/');
}

bool device_exists(const char *device)
{
	char *path __free_str = config_path(device, NULL, NULL);

	return !access(path, F_OK);
}

bool donor_exists(const char *device, const char *donor)
{
	char *path __free_str = config_path(device, donor, NULL);

	return is_item_name(donor) && !access(path, F_OK);
}

/* /proc/swaps: a line of headings, then lines that begin with the path. */
bool device_is_swap(const char *device)
{
	char *path __free_str = xasprintf("%s/swaps", proc_root());
	char *node __free_str = xasprintf("/dev/%s", device);
	char *line __free_str = NULL;
	bool found = false;
	size_t size = 0;
	FILE *file;

	file = fopen(path, "re");
	if (!file)
		return false;
	while (!found && getline(&line, &size, file) > 0) {
		line[strcspn(line, " \t\n")] = '\0';
		found = !strcmp(line, node);
	}
	fclose(file);
	return found;
}

struct names device_names(void)
{
	return names_in(config_root(), S_IFDIR);
}

struct names donor_names(const char *device)
{
	char *path __free_str = config_path(device, "", NULL);

	return names_in(path, S_IFDIR);
}

struct names setting_names(const char *device)
{
	char *path __free_str = config_path(device, NULL, NULL);

	return names_in(path, S_IFREG);
}

static char *status_path(const char *device, const char *attr)
{
	return xasprintf("%s/%s/" PREFIX "/%s", block_root(), device, attr);
}

struct names status_names(const char *device)
{
	char *path __free_str = status_path(device, "");

	return names_in(path, S_IFREG);
}

char *device_setting(const char *device, const char *attr)
{
	char *path __free_str = config_path(device, NULL, attr);

	return file_read(path);
}

char *device_status(const char *device, const char *attr)
{
	char *path __free_str = status_path(device, attr);

	return file_read(path);
}

char *donor_setting(const char *device, const char *donor, const char *attr)
{
	char *path __free_str = config_path(device, donor, attr);

	return file_read(path);
}

char *donor_status(const char *device, const char *donor, const char *attr)
{
	char *file __free_str = xasprintf("donors/%s/%s", donor, attr);

	return device_status(device, file);
}

/* What is off has no file that says so. */
char *device_state(const char *device)
{
	char *state = device_status(device, "state");

	return state ? state : xstrdup("off");
}

char *donor_state(const char *device, const char *donor)
{
	char *state = donor_status(device, donor, "state");

	return state ? state : xstrdup("off");
}

/* ---- the module -------------------------------------------------------------- */

/* modprobe says on stderr what the kernel or depmod's index has against it. */
static int module_load(void)
{
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		execlp("modprobe", "modprobe", PREFIX, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return failed("cannot load the module: %s", strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return failed("cannot load the module: modprobe is not in PATH");
	return failed("cannot load the module: modprobe " PREFIX " failed: %s",
		      geteuid() ? "it takes root's rights" :
				  "see above, and dmesg");
}

static bool configfs_mounted(void)
{
	struct statfs fs;

	return !statfs(CONFIGFS, &fs) && fs.f_type == CONFIGFS_MAGIC;
}

int config_ready(void)
{
	const char *top = config_root();

	if (!access(top, F_OK))
		return 0;
	if (secure_getenv("INFINISWAP_CONFIGFS"))
		return failed("%s: %s", top, strerror(errno));
	if (module_load())
		return CTL_FAILED;
	if (!configfs_mounted())
		return failed("configfs is not mounted: mount -t configfs configfs "
			      CONFIGFS);
	if (access(top, F_OK))
		return failed("%s: %s although the module is loaded", top,
			      strerror(errno));
	return 0;
}
