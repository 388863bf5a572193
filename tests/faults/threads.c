/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * A server with a new thread for each connection, several thousand a second, and its clients.
 *
 *   threads CONNECTIONS CLIENTS RATE [ADDRESS NETWORK]
 *
 * It prints its port and waits for a line on its standard input.  Then CLIENTS processes make that
 * many connections between them, RATE a second or as many as they can (0), and the thread that was
 * made for a connection reads it, answers with its process, its thread and how much it read, and
 * ends.  The server listens on ADDRESS (127.0.0.1), and its clients come from the network namespace that
 * the file NETWORK stands for.  Each client prints one line per connection: CLIENT-PORT PID TID BYTES of the reply.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static void *answer(void *given)
{
	int connection = (long)given;
	char bytes[4096], said[64];
	ssize_t length = read(connection, bytes, sizeof(bytes));
	int size = snprintf(said, sizeof(said), "%d %d %zd", getpid(), gettid(), length);

	check(write(connection, said, size) == size, "answer");
	close(connection);
	return 0;
}

static void serve(int listener, long connections)
{
	pthread_attr_t detached;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&detached, 64 * 1024);
	while (connections--) {
		long connection = accept(listener, 0, 0);
		pthread_t thread;

		check(connection >= 0, "accept");
		check(!pthread_create(&thread, &detached, answer, (void *)connection), "pthread_create");
	}
}

/* Each answer is whole when the server has closed: it is a few bytes, written at once. */
static void ask(struct sockaddr_in *server, long number)
{
	int connection = socket(AF_INET, SOCK_STREAM, 0), length = 0, part;
	struct sockaddr_in mine;
	socklen_t size = sizeof(mine);
	char bytes[128] = {0}, said[128];

	check(!connect(connection, (struct sockaddr *)server, sizeof(*server)), "connect");
	check(!getsockname(connection, (struct sockaddr *)&mine, &size), "getsockname");
	check(write(connection, bytes, 1 + number % 97) > 0, "write");
	while ((part = read(connection, said + length, sizeof(said) - 1 - length)) > 0)
		length += part;
	check(!part && length, "read");
	said[length] = 0;
	printf("%d %s\n", ntohs(mine.sin_port), said);
	close(connection);
}

static void pause_until(const struct timespec *begin, double after_s)
{
	struct timespec until = *begin;

	until.tv_sec += (time_t)after_s;
	until.tv_nsec += (long)((after_s - (time_t)after_s) * 1e9);
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, 0);
}

int main(int count, char **words)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const char *network = 0;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t size = sizeof(here);
	long connections, clients, i, number;
	struct timespec begin;
	double rate;

	if (count == 6) {
		check(inet_pton(AF_INET, words[4], &here.sin_addr) == 1, "address");
		network = words[5];
	} else if (count != 4) {
		return 2;
	}
	setlinebuf(stdout); /* all write to it, whole lines */
	connections = atol(words[1]);
	clients = atol(words[2]);
	rate = atof(words[3]);
	check(!bind(listener, (struct sockaddr *)&here, sizeof(here)) && !listen(listener, 256), "listen");
	getsockname(listener, (struct sockaddr *)&here, &size);
	printf("%d\n", ntohs(here.sin_port));
	check(getchar() == '\n', "getchar");
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (i = 0; i < clients; i++) {
		if (fork())
			continue;
		if (network)
			check(!setns(open(network, O_RDONLY), CLONE_NEWNET), "setns");
		for (number = i; number < connections; number += clients) {
			if (rate > 0)
				pause_until(&begin, number / rate);
			ask(&here, number);
		}
		_exit(0);
	}
	serve(listener, connections);
	for (i = 0; i < clients; i++) {
		int status;

		check(wait(&status) > 0 && !status, "client");
	}
	return 0;
}
