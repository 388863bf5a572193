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
struct ring_complete {
	u64 common;
	u64 ring;
	u64 request;
	u64 user_data;
	s32 result;
};

struct syscall_exit {
	u64 common;
	s64 number;
	s64 result;
};

/* The listener that this socket is, learnt now if the process belongs to the target: a listener
 * opened by somebody else (a parent, systemd) becomes the target's by being accepted from. */
static __always_inline struct listener *accepted_from(struct sock *socket, int *was_known)
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
	PEEK(state, ((struct sock_common *)socket)->skc_state);
	if (!wanted || state != LISTEN_STATE || !is_tcp((struct sock_common *)socket))
		return 0;
	if (!socket_in_scope(wanted, (struct sock_common *)socket) || !process_in_scope(wanted))
		return 0;
	return listener_learnt(socket, 0, 0);
}

static __always_inline struct sock *listening_here(void)
{
	return socket_of(first_argument());
}

static __always_inline void came_empty(s64 result)
{
	struct worker *worker = current_worker();

	if (!worker)
		return;
	if (result == EMPTY_HANDED) {
		worker->accepts_empty++;
		worker->flags |= WORKER_CAME_EMPTY;
	} else {
		worker->accepts_failed++;
	}
	worker->touched_ns = bpf_ktime_get_ns();
	HAPPENED(EVENT_ACCEPT, worker, 0, result, 0, worker->touched_ns);
}

/* Accepted, but not in the map: its listener was not traced until now, it was queued just before that
 * listener was learnt at the start of tracing, it is being established at this moment, the map was
 * full, or its birth went unseen.  ``was_behind``: what stood there was left behind by an earlier
 * socket. */
static __always_inline void accepted_unseen(u64 key, struct sock *listening, u64 now, int was_behind)
{
	struct connection *fresh, *other;
	struct listener *listener;
	HEAD_OF_SOCKET head;
	struct worker *worker;
	struct birth *birth;
	u32 place = NOWHERE, zero = 0;
	u64 established_ns = 0;
	int was_known;
	u16 flags = CONNECTION_LATE;
	u8 state = 0;
	u64 id = 0;

	listener = accepted_from(listening ? listening : listening_here(), &was_known);
	if (!listener)
		return;
	__sync_fetch_and_add(&listener->accepted, 1);
	worker = current_worker_made();
	if (worker) {
		worker->accepts++;
		worker->touched_ns = now;
		worker->flags |= WORKER_GOT_WORK;
	}
	PEEK(state, ((struct sock_common *)key)->skc_state);
	if (state == SYN_RECV_STATE) { /* Fast Open: queued before state changes tell of it */
		flags |= CONNECTION_FAST_OPEN;
	} else if (was_known && phase() == PHASE_SETTLING) {
		flags = CONNECTION_OPEN_BEFORE | CONNECTION_UNACCEPTED_BEFORE;
	} else if (was_known && (birth = births.lookup(&zero)) && birth->late_child == key) {
		/* established in this very accept, as lifecycle.bpf.c says */
		flags = 0;
		established_ns = birth->late_ns;
		__sync_fetch_and_add(&listener->established, 1);
	} else if (was_known && !was_behind && was_without_room()) {
		if (worker)
			HAPPENED(EVENT_ACCEPT, worker, 0, 0, listener->id, now);
		lose(LOSS_ACCEPTS_UNKNOWN);
		return;
	} else if (was_known) {
		flags = CONNECTION_BEST_EFFORT;
		__sync_fetch_and_add(&listener->established, 1);
	}
	bpf_probe_read_kernel(&head, sizeof(head), (void *)key);
	fresh = connection_begun(&head, &place);
	if (fresh) {
		fresh->flags = flags;
		fresh->listener = listener->id;
		fresh->established_ns = established_ns;
		if (established_ns)
			fresh->established_cpu = bpf_get_smp_processor_id();
		taken_by(fresh, worker, now);
		id = connection_known(key, fresh, place);
		if (!id) { /* it was made meanwhile on another CPU: connection_born */
			other = connection_of(key);
			if (other && !other->accepted_ns) {
				taken_by(other, worker, now);
				id = other->id;
			} else {
				lose(LOSS_ACCEPTS_UNKNOWN);
			}
		}
	}
	if (worker)
		HAPPENED(EVENT_ACCEPT, worker, id, 0, listener->id, now);
}

int on_ring_complete(struct ring_complete *ctx)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct connection *connection;
	u64 key;

	if (ctx->result < 0 || !servers.lookup(&pid))
		return 0;
	key = (u64)socket_of(ctx->result);
	if (!key)
		return 0;
	connection = connection_of(key);
	if (!connection || !is_unaccepted(connection) || phase() == PHASE_ENDING)
		return 0;
	accepted_silently(connection, current_worker_made(), bpf_ktime_get_ns());
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
	u32 place;

	if (phase() == PHASE_ENDING)
		return;
	place = place_of(key);
	connection = place == NOWHERE ? 0 : connections.lookup(&place);
	if (connection &&
	    connection->accepted_ns) { /* nothing is accepted twice: it is an earlier socket's */
		left_behind(key, connection, place);
		connection = 0;
		was_behind = 1;
	}
	if (!connection) {
		accepted_unseen(key, listening, now, was_behind);
		return;
	}
	/* a listener that was closed may have left its queue to another one (tcp_migrate_req) */
	listener = queued_on(connection);
	if (!listener)
		listener = accepted_from(listening ? listening : listening_here(), &was_known);
	if (listener) {
		__sync_fetch_and_add(&listener->accepted, 1);
		if (!connection->listener)
			connection->listener = listener->id;
	}
	accepted_by(connection, current_worker_made(), now);
}

int on_accept(struct syscall_exit *ctx)
{
	u64 key;

	if (ctx->result < 0) {
		came_empty(ctx->result);
		return 0;
	}
	key = (u64)socket_in(file_of(ctx->result));
	if (key)
		accepted(key, 0);
	return 0;
}
