/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Two programs per tracepoint, of which one always runs. Nothing here is attached.
 *
 * The kernel does not run a program on a CPU where it is running already (since 6.1, commit 05b24ff9b2cf
 * "bpf: Prevent bpf program recursion for raw tracepoint probes"). A thread and an interrupt of the
 * network card can raise the same tracepoint: the interrupt's event would be missed while the program
 * handles the thread's. With one interrupt per packet this was 1 % of all connections. So there are two
 * programs, one after the other: an interrupt finds at most one of them running. The second does nothing
 * if the first has handled the event. The runs that the kernel skipped for the first, minus the events
 * that the second handled instead, are the missed ones.
 */

enum guarded { GUARD_STATE, GUARD_DESTROY, GUARD_COUNT };

struct dispatched_event {
	u64 key;
	u64 what;
	u64 frame; /* where the kernel keeps the arguments of the tracepoint: unique among events in progress
		    */
};

/* The event that the first program handled last on this CPU, until the second has run; and the same of a
 * thread whose two programs an interrupt separated. */
struct dispatch_state {
	struct dispatched_event last;
	struct dispatched_event interrupted;
};

BPF_PERCPU_ARRAY(dispatch_states, struct dispatch_state, GUARD_COUNT);
BPF_ARRAY(rescued, u64,
	  GUARD_COUNT); /* events that the second program handled because the first was running */

/* An entry left when the first program starts: of a thread, which must find it again, or of an interrupt
 * during the second program of a thread, which is never looked up again. */
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

/* Does the second program have to handle this event? */
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
