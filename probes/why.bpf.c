/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Where does the time of a process's threads go?  A program of its own, compiled and attached only
 * by `sockscope why`: every period off the CPU with the system call, its object and the stacks, and
 * samples of what runs.  Summed up here; user space reads sums.
 */

#define READ_KERNEL(into, from)                                                                 \
	({                                                                                      \
		_Static_assert(sizeof(into) == sizeof(from), "a field is read whole, no more"); \
		bpf_probe_read_kernel(&(into), sizeof(into), &(from));                          \
	})
/* Keep clang from dropping a bound that the verifier needs. */
#define OPAQUE(x) asm volatile("" : "+r"(x))
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define TASK_STOPPED_OR_TRACED 0x0c
#define TASK_DEAD 0x80
#define USER_STACK (1 << 8) /* BPF_F_USER_STACK */
#define PY_FRAMES 32
#define NO_CALL (-1)
#define CALLS 512
/* enum of call_flags */
#define TAKES_DESCRIPTOR 1
#define WAITS_FOR_EVENTS 2
#define IS_POLL 4

enum why_kind { WHY_RUNNING, WHY_RUNNABLE, WHY_BLOCKED, WHY_STOPPED, WHY_SAMPLE_USER, WHY_SAMPLE_KERNEL };
enum why_loss {
	WHY_LOST_THREADS,
	WHY_LOST_SUMS,
	WHY_LOST_STACKS,
	WHY_LOST_OBJECTS,
	WHY_LOST_PYTHON,
	WHY_LOSSES
};

struct why_thread {
	u64 since_ns, wakeup_ns, python, object;
	u32 tgid, kind;
	s32 call, kernel_stack, user_stack;
	u32 pad;
};

struct why_key {
	u64 python, object;
	u32 tgid, tid, kind;
	s32 call, kernel_stack, user_stack;
};

struct why_sum {
	u64 ns, count, max_ns, stalls, stall_ns;
};

struct why_object {
	u32 tgid, fd;
	u16 mode, family, local_port, remote_port;
	u32 state, pad;
	u8 remote[16];
	char name[48];
};

struct why_python {
	u64 thread_state; /* PyThreadState * */
	s32 first, second, code, previous;
};

struct why_frames {
	u64 code[PY_FRAMES];
};

BPF_TABLE("hash", u32, u64, traced, 4096); /* process to the time from which it is traced */
BPF_TABLE("hash", u32, struct why_thread, why_threads, 16384);
BPF_TABLE("hash", struct why_key, struct why_sum, sums, 32768);
BPF_TABLE("hash", u64, struct why_object, objects, 8192); /* key: inode number */
BPF_TABLE("hash", u32, struct why_python, python_threads, 8192);
BPF_TABLE("hash", u64, struct why_frames, python_stacks, 8192);
BPF_TABLE("percpu_array", u32, struct why_frames, python_scratch, 1);
BPF_TABLE("array", u32, u32, call_flags, CALLS);
BPF_TABLE("array", u32, u64, settings, 1); /* the stall threshold in ns */
BPF_TABLE("array", u32, u64, losses, WHY_LOSSES);
BPF_TABLE("stacktrace", int, struct bpf_stacktrace, stacks, 16384);

/* bcc before 0.22 does not declare these (bpf.h: 158 since 5.11, 175 since 5.15). */
static struct task_struct *(*current_task)(void) = (void *)158;
static void *(*task_pt_regs)(struct task_struct *task) = (void *)175;

static __always_inline void count_loss(u32 kind)
{
	u64 *count = losses.lookup(&kind);

	if (count)
		__sync_fetch_and_add(count, 1);
}

static __always_inline u64 user_word(u64 address)
{
	u64 word = 0;

	bpf_probe_read_user(&word, sizeof(word), (void *)address);
	return word;
}

/* The code objects of the Python frames of the current thread, kept under their hash; 0: none. */
static __always_inline u64 python_stack(u32 tid)
{
	struct why_python *python = python_threads.lookup(&tid);
	u64 frame, code, hash = 14695981039346656037ULL;
	struct why_frames *scratch;
	u32 zero = 0, i;

	if (!python)
		return 0;
	scratch = python_scratch.lookup(&zero);
	if (!scratch)
		return 0;
	frame = user_word(python->thread_state + python->first);
	if (python->second >= 0)
		frame = user_word(frame + python->second);
	for (i = 0; i < PY_FRAMES; i++) {
		OPAQUE(i);
		if (i >= PY_FRAMES)
			break;
		code = frame ? user_word(frame + python->code) & ~7ULL : 0;
		scratch->code[i] = code;
		hash = (hash ^ code) * 1099511628211ULL;
		frame = frame ? user_word(frame + python->previous) : 0;
	}
	if (!python_stacks.lookup(&hash) && python_stacks.update(&hash, scratch)) {
		count_loss(WHY_LOST_PYTHON);
		return 0;
	}
	return hash;
}

