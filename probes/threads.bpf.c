/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Threads: the record of each, found or made.  Nothing here is attached.
 */

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
