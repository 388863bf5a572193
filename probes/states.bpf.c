/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * The changes of state that lifecycle.bpf.c lives on, each told once, and none missed.
 *
 * The kernel does not run a program on a CPU where it is at work already (since 6.1, commit
 * 05b24ff9b2cf "bpf: Prevent bpf program recursion for raw tracepoint probes").  States change in
 * threads that close, and in what comes from the network: an interrupt of the network card amid the
 * first would have the second go unseen.  With every packet by an interrupt that was a hundredth of
 * all connections.  So there are two programs, one after the other: an interrupt can find only one
 * of them at work.
 */

struct told_state {
	u64 key;
	u64 change;
};

BPF_PERCPU_ARRAY(told_states, struct told_state, 1);

/* Doing it twice comes to the same as once: see on_state_again. */
static __always_inline void state_changed(u64 key, int before, int after)
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
	struct told_state *told;
	u32 zero = 0;

	state_changed(ctx->args[0], ctx->args[1], ctx->args[2]);
	told = told_states.lookup(&zero);
	if (told) {
		told->key = ctx->args[0];
		told->change = ctx->args[1] << 8 | ctx->args[2];
	}
	return 0;
}

/* What on_state was told last on this CPU need not be done again.  When it is another one's change by
 * now, an interrupt came in between, and this one is done twice. */
int on_state_again(struct bpf_raw_tracepoint_args *ctx)
{
	struct told_state *told;
	u32 zero = 0;

	told = told_states.lookup(&zero);
	if (told && told->key == ctx->args[0] && told->change == (ctx->args[1] << 8 | ctx->args[2])) {
		told->key = 0;
		return 0;
	}
	state_changed(ctx->args[0], ctx->args[1], ctx->args[2]);
	return 0;
}
