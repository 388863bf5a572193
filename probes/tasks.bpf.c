/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Start and exit of threads and processes: child processes of the target belong to it, threads of a server
 * are workers from their start, and the final record of a thread is sent while its id is still its own.
 */

int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx->args[0];
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	u32 parent_pid = 0, pid = 0, tid = 0;
	struct worker *worker;
	u8 yes = 1;

	READ_KERNEL(parent_pid, parent->tgid);
	if (target_pids.lookup(&parent_pid)) {
		READ_KERNEL(pid, child->tgid);
		if (pid != parent_pid && target_pids.update(&pid, &yes))
			count_loss(LOSS_PROCESSES_FULL);
	}
	if (!servers.lookup(&parent_pid))
		return 0;
	READ_KERNEL(pid, child->tgid);
	READ_KERNEL(tid, child->pid);
	worker = create_worker(tid, pid, child);
	if (worker && !worker->cgroup)
		worker->cgroup = bpf_get_current_cgroup_id();
	return 0;
}

int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 key = THREAD_KEYS + (u32)bpf_get_current_pid_tgid();
	u32 slot = find_slot(key);
	struct worker *worker;

	if (slot == INVALID_SLOT)
		return 0;
	worker = workers.lookup(&slot);
	if (!worker)
		return 0;
	worker->ended_ns = bpf_ktime_get_ns();
	worker->touched_ns = worker->ended_ns;
	worker->flags |= WORKER_ENDED;
	bpf_get_current_comm(&worker->comm, sizeof(worker->comm));
	if (exited_threads.ringbuf_output(worker, sizeof(*worker), BPF_RB_NO_WAKEUP))
		count_loss(LOSS_EXITED_RING_FULL);
	slot_remove(key);
	free_worker(worker, slot);
	return 0;
}

/* Threads are named after they start. */
int on_rename(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct worker *worker;
	u32 tid = 0;

	READ_KERNEL(tid, task->pid);
	worker = find_worker(tid);
	if (!worker)
		return 0;
	bpf_probe_read_kernel_str(&worker->comm, sizeof(worker->comm), (void *)ctx->args[1]);
	worker->touched_ns = bpf_ktime_get_ns();
	return 0;
}
