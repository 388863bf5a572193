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
#define ESTABLISHED_STATE 1
#define CLOSE_STATE 7
#define CLOSE_WAIT_STATE 8
#define PROTOCOL_TCP 6
#define FAMILY_INET 2
#define FAMILY_INET6 10
#define EMPTY_HANDED (-11) /* EAGAIN */
#define PEEK_FLAG 2	   /* MSG_PEEK */
#define EXITING_FLAG 4	   /* PF_EXITING */
#define SLEEPING_STATE 1   /* TASK_INTERRUPTIBLE */
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

/* The record of a thread, made when it is first met.  Only the thread itself writes to its
 * record, on the CPU where it runs, so no counter in it needs an atomic. */
static __always_inline struct worker *worker_made(u32 tid, u32 pid, struct task_struct *task)
{
	u32 zero = 0, place = NOWHERE, kept;
	struct task_struct *parent = 0;
	struct worker *worker, *blank;
	u8 yes = 1;

	blank = blank_worker.lookup(&zero);
	worker = blank ? worker_taken(&place) : 0;
	if (!worker) {
		lose(LOSS_WORKERS_FULL);
		return 0;
	}
	bpf_probe_read_kernel(worker, sizeof(*worker), blank);
	worker->tid = tid;
	worker->pid = pid;
	worker->first_seen_ns = bpf_ktime_get_ns();
	worker->touched_ns = worker->first_seen_ns;
	PEEK(worker->start_ns, task->start_time);
	PEEK(worker->cpu_before_ns, task->se.sum_exec_runtime);
	if (RUN_DELAY)
		bpf_probe_read_kernel(&worker->cpu_wait_before_ns, sizeof(worker->cpu_wait_before_ns),
				      (void *)task + RUN_DELAY);
	PEEK(parent, task->real_parent);
	PEEK(worker->parent_pid, parent->tgid);
	bpf_probe_read_kernel(&worker->comm, sizeof(worker->comm), &task->comm);
	if (servers.insert(&pid, &yes) == NO_ROOM)
		lose(LOSS_PROCESSES_FULL);
	worker->id = next_serial(SERIAL_WORKER);
	/* the iterator over all tasks may have met it at the same moment */
	kept = settle_first(THREAD_KEYS + tid, place);
	if (kept == place)
		return worker;
	worker_given_back(worker, place);
	if (kept == NOWHERE)
		lose(LOSS_WORKERS_FULL);
	return kept == NOWHERE ? 0 : workers.lookup(&kept);
}

static __always_inline struct worker *current_worker(void)
{
	return worker_of(bpf_get_current_pid_tgid());
}

static __always_inline struct worker *current_worker_made(void)
{
	u64 both = bpf_get_current_pid_tgid();
	struct worker *worker = worker_of(both);

	if (worker)
		return worker;
	worker = worker_made(both, both >> 32, (struct task_struct *)bpf_get_current_task());
	if (worker && !worker->cgroup)
		worker->cgroup = bpf_get_current_cgroup_id();
	return worker;
}

static __always_inline u32 netns_of(struct sock_common *socket)
{
	struct net *net = 0;
	u32 inum = 0;

	PEEK(net, socket->skc_net);
	PEEK(inum, net->ns.inum);
	return inum;
}

static __always_inline void write_mapped(u8 *to, u32 ipv4)
{
	__builtin_memset(to, 0, 10);
	to[10] = 0xff;
	to[11] = 0xff;
	__builtin_memcpy(to + 12, &ipv4, 4);
}

static __always_inline int is_tcp(struct sock_common *socket)
{
	u16 family = 0, protocol = 0;

	PEEK(family, socket->skc_family);
	PEEK(protocol, ((struct sock *)socket)->sk_protocol);
	return protocol == PROTOCOL_TCP && (family == FAMILY_INET || family == FAMILY_INET6);
}

/* Does the process that runs now belong to the target? */
static __always_inline int process_in_scope(struct target *wanted)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	char comm[16] = {};
	int i;

	if (pid == wanted->tracer)
		return 0;
	if (wanted->by_pid && !target_pids.lookup(&pid))
		return 0;
	if (wanted->cgroup && bpf_get_current_ancestor_cgroup_id(wanted->cgroup_level) != wanted->cgroup)
		return 0;
	if (wanted->by_comm) {
		struct task_struct *leader = 0, *task = (struct task_struct *)bpf_get_current_task();

		/* the process's name, as ps shows it: threads have names of their own */
		PEEK(leader, task->group_leader);
		bpf_probe_read_kernel(&comm, sizeof(comm), &leader->comm);
#pragma unroll
		for (i = 0; i < 16; i++) {
			if (comm[i] != wanted->comm[i])
				return 0;
			if (!comm[i])
				break;
		}
	}
	return 1;
}

