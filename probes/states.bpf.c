/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * The changes of state that lifecycle.bpf.c lives on, and the end of a socket: each told once, and none
 * missed, by two programs for each (turns.bpf.c).
 */

/* looking: whether this is where looks are taken that are due */
static __always_inline void state_changed(u64 key, int before, int after, int looking)
{
	struct connection *connection;
	struct birth *birth;
	u32 zero = 0, place;

	if (before == LISTEN_STATE && after == SYN_RECV_STATE) {
		birth = births.lookup(&zero);
		if (birth)
			child_cloned(birth, key);
		return;
	}
	if (before == SYN_RECV_STATE && after == ESTABLISHED_STATE) {
		birth = births.lookup(&zero);
		if (birth && birth->child == key) {
			child_established(birth);
		} else if (birth) {
			birth->late_child = key;
			birth->late_ns = bpf_ktime_get_ns();
		}
		if (birth && looking)
			look_if_due(birth);
		return;
	}
	if (after == LISTEN_STATE) {
		listener_opened((struct sock *)key);
		return;
	}
	if (before == LISTEN_STATE) {
		listener_shut(key);
		return;
	}
	place = place_of(key);
	connection = place == NOWHERE ? 0 : connections.lookup(&place);
	if (connection && after == SYN_SENT_STATE) { /* the socket is a client's by now */
		if (phase() != PHASE_ENDING)
			left_behind(key, connection, place);
		return;
	}
	/* on its way from the first step of the end to the last nothing of the record changes, and the
	 * clock is what a state change costs */
	if (!connection || (connection->ending_ns && after != CLOSE_STATE) || phase() == PHASE_ENDING)
		return;
	connection->touched_ns = bpf_ktime_get_ns();
	if (!connection->ending_ns) {
		connection->ending_ns = connection->touched_ns;
		if (after == CLOSE_WAIT_STATE)
			connection->flags |= CONNECTION_PEER_CLOSED_FIRST;
		else if (after == CLOSE_STATE)
			connection->flags |= CONNECTION_RESET;
		else
			connection->flags |= CONNECTION_WE_CLOSED_FIRST;
	}
	if (after == CLOSE_STATE)
		connection->closed_ns = connection->touched_ns;
}

int on_state(struct bpf_raw_tracepoint_args *ctx)
{
	struct told *told = first_begins(TURNS_STATE);

	if (!told)
		return 0;
	state_changed(ctx->args[0], ctx->args[1], ctx->args[2], 1);
	first_ends(told, ctx->args[0], ctx->args[1] << 8 | ctx->args[2], ctx);
	return 0;
}

int on_state_again(struct bpf_raw_tracepoint_args *ctx)
{
	if (is_for_second(TURNS_STATE, ctx->args[0], ctx->args[1] << 8 | ctx->args[2], ctx))
		state_changed(ctx->args[0], ctx->args[1], ctx->args[2], 0);
	return 0;
}

/* The socket is gone: nobody can read or write it any more, so its record is final. */
static __always_inline void destroyed(u64 key)
{
	u32 place = place_of(key);
	struct connection *connection = place == NOWHERE ? 0 : connections.lookup(&place);

	if (!connection)
		return;
	/* at the end it stays as it is being read: open, without what it did since.  Nothing leads to it any
	 * more, so that it is not taken for one whose end went unseen */
	if (phase() == PHASE_ENDING) {
		unsettle(key);
		return;
	}
	if (!connection->closed_ns) {
		connection->touched_ns = bpf_ktime_get_ns();
		connection->closed_ns = connection->touched_ns;
	}
	connection_ended(key, connection, place);
}

int on_destroy(struct bpf_raw_tracepoint_args *ctx)
{
	struct told *told = first_begins(TURNS_DESTROY);

	if (!told)
		return 0;
	destroyed(ctx->args[0]);
	first_ends(told, ctx->args[0], 0, ctx);
	return 0;
}

int on_destroy_again(struct bpf_raw_tracepoint_args *ctx)
{
	if (is_for_second(TURNS_DESTROY, ctx->args[0], 0, ctx))
		destroyed(ctx->args[0]);
	return 0;
}
