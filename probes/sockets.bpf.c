/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Sockets: their kind, address and namespace, whether they belong to the target, and their listener
 * records. Nothing here is attached.
 */

static __always_inline u32 netns_of(struct sock_common *socket)
{
	struct net *net = 0;
	u32 inum = 0;

	READ_KERNEL(net, socket->skc_net);
	READ_KERNEL(inum, net->ns.inum);
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

	READ_KERNEL(family, socket->skc_family);
	READ_KERNEL(protocol, ((struct sock *)socket)->sk_protocol);
	return protocol == IPPROTO_TCP && (family == AF_INET || family == AF_INET6);
}

/* A field at an offset that this kernel's BTF gives; 0 where the kernel lacks it. */
#define READ_AT(into, base, offset) \
	((offset) ? bpf_probe_read_kernel(&(into), sizeof(into), (void *)(base) + (offset)) : 0)

/* Does a TCP socket carry a flow of an MPTCP connection, or listen for one (tcp_sock.is_mptcp)? */
static __always_inline int is_subflow(struct sock_common *socket)
{
	u8 bits = 0;

	READ_AT(bits, socket, IS_MPTCP_BYTE);
	return bits & IS_MPTCP_MASK;
}

/* The TCP socket whose accept queue serves a listening socket: an MPTCP socket listens through its first
 * subflow, and hands it to TCP when the peer does not speak MPTCP. */
static __always_inline struct sock *queue_socket(struct sock *socket)
{
	struct sock *first = 0;
	u16 protocol = 0;

	READ_KERNEL(protocol, socket->sk_protocol);
	if (protocol != IPPROTO_MPTCP)
		return socket;
	READ_AT(first, socket, MPTCP_FIRST);
	return first;
}

/* The socket that identifies a connection. Threads of a server use the MPTCP socket, whatever subflows it
 * has; ``joins``: this is a further subflow of an existing connection. */
static __always_inline u64 connection_key(u64 child, int *joins)
{
	u64 context = 0, socket = 0;
	u8 bits = 0;

	*joins = 0;
	READ_AT(context, child, ULP_DATA);
	if (!context || !SUBFLOW_CONNECTION)
		return child;
	READ_AT(bits, context, SUBFLOW_JOIN_BYTE);
	READ_AT(socket, context, SUBFLOW_CONNECTION);
	if (!socket)
		return child;
	*joins = !!(bits & SUBFLOW_JOIN_MASK);
	return socket;
}

/* Does the current process belong to the target? */
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

		/* the name of the process as in ps: threads have names of their own */
		READ_KERNEL(leader, task->group_leader);
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
		READ_KERNEL(port, socket->skc_num);
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
	READ_KERNEL(holder, socket->sk_socket);
	if (holder)
		READ_KERNEL(inode, holder->vfs_inode.i_ino);
	return inode;
}

static __always_inline void read_local(struct sock_common *socket, u8 *address, u8 *family)
{
	u16 raw = 0;
	u32 ipv4 = 0;

	READ_KERNEL(raw, socket->skc_family);
	if (raw == AF_INET6) {
		*family = 6;
		bpf_probe_read_kernel(address, 16, &socket->skc_v6_rcv_saddr);
	} else {
		*family = 4;
		READ_KERNEL(ipv4, socket->skc_rcv_saddr);
		write_mapped(address, ipv4);
	}
}

