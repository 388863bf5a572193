/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Record which threads a worker wakes within its process. A dispatcher reads a request and wakes a thread
 * to process it: this is the only trace of a request hand-off.
 */

int on_waking(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *wakee = (struct task_struct *)ctx->args[0];
	struct wake_count *count, none = {};
	struct wake_key key = {};
	struct worker *worker;
	u64 both = bpf_get_current_pid_tgid();
	u32 pid = 0;

	worker = find_worker(both);
	if (!worker)
		return 0;
	READ_KERNEL(pid, wakee->tgid);
	if (pid != both >> 32)
		return 0;
	READ_KERNEL(key.wakee, wakee->pid);
	if (key.wakee == (u32)both)
		return 0;
	EMIT_EVENT(EVENT_WAKE, worker, 0, 0, key.wakee, bpf_ktime_get_ns());
	key.waker = worker->id;
	count = wakes.lookup(&key);
	if (!count) {
		wakes.insert(&key, &none);
		count = wakes.lookup(&key);
		if (!count) {
			count_loss(LOSS_WAKES_FULL);
			return 0;
		}
	}
	count->wakes++;
	if (worker->flags & WORKER_READ_SINCE) {
		count->after_read++;
		worker->flags &= ~WORKER_READ_SINCE;
	}
	return 0;
}
