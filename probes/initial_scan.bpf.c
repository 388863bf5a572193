/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Add what existed before tracing began: BPF iterators over all open files and all TCP sockets.
 *
 * task_file prints each listening socket with its owner. User space selects the listeners of the target
 * and writes them to initial_listeners, and their ports to initial_ports. A second pass adds those
 * listeners to the maps, a third pass their open connections. This happens in the kernel while it holds
 * the file, so no socket can disappear and its address be reused in between.
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

static long (*seq_write)(void *seq, const void *data, u32 size) = (void *)127; /* bpf_seq_write */

static __always_inline void scan_connection(struct sock_common *socket, u32 netns, u16 port, u16 flags)
{
	u64 port_there = (u64)netns << 32 | port;
	u64 key = (u64)socket;
	struct connection *fresh;
	SOCK_COMMON_COPY head;
	u32 slot = INVALID_SLOT;
	u16 protocol = 0;
	int joins = 0;
	u8 state = 0;

	if (!initial_ports.lookup(&port_there))
		return;
	READ_KERNEL(protocol, ((struct sock *)socket)->sk_protocol);
	if (protocol == IPPROTO_TCP && is_subflow(socket))
		key = connection_key(key, &joins);
	if (joins || find_slot(key) != INVALID_SLOT)
		return;
	if (protocol == IPPROTO_MPTCP || key != (u64)socket)
		flags |= CONNECTION_MPTCP;
	bpf_probe_read_kernel(&head, sizeof(head), socket);
	fresh = new_connection(&head, &slot);
	if (!fresh)
		return;
	fresh->flags = flags;
	fresh->touched_ns = bpf_ktime_get_ns();
	READ_KERNEL(state, socket->skc_state);
	if (state != TCP_ESTABLISHED) { /* since when is unknown: at least since now */
		fresh->ending_ns = fresh->touched_ns;
		fresh->ended = state == TCP_CLOSE_WAIT ? END_CLOSED_BY_PEER : END_CLOSED_BY_SERVER;
		fresh->flags |=
		    state == TCP_CLOSE_WAIT ? CONNECTION_PEER_CLOSED_FIRST : CONNECTION_WE_CLOSED_FIRST;
	}
	publish_connection(key, fresh, slot);
}

int bpf_iter__task_file(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct inode *inode = 0;
	struct socket *holder = 0;
	struct sock *socket = 0;
	struct socket_owner found = {};
	struct listener *listener;
	u16 mode = 0, protocol = 0, family = 0;
	u64 key = 0;

	if (!task || !file)
		return 0;
	READ_KERNEL(inode, file->f_inode);
	READ_KERNEL(mode, inode->i_mode);
	if ((mode & S_IFMT) != S_IFSOCK)
		return 0;
	READ_KERNEL(holder, file->private_data);
	if (!holder)
		return 0;
	READ_KERNEL(socket, holder->sk);
	if (!socket)
		return 0;
	READ_KERNEL(protocol, socket->sk_protocol);
	found.protocol = protocol;
	READ_KERNEL(found.state, ((struct sock_common *)socket)->skc_state);
	READ_KERNEL(found.port, ((struct sock_common *)socket)->skc_num);
	found.netns = netns_of((struct sock_common *)socket);
	if (!is_tcp((struct sock_common *)socket) && protocol != IPPROTO_MPTCP) {
		if (found.state != TCP_LISTEN)
			return 0;
		READ_KERNEL(family, ((struct sock_common *)socket)->skc_family);
		found.family = family;
	} else if (found.state == TCP_LISTEN) {
		socket = queue_socket(socket);
		key = (u64)socket;
		if (!socket)
			return 0;
		if (initial_listeners.lookup(&key) && !listeners.lookup(&key))
			add_listener(socket, 0, 0);
		listener = listeners.lookup(&key);
		if (listener)
			found.listener = listener->id;
	} else {
		if (found.state != TCP_CLOSE)
			scan_connection((struct sock_common *)socket, found.netns, found.port,
					CONNECTION_OPEN_BEFORE);
		return 0;
	}
	found.socket = key;
	found.inode = inode_of(socket);
	READ_KERNEL(found.pid, task->tgid);
	found.fd = ctx->fd;
	if (key)
		read_local((struct sock_common *)socket, found.address, &found.family);
	seq_write(ctx->meta->seq, &found, sizeof(found));
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

/* Create records for all threads of the processes in ``servers``, so that idle threads are listed as well.
 * For a thread that sleeps in a system call, record which one. */
int bpf_iter__task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct worker *worker;
	u32 pid = 0, tid = 0, state = 0, flags = 0;
	s32 call = -1;

	if (!task)
		return 0;
	READ_KERNEL(pid, task->tgid);
	if (!servers.lookup(&pid))
		return 0;
	READ_KERNEL(flags, task->flags);
	if (flags & PF_EXITING)
		return 0;
	READ_KERNEL(tid, task->pid);
	worker = create_worker(tid, pid, task);
	if (!worker || worker->flags & WORKER_SEEDED)
		return 0;
	worker->flags |= WORKER_SEEDED;
	READ_KERNEL(state, task->__state);
	if (state != TASK_INTERRUPTIBLE)
		return 0;
	bpf_probe_read_kernel(&call, sizeof(call), (void *)task_pt_regs(task) + CALL_NUMBER);
	worker->last_wait = call;
	if (waits_for_events(call) && !worker->waits) {
		worker->flags |= WORKER_IN_WAIT;
		worker->wait_enter_ns = bpf_ktime_get_ns();
	}
	return 0;
}

/* Connections in an accept queue have no file yet. */
int bpf_iter__tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *socket = 0;
	struct socket *holder = 0;
	u16 port = 0;
	u8 state = 0;

	/* as a scalar: the verifier allows no arithmetic on a pointer whose type it knows */
	READ_KERNEL(socket, ctx->sk_common);
	if (!socket)
		return 0;
	READ_KERNEL(state, socket->skc_state);
	if (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT)
		return 0;
	READ_KERNEL(holder, ((struct sock *)socket)->sk_socket);
	if (holder)
		return 0;
	READ_KERNEL(port, socket->skc_num);
	scan_connection(socket, netns_of(socket), port,
			CONNECTION_OPEN_BEFORE | CONNECTION_UNACCEPTED_BEFORE);
	return 0;
}
