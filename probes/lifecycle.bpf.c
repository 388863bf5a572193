/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Record when each connection was established, and on which listener.
 *
 * A birth takes three steps in one softirq on one CPU:
 *   inet_sock_set_state(child, LISTEN -> SYN_RECV)       the child is cloned from the listener
 *   inet_sock_set_state(child, SYN_RECV -> ESTABLISHED)  (later, with TCP Fast Open)
 *   sk_data_ready(listener)                              the child is in its accept queue
 * The last child cloned on this CPU is the one that sk_data_ready announces, so its listener is known
 * exactly before it is accepted, also within a SO_REUSEPORT group. Every sk_data_ready of a listener
 * follows a clone of its own, so a clone that is dropped half-way causes no error.
 *
 * The first step identifies the listener already. inet_csk_clone_lock copies the whole struct of the
 * listener and raises the tracepoint before tcp_create_openreq_child initialises the list heads of the
 * copy: the empty list tsq_node of the child still points to the one of the listener. The pointer is used
 * only if it leads to a traced listener. So the record exists when the child is established, and an
 * acceptor that is faster than sk_data_ready of the listener finds it.
 *
 * An acceptor that is faster still (the child enters the queue a moment before it is established) creates
 * the record. Both CPUs may create it at the same time: the slot index decides which record stays, and the
 * other CPU adds what it knows. Or the acceptor holds the lock of the child already: then the last step
 * runs within its accept, on its CPU.
 */

struct birth {
	u64 child;
	u64 key;    /* the socket that identifies the connection: the child, or its MPTCP socket */
	u64 parent; /* the listener, if it is traced */
	u64 established_ns;
	u64 first_data_ns;
	u64 recorded;
	u64 late_child; /* the last child established here and cloned on another CPU, and when */
	u64 late_ns;
	u64 socket;	/* the current socket as a scalar (on_data_ready_typed) */
	u64 sample_due; /* the listener whose waiters are to be sampled */
};

BPF_PERCPU_ARRAY(births, struct birth, 1);

/* Did accept create this record because the birth was not seen? Otherwise it belongs to an earlier socket
 * at the same address. */
static __always_inline int was_created_by_accept(struct connection *connection, struct sock_common *head)
{
	return connection->flags & (CONNECTION_LATE | CONNECTION_BEST_EFFORT) && !connection->ending_ns &&
	       connection->remote_port == bpf_ntohs(LOAD_FIELD(head, skc_dport));
}

/* It was accepted before it was reported as established: it did not wait. */
static __always_inline void merge_into_accepted(struct connection *connection, struct listener *listener,
						struct birth *birth)
{
	if (connection->flags & CONNECTION_BEST_EFFORT)
		__sync_fetch_and_add(&listener->established, -1); /* counted by accept already */
	connection->flags &= ~(CONNECTION_LATE | CONNECTION_BEST_EFFORT);
	if (birth->established_ns)
		connection->flags &= ~CONNECTION_FAST_OPEN;
	connection->established_ns = connection->accepted_ns;
	connection->established_cpu = bpf_get_smp_processor_id();
	connection->listener = listener->id;
	connection->touched_ns = bpf_ktime_get_ns();
}

/* The length of the accept queue and its limit, which a further listen() may have changed. */
static __always_inline void read_queue(struct sock *listening, struct listener *listener)
{
	u32 length = 0, limit = 0;

	READ_KERNEL(length, listening->sk_ack_backlog);
	READ_KERNEL(limit, listening->sk_max_ack_backlog);
	listener->queue = length;
	listener->backlog = limit;
	if (length > listener->queue_max)
		listener->queue_max = length;
}

static __always_inline void connection_queued(struct sock *listening, struct listener *listener,
					      struct birth *birth, u64 now)
{
	u64 key = birth->child;
	u32 slot;
	struct connection *fresh;
	SOCK_COMMON_COPY head;
	int joins;