/* The inode number of a descriptor of the current process; what it is, is kept in objects. */
static __always_inline u64 object_behind(u32 tgid, struct task_struct *task, u32 fd)
{
	struct files_struct *files = NULL;
	struct why_object object = {};
	struct sock *sk = NULL;
	struct fdtable *table = NULL;
	struct socket *socket = NULL;
	struct inode *inode = NULL;
	struct file **all = NULL;
	struct file *file = NULL;
	void *dentry = NULL, *name = NULL;
	u32 max_fds = 0;
	u64 number = 0;

	READ_KERNEL(files, task->files);
	READ_KERNEL(table, files->fdt);
	READ_KERNEL(max_fds, table->max_fds);
	if (fd >= max_fds)
		return 0;
	READ_KERNEL(all, table->fd);
	bpf_probe_read_kernel(&file, sizeof(file), &all[fd]);
	if (!file)
		return 0;
	READ_KERNEL(inode, file->f_inode);
	READ_KERNEL(number, inode->i_ino);
	if (!number || objects.lookup(&number))
		return number;
	object.tgid = tgid;
	object.fd = fd;
	READ_KERNEL(object.mode, inode->i_mode);
	if ((object.mode & S_IFMT) == S_IFSOCK) {
		READ_KERNEL(socket, file->private_data);
		READ_KERNEL(sk, socket->sk);
		struct sock_common *common = (struct sock_common *)sk;
		u8 state = 0;

		READ_KERNEL(object.family, common->skc_family);
		READ_KERNEL(object.local_port, common->skc_num);
		READ_KERNEL(object.remote_port, common->skc_dport);
		READ_KERNEL(state, common->skc_state);
		object.state = state;
		if (object.family == 10)
			bpf_probe_read_kernel(&object.remote, 16, &common->skc_v6_daddr);
		else
			bpf_probe_read_kernel(&object.remote, 4, &common->skc_daddr);
	} else {
		bpf_probe_read_kernel(&dentry, sizeof(dentry), (void *)file + FILE_DENTRY);
		bpf_probe_read_kernel(&name, sizeof(name), dentry + DENTRY_NAME);
		bpf_probe_read_kernel_str(&object.name, sizeof(object.name), name);
	}
	if (objects.update(&number, &object))
		count_loss(WHY_LOST_OBJECTS);
	return number;
}

static __always_inline void add(struct why_key *key, u64 ns)
{
	struct why_sum *sum = sums.lookup(key), none = {};
	u32 zero = 0;
	u64 *stall;

	if (!sum) {
		sums.insert(key, &none);
		sum = sums.lookup(key);
	}
	if (!sum) {
		count_loss(WHY_LOST_SUMS);
		return;
	}
	stall = settings.lookup(&zero);
	__sync_fetch_and_add(&sum->ns, ns);
	__sync_fetch_and_add(&sum->count, 1);
	if (ns > sum->max_ns)
		sum->max_ns = ns;
	if (stall && ns >= *stall) {
		__sync_fetch_and_add(&sum->stalls, 1);
		__sync_fetch_and_add(&sum->stall_ns, ns);
	}
}

static __always_inline s32 stack_number(s32 number)
{
	if (number == -17 || number == -12) /* EEXIST: another stack has this slot; ENOMEM */
		count_loss(WHY_LOST_STACKS);
	return number < 0 ? -1 : number;
}

static __always_inline void switched_out(struct bpf_raw_tracepoint_args *ctx, u32 tgid, u64 traced_ns)
{
	struct task_struct *task = (struct task_struct *)ctx->args[1];
	struct why_thread *thread, none = {};
	u32 tid = bpf_get_current_pid_tgid(), state = 0, call, fd, *flags;
	u64 now = bpf_ktime_get_ns(), born = 0, first = 0, second = 0;
	void *registers;
	struct why_key key = {
	    .kind = WHY_RUNNING, .tgid = tgid, .call = NO_CALL, .kernel_stack = -1, .user_stack = -1};

	key.tid = tid;
	thread = why_threads.lookup(&tid);
	if (!thread) {
		/* seen for the first time, on its way out: it ran since tracing, or its life, began */
		READ_KERNEL(born, task->start_time);
		none.tgid = tgid;
		none.since_ns = born > traced_ns ? born : traced_ns;
		why_threads.insert(&tid, &none);
		thread = why_threads.lookup(&tid);
		if (!thread) {
			count_loss(WHY_LOST_THREADS);
			return;
		}
	}
	if (thread->kind == WHY_RUNNING && thread->since_ns)
		add(&key, now - thread->since_ns);
	READ_KERNEL(state, task->__state);
	if (state & TASK_DEAD) {
		why_threads.delete(&tid);
		return;
	}
	thread->since_ns = now;
	thread->wakeup_ns = 0;
	thread->call = NO_CALL;
	thread->object = 0;
	thread->python = 0;
	thread->kernel_stack = thread->user_stack = -1;
	if (ctx->args[0] & 1 || !state) {
		thread->kind = WHY_RUNNABLE;
		return;
	}
	thread->kind = state & TASK_STOPPED_OR_TRACED ? WHY_STOPPED : WHY_BLOCKED;
	registers = task_pt_regs(current_task());
	bpf_probe_read_kernel(&thread->call, sizeof(thread->call), registers + CALL_NUMBER);
	call = thread->call;
	flags = call < CALLS ? call_flags.lookup(&call) : NULL;
	if (flags && *flags & (TAKES_DESCRIPTOR | IS_POLL)) {
		bpf_probe_read_kernel(&first, sizeof(first), registers + FIRST_ARGUMENT);
		fd = first;
		if (*flags & IS_POLL) {
			/* one descriptor: the wait of a blocking call with a timeout */
			bpf_probe_read_kernel(&second, sizeof(second), registers + SECOND_ARGUMENT);
			if (second != 1)
				return;
			bpf_probe_read_user(&fd, sizeof(fd), (void *)first);
		}
		thread->object = object_behind(tgid, task, fd);
	}
	if (flags && *flags & WAITS_FOR_EVENTS && !(*flags & IS_POLL))
		return;
	thread->kernel_stack = stack_number(stacks.get_stackid(ctx, 0));
	thread->user_stack = stack_number(stacks.get_stackid(ctx, USER_STACK));
	thread->python = python_stack(tid);
}

