/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * The changes of state that lifecycle.bpf.c lives on, and the end of a socket: each told once, and none
 * missed, by two programs for each (turns.bpf.c).
 */

/* looking: whether this is where looks are taken that are due */
static __always_inline void state_changed(u64 key, int before, int after, int sample)
{
	struct connection *connection;
	struct birth *birth;
	u32 zero = 0, slot;

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
	if (connection && after == TCP_SYN_SENT) { /* the socket is a client's by now */
		if (phase() != PHASE_ENDING)
			finish_stale_connection(key, connection, slot);
		return;
	}
	/* on its way from the first step of the end to the last nothing of the record changes, and the
	 * clock is what a state change costs */
	if (!connection || (connection->ending_ns && after != TCP_CLOSE) || phase() == PHASE_ENDING)
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
	if (after == TCP_CLOSE)
		connection->closed_ns = connection->touched_ns;
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

/* The socket is gone: nobody can read or write it any more, so its record is final. */
static __always_inline void socket_destroyed(u64 key)
{
	u32 slot = find_slot(key);
	struct connection *connection = slot == INVALID_SLOT ? 0 : connections.lookup(&slot);

	if (!connection)
		return;
	/* at the end it stays as it is being read: open, without what it did since.  Nothing leads to it any
	 * more, so that it is not taken for one whose end went unseen */
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
