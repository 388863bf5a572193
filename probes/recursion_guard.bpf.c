/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Two programs for one tracepoint, of which one always runs.  Nothing here is attached.
 *
 * The kernel does not run a program on a CPU where it is at work already (since 6.1, commit
 * 05b24ff9b2cf "bpf: Prevent bpf program recursion for raw tracepoint probes").  What a thread does
 * and what an interrupt of the network card brings can raise the same tracepoint: the second, amid
 * the first, would go unseen.  With every packet by an interrupt that was a hundredth of all
 * connections.  So there are two programs, one after the other: an interrupt finds only one of them
 * at work.  The second does nothing when the first has done it.  What the kernel left the first out
 * for, less what the second did in its place, is what went unseen.
 */

enum guarded { GUARD_STATE, GUARD_DESTROY, GUARD_COUNT };

struct dispatched_event {
	u64 key;
	u64 what;
	u64 frame; /* where the kernel keeps the tracepoint's arguments: no two under way share it */
};

/* What the first program was told last on this CPU, until the second has come by; and the same of a
 * thread whose two programs an interrupt came between. */
struct dispatch_state {
	struct dispatched_event last;
	struct dispatched_event interrupted;
};

BPF_PERCPU_ARRAY(dispatch_states, struct dispatch_state, GUARD_COUNT);
BPF_ARRAY(rescued, u64, GUARD_COUNT); /* what the second did since the first was at work */

/* What is left there when the first program begins: a thread's, which must find it again, or of an
 * interrupt amid a thread's second program, which nobody comes back for. */
static __always_inline void save_interrupted(struct dispatch_state *state)
{
	struct task_struct *task = current_task();

	if (state->last.frame - (u64)LOAD_FIELD(task, stack) < THREAD_SIZE_MAX)
		state->interrupted = state->last;
	state->last.key = 0;
}

static __always_inline struct dispatch_state *first_program_enter(u32 kind)
{
	struct dispatch_state *state = dispatch_states.lookup(&kind);

	if (state && state->last.key)
		save_interrupted(state);
	return state;
}

static __always_inline void first_program_exit(struct dispatch_state *state, u64 key, u64 what, void *ctx)
{
	state->last.key = key;
	state->last.what = what;
	state->last.frame = (u64)ctx;
}

static __always_inline int is_same_event(struct dispatched_event *event, u64 key, u64 what, void *ctx)
{
	return event->key == key && event->what == what && event->frame == (u64)ctx;
}

/* Is it left to the second program? */
static __always_inline int needs_second_program(u32 kind, u64 key, u64 what, void *ctx)
{
	struct dispatch_state *state = dispatch_states.lookup(&kind);
	u64 *count;

	if (!state)
		return 0;
	if (is_same_event(&state->last, key, what, ctx)) {
		state->last.key = 0;
		return 0;
	}
	if (is_same_event(&state->interrupted, key, what, ctx)) {
		state->interrupted.key = 0;
		state->last.key = 0;
		return 0;
	}
	count = rescued.lookup(&kind);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 1;
}
