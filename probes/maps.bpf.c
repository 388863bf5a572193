/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Maps, constants and helpers that all probes share. Nothing here is attached.
 *
 * This is BPF C for bcc, which rewrites map calls only in the main text: user space concatenates
 * records.h, a header of kernel struct offsets generated from BTF (kernel_structs.h) and these files.
 */

/* A read or write in progress, from its entry to its return (fallback_hooks.bpf.c). */
struct pending_call {
	u64 socket;
	u64 flags;
};

BPF_TABLE("hash", u64, struct listener, listeners, PLACEHOLDER_ENTRIES); /* key: struct sock * */
BPF_TABLE("hash", u32, u64, listener_keys, PLACEHOLDER_ENTRIES);	 /* listener.id to struct sock * */
BPF_TABLE("hash", struct io_key, struct connection_io, io_overflow, PLACEHOLDER_ENTRIES);
BPF_TABLE("hash", struct wake_key, struct wake_count, wakes, PLACEHOLDER_ENTRIES);
BPF_TABLE("hash", struct waiting_key, struct waiting_count, waiting, PLACEHOLDER_ENTRIES);
BPF_TABLE("hash", struct accept_error_key, struct accept_error, accept_errors, PLACEHOLDER_ENTRIES);
BPF_TABLE("hash", u64, struct pending_call, calls,
	  PLACEHOLDER_ENTRIES);				      /* key: tid << 1 | whether it writes */
BPF_TABLE("hash", u32, u8, servers, PLACEHOLDER_ENTRIES);     /* processes whose threads are workers */
BPF_TABLE("hash", u32, u8, target_pids, PLACEHOLDER_ENTRIES); /* the target of --pid, with child processes */
BPF_TABLE("hash", u16, u8, target_ports, 1024);
BPF_TABLE("hash", u64, u8, initial_listeners, PLACEHOLDER_ENTRIES); /* listeners to add: struct sock * */
BPF_TABLE("hash", u64, u8, initial_ports, PLACEHOLDER_ENTRIES);	    /* netns << 32 | port */
BPF_ARRAY(target, struct target, 1);
BPF_ARRAY(mptcp_traced, u32, 1);	  /* whether a traced listener takes MPTCP connections */
BPF_ARRAY(zero_worker, struct worker, 1); /* zeros: too large for the stack */
BPF_ARRAY(last_ids, u64, 3);		  /* the last id assigned, by enum id_kind */
BPF_ARRAY(losses, u64, LOSS_COUNT);
BPF_RINGBUF_OUTPUT(closed_connections, PLACEHOLDER_PAGES); /* struct connection */
BPF_RINGBUF_OUTPUT(exited_threads, PLACEHOLDER_PAGES);	   /* struct worker */
BPF_RINGBUF_OUTPUT(closed_listeners, PLACEHOLDER_PAGES);   /* struct listener */
#ifdef WITH_DETAIL
BPF_RINGBUF_OUTPUT(events, PLACEHOLDER_PAGES); /* struct event */
#endif

enum id_kind { ID_CONNECTION, ID_WORKER, ID_LISTENER };

/* bcc before 0.22 does not declare these two (bpf.h: 158 since 5.11, 175 since 5.15). */
static struct task_struct *(*current_task)(void) = (void *)158;
static void *(*task_pt_regs)(struct task_struct *task) = (void *)175;
static void *(*tcp_sock_of)(void *socket) = (void *)137; /* bpf_skc_to_tcp_sock, 5.9 */

/* The arguments of a function in order, then its result; or the arguments of a tracepoint with types from
 * BTF. */
struct traced {
	u64 values[8];
};

#define READ_KERNEL(into, from)                                                                 \
	({                                                                                      \
		_Static_assert(sizeof(into) == sizeof(from), "a field is read whole, no more"); \
		bpf_probe_read_kernel(&(into), sizeof(into), &(from));                          \
	})
/* Read base->field without a helper: from the stack, or through a pointer whose type the verifier knows.
 * The structs are declared packed, so clang would read byte by byte. */
#define LOAD_FIELD(base, field) \
	(*(typeof((base)->field) *)((void *)(base) + __builtin_offsetof(typeof(*(base)), field)))
/* A pointer as a scalar: the verifier allows no arithmetic on a pointer whose type it knows, and the slot
 * index needs it. */
