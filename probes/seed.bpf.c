/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * What was there before tracing began: BPF iterators over every open file and every TCP socket.
 *
 * task_file prints each TCP socket with its holder.  User space picks the listeners that belong
 * to the target and writes them to seeds (and their ports to seed_ports); a second pass then
 * puts them, and a third pass their open connections, into the maps, from inside the kernel,
 * where the file is held: no socket can vanish and its address be used again in between.
 */

struct bpf_iter_meta {
	void *seq;
	u64 session;
	u64 number;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
	u32 uid;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

static long (*write_out)(void *seq, const void *data, u32 size) = (void *)127; /* bpf_seq_write */

static __always_inline void seed_connection(struct sock_common *socket, u32 netns, u16 port, u16 flags)
{
	u64 port_there = (u64)netns << 32 | port;
	u64 key = (u64)socket;
	struct connection *fresh;
	HEAD_OF_SOCKET head;
	u32 place = NOWHERE;

	if (!seed_ports.lookup(&port_there) || place_of(key) != NOWHERE)
		return;
	bpf_probe_read_kernel(&head, sizeof(head), socket);
	fresh = connection_begun(&head, &place);
	if (!fresh)
		return;
	fresh->flags = flags;
	fresh->touched_ns = bpf_ktime_get_ns();
	connection_known(key, fresh, place);
}

int bpf_iter__task_file(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct inode *inode = 0;
	struct socket *holder = 0;
	struct sock *socket = 0;
	struct holding found = {};
	struct listener *listener;
	u16 mode = 0;
	u64 key;

	if (!task || !file)
		return 0;
	PEEK(inode, file->f_inode);
	PEEK(mode, inode->i_mode);
	if ((mode & MODE_TYPE) != MODE_SOCKET)
		return 0;
	PEEK(holder, file->private_data);
	if (!holder)
		return 0;
	PEEK(socket, holder->sk);
	if (!socket || !is_tcp((struct sock_common *)socket))
		return 0;
	key = (u64)socket;
	PEEK(found.state, ((struct sock_common *)socket)->skc_state);
	PEEK(found.port, ((struct sock_common *)socket)->skc_num);
	found.netns = netns_of((struct sock_common *)socket);
	if (found.state == LISTEN_STATE) {
		if (seeds.lookup(&key) && !listeners.lookup(&key))
			listener_learnt(socket, 0, 0);
		listener = listeners.lookup(&key);
		if (listener)
			found.listener = listener->id;
	} else {
		if (found.state != CLOSE_STATE)
			seed_connection((struct sock_common *)socket, found.netns, found.port,
					CONNECTION_OPEN_BEFORE);
		return 0;
	}
	found.socket = key;
	found.inode = inode_of(socket);
	PEEK(found.pid, task->tgid);
	found.fd = ctx->fd;
	read_local((struct sock_common *)socket, found.address, &found.family);
	write_out(ctx->meta->seq, &found, sizeof(found));
	return 0;
}

static __always_inline int waits_for_events(u64 call)
{
	const u64 calls[] = {WAIT_CALLS};
	u32 i;

#pragma unroll
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i] == call)
			return 1;
	return 0;
}

/* Every thread of a process in servers gets its record now, so that one which never does anything
 * is seen to do nothing.  One that sleeps in a system call tells which. */
int bpf_iter__task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct worker *worker;
	u32 pid = 0, tid = 0, state = 0, flags = 0;
	s32 call = -1;

	if (!task)
		return 0;
	PEEK(pid, task->tgid);
	if (!servers.lookup(&pid))
		return 0;
	PEEK(flags, task->flags);
	if (flags & EXITING_FLAG)
		return 0;
	PEEK(tid, task->pid);
	worker = worker_made(tid, pid, task);
	if (!worker || worker->flags & WORKER_SEEDED)
		return 0;
	worker->flags |= WORKER_SEEDED;
	PEEK(state, task->__state);
	if (state != SLEEPING_STATE)
		return 0;
	bpf_probe_read_kernel(&call, sizeof(call), (void *)registers_of(task) + CALL_NUMBER);
	worker->last_wait = call;
	if (waits_for_events(call) && !worker->waits) {
		worker->flags |= WORKER_IN_WAIT;
		worker->wait_enter_ns = bpf_ktime_get_ns();
	}
	return 0;
}

/* Connections that wait in an accept queue have no file yet. */
int bpf_iter__tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *socket = 0;
	struct socket *holder = 0;
	u16 port = 0;
	u8 state = 0;

	/* as a number: the verifier allows no arithmetic on a pointer whose type it knows */
	PEEK(socket, ctx->sk_common);
	if (!socket)
		return 0;
	PEEK(state, socket->skc_state);
	if (state != ESTABLISHED_STATE && state != CLOSE_WAIT_STATE)
		return 0;
	PEEK(holder, ((struct sock *)socket)->sk_socket);
	if (holder)
		return 0;
	PEEK(port, socket->skc_num);
	seed_connection(socket, netns_of(socket), port,
			CONNECTION_OPEN_BEFORE | CONNECTION_UNACCEPTED_BEFORE);
	return 0;
}
