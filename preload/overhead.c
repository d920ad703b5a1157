/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an interposed call on an ordinary descriptor costs: each call timed without the shim and under it, in
 * turn, the best of many rounds each. The difference of two best rounds is what the shim adds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 40
#define CALLS 4000
#define REPEATS 5

static int fd, udp;

static void call_close(void)
{
	close(-1);		/* the kernel's shortest way back */
}

static void call_fcntl(void)
{
	fcntl(fd, F_GETFD);
}

static void call_dup_close(void)
{
	close(dup(fd));
}

static void call_dup2(void)
{
	dup2(fd, 50);
}

static void call_close_range(void)
{
	close_range(900, 901, 0);
}

static void call_setsockopt(void)
{
	int one = 1;

	setsockopt(udp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
}

/* No bytes to map, nothing there to unmap: the kernel's real work would drown the difference. */
static void call_mmap(void)
{
	mmap(NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0);
}

static void call_munmap(void)
{
	munmap((void *)4096, 4096);
}

static const struct {
	const char *name;
	void (*call)(void);
} CALLED[] = {
	{ "close (bad fd)", call_close },
	{ "fcntl", call_fcntl },
	{ "dup + close", call_dup_close },
	{ "dup2", call_dup2 },
	{ "close_range", call_close_range },
	{ "setsockopt", call_setsockopt },
	{ "mmap", call_mmap },
	{ "munmap", call_munmap },
};

#define CALLED_NR (sizeof(CALLED) / sizeof(CALLED[0]))

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static double best_ns(void (*call)(void))
{
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		double start = now_ns(), took;

		for (int i = 0; i < CALLS; i++)
			call();
		took = (now_ns() - start) / CALLS;
		best = took < best ? took : best;
	}
	return best;
}

/* In a process of its own, which prints nothing but figures. */
static int measure(void)
{
	fd = open("/proc/self/exe", O_RDONLY);
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	for (size_t i = 0; i < CALLED_NR; i++)
		printf("%f\n", best_ns(CALLED[i].call));
	return 0;
}

static void run(const char *self, const char *preload, double *best)
{
	char command[4200];
	FILE *figures;
	double took;

	snprintf(command, sizeof(command), "LD_PRELOAD='%s' '%s'", preload, self);
	figures = popen(command, "r");
	for (size_t i = 0; i < CALLED_NR; i++)
		if (figures && fscanf(figures, "%lf", &took) == 1 && took < best[i])
			best[i] = took;
	if (!figures || pclose(figures))
		exit(1);
}

int main(int argc, char **argv)
{
	double plain[CALLED_NR], shimmed[CALLED_NR];
	char *library = argc == 2 ? realpath(argv[1], NULL) : NULL;

	if (argc == 1)
		return measure();
	if (!library) {
		fprintf(stderr, "overhead: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	for (size_t i = 0; i < CALLED_NR; i++)
		plain[i] = shimmed[i] = 1e18;
	for (int i = 0; i < REPEATS; i++) {
		run(argv[0], "", plain);
		run(argv[0], library, shimmed);
	}
	printf("%-16s %10s %10s %10s\n", "call", "plain ns", "shim ns", "adds ns");
	for (size_t i = 0; i < CALLED_NR; i++)
		printf("%-16s %10.1f %10.1f %10.1f\n", CALLED[i].name, plain[i], shimmed[i], shimmed[i] - plain[i]);
	return 0;
}