#define TO_SCALAR(pointer)                                                  \
	({                                                                  \
		u64 number = 0;                                             \
		bpf_probe_read_kernel(&number, sizeof(number), &(pointer)); \
		number;                                                     \
	})
#define SOCK_COMMON_COPY struct sock_common __attribute__((aligned(8)))
#define E2BIG 7
#define TCP_LISTEN 10
#define TCP_SYN_RECV 3
#define TCP_SYN_SENT 2
#define TCP_ESTABLISHED 1
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8
#define TCP_FIN_WAIT1 4
#define TCP_LAST_ACK 9
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262
#define SOCK_DEAD_FLAG 1ULL /* 1 << SOCK_DEAD: no process refers to the socket */
#define SOCK_DONE_FLAG 2ULL /* 1 << SOCK_DONE: the peer's FIN was received */
#define ECONNRESET 104
#define EPIPE 32
#define ECONNABORTED 103
#define ETIMEDOUT 110
#define EINTR 4
#define ERESTARTSYS 512
#define ERESTART_RESTARTBLOCK 516
#define AF_INET 2
#define AF_INET6 10
#define EAGAIN 11
#define MSG_PEEK 2
#define PF_EXITING 4
#define THREAD_SIZE_MAX 32768 /* THREAD_SIZE: 16 KiB, twice that with KASAN */
#define TASK_INTERRUPTIBLE 1
#define S_IFMT 0170000
#define S_IFSOCK 0140000

static __always_inline u32 phase(void)
{
	u32 zero = 0;
	struct target *wanted = target.lookup(&zero);

	return wanted ? wanted->phase : PHASE_TRACING;
}

static __always_inline void count_loss(u32 what)
{
	u64 *count = losses.lookup(&what);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* Send an event. Compiled only with --events, so it costs nothing otherwise. */
#ifdef WITH_DETAIL
static __always_inline void emit_event(u16 kind, struct worker *worker, u64 connection, s32 result, u32 about,
				       u64 now)
{
	struct event event = {.time_ns = now, .connection = connection, .worker = worker->id};

	event.result = result;
	event.about = about;
	event.kind = kind;
	event.cpu = bpf_get_smp_processor_id();
	if (events.ringbuf_output(&event, sizeof(event), BPF_RB_NO_WAKEUP))
		count_loss(LOSS_EVENTS_RING_FULL);
}
#define EMIT_EVENT(...) emit_event(__VA_ARGS__)
#else
#define EMIT_EVENT(...) \
	do {            \
	} while (0)
#endif

static __always_inline u64 next_id(u32 kind)
{
	u64 *last = last_ids.lookup(&kind);

	return last ? __sync_fetch_and_add(last, 1) + 1 : 0;
}

/* The histogram bucket of a duration; records.h has the scale. */
static __always_inline u32 histogram_bucket(u64 ns)
{
	u32 octave = 0;
	u64 rest = ns;

	if (ns >> HISTOGRAM_LAST_OCTAVE)
		return HISTOGRAM_BUCKETS - 1;
	if (!(ns >> HISTOGRAM_FIRST_OCTAVE))
		return 0;
	if (rest >> 32) {
		octave += 32;
		rest >>= 32;
	}
	if (rest >> 16) {
		octave += 16;
		rest >>= 16;
	}
	if (rest >> 8) {
		octave += 8;
		rest >>= 8;
	}
	if (rest >> 4) {
		octave += 4;
		rest >>= 4;
	}
	if (rest >> 2) {
		octave += 2;
		rest >>= 2;
	}
	octave += rest >> 1;
	return 1 + (octave - HISTOGRAM_FIRST_OCTAVE) * 4 + ((ns >> (octave - 2)) & 3);
}

/* The compiler must use the register that it compared: the verifier of 6.1 loses the relation between two
 * registers that hold the same number once one of them is shifted. */
#define HISTOGRAM_ADD(histogram, ns)                     \
	do {                                             \
		u64 bucket = histogram_bucket(ns);       \
		asm volatile("" : "+r"(bucket));         \
		if (bucket < HISTOGRAM_BUCKETS) {        \
			asm volatile("" : "+r"(bucket)); \
			(histogram)[bucket]++;           \
		}                                        \
	} while (0)
