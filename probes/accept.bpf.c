/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Record which thread accepted each connection, and which accept() calls failed.
 *
 * Only the exit of accept() is hooked, so a thread that was blocked in it before tracing began is seen as
 * well. The exit runs in the acceptor. The returned descriptor leads to the socket; the descriptor that it
 * was called with leads to the listener.
 *
 * io_uring accepts without that system call. Its completions return a number that may be a descriptor: if
 * it leads to a connection that has no acceptor yet, the request was an accept.
 */

/* io_uring:io_uring_complete, by its format since 5.19 (tracer/feature_probe.py compares) */
struct io_uring_complete_args {
	u64 common;
	u64 ring;
	u64 request;
	u64 user_data;
	s32 result;
};

struct syscall_exit_args {
	u64 common;
	s64 number;
	s64 result;
};

/* The listener of this socket. It is added now if the process belongs to the target: a listener opened by
 * another process (a parent, systemd) joins the target when the target accepts from it. */
static __always_inline struct listener *listener_to_accept_from(struct sock *socket, int *was_known)
{
	u64 key;
	struct listener *listener;
	struct target *wanted;
	u32 zero = 0;
	u8 state = 0;

	*was_known = 0;
	socket = socket ? queue_socket(socket) : 0;
	if (!socket)
		return 0;
	key = (u64)socket;
	listener = listeners.lookup(&key);
	if (listener) {
		*was_known = 1;
		return listener;
	}
	wanted = target.lookup(&zero);
	READ_KERNEL(state, ((struct sock_common *)socket)->skc_state);
	if (!wanted || state != TCP_LISTEN || !is_tcp((struct sock_common *)socket))
		return 0;
	if (!socket_in_scope(wanted, (struct sock_common *)socket) || !process_in_scope(wanted))
		return 0;
	return add_listener(socket, 0, 0);
}

static __always_inline struct sock *accept_call_socket(void)
{
	return fd_to_sock(syscall_first_argument());
}

/* Count what a failed accept returned, by thread, listener and errno. */
static __always_inline void count_accept_error(struct worker *worker, struct sock *listening, u32 error)
{
	struct accept_error_key key = {.worker = worker->id, .error = error};
	struct accept_error *known, fresh = {.count = 1};
	struct listener *listener;
	u64 socket = listening ? (u64)queue_socket(listening) : 0;

	listener = socket ? listeners.lookup(&socket) : 0;
	if (listener)
		key.listener = listener->id;
	known = accept_errors.lookup(&key);
	if (known) {
		__sync_fetch_and_add(&known->count, 1);
		known->last_ns = worker->touched_ns;
		return;
	}
	fresh.first_ns = fresh.last_ns = worker->touched_ns;
	if (accept_errors.update(&key, &fresh))
		count_loss(LOSS_ACCEPT_ERRORS_FULL);
}

/* A failed accept; ``listening``: the socket that it was called on, 0: unknown. */
static __always_inline void accept_failed(struct worker *worker, s64 result, struct sock *listening)
{
	u32 error = -result;

	/* a signal interrupted it, and the kernel may restart the call */
	if (error >= ERESTARTSYS && error <= ERESTART_RESTARTBLOCK)
		error = EINTR;
	if (result == -EAGAIN) {
		worker->accepts_eagain++;
		worker->flags |= WORKER_GOT_EAGAIN;
	} else {
		worker->accepts_failed++;
	}
	worker->touched_ns = bpf_ktime_get_ns();
	count_accept_error(worker, listening, error);
	EMIT_EVENT(EVENT_ACCEPT, worker, 0, result, 0, worker->touched_ns);
}

/* Accepted, but not in the map. Either its listener was not traced until now, it was queued just before
 * the initial scan added that listener, it is being established at this moment, the map was full, or its
 * birth was not seen. ``was_behind``: the slot held a stale record of an earlier socket. */