	bpf_probe_read_kernel(&head, sizeof(head), (void *)key);
	if (listener->mptcp) {
		key = connection_key(key, &joins);
		if (joins) {
			birth->child = 0;
			return;
		}
	}
	birth->key = key;
	slot = find_slot(key);
	if (LOAD_FIELD(&head, skc_num) != listener->port || phase() == PHASE_ENDING)
		return;
	if (is_sampled(__sync_fetch_and_add(&listener->established, 1)))
		birth->sample_due = (u64)listening;
	read_queue(listening, listener);
	birth->recorded = 1;
	fresh = slot == INVALID_SLOT ? 0 : connections.lookup(&slot);
	if (fresh && was_created_by_accept(fresh, &head)) {
		merge_into_accepted(fresh, listener, birth);
		return;
	}
	if (fresh)
		finish_stale_connection(key, fresh, slot);
	fresh = new_connection(&head, &slot);
	if (!fresh) {
		count_unrecorded();
		return;
	}
	fresh->touched_ns = now;
	if (key != birth->child)
		fresh->flags = CONNECTION_MPTCP;
	fresh->established_ns = birth->established_ns;
	if (!fresh->established_ns) {
		fresh->established_ns = now;
		fresh->flags |= CONNECTION_FAST_OPEN;
	}
	if (birth->first_data_ns) {
		fresh->first_data_ns = birth->first_data_ns;
		fresh->readable_ns = birth->first_data_ns;
		fresh->flags |= CONNECTION_DATA_WITH_HANDSHAKE;
	}
	fresh->listener = listener->id;
	fresh->established_cpu = bpf_get_smp_processor_id();
	if (publish_connection(key, fresh, slot))
		return;
	fresh = find_connection(key); /* created meanwhile by accept on another CPU */
	if (!fresh)
		count_unrecorded();
	else if (was_created_by_accept(fresh, &head))
		merge_into_accepted(fresh, listener, birth);
}

static __always_inline void listener_closed(u64 key)
{
	struct listener *listener = listeners.lookup(&key);
	u32 number, drops = 0, limit = 0;

	if (!listener)
		return;
	number = listener->id;
	listener_keys.delete(&number);
	listener->closed_ns = bpf_ktime_get_ns();
	READ_KERNEL(drops, ((struct sock *)key)->sk_drops);
	listener->drops = drops;
	READ_KERNEL(limit, ((struct sock *)key)->sk_max_ack_backlog);
	listener->backlog = limit;
	if (closed_listeners.ringbuf_output(listener, sizeof(*listener), BPF_RB_NO_WAKEUP))
		count_loss(LOSS_LISTENERS_FULL);
	listeners.delete(&key);
}

static __always_inline void listener_opened(struct sock *socket)
{
	struct worker *worker;
	struct target *wanted;
	u32 zero = 0;

	wanted = target.lookup(&zero);
	if (!wanted || !socket_in_scope(wanted, (struct sock_common *)socket) || !process_in_scope(wanted))
		return;
	if (!is_tcp((struct sock_common *)socket))
		return;
	worker = get_or_create_worker();
	add_listener(socket, bpf_ktime_get_ns(), worker ? worker->id : 0);
}

static __always_inline void child_cloned(struct birth *birth, u64 key)
{
	u64 link = 0;
	u16 protocol = 0;

	/* an MPTCP socket is cloned from its listener after its first subflow, on the same CPU */
	READ_KERNEL(protocol, ((struct sock *)key)->sk_protocol);
	if (protocol == IPPROTO_MPTCP)
		return;
	bpf_probe_read_kernel(&link, sizeof(link), (void *)key + LISTENER_LINK);
	birth->child = key;
	birth->key = key;
	birth->parent = link - LISTENER_LINK;
	birth->established_ns = 0;
	birth->first_data_ns = 0;
	birth->recorded = 0;
}