static __always_inline int socket_in_scope(struct target *wanted, struct sock_common *socket)
{
	u16 port = 0;

	if (wanted->by_port) {
		PEEK(port, socket->skc_num);
		if (!target_ports.lookup(&port))
			return 0;
	}
	return !wanted->netns || netns_of(socket) == wanted->netns;
}

static __always_inline u64 inode_of(struct sock *socket)
{
	struct socket_alloc *holder = 0;
	u64 inode = 0;

	/* struct socket is the first member of struct socket_alloc */
	PEEK(holder, socket->sk_socket);
	if (holder)
		PEEK(inode, holder->vfs_inode.i_ino);
	return inode;
}

static __always_inline void read_local(struct sock_common *socket, u8 *address, u8 *family)
{
	u16 raw = 0;
	u32 ipv4 = 0;

	PEEK(raw, socket->skc_family);
	if (raw == FAMILY_INET6) {
		*family = 6;
		bpf_probe_read_kernel(address, 16, &socket->skc_v6_rcv_saddr);
	} else {
		*family = 4;
		PEEK(ipv4, socket->skc_rcv_saddr);
		write_mapped(address, ipv4);
	}
}

/* A listening socket becomes a traced one. */
static __always_inline struct listener *listener_learnt(struct sock *socket, u64 listened_ns, u32 by)
{
	struct sock_common *common = (struct sock_common *)socket;
	struct listener fresh = {};
	u64 key = (u64)socket;
	u8 bits = 0;

	read_local(common, fresh.address, &fresh.family);
	PEEK(fresh.port, common->skc_num);
	bpf_probe_read_kernel(&bits, 1, (void *)common + REUSEPORT_BYTE);
	fresh.reuseport = !!(bits & REUSEPORT_MASK);
	bpf_probe_read_kernel(&bits, 1, (void *)common + V6ONLY_BYTE);
	fresh.v6only = !!(bits & V6ONLY_MASK);
	PEEK(fresh.backlog, socket->sk_max_ack_backlog);
	PEEK(fresh.queue, socket->sk_ack_backlog);
	fresh.queue_max = fresh.queue;
	fresh.netns = netns_of(common);
	fresh.inode = inode_of(socket);
	fresh.listened_ns = listened_ns;
	fresh.listened_by = by;
	fresh.id = next_serial(SERIAL_LISTENER);
	listeners.insert(&key, &fresh);
	struct listener *kept = listeners.lookup(&key);
	if (!kept) {
		lose(LOSS_LISTENERS_FULL);
		return 0;
	}
	u32 number = kept->id;
	listener_keys.update(&number, &key);
	return kept;
}

/* The addresses and ports of a connected socket, from the head of its struct: that is read at once,
 * since each call of bpf_probe_read_kernel costs some 20 ns. */
static __always_inline void put_ends(struct connection *record, struct sock_common *head)
{
	u32 *words = (u32 *)record->remote;

	record->local_port = LOAD(head, skc_num);
	record->remote_port = bpf_ntohs(LOAD(head, skc_dport));
	if (LOAD(head, skc_family) == FAMILY_INET6) {
		__builtin_memcpy(record->local, &LOAD(head, skc_v6_rcv_saddr), 16);
		__builtin_memcpy(record->remote, &LOAD(head, skc_v6_daddr), 16);
		record->family = !words[0] && !words[1] && words[2] == bpf_htonl(0xffff) ? 4 : 6;
	} else {
		record->family = 4;
		write_mapped(record->local, LOAD(head, skc_rcv_saddr));
		write_mapped(record->remote, LOAD(head, skc_daddr));
	}
}

/* A blank record for the connection whose head that is; 0 when there is no room. */
static __always_inline struct connection *connection_begun(struct sock_common *head, u32 *place)
{
	struct connection *fresh = connection_taken(place);

	if (!fresh) {
		lose(LOSS_CONNECTIONS_FULL);
		return 0;
	}
	__builtin_memset(fresh, 0, sizeof(*fresh));
	put_ends(fresh, head);
	return fresh;
}

