/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Records of threads: find or create. Nothing here is attached.
 */

/* Create the record of a thread when it is first seen. Only the thread itself writes to its record, on its
 * CPU, so its counters need no atomics. */
static __always_inline struct worker *create_worker(u32 tid, u32 pid, struct task_struct *task)
{
	u32 zero = 0, slot = INVALID_SLOT, used;
	struct task_struct *parent = 0;
	struct worker *worker, *blank;
	u8 yes = 1;

	blank = zero_worker.lookup(&zero);
	worker = blank ? alloc_worker(&slot) : 0;
	if (!worker) {
		count_loss(LOSS_WORKERS_FULL);
		return 0;
	}
	bpf_probe_read_kernel(worker, sizeof(*worker), blank);
	worker->tid = tid;
	worker->pid = pid;
	worker->first_seen_ns = bpf_ktime_get_ns();
	worker->touched_ns = worker->first_seen_ns;
	READ_KERNEL(worker->start_ns, task->start_time);
	READ_KERNEL(worker->cpu_before_ns, task->se.sum_exec_runtime);
	if (RUN_DELAY)
		bpf_probe_read_kernel(&worker->cpu_wait_before_ns, sizeof(worker->cpu_wait_before_ns),
				      (void *)task + RUN_DELAY);
	READ_KERNEL(parent, task->real_parent);
	READ_KERNEL(worker->parent_pid, parent->tgid);
	bpf_probe_read_kernel(&worker->comm, sizeof(worker->comm), &task->comm);
	if (servers.insert(&pid, &yes) == -E2BIG)
		count_loss(LOSS_PROCESSES_FULL);
	worker->id = next_id(ID_WORKER);
	/* the iterator over all tasks may create it at the same moment */
	used = slot_insert_unique(THREAD_KEYS + tid, slot);
	if (used == slot)
		return worker;
	free_worker(worker, slot);
	if (used == INVALID_SLOT)
		count_loss(LOSS_WORKERS_FULL);
	return used == INVALID_SLOT ? 0 : workers.lookup(&used);
}

static __always_inline struct worker *current_worker(void)
{
	return find_worker(bpf_get_current_pid_tgid());
}

static __always_inline struct worker *get_or_create_worker(void)
{
	u64 both = bpf_get_current_pid_tgid();
	struct worker *worker = find_worker(both);

	if (worker)
		return worker;
	worker = create_worker(both, both >> 32, (struct task_struct *)bpf_get_current_task());
	if (worker && !worker->cgroup)
		worker->cgroup = bpf_get_current_cgroup_id();
	return worker;
}
