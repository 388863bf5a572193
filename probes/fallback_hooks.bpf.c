/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * The same signals without the tracepoints of newer kernels: from kernel functions (fentry and fexit, or
 * kprobe and kretprobe), and from older tracepoints.
 */

/* struct pt_regs as words; PROBE_FIRST and the like are the indexes of the arguments. */
struct registers {
	u64 words[40];
};

static __always_inline u64 sock_of_socket(u64 socket)
{
	struct sock *behind = 0;

	READ_KERNEL(behind, ((struct socket *)socket)->sk);
	return (u64)behind;
}

/* sock_def_readable(sk) is the data_ready callback of every TCP socket, unless kernel TLS or a
 * sockmap put its own in place; sock:sk_data_ready is raised in it since 6.3 (commit
 * 40e0b0908142 "net/sock: Introduce trace_sk_data_ready()"). */
int on_readable(struct traced *ctx)
{
	u32 zero = 0;

	data_ready(TO_SCALAR(ctx->values[0]), births.lookup(&zero), 0);
	return 0;
}

int on_readable_probed(struct registers *ctx)
{
	u32 zero = 0;

	data_ready(ctx->words[PROBE_FIRST], births.lookup(&zero), 0);
	return 0;
}

/* inet_recvmsg(socket, message, size, flags) and inet6_recvmsg, called by sock_recvmsg */
int on_recv_return(struct traced *ctx)
{
	u64 key = sock_of_socket(ctx->values[0]);
	struct connection *connection = find_connection(key);

	if (connection)
		bytes_read(connection, (int)ctx->values[4], ctx->values[3] & MSG_PEEK);
	return 0;
}

/* inet_sendmsg(socket, message, size) and inet6_sendmsg. */
int on_send_return(struct traced *ctx)
{
	u64 key = sock_of_socket(ctx->values[0]);
	struct connection *connection = find_connection(key);
	int result = ctx->values[3];

	if (connection && result > 0)
		bytes_written(connection, result);
	return 0;
}

/* inet_sendpage(socket, page, offset, size, flags): sendfile and splice until 6.5 (commit
 * dc97391e6610 "sock: Remove ->sendpage*() in favour of sendmsg(MSG_SPLICE_PAGES)"). */
int on_sendpage_return(struct traced *ctx)
{
	u64 key = sock_of_socket(ctx->values[0]);
	struct connection *connection = find_connection(key);
	s64 result = ctx->values[5];

	if (connection && result > 0)
		bytes_written(connection, result);
	return 0;
}

/* A return probe does not see the arguments, so the entry stores them until the return. The kernel keeps a
 * limited number of returns; a missed one is detected at the next call of the thread, and counted. */
static __always_inline void call_enter(u64 socket, u64 flags, u64 writes)
{
	u64 key = (u64)(u32)bpf_get_current_pid_tgid() << 1 | writes;
	struct pending_call fresh = {.socket = sock_of_socket(socket), .flags = flags};

	if (!find_connection(fresh.socket))
		return;
	if (calls.lookup(&key))
		count_loss(LOSS_RETURNS_MISSED);
	if (calls.update(&key, &fresh))
		count_loss(LOSS_RETURNS_MISSED);
}

static __always_inline void call_exit(int result, u64 writes)
{
	u64 key = (u64)(u32)bpf_get_current_pid_tgid() << 1 | writes;
	struct pending_call *call = calls.lookup(&key), done;
	struct connection *connection;

	if (!call)
		return;
	done = *call;
	calls.delete(&key);
	connection = find_connection(done.socket);
	if (!connection)
		return;
	if (!writes)
		bytes_read(connection, result, done.flags & MSG_PEEK);
	else if (result > 0)
		bytes_written(connection, result);
}

int on_recv_probed(struct registers *ctx)
{
	call_enter(ctx->words[PROBE_FIRST], ctx->words[PROBE_FOURTH], 0);
	return 0;
}

int on_recv_return_probed(struct registers *ctx)
{
	call_exit(ctx->words[PROBE_RESULT], 0);
	return 0;
}

int on_send_probed(struct registers *ctx)
{
	call_enter(ctx->words[PROBE_FIRST], 0, 1);
	return 0;
}

int on_send_return_probed(struct registers *ctx)
{
	call_exit(ctx->words[PROBE_RESULT], 1);
	return 0;
}

/* inet_csk_accept(sk, flags, &error, kern) until 6.9, (sk, &argument) since 6.10 (commit
 * 92ef0fd55ac8 "net: change proto and proto_ops accept type"): ACCEPT_RESULT says how many
 * arguments this kernel's has. */
int on_accept_return(struct traced *ctx)
{
	u64 child = TO_SCALAR(ctx->values[ACCEPT_RESULT]);
	struct worker *worker;
	s32 error = 0;
	int joins;

	if (child) {
		if (is_subflow((struct sock_common *)child))
			child = connection_key(child, &joins);
		accepted(child, (struct sock *)TO_SCALAR(ctx->values[0]));
		return 0;
	}
	bpf_probe_read_kernel(&error, sizeof(error),
			      (void *)ctx->values[ACCEPT_RESULT == 4 ? 2 : 1] + ACCEPT_ERROR);
	worker = error ? current_worker() : 0;
	if (worker)
		accept_failed(worker, error, (struct sock *)TO_SCALAR(ctx->values[0]));
	return 0;
}

/* security_sock_graft(child, socket): an accepted socket gets its file, in the acceptor. It is called
 * after the wait, so a thread that was blocked before tracing began is seen as well. */
static __always_inline void grafted(u64 key)
{
	struct connection *connection = find_connection(key);

	if (connection && is_unaccepted(connection))
		accepted_without_syscall(connection, get_or_create_worker(), bpf_ktime_get_ns());
}

int on_graft(struct traced *ctx)
{
	grafted(TO_SCALAR(ctx->values[0]));
	return 0;
}

int on_graft_probed(struct registers *ctx)
{
	grafted(ctx->words[PROBE_FIRST]);
	return 0;
}

/* tcp:tcp_probe(sk, skb), at the entry of tcp_rcv_established: bytes that continue the received sequence
 * are readable as soon as it returns. */
int on_segment(struct bpf_raw_tracepoint_args *ctx)
{
	u64 key = ctx->args[0];
	struct connection *connection = find_connection(key);
	u32 begins = 0, ends = 0, expected = 0;
	void *control;

	if (!connection)
		return 0;
	control = (void *)ctx->args[1] + SEGMENT_CONTROL;
	bpf_probe_read_kernel(&begins, sizeof(begins), control + SEGMENT_BEGINS);
	bpf_probe_read_kernel(&ends, sizeof(ends), control + SEGMENT_ENDS);
	bpf_probe_read_kernel(&expected, sizeof(expected), (void *)key + EXPECTED_NEXT);
	if ((s32)(ends - expected) > 0 && (s32)(begins - expected) <= 0)
		bytes_ready(connection, 0);
	return 0;
}