static __always_inline void switched_in(u32 tid)
{
	struct why_thread *thread = why_threads.lookup(&tid);
	u64 now = bpf_ktime_get_ns(), ready;
	struct why_key key = {};

	if (!thread)
		return;
	if (thread->since_ns && thread->kind != WHY_RUNNING) {
		key.tgid = thread->tgid;
		key.tid = tid;
		ready = thread->since_ns;
		if (thread->kind != WHY_RUNNABLE) {
			ready = thread->wakeup_ns > thread->since_ns ? thread->wakeup_ns : now;
			key.kind = thread->kind;
			key.call = thread->call;
			key.object = thread->object;
			key.python = thread->python;
			key.kernel_stack = thread->kernel_stack;
			key.user_stack = thread->user_stack;
			add(&key, ready - thread->since_ns);
		}
		if (now > ready) {
			key.kind = WHY_RUNNABLE;
			key.call = NO_CALL;
			key.object = key.python = 0;
			key.kernel_stack = key.user_stack = -1;
			add(&key, now - ready);
		}
	}
	thread->kind = WHY_RUNNING;
	thread->since_ns = now;
}

int on_why_switch(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *prev = (struct task_struct *)ctx->args[1];
	struct task_struct *next = (struct task_struct *)ctx->args[2];
	u32 tgid = 0, tid = 0;
	u64 *since;

	READ_KERNEL(tgid, prev->tgid);
	since = traced.lookup(&tgid);
	if (since)
		switched_out(ctx, tgid, *since);
	READ_KERNEL(tgid, next->tgid);
	if (!traced.lookup(&tgid))
		return 0;
	READ_KERNEL(tid, next->pid);
	switched_in(tid);
	return 0;
}

int on_why_wakeup(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct why_thread *thread;
	u32 tid = 0;

	READ_KERNEL(tid, task->pid);
	thread = why_threads.lookup(&tid);
	if (thread && thread->kind != WHY_RUNNING)
		thread->wakeup_ns = bpf_ktime_get_ns();
	return 0;
}

int on_why_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx->args[0];
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	u32 parent_tgid = 0, tgid = 0, tid = 0;
	u64 now = bpf_ktime_get_ns();
	struct why_thread thread = {.kind = WHY_RUNNABLE, .call = NO_CALL};

	READ_KERNEL(parent_tgid, parent->tgid);
	if (!traced.lookup(&parent_tgid))
		return 0;
	READ_KERNEL(tgid, child->tgid);
	READ_KERNEL(tid, child->pid);
	if (tgid != parent_tgid && traced.update(&tgid, &now))
		count_loss(WHY_LOST_THREADS);
	thread.tgid = tgid;
	thread.since_ns = now;
	thread.kernel_stack = thread.user_stack = -1;
	if (why_threads.update(&tid, &thread))
		count_loss(WHY_LOST_THREADS);
	return 0;
}

int on_why_sample(struct bpf_perf_event_data *ctx)
{
	u64 both = bpf_get_current_pid_tgid();
	struct why_key key = {.tgid = both >> 32, .call = NO_CALL};
	s32 kernel_stack;

	key.tid = both;
	if (!traced.lookup(&key.tgid))
		return 0;
	kernel_stack = stacks.get_stackid(ctx, 0);
	/* a sample of user code has no kernel stack: EFAULT */
	key.kind = kernel_stack == -14 ? WHY_SAMPLE_USER : WHY_SAMPLE_KERNEL;
	key.kernel_stack = stack_number(kernel_stack);
	key.user_stack = stack_number(stacks.get_stackid(ctx, USER_STACK));
	key.python = python_stack(key.tid);
	add(&key, 0);
	return 0;
}
