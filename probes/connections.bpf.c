/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Create, publish, accept and finish connection records. Nothing here is attached.
 */

BPF_ARRAY(unrecorded, u64,
	  1); /* connections without a record because the map was full, and not accepted yet */

static __always_inline void count_unrecorded(void)
{
	u32 zero = 0;
	u64 *count = unrecorded.lookup(&zero);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* A connection without a record is accepted: was the map full when it was established? Such connections
 * are only counted, not identified. */
static __always_inline int take_unrecorded(void)
{
	u32 zero = 0;
	u64 *count = unrecorded.lookup(&zero);

	if (!count || !*count)
		return 0;
	__sync_fetch_and_add(count, -1);
	return 1;
}

/* Allocate a record for the connection with this head; 0 when the map is full. */
static __always_inline struct connection *new_connection(struct sock_common *head, u32 *slot)
{
	struct connection *fresh = alloc_connection(slot);

	if (!fresh) {
		count_loss(LOSS_CONNECTIONS_FULL);
		return 0;
	}
	__builtin_memset(fresh, 0, sizeof(*fresh));
	read_endpoints(fresh, head);
	return fresh;
}

/* The record is complete; make it visible under its key. Return its id, or 0 when another CPU published a
 * record for the same socket first, or when the index is full. */
static __always_inline u64 publish_connection(u64 key, struct connection *connection, u32 slot)
{
	u64 id = next_id(ID_CONNECTION);
	u32 used;

	__sync_lock_test_and_set(&connection->id, id);
	used = slot_insert_unique(key, slot);
	if (used == slot)
		return id;
	free_connection(connection, slot);
	if (used == INVALID_SLOT)
		count_loss(LOSS_CONNECTIONS_FULL);
	return 0;
}

static __always_inline int is_unaccepted(struct connection *connection)
{
	u32 when = connection->flags & (CONNECTION_OPEN_BEFORE | CONNECTION_UNACCEPTED_BEFORE);

	return !connection->accepted_ns && when != CONNECTION_OPEN_BEFORE;
}

/* The listener whose queue holds the connection; 0 when it is unknown or closed. */
static __always_inline struct listener *queue_of(struct connection *connection)
{
	u32 number = connection->listener;
	u64 *key = number ? listener_keys.lookup(&number) : 0, listening;

	if (!key)
		return 0;
	listening = *key;
	return listeners.lookup(&listening);
}

/* Send the final record and free the slot. */
static __always_inline void finish_connection(u64 key, struct connection *connection, u32 slot)
{
	connection->flags |= CONNECTION_CLOSED;
	if (is_unaccepted(connection) && connection->ended &&
	    (connection->ended == END_CLOSED_BY_PEER || connection->ended == END_RESET_BY_PEER ||
	     connection->ended == END_TIMED_OUT))
		connection->ended = END_UNACCEPTED_PEER_GAVE_UP;
	if (closed_connections.ringbuf_output(connection, sizeof(*connection), BPF_RB_NO_WAKEUP))
		count_loss(LOSS_CLOSED_RING_FULL);
	slot_remove(key);
	free_connection(connection, slot);
}

/* Finish the record of a socket whose end was not seen, so that the next socket at its address does not
 * continue it. The last change counts as the end. */
static __always_inline void finish_stale_connection(u64 key, struct connection *connection, u32 slot)
{
	/* an MPTCP socket that its peer closed first is known to be gone only here */
	if (!connection->closed_ns || !(connection->flags & CONNECTION_MPTCP))
		connection->flags |= CONNECTION_BEST_EFFORT;
	if (!connection->closed_ns)
		connection->closed_ns = connection->touched_ns;
	finish_connection(key, connection, slot);
}

/* Record the acceptor, and the queue wait in the histogram of the worker. */
static __always_inline void set_acceptor(struct connection *connection, struct worker *worker, u64 now)
{
	connection->accepted_ns = now;
	connection->touched_ns = now;
	connection->accepted_cpu = bpf_get_smp_processor_id();
	if (!worker)
		return;
	connection->acceptor = worker->id;
	if (connection->established_ns)
		HISTOGRAM_ADD(worker->queue_wait, now - connection->established_ns);
}

/* Count the accept for the worker; ``worker`` may be 0. */
static __always_inline void count_accept(struct connection *connection, struct worker *worker, u64 now)
{
	set_acceptor(connection, worker, now);
	if (!worker)
		return;
	worker->accepts++;
	worker->touched_ns = now;
	worker->flags |= WORKER_DID_WORK;
	EMIT_EVENT(EVENT_ACCEPT, worker, connection->id, 0, connection->listener, now);
}

/* Accepted without the system call: the listener is the one in whose queue the connection was. */
static __always_inline void accepted_without_syscall(struct connection *connection, struct worker *worker,
						     u64 now)
{
	struct listener *listener = queue_of(connection);

	if (listener)
		__sync_fetch_and_add(&listener->accepted, 1);
	count_accept(connection, worker, now);
}
