/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Record how long each thread waits for events, how long it stays away from waiting, and which wake-ups
 * were spurious. One pair of programs for epoll_wait, poll, select and their variants.
 */

struct syscall_enter_args {
	u64 common;
	s64 number;
	u64 arguments[6];
};

static __always_inline void wait_enter(struct worker *worker, s64 call)
{
	u64 now, away;

	now = bpf_ktime_get_ns();
	if (worker->wait_exit_ns) {
		away = now - worker->wait_exit_ns;
		worker->busy_ns += away;
		if (away > worker->stall_max_ns) {
			worker->stall_max_ns = away;
			worker->stall_max_at_ns = now;
		}
		HISTOGRAM_ADD(worker->stall, away);
	}
	/* woken, and every accept or read since then returned EAGAIN */
	if ((worker->flags & (WORKER_WOKEN | WORKER_GOT_EAGAIN | WORKER_DID_WORK)) ==
	    (WORKER_WOKEN | WORKER_GOT_EAGAIN))
		worker->wakeups_spurious++;
	worker->flags &= ~(WORKER_WOKEN | WORKER_GOT_EAGAIN | WORKER_DID_WORK | WORKER_READ_THIS_TURN);
	worker->flags |= WORKER_IN_WAIT;
	worker->waits++;
	worker->last_wait = call;
	worker->wait_enter_ns = now;
	worker->wait_exit_ns = 0;
	worker->touched_ns = now;
	EMIT_EVENT(EVENT_WAIT, worker, 0, 0, call, now);
}

static __always_inline void wait_exit(struct worker *worker, struct syscall_exit_args *ctx, int woken)
{
	u64 now = bpf_ktime_get_ns();

	/* the entry may have been before tracing began: then the length of this wait is unknown */
	if (worker->wait_enter_ns)
		worker->wait_ns += now - worker->wait_enter_ns;
	worker->wait_enter_ns = 0;
	worker->wait_exit_ns = now;
	worker->flags &= ~WORKER_IN_WAIT;
	if (woken) {
		worker->wakeups++;
		worker->flags |= WORKER_WOKEN;
	}
	worker->touched_ns = now;
	EMIT_EVENT(EVENT_WOKEN, worker, 0, ctx->result, ctx->number, now);
}

int on_wait_enter(struct syscall_enter_args *ctx)
{
	struct worker *worker = current_worker();

	if (worker)
		wait_enter(worker, ctx->number);
	return 0;
}

int on_wait_exit(struct syscall_exit_args *ctx)
{
	struct worker *worker = current_worker();

	if (worker)
		wait_exit(worker, ctx, ctx->result > 0);
	return 0;
}

/* io_uring_enter waits when it asks for completions; its result is the number of submitted requests. */
int on_ring_wait_enter(struct syscall_enter_args *ctx)
{
	struct worker *worker;

	if (!ctx->arguments[2])
		return 0;
	worker = current_worker();
	if (worker)
		wait_enter(worker, ctx->number);
	return 0;
}

int on_ring_wait_exit(struct syscall_exit_args *ctx)
{
	struct worker *worker = current_worker();

	if (worker && worker->flags & WORKER_IN_WAIT)
		wait_exit(worker, ctx, ctx->result >= 0);
	return 0;
}
