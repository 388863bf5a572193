// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* A server and its only client in one thread, for as much as can happen in a second, counted.
 *
 *	flood operations NUMBER PER_SECOND	repeat eight empty reads and one of a byte; sometimes find nothing, or answer
 *	flood connections NUMBER	each accepted, read, answered, closed
 *
 * It says its port, waits for a line on standard input, and at the end says what it did: accepts,
 * waits, reads, reads that found nothing, answers, seconds.  A wait is two operations: entry and return.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BURST 64
/* Looks (epoll_wait) before each read: of all that is recorded, the cheapest that a thread can do. */
#define LOOKS 8
/* Connections from one address: fewer than there are ports, for the closed ones keep theirs a minute. */
#define FROM_ONE_ADDRESS 20000

static struct sockaddr_in address = {.sin_family = AF_INET};
static long accepts, waits, reads, empty, answers;
static int listening;

static void must(int good, const char *what)
{
	if (!good) {
		perror(what);
		exit(1);
	}
}

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec + at.tv_nsec / 1e9;
}

static int connected(unsigned int from)
{
	struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(from)};
	int client = socket(AF_INET, SOCK_STREAM, 0);

	must(!bind(client, (struct sockaddr *)&source, sizeof(source)), "bind the client");
	must(!connect(client, (struct sockaddr *)&address, sizeof(address)), "connect");
	return client;
}

static int accepted(void)
{
	int server = accept(listening, 0, 0);

	must(server >= 0, "accept");
	accepts++;
	return server;
}

static void answer(int server, int client)
{
	char byte = 'a';

	must(send(server, &byte, 1, 0) == 1, "answer");
	must(recv(client, &byte, 1, 0) == 1, "receive the answer");
	answers++;
}

static void operations(long wanted, double per_second)
{
	int client = connected(INADDR_LOOPBACK), server = accepted();
	struct epoll_event event = {.events = EPOLLIN};
	int i, j, polled = epoll_create1(0);
	double begun = now();
	char bytes[BURST] = {0}, byte;

	must(!epoll_ctl(polled, EPOLL_CTL_ADD, server, &event), "epoll_ctl");
	while (2 * waits + reads + empty + answers < wanted) {
		must(write(client, bytes, BURST) == BURST, "write");
		for (i = 0; i < BURST; i++) {
			for (j = 0; j < LOOKS; j++)
				must(epoll_wait(polled, &event, 1, 0) == 1, "wait");
			must(recv(server, &byte, 1, 0) == 1, "read");
		}
		waits += BURST * LOOKS;
		reads += BURST;
		must(recv(server, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "read nothing");
		empty++;
		answer(server, client);
		while (now() - begun < (2 * waits + reads + empty + answers) / per_second)
			;
	}
}

static void connections(long wanted)
{
	char byte = 'q';

	while (accepts < wanted) {
		int client = connected(INADDR_LOOPBACK + 1 + accepts / FROM_ONE_ADDRESS), server;

		must(write(client, &byte, 1) == 1, "ask");
		server = accepted();
		must(recv(server, &byte, 1, 0) == 1, "read");
		reads++;
		answer(server, client);
		close(server);
		close(client);
	}
}

int main(int argc, char **argv)
{
	socklen_t size = sizeof(address);
	double begun;
	cpu_set_t one;

	must(argc >= 3, "flood operations NUMBER PER_SECOND, flood connections NUMBER");
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listening = socket(AF_INET, SOCK_STREAM, 0);
	must(!bind(listening, (struct sockaddr *)&address, size), "bind");
	must(!listen(listening, 8), "listen");
	must(!getsockname(listening, (struct sockaddr *)&address, &size), "getsockname");
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	must(getchar() != EOF, "wait for a line");
	begun = now();
	if (!strcmp(argv[1], "connections"))
		connections(atol(argv[2]));
	else
		operations(atol(argv[2]), argc > 3 ? atof(argv[3]) : 1e9);
	printf("%ld %ld %ld %ld %ld %f\n", accepts, waits, reads, empty, answers, now() - begun);
	return 0;
}
