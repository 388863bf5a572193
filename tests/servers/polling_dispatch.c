/* A server in the shape of RAMCloud: one dispatch thread polls its listener and all connections
 * without ever sleeping, reads requests, and puts them into shared memory, where workers find them:
 * each spins for a while before it sleeps on a futex.  Workers leave the answers in shared memory
 * too; the dispatch thread writes them.  Protocol: u32 length, u32 number, bytes; echoed.
 *
 * polling_dispatch PORT WORKERS
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 1024
#define ROOM 4096
#define SPIN_NS 1000000

enum { IDLE, WORKING, DONE };

struct worker {
	_Atomic int state;
	int connection;
	uint32_t length;
	char request[ROOM], answer[ROOM];
	pthread_t thread;
};

struct connection {
	int fd;
	uint32_t have;
	int busy;
	char bytes[ROOM];
};

static struct worker *workers;
static struct connection connections[CONNECTIONS];

static uint64_t now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void *work(void *argument)
{
	struct worker *self = argument;

	pthread_setname_np(pthread_self(), "worker");
	for (;;) {
		uint64_t since = now_ns();
		while (atomic_load(&self->state) != WORKING)
			if (now_ns() - since > SPIN_NS) {
				int seen = atomic_load(&self->state);
				if (seen != WORKING)
					syscall(SYS_futex, &self->state, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
			}
		for (uint64_t until = now_ns() + 20000; now_ns() < until;)
			; /* the request itself: 20 us */
		memcpy(self->answer, self->request, self->length);
		atomic_store(&self->state, DONE);
	}
	return NULL;
}

static void finish(struct worker *worker)
{
	struct connection *connection = &connections[worker->connection];

	if (write(connection->fd, worker->answer, worker->length) < 0)
		perror("write");
	connection->busy = 0;
	atomic_store(&worker->state, IDLE);
}

static void hand_over(struct worker *worker, int number, uint32_t length)
{
	struct connection *connection = &connections[number];

	memcpy(worker->request, connection->bytes, length);
	worker->length = length;
	worker->connection = number;
	connection->have -= length;
	memmove(connection->bytes, connection->bytes + length, connection->have);
	connection->busy = 1;
	atomic_store(&worker->state, WORKING);
	syscall(SYS_futex, &worker->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void poll_connection(int number, int count)
{
	struct connection *connection = &connections[number];
	uint32_t length;
	ssize_t got;

	if (!connection->fd || connection->busy)
		return;
	got = recv(connection->fd, connection->bytes + connection->have, ROOM - connection->have, 0);
	if (got == 0 || (got < 0 && errno != EAGAIN)) {
		close(connection->fd);
		memset(connection, 0, sizeof(*connection));
		return;
	}
	if (got > 0)
		connection->have += got;
	if (connection->have < 8)
		return;
	memcpy(&length, connection->bytes, 4);
	length += 8;
	if (length > ROOM || connection->have < length)
		return;
	for (int i = 0; i < count; i++)
		if (atomic_load(&workers[i].state) == IDLE) {
			hand_over(&workers[i], number, length);
			return;
		}
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
	int count = atoi(argv[2]), one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (argc < 3 || bind(listener, (void *)&address, sizeof(address)) || listen(listener, 512))
		return perror("listen"), 1;
	workers = calloc(count, sizeof(*workers));
	for (int i = 0; i < count; i++)
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	pthread_setname_np(pthread_self(), "dispatch");
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		for (int i = 0; fd >= 0 && i < CONNECTIONS; i++)
			if (!connections[i].fd) {
				connections[i].fd = fd;
				break;
			}
		for (int i = 0; i < CONNECTIONS; i++)
			poll_connection(i, count);
		for (int i = 0; i < count; i++)
			if (atomic_load(&workers[i].state) == DONE)
				finish(&workers[i]);
	}
}
