/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * State changes, the way a connection ends, and the destruction of a socket: each handled once by one of
 * two programs (recursion_guard.bpf.c).
 */

/* What tcp_inq() of the kernel counts: received, not read, and not the peer's FIN.  A close with unread bytes
 * resets the connection, so after the server's FIN a difference of one is the peer's FIN. */
static __always_inline u32 unread_bytes(u64 key, int before)
{
	u32 next = 0, copied = 0;
	u64 flags = 0;

	READ_AT(next, key, EXPECTED_NEXT);
	READ_AT(copied, key, COPIED_SEQ);
	if (next == copied)
		return 0;
	if (next - copied == 1 && before != TCP_ESTABLISHED && before != TCP_CLOSE_WAIT)
		return 0;
	READ_AT(flags, key, SOCK_FLAGS);
	return next - copied - !!(flags & SOCK_DONE_FLAG);
}

/* The server's side closed a connection that was not accepted. This happens only with its listener, unless
 * the accept was not seen. */
static __always_inline u8 end_in_queue(struct connection *connection, u8 otherwise)
{
	struct task_struct *task = current_task();

	if (!is_unaccepted(connection) || queue_of(connection))
		return otherwise;
	return LOAD_FIELD(task, flags) & PF_EXITING ? END_UNACCEPTED_PROCESS_DIED
						    : END_UNACCEPTED_LISTENER_CLOSED;
}

/* Decide how the connection ended; called at each state change. The server's side changes the state of its
 * socket in the thread that closes it; sk_err is set before the kernel closes a connection because of the
 * peer (tcp_reset, tcp_write_err). */
static __always_inline void set_end(struct connection *connection, struct sock *socket, int before, int after)
{
	struct worker *worker;
	u32 error = 0;

	if (after == TCP_CLOSE_WAIT) {
		connection->ended = END_CLOSED_BY_PEER;
		return;
	}
	if (before != TCP_ESTABLISHED && before != TCP_CLOSE_WAIT)
		return;
	if (after == TCP_CLOSE)
		READ_AT(error, socket, SOCK_ERROR);
	if (error == ECONNRESET || error == EPIPE) {
		if (before == TCP_ESTABLISHED)
			connection->ended = END_RESET_BY_PEER;
		return;
	}
	if (error && error != ECONNABORTED) {
		connection->ended = END_TIMED_OUT;
		return;
	}
	if (after == TCP_CLOSE && (before == TCP_ESTABLISHED || !is_unaccepted(connection)))
		connection->ended = end_in_queue(connection, END_RESET_BY_SERVER);
	else if (before == TCP_ESTABLISHED)
		connection->ended = end_in_queue(connection, END_CLOSED_BY_SERVER);
	worker = current_worker();
	if (worker)
		connection->closed_by = worker->id;
}

/* sample: whether due samples of waiters are taken here */
static __always_inline void state_changed(u64 key, int before, int after, int sample)
{
	struct connection *connection;
	struct birth *birth;
	u32 zero = 0, slot;
	u64 flags = 0;

	if (before == TCP_LISTEN && after == TCP_SYN_RECV) {
		birth = births.lookup(&zero);
		if (birth)
			child_cloned(birth, key);
		return;
	}
	if (before == TCP_SYN_RECV && after == TCP_ESTABLISHED) {
		birth = births.lookup(&zero);
		if (birth && birth->child == key) {
			child_established(birth);
		} else if (birth) {
			birth->late_child = key;
			birth->late_ns = bpf_ktime_get_ns();
		}
		if (birth && sample)
			sample_if_due(birth);
		return;
	}
	if (after == TCP_LISTEN) {
		listener_opened((struct sock *)key);
		return;
	}
	if (before == TCP_LISTEN) {
		listener_closed(key);
		return;
	}
	slot = find_slot(key);
	connection = slot == INVALID_SLOT ? 0 : connections.lookup(&slot);
	if (connection && after == TCP_SYN_SENT) { /* the socket is reused by a client */
		if (phase() != PHASE_ENDING)
			finish_stale_connection(key, connection, slot);
		return;
	}
	if (!connection || phase() == PHASE_ENDING)
		return;
	/* intermediate steps of a close change nothing in the record, and reading the clock is what a
	 * state change costs */
	if (connection->ending_ns && after != TCP_CLOSE && before != TCP_CLOSE_WAIT)
		return;
	connection->touched_ns = bpf_ktime_get_ns();
	if (!connection->ending_ns) {
		connection->ending_ns = connection->touched_ns;
		if (after == TCP_CLOSE_WAIT)
			connection->flags |= CONNECTION_PEER_CLOSED_FIRST;
		else if (after == TCP_CLOSE)
			connection->flags |= CONNECTION_RESET;
		else
			connection->flags |= CONNECTION_WE_CLOSED_FIRST;
	}
	if (before == TCP_CLOSE_WAIT && !connection->close_wait_ns)
		connection->close_wait_ns = connection->touched_ns - connection->ending_ns;
	set_end(connection, (struct sock *)key, before, after);
	if (after != TCP_CLOSE)
		return;
	connection->closed_ns = connection->touched_ns;
	if (!(connection->flags & CONNECTION_MPTCP)) {
		connection->unread_bytes = unread_bytes(key, before);
		return;
	}
	/* no tracepoint reports the destruction of an MPTCP socket: if no process refers to it, it ends
	 * here; otherwise the reaper finds it */
	READ_AT(flags, key, SOCK_FLAGS);
	if (flags & SOCK_DEAD_FLAG)
		finish_connection(key, connection, slot);
}

int on_state(struct bpf_raw_tracepoint_args *ctx)
{
	struct dispatch_state *state = first_program_enter(GUARD_STATE);

	if (!state)
		return 0;
	state_changed(ctx->args[0], ctx->args[1], ctx->args[2], 1);
	first_program_exit(state, ctx->args[0], ctx->args[1] << 8 | ctx->args[2], ctx);
	return 0;
}

int on_state_again(struct bpf_raw_tracepoint_args *ctx)
{
	if (needs_second_program(GUARD_STATE, ctx->args[0], ctx->args[1] << 8 | ctx->args[2], ctx))
		state_changed(ctx->args[0], ctx->args[1], ctx->args[2], 0);
	return 0;
}

/* The socket is destroyed: it can no longer be read or written, so its record is final. */
static __always_inline void socket_destroyed(u64 key)
{
	u32 slot = find_slot(key);
	struct connection *connection = slot == INVALID_SLOT ? 0 : connections.lookup(&slot);

	if (!connection)
		return;
	/* while the last batch is read, the record stays as it is, open. Its key is removed, so that it is
	 * not taken for a missed end */
	if (phase() == PHASE_ENDING) {
		slot_remove(key);
		return;
	}
	if (!connection->closed_ns) {
		connection->touched_ns = bpf_ktime_get_ns();
		connection->closed_ns = connection->touched_ns;
	}
	finish_connection(key, connection, slot);
}

int on_destroy(struct bpf_raw_tracepoint_args *ctx)
{
	struct dispatch_state *state = first_program_enter(GUARD_DESTROY);

	if (!state)
		return 0;
	socket_destroyed(ctx->args[0]);
	first_program_exit(state, ctx->args[0], 0, ctx);
	return 0;
}

int on_destroy_again(struct bpf_raw_tracepoint_args *ctx)
{
	if (needs_second_program(GUARD_DESTROY, ctx->args[0], 0, ctx))
		socket_destroyed(ctx->args[0]);
	return 0;
}
