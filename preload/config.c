/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "parent.h"
#include "parent.h"
#include "report.h"

#define PREFIX "HUGEPCAP_"
#define LOADED "LD_PRELOAD="
#define EXIT_REFUSED 2

struct config config;
static char mount_path[4096];

static int read_policy(const char *value)
{
	return hp_policy_parse(value, &config.policy);
}

static int read_ring(const char *value)
{
	return hp_size_parse(value, &config.ring_bytes);
}

static int read_digit(const char *value, char most, int *number)
{
	if (value[0] < '0' || value[0] > most || value[1])
		return -1;
	*number = value[0] - '0';
	return 0;
}

static int read_strict(const char *value)
{
	return read_digit(value, '1', &config.strict);
}

static int read_verbose(const char *value)
{
	return read_digit(value, '3', &config.verbose);
}

/* A copy: the program may change its environment. */
static int read_mount(const char *value)
{
	if (value[0] != '/' || strlen(value) >= sizeof(mount_path))
		return -1;
	config.mount = strcpy(mount_path, value);
	return 0;
}

static const struct {
	const char *name;
	int (*read)(const char *value);
	const char *right;
} NAMES[] = {
	{ "POLICY", read_policy, "one of: " HP_POLICY_NAMES },
	{ "RING", read_ring, "a size such as 256M" },
	{ "STRICT", read_strict, "0 or 1" },
	{ "VERBOSE", read_verbose, "0, 1, 2 or 3" },
	{ "HUGETLBFS", read_mount, "the absolute path of a mounted hugetlbfs" },
};

/* Of the project's command line, tests and tools: a shim under them has nothing to say of these. */
static const char *const OTHERS[] = { "CACHE", "CI", "CSRC", "DEMO_INSIDE", "FUZZ", "GUEST", "KERNEL", "TEST_S" };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int is_named(const char *entry, size_t length, const char *name)
{
	return strlen(name) == length && !memcmp(name, entry, length);
}

static int is_other(const char *entry, size_t length)
{
	for (size_t i = 0; i < COUNT(OTHERS); i++)
		if (is_named(entry, length, OTHERS[i]))
			return 1;
	return 0;
}

static const char NO_NAME[] = "HUGEPCAP_POLICY, HUGEPCAP_RING, HUGEPCAP_STRICT, HUGEPCAP_VERBOSE and HUGEPCAP_HUGETLBFS";

/* One "HUGEPCAP_NAME=value" without the prefix. NULL, or what would be right: NO_NAME, or a value. */
static const char *read_entry(const char *entry)
{
	size_t length = strcspn(entry, "=");
	const char *value = entry + length + (entry[length] == '=');

	for (size_t i = 0; i < COUNT(NAMES); i++)
		if (is_named(entry, length, NAMES[i].name))
			return NAMES[i].read(value) == 0 ? NULL : NAMES[i].right;
	return is_other(entry, length) ? NULL : NO_NAME;
}

/* A program that starts others says it for all of them. */
static int said_by_parent(const char *entry, char **environment)
{
	for (; *environment; environment++)
		if (!strncmp(*environment, LOADED, strlen(LOADED)))
			return parent_has(*environment) && parent_has(entry);
	return 0;
}

static void complain(const char *entry, const char *right)
{
	if (right == NO_NAME)
		report("%.*s is no name of ours and ignored: there are %s", (int)strcspn(entry, "="), entry, right);
	else
		report("%s is ignored: give %s", entry, right);
}

void config_read(char **environment)
{
	int wrong = 0;

	for (char **entry = environment; entry && *entry; entry++) {
		const char *right = strncmp(*entry, PREFIX, strlen(PREFIX)) ? NULL : read_entry(*entry + strlen(PREFIX));

		if (right && !said_by_parent(*entry, environment))
			complain(*entry, right);
		wrong += right != NULL;
	}
	if (!wrong || !config.strict)
		return;
	report("HUGEPCAP_STRICT=1: not started");
	_exit(EXIT_REFUSED);
}
