/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Which thread accepted each connection, and who came for one and found none?
 *
 * Only the exit of accept is hooked, so a thread that was blocked in it before tracing began is
 * seen like any other.  The exit runs in the acceptor; the descriptor that it returns leads to
 * the socket, the descriptor that it was called with to the listener.
 *
 * io_uring accepts without that system call.  Its completions give a number that may be a
 * descriptor: if it leads to a connection that nobody has accepted yet, it was an accept.
 */

/* io_uring:io_uring_complete, as its format says since 5.19 (availability.py compares). */
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

/* The listener that this socket is, learnt now if the process belongs to the target: a listener
 * opened by somebody else (a parent, systemd) becomes the target's by being accepted from. */
static __always_inline struct listener *listener_to_accept_from(struct sock *socket, int *was_known)
{
	u64 key = (u64)socket;
	struct listener *listener;
	struct target *wanted;
	u32 zero = 0;
	u8 state = 0;

	*was_known = 0;
	if (!socket)
		return 0;
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

static __always_inline void accept_failed(s64 result)
{
	struct worker *worker = current_worker();

	if (!worker)
		return;
	if (result == -EAGAIN) {
		worker->accepts_eagain++;
		worker->flags |= WORKER_GOT_EAGAIN;
	} else {
		worker->accepts_failed++;
	}
	worker->touched_ns = bpf_ktime_get_ns();
	EMIT_EVENT(EVENT_ACCEPT, worker, 0, result, 0, worker->touched_ns);
}

/* Accepted, but not in the map: its listener was not traced until now, it was queued just before that
 * listener was learnt at the start of tracing, it is being established at this moment, the map was
 * full, or its birth went unseen.  ``was_behind``: what stood there was left behind by an earlier
 * socket. */
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
	if (state == TCP_SYN_RECV) { /* Fast Open: queued before state changes tell of it */
		flags |= CONNECTION_FAST_OPEN;
	} else if (was_known && phase() == PHASE_INITIAL_SCAN) {
		flags = CONNECTION_OPEN_BEFORE | CONNECTION_UNACCEPTED_BEFORE;
	} else if (was_known && (birth = births.lookup(&zero)) && birth->late_child == key) {
		/* established in this very accept, as lifecycle.bpf.c says */
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
		if (!id) { /* it was made meanwhile on another CPU: connection_queued */
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

/* The current thread took the connection of socket ``key`` off the queue of ``listening``; 0: of
 * the socket that it called accept with. */
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
	if (connection &&
	    connection->accepted_ns) { /* nothing is accepted twice: it is an earlier socket's */
		finish_stale_connection(key, connection, slot);
		connection = 0;
		was_behind = 1;
	}
	if (!connection) {
		accepted_without_record(key, listening, now, was_behind);
		return;
	}
	/* a listener that was closed may have left its queue to another one (tcp_migrate_req) */
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
	u64 key;

	if (ctx->result < 0) {
		accept_failed(ctx->result);
		return 0;
	}
	key = (u64)file_to_sock(fd_to_file(ctx->result));
	if (key)
		accepted(key, 0);
	return 0;
}
