/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Which member of a SO_REUSEPORT group gets the next connection?  Compiled apart from the tracing probes,
 * once per policy (-DPOLICY=...); attached by SO_ATTACH_REUSEPORT_EBPF.  sockscope/steer/program.py has the
 * twin of the records.
 *
 * The program reads the state of the members itself at each SYN, so no value is older than the decision.
 * It selects nothing once the lease has expired; the kernel then selects by its hash.
 */
static long (*read_kernel)(void *, u32, const void *) = (void *)113;
static long (*select_reuseport)(void *ctx, u64 sockarray, void *key, u64 flags) = (void *)82;

#define MEMBERS_MAX 64
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define TCP_SYN_RECV 3
#define SK_PASS 1
#define SAMPLE_GAP_NS 1000000000ULL
#define BUSY_ONE (1 << 16)		/* a busy share of 1 */
#define SOCKARRAY 0x736f636b61727279ULL /* replaced by the descriptor of the sockarray when loaded */

#define LEAST_LOADED 1
#define AVOID_STALLED 2
#define CPU_LOCAL 3
#define WEIGHTED 4

struct member {
	u64 socket;   /* struct sock *; 0: unused */
	u64 sleepers; /* list head that is empty while its thread is at work */
	u64 task;
	u64 picked;	 /* connections that the program gave it */
	u64 turn;	 /* policy weighted: grows by 1/weight with each of them */
	u64 turn_step;	 /* 2^16 / weight */
	u64 progress_ns; /* when it was last idle, or had accepted since the sample before */
	u64 sampled_ns;
	u64 accepted; /* at the last sample */
	u64 busy_samples;
	u64 samples;
	s64 open;     /* connections of it that are open, begun since steering started */
	u64 arrivals; /* connections that entered its accept queue */
	u32 busy;     /* moving average, 0 to BUSY_ONE */
	u32 absent;   /* 1: selects nothing */
};

struct control {
	u64 lease_ns; /* CLOCK_MONOTONIC until which the program selects */
	u64 stall_ns;
	u32 count;   /* slots to look at */
	u32 sockets; /* in the group, as the kernel's hash counts them */
	u64 steered, fallback_lease, fallback_eligible, fallback_select, children_full, unused;
	u64 by_hash[MEMBERS_MAX]; /* the hash's choice, by position in the group */
	struct member members[MEMBERS_MAX];
};

BPF_F_TABLE("array", u32, struct control, control, 1, 1024 /* BPF_F_MMAPABLE */);
BPF_TABLE("hash", u64, u32, member_of, 256);   /* struct sock * of a listener to its slot */
BPF_TABLE("hash", u64, u32, children, 262144); /* struct sock * of a connection to its slot */

struct reuseport_md {
	void *data, *data_end;
	u32 len, eth_protocol, ip_protocol, bind_inany, hash, unused;
	void *sk, *migrating_sk;
};

static __always_inline u32 read_u32(u64 from)
{
	u32 value = 0;

	read_kernel(&value, sizeof(value), (void *)from);
	return value;
}

/* The compiler must not learn what a value can be: it would make branches, and the verifier follows each
 * combination of branches in the loop over the members. */
#define HIDE(value) asm volatile("" : "+r"(value))
/* All ones if a < b, else 0, for numbers below 2^63. */
#define BELOW(a, b)                                       \
	({                                                \
		u64 mask = (u64)((s64)((a) - (b)) >> 63); \
		HIDE(mask);                               \
		mask;                                     \
	})

/* A number that is smaller for a better member; bit 62 is set if it is not eligible. */
static __always_inline u64 rate(struct member *member, u64 now, u64 stall_ns, u32 cpu)
{
	u64 queue, syn_queue, head = 0, busy, idle, accepted, progress, score, clamp, ineligible, gap;

	queue = read_u32(member->socket + SK_ACK_BACKLOG);
	syn_queue = read_u32(member->socket + SYN_QUEUE);
	read_kernel(&head, sizeof(head), (void *)member->sleepers);
	head ^= member->sleepers; /* 0: the list is empty */
	HIDE(head);
	idle = ~BELOW(head >> 1, 1);
	busy = ~idle & 1;
	member->samples++;
	member->busy_samples += busy;
	member->busy += ((s32)(busy << 16) - (s32)member->busy) >> 6;

	accepted = member->arrivals - queue;
	gap = BELOW(member->sampled_ns + SAMPLE_GAP_NS, now);
	progress = accepted ^ member->accepted;
	HIDE(progress);
	progress = ~BELOW(progress & 0xffffffff, 1) | idle | gap;
	member->progress_ns = (now & progress) | (member->progress_ns & ~progress);
	member->accepted = accepted;
	member->sampled_ns = now;

	ineligible = 0 - (u64)member->absent;
#if POLICY == LEAST_LOADED
	score = (u64)member->open & ~((u64)(member->open >> 63));
	clamp = BELOW(score, 0xffff);
	score = (score & clamp) | (0xffff & ~clamp);
	score = ((queue + syn_queue + busy) & 0xffff) << 24 | score << 8 | (member->busy >> 9 & 0xff);
#elif POLICY == AVOID_STALLED
	score = 0;
	ineligible |= BELOW(member->progress_ns + stall_ns, now);
#elif POLICY == CPU_LOCAL
	score = read_u32(member->task + TASK_CPU) ^ cpu;
	HIDE(score);
	score = (~BELOW(score, 1) & 1) << 16 | ((queue + syn_queue) & 0xffff);
#elif POLICY == WEIGHTED
	score = member->turn & 0xffffffffffULL;
	ineligible |= BELOW(member->turn_step, 1);
#endif
	return score << 14 | (ineligible & 1ULL << 62);
}

