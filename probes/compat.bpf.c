/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Accepts of 32-bit programs on a 64-bit kernel.
 *
 * The tracepoints of single system calls are not raised for them (arch_trace_is_compat_syscall), so the exit
 * of all system calls is hooked instead. User space attaches this only while a 32-bit process owns a traced
 * listener, since it costs every system call of the host.
 */

/* arch/x86/entry/syscalls/syscall_32.tbl, include/uapi/linux/net.h */
#define IA32_ACCEPT4 364
#define IA32_SOCKETCALL 102
#define SYS_ACCEPT 5
#define SYS_ACCEPT4 18
#define TS_COMPAT 2

/* socketcall(2) keeps its arguments in user memory, which no probe reads: the listener of such an accept is
 * that in whose queue the connection was, and the one of a failed accept is unknown. */
static __always_inline void compat_accepted(u64 key, struct sock *listening)
{
	struct connection *connection = find_connection(key);

	if (listening)
		accepted(key, listening);
	else if (connection && is_unaccepted(connection) && phase() != PHASE_ENDING)
		accepted_without_syscall(connection, get_or_create_worker(), bpf_ktime_get_ns());
}

int on_compat_exit(struct bpf_raw_tracepoint_args *ctx)
{
	void *registers = (void *)ctx->args[0];
	s64 result = ctx->args[1];
	struct sock *listening = 0;
	u64 call = 0, first = 0, key;
	struct worker *worker;
	u32 status = 0;

	READ_AT(status, current_task(), COMPAT_STATUS);
	if (!(status & TS_COMPAT))
		return 0;
	bpf_probe_read_kernel(&call, sizeof(call), registers + CALL_NUMBER);
	bpf_probe_read_kernel(&first, sizeof(first), registers + COMPAT_FIRST);
	if (call == IA32_ACCEPT4)
		listening = fd_to_sock(first);
	else if (call != IA32_SOCKETCALL || (first != SYS_ACCEPT && first != SYS_ACCEPT4))
		return 0;
	if (result < 0) {
		worker = current_worker();
		if (worker)
			accept_failed(worker, result, listening);
		return 0;
	}
	key = (u64)file_to_sock(fd_to_file(result));
	if (key)
		compat_accepted(key, listening);
	return 0;
}