static __always_inline void accepted_without_record(u64 key, struct sock *listening, u64 now, int was_behind)
{
	struct connection *fresh, *other;
	struct listener *listener;
	SOCK_COMMON_COPY head;
	struct worker *worker;
	struct birth *birth;
	u32 slot = INVALID_SLOT, zero = 0;
	u64 established_ns = 0;
	int was_known;
	u16 flags = CONNECTION_LATE;
	u8 state = 0;
	u64 id = 0;

	listener = listener_to_accept_from(listening ? listening : accept_call_socket(), &was_known);
	if (!listener)
		return;
	__sync_fetch_and_add(&listener->accepted, 1);
	worker = get_or_create_worker();
	if (worker) {
		worker->accepts++;
		worker->touched_ns = now;
		worker->flags |= WORKER_DID_WORK;
	}
	READ_KERNEL(state, ((struct sock_common *)key)->skc_state);
	if (state == TCP_SYN_RECV) { /* Fast Open: queued before the state changes report it */
		flags |= CONNECTION_FAST_OPEN;
	} else if (was_known && phase() == PHASE_INITIAL_SCAN) {
		flags = CONNECTION_OPEN_BEFORE | CONNECTION_UNACCEPTED_BEFORE;
	} else if (was_known && (birth = births.lookup(&zero)) && birth->late_child == key) {
		/* established within this accept, see lifecycle.bpf.c */
		flags = 0;
		established_ns = birth->late_ns;
		__sync_fetch_and_add(&listener->established, 1);
	} else if (was_known && !was_behind && take_unrecorded()) {
		if (worker)
			EMIT_EVENT(EVENT_ACCEPT, worker, 0, 0, listener->id, now);
		count_loss(LOSS_ACCEPTS_UNKNOWN);
		return;
	} else if (was_known) {
		flags = CONNECTION_BEST_EFFORT;
		__sync_fetch_and_add(&listener->established, 1);
	}
	bpf_probe_read_kernel(&head, sizeof(head), (void *)key);
	fresh = new_connection(&head, &slot);
	if (fresh) {
		fresh->flags = flags;
		fresh->listener = listener->id;
		fresh->established_ns = established_ns;
		if (established_ns)
			fresh->established_cpu = bpf_get_smp_processor_id();
		set_acceptor(fresh, worker, now);
		id = publish_connection(key, fresh, slot);
		if (!id) { /* created meanwhile on another CPU by connection_queued() */
			other = find_connection(key);
			if (other && !other->accepted_ns) {
				set_acceptor(other, worker, now);
				id = other->id;
			} else {
				count_loss(LOSS_ACCEPTS_UNKNOWN);
			}
		}
	}
	if (worker)
		EMIT_EVENT(EVENT_ACCEPT, worker, id, 0, listener->id, now);
}

/* Does a record belong to the socket that is at its address now? */
static __always_inline int is_same_connection(struct connection *connection, u64 key)
{
	struct connection now;
	SOCK_COMMON_COPY head;
	u64 *here = (u64 *)now.remote, *there = (u64 *)connection->remote;

	if (connection->closed_ns)
		return 0;
	bpf_probe_read_kernel(&head, sizeof(head), (void *)key);
	read_endpoints(&now, &head);
	return now.remote_port == connection->remote_port && now.local_port == connection->local_port &&
	       here[0] == there[0] && here[1] == there[1];
}

int on_ring_complete(struct io_uring_complete_args *ctx)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct connection *connection;
	u64 key;

	if (ctx->result < 0 || !servers.lookup(&pid))
		return 0;
	key = (u64)fd_to_sock(ctx->result);
	if (!key)
		return 0;
	connection = find_connection(key);
	if (!connection || !is_unaccepted(connection) || phase() == PHASE_ENDING)
		return 0;
	accepted_without_syscall(connection, get_or_create_worker(), bpf_ktime_get_ns());
	return 0;
}

/* The current thread took the connection of socket ``key`` from the queue of ``listening``; 0: of the
 * socket that it called accept on. */
static __always_inline void accepted(u64 key, struct sock *listening)
{
	u64 now = bpf_ktime_get_ns();
	struct connection *connection;
	struct listener *listener;
	int was_known, was_behind = 0;
	u32 slot;

	if (phase() == PHASE_ENDING)
		return;
	slot = find_slot(key);
	connection = slot == INVALID_SLOT ? 0 : connections.lookup(&slot);
	if (connection && !is_unaccepted(connection)) {
		/* the descriptor leads to a connection that was accepted before: another thread put it over
		 * the returned one (dup2), or a supervisor answered the call with it
		 * (SECCOMP_IOCTL_NOTIF_ADDFD) */
		if (is_same_connection(connection, key))
			return;
		/* a connection is accepted once: the record belongs to an earlier socket */
		finish_stale_connection(key, connection, slot);
		connection = 0;
		was_behind = 1;
	}
	if (!connection) {
		accepted_without_record(key, listening, now, was_behind);
		return;
	}
	/* a closed listener may have moved its queue to another one (net.ipv4.tcp_migrate_req) */
	listener = queue_of(connection);
	if (!listener)
		listener = listener_to_accept_from(listening ? listening : accept_call_socket(), &was_known);
	if (listener) {
		__sync_fetch_and_add(&listener->accepted, 1);
		if (!connection->listener)
			connection->listener = listener->id;
	}
	count_accept(connection, get_or_create_worker(), now);
}

int on_accept(struct syscall_exit_args *ctx)
{
	struct worker *worker;
	u64 key;

	if (ctx->result < 0) {
		worker = current_worker();
		if (worker)
			accept_failed(worker, ctx->result, accept_call_socket());
		return 0;
	}
	key = (u64)file_to_sock(fd_to_file(ctx->result));
	if (key)
		accepted(key, 0);
	return 0;
}
