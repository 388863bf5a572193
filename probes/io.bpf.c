/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Record which threads read and wrote each connection, and the data wait and reply time.
 *
 * sock:sock_recv_length and sock:sock_send_length (6.3, commit 6e6eda44b939 "sock: add tracepoint for send
 * recv length") fire for every path through sock_recvmsg and sock_sendmsg, in the context of the thread.
 * Without them the exits of the system calls are used (on_read_exit and on_write_exit), where the
 * descriptor leads to the socket.
 */

/* Where the I/O of this thread on this connection is counted: in the record itself, or in io_overflow. A
 * slot is claimed by compare-and-swap, since two threads may come at the same time; afterwards only its
 * thread writes to it. */
static __always_inline struct connection_io *get_or_create_io(struct connection *connection, u64 worker)
{
	struct io_key key = {.connection = connection->id, .worker = worker};
	struct connection_io *slot, none = {.worker = worker};
	int i;

#pragma unroll
	for (i = 0; i < INLINE_IO; i++) {
		if (connection->io[i].worker == worker)
			return &connection->io[i];
		if (!connection->io[i].worker &&
		    __sync_val_compare_and_swap(&connection->io[i].worker, 0, worker) == 0)
			return &connection->io[i];
	}
	slot = io_overflow.lookup(&key);
	if (slot)
		return slot;
	io_overflow.insert(&key, &none);
	return io_overflow.lookup(&key);
}

/* The current turn of a thread: it changes when the thread waits for events, or when an accept or a read
 * returns EAGAIN. */
static __always_inline u32 turn_of(struct worker *worker)
{
	return worker->waits + worker->accepts_eagain + worker->reads_eagain;
}

/* The accept was not seen (io_uring with direct descriptors). It must have happened, since the connection
 * is read or written. */
static __always_inline void infer_accept(struct connection *connection, struct worker *worker, u64 now)
{
	connection->flags |= CONNECTION_ACCEPT_GUESSED;
	accepted_without_syscall(connection, worker, now);
}

static __always_inline void bytes_read(struct connection *connection, s64 result, u32 peeked)
{
	struct worker *worker;
	struct connection_io *slot;
	u64 now, since;

	if (phase() == PHASE_ENDING)
		return;
	worker = get_or_create_worker();
	if (!worker)
		return;
	now = bpf_ktime_get_ns();
	worker->touched_ns = now;
	if (result <= 0) {
		EMIT_EVENT(EVENT_RECEIVE, worker, connection->id, result, !!peeked, now);
		if (result == 0) {
			worker->eof_reads++;
			worker->flags |= WORKER_DID_WORK;
		} else if (result == -EAGAIN) {
			worker->reads_eagain++;
			worker->flags |= WORKER_GOT_EAGAIN;
			/* reading until EAGAIN belongs to the same turn */
			if (connection->unanswered_ns && connection->unanswered_by == worker->id)
				connection->unanswered_turn++;
		}
		return;
	}
	worker->flags |= WORKER_DID_WORK;
	if (is_unaccepted(connection))
		infer_accept(connection, worker, now);
	EMIT_EVENT(EVENT_RECEIVE, worker, connection->id, result, !!peeked, now);
	if (peeked)
		return;
	if (!(worker->flags & WORKER_READ_THIS_TURN))
		worker->read_turns++;
	worker->flags |= WORKER_READ_SINCE | WORKER_READ_THIS_TURN;
	worker->reads++;
	worker->bytes_read += result;
	connection->touched_ns = now;
	if (!connection->first_read_ns && !(connection->flags & CONNECTION_OPEN_BEFORE)) {
		connection->first_read_ns = now;
		connection->first_read_cpu = bpf_get_smp_processor_id();
		/* no data_ready is raised for bytes that came with the SYN */
		if (connection->flags & CONNECTION_FAST_OPEN && !connection->first_data_ns) {
			connection->first_data_ns = connection->established_ns;
			connection->readable_ns = connection->established_ns;
		}
	}
	if (!connection->unanswered_ns) {
		connection->unanswered_ns = now;
		connection->unanswered_by = worker->id;
		connection->unanswered_turn = turn_of(worker);
	}
	since = connection->readable_ns;
	connection->readable_ns = 0;
	if (since && now > since) {
		HISTOGRAM_ADD(worker->data_wait, now - since);
		if (now - since > connection->data_wait_max_ns)
			connection->data_wait_max_ns = now - since;
	}
	slot = get_or_create_io(connection, worker->id);
	if (!slot) {
		connection->flags |= CONNECTION_IO_LOST;
		count_loss(LOSS_IO_OVERFLOW_FULL);
		return;
	}
	slot->reads++;
	slot->bytes_read += result;
}

static __always_inline void bytes_written(struct connection *connection, s64 result)
{
	struct worker *worker;
	struct connection_io *slot;
	u64 now, since;

	if (phase() == PHASE_ENDING)
		return;
	worker = get_or_create_worker();
	if (!worker)
		return;
	now = bpf_ktime_get_ns();
	worker->touched_ns = now;
	worker->flags |= WORKER_DID_WORK;
	if (is_unaccepted(connection))
		infer_accept(connection, worker, now);
	EMIT_EVENT(EVENT_SEND, worker, connection->id, result, 0, now);
	worker->writes++;
	worker->bytes_written += result;
	connection->touched_ns = now;
	if (!connection->first_write_ns && !(connection->flags & CONNECTION_OPEN_BEFORE))
		connection->first_write_ns = now;
	since = connection->unanswered_ns;
	connection->unanswered_ns = 0;
	if (since && now > since) {
		HISTOGRAM_ADD(worker->answer, now - since);
		if (connection->unanswered_by == worker->id && connection->unanswered_turn != turn_of(worker))
			worker->deferred_replies++;
	}
	slot = get_or_create_io(connection, worker->id);
	if (!slot) {
		connection->flags |= CONNECTION_IO_LOST;
		count_loss(LOSS_IO_OVERFLOW_FULL);
		return;
	}
	slot->writes++;
	slot->bytes_written += result;
}

int on_recv(struct bpf_raw_tracepoint_args *ctx)
{
	u64 key = ctx->args[0];
	struct connection *connection = find_connection(key);

	if (connection)
		bytes_read(connection, (int)ctx->args[1], ctx->args[2] & MSG_PEEK);
	return 0;
}

int on_send(struct bpf_raw_tracepoint_args *ctx)
{
	u64 key = ctx->args[0];
	struct connection *connection = find_connection(key);
	int result = ctx->args[1];

	if (connection && result > 0)
		bytes_written(connection, result);
#ifdef WITH_DETAIL
	/* a failed send is counted nowhere: only the event exists */
	if (connection && result <= 0) {
		struct worker *worker = current_worker();

		if (worker)
			EMIT_EVENT(EVENT_SEND, worker, connection->id, result, 0, bpf_ktime_get_ns());
	}
#endif
	return 0;
}

/* splice(SOCKET, …, pipe) reads without sock_recvmsg. */
int on_splice_exit(struct syscall_exit_args *ctx)
{
	u64 key = (u64)fd_to_sock(syscall_first_argument());
	struct connection *connection = key ? find_connection(key) : 0;

	if (connection)
		bytes_read(connection, ctx->result, 0);
	return 0;
}

/* Attach methods for kernels without those tracepoints. read() is called by all processes, so these cost
 * every process of the host the lookup from descriptor to file. A connection may have been passed to any
 * process, so none can be excluded. */
static __always_inline struct connection *connection_of_call(void)
{
	u64 key = (u64)fd_to_sock(syscall_first_argument());

	return key ? find_connection(key) : 0;
}

int on_read_exit(struct syscall_exit_args *ctx)
{
	struct connection *connection = connection_of_call();

	if (connection)
		bytes_read(connection, ctx->result, 0);
	return 0;
}

/* recvfrom(fd, buffer, size, FLAGS) and recvmsg(fd, message, FLAGS) can peek. */
static __always_inline int peeks(u32 argument)
{
	void *registers = task_pt_regs(current_task());
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), registers + argument);
	return value & MSG_PEEK;
}

int on_recvfrom_exit(struct syscall_exit_args *ctx)
{
	struct connection *connection = connection_of_call();

	if (connection)
		bytes_read(connection, ctx->result, peeks(FOURTH_ARGUMENT));
	return 0;
}

int on_recvmsg_exit(struct syscall_exit_args *ctx)
{
	struct connection *connection = connection_of_call();

	if (connection)
		bytes_read(connection, ctx->result, peeks(THIRD_ARGUMENT));
	return 0;
}

int on_write_exit(struct syscall_exit_args *ctx)
{
	struct connection *connection;

	if (ctx->result <= 0)
		return 0;
	connection = connection_of_call();
	if (connection)
		bytes_written(connection, ctx->result);
	return 0;
}