/* Add a listening socket to the traced ones. */
static __always_inline struct listener *add_listener(struct sock *socket, u64 listened_ns, u32 by)
{
	struct sock_common *common = (struct sock_common *)socket;
	struct listener fresh = {};
	u32 zero = 0, yes = 1;
	u64 key = (u64)socket;
	u8 bits = 0;

	read_local(common, fresh.address, &fresh.family);
	READ_KERNEL(fresh.port, common->skc_num);
	bpf_probe_read_kernel(&bits, 1, (void *)common + REUSEPORT_BYTE);
	fresh.reuseport = !!(bits & REUSEPORT_MASK);
	bpf_probe_read_kernel(&bits, 1, (void *)common + V6ONLY_BYTE);
	fresh.v6only = !!(bits & V6ONLY_MASK);
	READ_KERNEL(fresh.backlog, socket->sk_max_ack_backlog);
	READ_KERNEL(fresh.queue, socket->sk_ack_backlog);
	fresh.queue_max = fresh.queue;
	fresh.mptcp = !!is_subflow(common);
	if (fresh.mptcp)
		mptcp_traced.update(&zero, &yes);
	READ_AT(fresh.defer_accept, common, DEFER_ACCEPT);
	fresh.defer_accept = !!fresh.defer_accept;
	fresh.netns = netns_of(common);
	fresh.inode = inode_of(socket);
	fresh.listened_ns = listened_ns;
	fresh.listened_by = by;
	fresh.id = next_id(ID_LISTENER);
	listeners.insert(&key, &fresh);
	struct listener *added = listeners.lookup(&key);
	if (!added) {
		count_loss(LOSS_LISTENERS_FULL);
		return 0;
	}
	u32 number = added->id;
	listener_keys.update(&number, &key);
	return added;
}

/* Addresses and ports of a connected socket, from a copy of the head of its struct: one read instead of
 * many, since each call of bpf_probe_read_kernel costs about 20 ns. */
static __always_inline void read_endpoints(struct connection *record, struct sock_common *head)
{
	u32 *words = (u32 *)record->remote;

	record->local_port = LOAD_FIELD(head, skc_num);
	record->remote_port = bpf_ntohs(LOAD_FIELD(head, skc_dport));
	if (LOAD_FIELD(head, skc_family) == AF_INET6) {
		__builtin_memcpy(record->local, &LOAD_FIELD(head, skc_v6_rcv_saddr), 16);
		__builtin_memcpy(record->remote, &LOAD_FIELD(head, skc_v6_daddr), 16);
		record->family = !words[0] && !words[1] && words[2] == bpf_htonl(0xffff) ? 4 : 6;
	} else {
		record->family = 4;
		write_mapped(record->local, LOAD_FIELD(head, skc_rcv_saddr));
		write_mapped(record->remote, LOAD_FIELD(head, skc_daddr));
	}
}

/* The file of a descriptor of the current task. Best effort: another thread may have closed and reused the
 * number since the system call started. */
static __always_inline struct file *fd_to_file(u32 number)
{
	/* the verifier knows the type of this pointer: read without a helper */
	struct task_struct *task = current_task();
	struct files_struct *files = LOAD_FIELD(task, files);
	struct fdtable *table = LOAD_FIELD(files, fdt);
	struct file **array = LOAD_FIELD(table, fd), *file = 0;

	if (number < LOAD_FIELD(table, max_fds))
		READ_KERNEL(file, array[number]);
	return file;
}

/* The socket of a file that is known to be a socket, or that is compared with known ones. */
static __always_inline struct sock *file_to_sock(struct file *file)
{
	struct socket *holder = 0;
	struct sock *socket = 0;

	if (file)
		READ_KERNEL(holder, file->private_data);
	if (holder)
		READ_KERNEL(socket, holder->sk);
	return socket;
}

/* The socket of a descriptor of the current task; 0 if it is none. */
static __always_inline struct sock *fd_to_sock(u32 number)
{
	struct file *file = fd_to_file(number);
	struct inode *inode = 0;
	u16 mode = 0;

	if (!file)
		return 0;
	READ_KERNEL(inode, file->f_inode);
	READ_KERNEL(mode, inode->i_mode);
	return (mode & S_IFMT) == S_IFSOCK ? file_to_sock(file) : 0;
}

/* The first argument of the current system call. It is preserved during the call: x86 keeps rdi, arm64
 * keeps orig_x0. */
static __always_inline u64 syscall_first_argument(void)
{
	struct pt_regs *registers = task_pt_regs(current_task());
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)registers + FIRST_ARGUMENT);
	return value;
}
