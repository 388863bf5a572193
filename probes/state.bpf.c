/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * The maps and the few helpers that every probe shares.  Nothing here is attached.
 *
 * This is BPF C for bcc, which rewrites map calls only in the main text: user space concatenates
 * records.h, a header of kernel struct offsets made from BTF (kernel_structs.h) and these files.
 */

/* A read or write under way, from its entry to its return (by_functions.bpf.c). */
struct call {
	u64 socket;
	u64 flags;
};

BPF_TABLE("hash", u64, struct listener, listeners, SIZED_LATER); /* key: struct sock * */
BPF_TABLE("hash", u32, u64, listener_keys, SIZED_LATER);	 /* listener.id to struct sock * */
BPF_TABLE("hash", struct io_key, struct connection_io, more_io, SIZED_LATER);
BPF_TABLE("hash", struct wake_key, struct wake_count, wakes, SIZED_LATER);
BPF_TABLE("hash", struct waiting_key, struct waiting_count, waiting, SIZED_LATER);
BPF_TABLE("hash", u64, struct call, calls, SIZED_LATER); /* key: tid << 1 | whether it writes */
BPF_TABLE("hash", u32, u8, servers, SIZED_LATER);	 /* processes whose threads are workers */
BPF_TABLE("hash", u32, u8, target_pids, SIZED_LATER);	 /* what --pid means by now */
BPF_TABLE("hash", u16, u8, target_ports, 1024);
BPF_TABLE("hash", u64, u8, seeds, SIZED_LATER);	     /* listeners to learn: struct sock * */
BPF_TABLE("hash", u64, u8, seed_ports, SIZED_LATER); /* netns << 32 | port */
BPF_ARRAY(target, struct target, 1);
BPF_ARRAY(blank_worker, struct worker, 1); /* zeros: too large for the stack */
BPF_ARRAY(serials, u64, 3);		   /* the last id given, by enum serial */
BPF_ARRAY(losses, u64, LOSS_COUNT);
BPF_RINGBUF_OUTPUT(closed, PAGES_LATER); /* struct connection */
BPF_RINGBUF_OUTPUT(ended, PAGES_LATER);	 /* struct worker */
BPF_RINGBUF_OUTPUT(shut, PAGES_LATER);	 /* struct listener */
#ifdef WITH_DETAIL
BPF_RINGBUF_OUTPUT(events, PAGES_LATER); /* struct event */
#endif

enum serial { SERIAL_CONNECTION, SERIAL_WORKER, SERIAL_LISTENER };

/* bcc before 0.22 does not declare these two (bpf.h: 158 since 5.11, 175 since 5.15). */
static struct task_struct *(*current_task)(void) = (void *)158;
static void *(*registers_of)(struct task_struct *task) = (void *)175;
static void *(*tcp_sock_of)(void *socket) = (void *)137; /* bpf_skc_to_tcp_sock, 5.9 */

/* What a function was called with, one argument after another, and then its result; or a
 * tracepoint's arguments, when BTF tells their types. */
struct traced {
	u64 values[8];
};

#define PEEK(into, from)                                                                        \
	({                                                                                      \
		_Static_assert(sizeof(into) == sizeof(from), "a field is read whole, no more"); \
		bpf_probe_read_kernel(&(into), sizeof(into), &(from));                          \
	})
/* A load of base->field without a helper: from the stack, or through a pointer whose type the
 * verifier knows.  The structs are declared packed, so clang would load byte by byte. */
#define LOAD(base, field) \
	(*(typeof((base)->field) *)((void *)(base) + __builtin_offsetof(typeof(*(base)), field)))
/* A pointer as a plain number: the verifier allows no arithmetic on one whose type it knows, and
 * the directory needs it. */
#define PLAIN(pointer)                                                      \
	({                                                                  \
		u64 number = 0;                                             \
		bpf_probe_read_kernel(&number, sizeof(number), &(pointer)); \
		number;                                                     \
	})
#define HEAD_OF_SOCKET struct sock_common __attribute__((aligned(8)))
#define NO_ROOM -7 /* -E2BIG: a hash map is full */
#define LISTEN_STATE 10
#define SYN_RECV_STATE 3
#define SYN_SENT_STATE 2
#define ESTABLISHED_STATE 1
#define CLOSE_STATE 7
#define CLOSE_WAIT_STATE 8
#define PROTOCOL_TCP 6
#define FAMILY_INET 2
#define FAMILY_INET6 10
#define EMPTY_HANDED (-11)  /* EAGAIN */
#define PEEK_FLAG 2	    /* MSG_PEEK */
#define EXITING_FLAG 4	    /* PF_EXITING */
#define STACK_AT_MOST 32768 /* THREAD_SIZE: 16 KiB, twice that with KASAN */
#define SLEEPING_STATE 1    /* TASK_INTERRUPTIBLE */
#define MODE_TYPE 0170000
#define MODE_SOCKET 0140000

static __always_inline u32 phase(void)
{
	u32 zero = 0;
	struct target *wanted = target.lookup(&zero);

	return wanted ? wanted->phase : PHASE_TRACING;
}

static __always_inline void lose(u32 what)
{
	u64 *count = losses.lookup(&what);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* A deed as an event.  Only with --detail: else nothing of it is compiled, and nobody pays for it. */
#ifdef WITH_DETAIL
static __always_inline void happened(u16 kind, struct worker *worker, u64 connection, s32 result, u32 about,
				     u64 now)
{
	struct event event = {.time_ns = now, .connection = connection, .worker = worker->id};

	event.result = result;
	event.about = about;
	event.kind = kind;
	event.cpu = bpf_get_smp_processor_id();
	if (events.ringbuf_output(&event, sizeof(event), BPF_RB_NO_WAKEUP))
		lose(LOSS_EVENTS_RING_FULL);
}
#define HAPPENED(...) happened(__VA_ARGS__)
#else
#define HAPPENED(...) \
	do {          \
	} while (0)
#endif

static __always_inline u64 next_serial(u32 kind)
{
	u64 *last = serials.lookup(&kind);

	return last ? __sync_fetch_and_add(last, 1) + 1 : 0;
}

/* The bucket of a duration in a struct worker's histograms: records.h has the scale. */
static __always_inline u32 bucket_of(u64 ns)
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

/* The compiler must use the very register that it compared: the verifier of 6.1 does not see that
 * two registers hold the same number once one of them was shifted. */
#define COUNT_DURATION(histogram, ns)                    \
	do {                                             \
		u64 bucket = bucket_of(ns);              \
		asm volatile("" : "+r"(bucket));         \
		if (bucket < HISTOGRAM_BUCKETS) {        \
			asm volatile("" : "+r"(bucket)); \
			(histogram)[bucket]++;           \
		}                                        \
	} while (0)
