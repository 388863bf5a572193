/* A server that does everything through io_uring, and accepts in one of several ways.
 *
 * ring_server PORT once|multishot|direct|polled
 *   once: one accept a submission; multishot: one submission for all; direct: into the ring's own
 *   table of files, where no descriptor exists; polled: a kernel thread takes the submissions.
 * Each connection's bytes are sent back until it ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES 256
#define FILES 1024
#define ROOM 4096
enum { ACCEPT, READ, WRITE, CLOSE };

static struct io_uring_params params;
static int ring, direct;
static unsigned *sq_head, *sq_tail, *sq_mask, *sq_array, *sq_flags, *cq_head, *cq_tail, *cq_mask;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;
static char buffers[FILES][ROOM];
static unsigned pending;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void set_up(unsigned flags)
{
	char *base;

	params.flags = flags;
	params.sq_thread_idle = 100;
	ring = syscall(SYS_io_uring_setup, ENTRIES, &params);
	if (ring < 0)
		die("io_uring_setup");
	base = mmap(NULL, params.sq_off.array + ENTRIES * 4 + params.cq_off.cqes + params.cq_entries * 16,
		    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, ENTRIES * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	if (base == MAP_FAILED || sqes == MAP_FAILED)
		die("mmap");
	sq_head = (void *)(base + params.sq_off.head);
	sq_tail = (void *)(base + params.sq_off.tail);
	sq_mask = (void *)(base + params.sq_off.ring_mask);
	sq_flags = (void *)(base + params.sq_off.flags);
	sq_array = (void *)(base + params.sq_off.array);
	cq_head = (void *)(base + params.cq_off.head);
	cq_tail = (void *)(base + params.cq_off.tail);
	cq_mask = (void *)(base + params.cq_off.ring_mask);
	cqes = (void *)(base + params.cq_off.cqes);
}

static void enter(unsigned wait)
{
	unsigned flags = wait ? IORING_ENTER_GETEVENTS : 0, count = pending;

	if (params.flags & IORING_SETUP_SQPOLL) {
		__sync_synchronize();
		if (*sq_flags & IORING_SQ_NEED_WAKEUP)
			flags |= IORING_ENTER_SQ_WAKEUP;
	}
	if (syscall(SYS_io_uring_enter, ring, count, wait, flags, NULL, 0) < 0)
		perror("io_uring_enter");
	pending = 0;
}

static struct io_uring_sqe *next(int what, int fd)
{
	unsigned tail = *sq_tail, index = tail & *sq_mask;
	struct io_uring_sqe *sqe = &sqes[index];

	while (tail - __atomic_load_n(sq_head, __ATOMIC_ACQUIRE) >= ENTRIES)
		enter(0);
	memset(sqe, 0, sizeof(*sqe));
	sqe->fd = fd;
	sqe->user_data = (uint64_t)what << 32 | (unsigned)fd;
	if (direct && what != ACCEPT)
		sqe->flags = IOSQE_FIXED_FILE;
	sq_array[index] = index;
	return sqe;
}

static void submit(void)
{
	__atomic_store_n(sq_tail, *sq_tail + 1, __ATOMIC_RELEASE);
	pending++;
}

static void transfer(int what, int fd, unsigned length)
{
	struct io_uring_sqe *sqe = next(what, fd);

	sqe->opcode = what == READ ? IORING_OP_RECV : IORING_OP_SEND;
	sqe->addr = (uintptr_t)buffers[fd];
	sqe->len = length;
	submit();
}

static void shut(int fd)
{
	struct io_uring_sqe *sqe = next(CLOSE, fd);

	sqe->opcode = IORING_OP_CLOSE;
	if (direct) {
		sqe->flags = 0;
		sqe->fd = 0;
		sqe->file_index = fd + 1;
	}
	submit();
}

static void ask(int listener, int multishot)
{
	struct io_uring_sqe *sqe = next(ACCEPT, listener);

	sqe->opcode = IORING_OP_ACCEPT;
	if (multishot)
		sqe->ioprio = IORING_ACCEPT_MULTISHOT;
	if (direct)
		sqe->file_index = IORING_FILE_INDEX_ALLOC;
	submit();
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, multishot, files[FILES];

	if (argc < 3)
		return 2;
	multishot = !strcmp(argv[2], "multishot");
	direct = !strcmp(argv[2], "direct");
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (void *)&address, sizeof(address)) || listen(listener, 512))
		die("listen");
	set_up(!strcmp(argv[2], "polled") ? IORING_SETUP_SQPOLL : 0);
	memset(files, -1, sizeof(files));
	if (direct && syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, files, FILES) < 0)
		die("io_uring_register");
	ask(listener, multishot);
	for (;;) {
		unsigned head = *cq_head;

		enter(1);
		for (; head != __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE); head++) {
			struct io_uring_cqe *cqe = &cqes[head & *cq_mask];
			int what = cqe->user_data >> 32, fd = (int)cqe->user_data, result = cqe->res;

			if (what == ACCEPT) {
				if (result >= 0)
					transfer(READ, result, ROOM);
				if (!multishot || !(cqe->flags & IORING_CQE_F_MORE))
					ask(listener, multishot);
			} else if (what == READ) {
				if (result > 0)
					transfer(WRITE, fd, result);
				else
					shut(fd);
			} else if (what == WRITE) {
				transfer(READ, fd, ROOM);
			}
		}
		__atomic_store_n(cq_head, head, __ATOMIC_RELEASE);
	}
}
