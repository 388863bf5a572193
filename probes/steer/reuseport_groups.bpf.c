/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * The members of every SO_REUSEPORT group, as two BPF iterators: which sockets listen, which program
 * selects among them, and where the kernel records that their thread sleeps.  Compiled apart from the
 * tracing probes; nothing here is attached.  sockscope/steer/groups.py has the twin of the records.
 */
static long (*read_kernel)(void *, u32, const void *) = (void *)113;
static long (*seq_write)(void *, const void *, u32) = (void *)127;

#define TCP_LISTEN 10
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262
#define AF_INET 2
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define GROUP_MEMBERS_MAX 64
#define WAIT_ENTRIES_MAX 8

struct iterator_meta {
	void *seq;
};

struct iterator_context {
	struct iterator_meta *meta;
	void *task;
	u32 fd;
	void *file;
};

struct group_member {
	u64 socket;
	u64 group; /* struct sock_reuseport *; 0: no group */
	u64 inode;
	u64 sleepers; /* list head that is empty while its thread is at work */
	u64 epoll;    /* struct eventpoll *; 0: not watched by one */
	u64 task;
	u32 pid;
	u32 fd;
	u32 netns;
	u32 queue;
	u32 members;
	u32 position; /* in the group's array, by which the hash selects */
	u32 program;  /* 1: a program selects */
	u32 program_id;
	s32 incoming_cpu;
	u16 port;
	u16 family;
	u16 protocol;
	u16 unused[3];
	u8 address[16];
	char program_name[16];
};

struct epoll_owner {
	u64 epoll;
	u64 task;
	u32 pid;
	u32 unused;
};

BPF_TABLE("hash", u64, u8, wanted_epolls, 1024);

static __always_inline u64 read_u64(u64 from)
{
	u64 value = 0;

	read_kernel(&value, sizeof(value), (void *)from);
	return value;
}

static __always_inline u32 read_u32(u64 from)
{
	u32 value = 0;

	read_kernel(&value, sizeof(value), (void *)from);
	return value;
}

static __always_inline u16 read_u16(u64 from)
{
	u16 value = 0;

	read_kernel(&value, sizeof(value), (void *)from);
	return value;
}

static __always_inline void describe_program(struct group_member *member)
{
	u64 program = read_u64(member->group + REUSEPORT_PROG), aux;

	if (!program)
		return;
	aux = read_u64(program + PROG_AUX);
	member->program = 1;
	member->program_id = read_u32(aux + PROG_AUX_ID);
	read_kernel(member->program_name, sizeof(member->program_name), (void *)aux + PROG_AUX_NAME);
}

static __always_inline void find_position(struct group_member *member)
{
	u32 i;

	member->position = GROUP_MEMBERS_MAX;
	for (i = 0; i < GROUP_MEMBERS_MAX; i++) {
		if (i >= member->members)
			break;
		if (read_u64(member->group + REUSEPORT_SOCKS + 8 * i) == member->socket) {
			member->position = i;
			break;
		}
	}
}

/* A thread asleep in accept or poll is in the socket's own wait queue.  One that uses epoll is in the queue
 * of its epoll instance, and an entry of that instance is always in the socket's. */
static __always_inline void find_sleepers(struct group_member *member)
{
	u64 queue = read_u64(member->socket + SK_WQ) + WQ_WAIT, head = queue + WQ_HEAD, at = read_u64(head),
	    entry;
	u32 i;

	member->sleepers = head;
	for (i = 0; i < WAIT_ENTRIES_MAX; i++) {
		if (at == head || !at)
			break;
		entry = at - WAIT_ENTRY - EPPOLL_WAIT;
		if (read_u64(entry + EPPOLL_WHEAD) == queue) {
			member->epoll = read_u64(read_u64(entry + EPPOLL_BASE) + EPITEM_EP);
			member->sleepers = member->epoll + EP_WQ + WQ_HEAD;
			break;
		}
		at = read_u64(at);
	}
}

int bpf_iter__listeners(struct iterator_context *ctx)
{
	struct group_member member = {};
	u64 task = (u64)ctx->task, file = (u64)ctx->file, inode, socket;
	u8 state = 0;

	if (!task || !file)
		return 0;
	read_kernel(&inode, sizeof(inode), (void *)file + FILE_INODE);
	if ((read_u16(inode + INODE_MODE) & S_IFMT) != S_IFSOCK)
		return 0;
	read_kernel(&socket, sizeof(socket), (void *)file + FILE_PRIVATE);
	member.socket = read_u64(socket + SOCKET_SK);
	if (!member.socket)
		return 0;
	read_kernel(&state, sizeof(state), (void *)member.socket + SKC_STATE);
	member.protocol = read_u16(member.socket + SK_PROTOCOL);
	if (state != TCP_LISTEN || (member.protocol != IPPROTO_TCP && member.protocol != IPPROTO_MPTCP))
		return 0;
	member.inode = read_u64(inode + INODE_INO);
	member.port = read_u16(member.socket + SKC_NUM);
	member.family = read_u16(member.socket + SKC_FAMILY);
	if (member.family == AF_INET)
		read_kernel(member.address, 4, (void *)member.socket + SKC_RCV_SADDR);
	else
		read_kernel(member.address, 16, (void *)member.socket + SKC_V6_RCV_SADDR);
	member.netns = read_u32(read_u64(member.socket + SKC_NET) + NET_INUM);
	member.queue = read_u32(member.socket + SK_ACK_BACKLOG);
	member.incoming_cpu = read_u32(member.socket + SK_INCOMING_CPU);
	read_kernel(&member.pid, sizeof(member.pid), (void *)task + TASK_TGID);
	member.fd = ctx->fd;
	member.task = task;
	member.group = read_u64(member.socket + SK_REUSEPORT_CB);
	if (member.group) {
		member.members = read_u16(member.group + REUSEPORT_NUM_SOCKS);
		describe_program(&member);
		find_position(&member);
	}
	find_sleepers(&member);
	seq_write(ctx->meta->seq, &member, sizeof(member));
	return 0;
}

int bpf_iter__epoll_owners(struct iterator_context *ctx)
{
	struct epoll_owner owner = {};
	u64 task = (u64)ctx->task, file = (u64)ctx->file;

	if (!task || !file)
		return 0;
	read_kernel(&owner.epoll, sizeof(owner.epoll), (void *)file + FILE_PRIVATE);
	if (!wanted_epolls.lookup(&owner.epoll))
		return 0;
	read_kernel(&owner.pid, sizeof(owner.pid), (void *)task + TASK_TGID);
	owner.task = task;
	seq_write(ctx->meta->seq, &owner, sizeof(owner));
	return 0;
}