static __always_inline void child_established(struct birth *birth)
{
	u64 parent = birth->parent;
	struct listener *listener = listeners.lookup(&parent);

	birth->established_ns = bpf_ktime_get_ns();
	if (listener && !birth->recorded)
		connection_queued((struct sock *)parent, listener, birth, birth->established_ns);
}

/* The only place where waiters are sampled: the verifier follows each step, which takes 0.2 s per call
 * site. A sample due at the third step of a birth (TCP Fast Open), or while this program ran already, is
 * taken when the next child is established on this CPU. */
static __always_inline void sample_if_due(struct birth *birth)
{
	u64 listening = birth->sample_due;
	struct listener *listener;

	if (!listening)
		return;
	birth->sample_due = 0;
	listener = listeners.lookup(&listening);
	if (listener)
		sample_waiters((struct sock *)listening, listener);
}

/* When the bytes that are readable now arrived. TCP reads the clock when it starts to process a segment
 * (tcp_mstamp_refresh in tcp_rcv_established and tcp_rcv_state_process) and stores it in the socket; it is
 * CLOCK_MONOTONIC like bpf_ktime_get_ns. Where the verifier allows to follow the pointer this costs 2 ns,
 * the clock 40 ns. ``typed`` is that pointer, or 0. */
static __always_inline u64 arrived_ns(void *typed)
{
	void *connected = typed && ARRIVAL_CLOCK ? tcp_sock_of(typed) : 0;

	return connected ? *(u64 *)(connected + ARRIVAL_CLOCK) : bpf_ktime_get_ns();
}

/* Bytes of this connection became readable. */
static __always_inline void bytes_ready(struct connection *connection, void *typed)
{
	u64 now;

	if (connection->readable_ns) /* more bytes behind unread ones */
		return;
	now = arrived_ns(typed);
	if (!connection->first_data_ns && !(connection->flags & CONNECTION_OPEN_BEFORE))
		connection->first_data_ns = now;
	connection->readable_ns = now;
}

/* The data_ready callback of a socket: of a listener, a child was queued; of a connection, bytes arrived. */
static __always_inline void data_ready(u64 key, struct birth *birth, void *typed)
{
	struct connection *connection;
	struct listener *listener;
	u32 zero = 0, *mptcp;
	int joins;

	if (birth && birth->child) {
		if (birth->child == key || birth->key == key) {
			connection = find_connection(birth->key);
			if (connection) {
				if (birth->recorded)
					connection->flags |= CONNECTION_DATA_WITH_HANDSHAKE;
				bytes_ready(connection, 0);
			} else if (!birth->first_data_ns) {
				birth->first_data_ns = bpf_ktime_get_ns();
			}
			return;
		}
		listener = listeners.lookup(&key);
		if (listener && !birth->recorded)
			connection_queued((struct sock *)key, listener, birth, bpf_ktime_get_ns());
		birth->child = 0;
		if (listener)
			return;
	}
	connection = find_connection(key);
	if (connection) {
		bytes_ready(connection, typed);
		return;
	}
	/* a subflow announces bytes before its MPTCP socket; the latter does not while a thread holds its
	 * lock */
	mptcp = mptcp_traced.lookup(&zero);
	if (!mptcp || !*mptcp || !is_subflow((struct sock_common *)key))
		return;
	connection = find_connection(connection_key(key, &joins));
	if (connection)
		bytes_ready(connection, 0);
}

int on_data_ready(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;

	data_ready(ctx->args[0], births.lookup(&zero), 0);
	return 0;
}

/* The same as a BTF raw tracepoint (5.5): ctx->values[0] is a pointer to a struct sock that the verifier
 * allows to follow, but not to compute with. Stored in a map and read back it is a scalar. */
int on_data_ready_typed(struct traced *ctx)
{
	u32 zero = 0;
	struct birth *birth = births.lookup(&zero);
	void *socket = (void *)ctx->values[0];

	if (!birth)
		return 0;
	*(void *volatile *)&birth->socket = socket;
	data_ready(*(volatile u64 *)&birth->socket, birth, socket);
	return 0;
}