int sockscope_steer(struct reuseport_md *ctx)
{
	u32 zero = 0, i, count, start, slot, cpu, present = 0, eligible = 0;
	u64 now, score, best = 1ULL << 62, less, one;
	struct control *state = control.lookup(&zero);
	struct member *member;

	if (!state)
		return SK_PASS;
	now = bpf_ktime_get_ns();
	if (now > state->lease_ns) {
		__sync_fetch_and_add(&state->fallback_lease, 1);
		return SK_PASS;
	}
	slot = (u64)ctx->hash * state->sockets >> 32; /* reciprocal_scale, as the kernel's own choice */
	if (slot < MEMBERS_MAX)
		__sync_fetch_and_add(&state->by_hash[slot], 1);
	count = state->count;
	if (!count || count > MEMBERS_MAX)
		return SK_PASS;
	cpu = bpf_get_smp_processor_id();
	start = ctx->hash % count;
	for (i = 0; i < MEMBERS_MAX; i++) {
		HIDE(i);
		if (i >= count)
			break;
		slot = (start + i) % count & (MEMBERS_MAX - 1);
		member = &state->members[slot];
		score = rate(member, now, state->stall_ns, cpu);
		present += 1 - member->absent;
		eligible += 1 - (u32)(score >> 62);
		one = score | i << 7 | slot; /* ties: the first from where the hash begins */
		less = BELOW(one, best);
		best = (one & less) | (best & ~less);
		HIDE(best);
	}
	if (best >> 62 || (present > 2 && eligible < 2)) {
		__sync_fetch_and_add(&state->fallback_eligible, 1);
		return SK_PASS;
	}
	slot = best & (MEMBERS_MAX - 1);
	member = &state->members[slot];
	if (select_reuseport(ctx, SOCKARRAY, &slot, 0)) { /* it has closed */
		member->absent = 1;
		__sync_fetch_and_add(&state->fallback_select, 1);
		return SK_PASS;
	}
	__sync_fetch_and_add(&member->picked, 1);
	__sync_fetch_and_add(&member->turn, member->turn_step);
	__sync_fetch_and_add(&state->steered, 1);
	return SK_PASS;
}

/* Open connections per member: the clone of a listener contains a pointer into the original. */
int on_state(struct bpf_raw_tracepoint_args *ctx)
{
	u64 socket = ctx->args[0], link = 0;
	int before = ctx->args[1], after = ctx->args[2];
	struct control *state;
	struct member *member;
	u32 zero = 0, *found, slot;

	if (before == TCP_LISTEN && after == TCP_SYN_RECV) {
		read_kernel(&link, sizeof(link), (void *)socket + LISTENER_LINK);
		link -= LISTENER_LINK;
		found = member_of.lookup(&link);
		state = control.lookup(&zero);
		if (!found || !state)
			return 0;
		slot = *found & (MEMBERS_MAX - 1);
		member = &state->members[slot];
		__sync_fetch_and_add(&member->arrivals, 1);
		if (children.update(&socket, &slot)) {
			__sync_fetch_and_add(&state->children_full, 1);
			return 0;
		}
		__sync_fetch_and_add(&member->open, 1);
	} else if (after == TCP_CLOSE) {
		found = children.lookup(&socket);
		state = control.lookup(&zero);
		if (!found || !state)
			return 0;
		slot = *found & (MEMBERS_MAX - 1);
		__sync_fetch_and_add(&state->members[slot].open, -1);
		children.delete(&socket);
	}
	return 0;
}
