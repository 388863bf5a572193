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

enum turns { TURNS_STATE, TURNS_DESTROY, TURNS_COUNT };

struct event_told {
	u64 key;
	u64 what;
	u64 frame; /* where the kernel keeps the tracepoint's arguments: no two under way share it */
};

/* What the first program was told last on this CPU, until the second has come by; and the same of a
 * thread whose two programs an interrupt came between. */
struct told {
	struct event_told last;
	struct event_told interrupted;
};

BPF_PERCPU_ARRAY(told, struct told, TURNS_COUNT);
BPF_ARRAY(rescued, u64, TURNS_COUNT); /* what the second did since the first was at work */

/* What is left there when the first program begins: a thread's, which must find it again, or of an
 * interrupt amid a thread's second program, which nobody comes back for. */
static __always_inline void set_aside(struct told *told)
{
	struct task_struct *task = current_task();

	if (told->last.frame - (u64)LOAD(task, stack) < STACK_AT_MOST)
		told->interrupted = told->last;
	told->last.key = 0;
}

static __always_inline struct told *first_begins(u32 kind)
{
	struct told *told_here = told.lookup(&kind);

	if (told_here && told_here->last.key)
		set_aside(told_here);
	return told_here;
}

static __always_inline void first_ends(struct told *told, u64 key, u64 what, void *ctx)
{
	told->last.key = key;
	told->last.what = what;
	told->last.frame = (u64)ctx;
}

static __always_inline int is_that(struct event_told *event, u64 key, u64 what, void *ctx)
{
	return event->key == key && event->what == what && event->frame == (u64)ctx;
}

/* Is it left to the second program? */
static __always_inline int is_for_second(u32 kind, u64 key, u64 what, void *ctx)
{
	struct told *told_here = told.lookup(&kind);
	u64 *count;

	if (!told_here)
		return 0;
	if (is_that(&told_here->last, key, what, ctx)) {
		told_here->last.key = 0;
		return 0;
	}
	if (is_that(&told_here->interrupted, key, what, ctx)) {
		told_here->interrupted.key = 0;
		told_here->last.key = 0;
		return 0;
	}
	count = rescued.lookup(&kind);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 1;
}