/* A new connection's record is filled, and can be found from now on. */
static __always_inline void connection_known(u64 key, struct connection *connection, u32 place)
{
	__sync_lock_test_and_set(&connection->id, next_serial(SERIAL_CONNECTION));
	if (settle(key, place))
		return;
	connection_given_back(connection, place);
	lose(LOSS_CONNECTIONS_FULL);
}

/* The same where somebody else may find the same socket at the same moment. */
static __always_inline u64 connection_known_first(u64 key, struct connection *connection, u32 place)
{
	u64 id = next_serial(SERIAL_CONNECTION);
	u32 kept;

	__sync_lock_test_and_set(&connection->id, id);
	kept = settle_first(key, place);
	if (kept == place)
		return id;
	connection_given_back(connection, place);
	if (kept == NOWHERE)
		lose(LOSS_CONNECTIONS_FULL);
	return 0;
}

/* The connection is the worker's from now on; ``worker`` may be 0. */
static __always_inline void accepted_by(struct connection *connection, struct worker *worker, u64 now)
{
	connection->accepted_ns = now;
	connection->touched_ns = now;
	connection->accepted_cpu = bpf_get_smp_processor_id();
	if (!worker)
		return;
	connection->acceptor = worker->id;
	worker->accepts++;
	worker->touched_ns = now;
	worker->flags |= WORKER_GOT_WORK;
	HAPPENED(EVENT_ACCEPT, worker, connection->id, 0, connection->listener, now);
	if (connection->established_ns)
		COUNT_DURATION(worker->queue_wait, now - connection->established_ns);
}

static __always_inline int is_unaccepted(struct connection *connection)
{
	u32 when = connection->flags & (CONNECTION_OPEN_BEFORE | CONNECTION_UNACCEPTED_BEFORE);

	return !connection->accepted_ns && when != CONNECTION_OPEN_BEFORE;
}

/* The listener in whose queue the connection stood; 0 when it is unknown or closed. */
static __always_inline struct listener *queued_on(struct connection *connection)
{
	u32 number = connection->listener;
	u64 *key = number ? listener_keys.lookup(&number) : 0, listening;

	if (!key)
		return 0;
	listening = *key;
	return listeners.lookup(&listening);
}

/* Accepted without the system call: its listener is the one that it was queued on. */
static __always_inline void accepted_silently(struct connection *connection, struct worker *worker, u64 now)
{
	struct listener *listener = queued_on(connection);

	if (listener)
		__sync_fetch_and_add(&listener->accepted, 1);
	accepted_by(connection, worker, now);
}

/* The file behind a descriptor of the current task.  Best effort: another thread may have closed
 * and reopened the number since the system call began. */
static __always_inline struct file *file_of(u32 number)
{
	/* a pointer that the verifier knows the type of: read without a helper */
	struct task_struct *task = current_task();
	struct files_struct *files = LOAD(task, files);
	struct fdtable *table = LOAD(files, fdt);
	struct file **array = LOAD(table, fd), *file = 0;

	if (number < LOAD(table, max_fds))
		PEEK(file, array[number]);
	return file;
}

/* The socket of a file that is known to be one, or is compared with those that are known. */
static __always_inline struct sock *socket_in(struct file *file)
{
	struct socket *holder = 0;
	struct sock *socket = 0;

	if (file)
		PEEK(holder, file->private_data);
	if (holder)
		PEEK(socket, holder->sk);
	return socket;
}

/* The socket behind a descriptor of the current task; 0 when it is none. */
static __always_inline struct sock *socket_of(u32 number)
{
	struct file *file = file_of(number);
	struct inode *inode = 0;
	u16 mode = 0;

	if (!file)
		return 0;
	PEEK(inode, file->f_inode);
	PEEK(mode, inode->i_mode);
	return (mode & MODE_TYPE) == MODE_SOCKET ? socket_in(file) : 0;
}

/* The first argument of the system call that the current task is in.  It outlives the call:
 * x86 keeps rdi, arm64 keeps orig_x0. */
static __always_inline u64 first_argument(void)
{
	struct pt_regs *registers = registers_of(current_task());
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)registers + FIRST_ARGUMENT);
	return value;
}
