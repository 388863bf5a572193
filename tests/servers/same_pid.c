/* A server whose processes follow one another under one and the same process id: each accepts so many
 * connections, on descriptors of the same numbers, echoes until the client closes, and ends; then the
 * next is made with that id (clone3's set_tid, Linux 5.5).
 *
 * same_pid PORT CONNECTIONS_EACH
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void serve(int listener, int count)
{
	char bytes[4096];
	ssize_t got;

	while (count--) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			exit(2);
		while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0)
			if (send(fd, bytes, got, MSG_NOSIGNAL) != got)
				exit(3);
		close(fd);
	}
	exit(0);
}

static pid_t born(pid_t *wanted)
{
	struct clone_args how = {
		.exit_signal = SIGCHLD,
		.set_tid = *wanted ? (uint64_t)(uintptr_t)wanted : 0,
		.set_tid_size = *wanted ? 1 : 0,
	};
	return syscall(SYS_clone3, &how, sizeof(how));
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(argc > 2 ? atoi(argv[1]) : 0)};
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, status;
	pid_t number = 0;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (argc < 3 || bind(listener, (void *)&address, sizeof(address)) || listen(listener, 512))
		return perror("listen"), 1;
	for (;;) {
		pid_t child = born(&number);

		if (!child)
			serve(listener, atoi(argv[2]));
		if (child < 0 && errno == EEXIST)
			number = 0; /* somebody else was quicker: another id, from now on */
		else if (child < 0)
			return perror("clone3"), 1;
		if (child > 0)
			number = child;
		if (child > 0 && (waitpid(child, &status, 0) < 0 || status))
			return fprintf(stderr, "the child ended with %x\n", status), 1;
	}
}
