/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Sample which threads wait for a listener. Nothing here is attached: lifecycle.bpf.c takes a sample when
 * a connection arrives, before the kernel wakes a thread for it.
 *
 * A thread that sleeps in accept, poll or select has an entry in the wait queue of the listener. An epoll
 * instance has one as long as it watches the listener, and the threads that sleep in epoll_wait are in a
 * queue of that instance. An instance can be watched by another instance or by poll, so each leads to two
 * more queues (fs/eventpoll.c: wq, poll_wait).
 *
 * Nothing is locked here: an entry can be removed while it is read, and the rest of its queue is lost
 * then. What is found counts only if it leads to a task whose ids and start time are those of a worker.
 */

#define SAMPLE_EVERY 16
#define SAMPLE_SHIFT 4
#define MAX_STEPS 96  /* entries and queues visited per sample */
#define MAX_QUEUES 32 /* queues found and not visited yet; a power of two */
#define WQ_FLAG_EXCLUSIVE 1
#define IO_POLL_FLAGS 3ULL /* io_uring/poll.c keeps flags in the lowest bits of a pointer */
#define UNKNOWN_WORKER 0   /* instead of a worker id */

/* The sample in progress. It is not a local variable, so that the verifier need not follow each value in
 * it. */
struct waiter_sample {
	u64 at;	    /* next list entry */
	u64 list;   /* head of the current list */
	u64 queue;  /* struct wait_queue_head * of the current list */
	u64 own;    /* wait queue of the listener */
	u64 number; /* number of this sample */
	u64 all;
	u64 exclusive;
	u64 unnamed;
	u32 found; /* queues found so far */
	u32 begun; /* queues visited or being visited */
	u64 queues[MAX_QUEUES];
};

BPF_PERCPU_ARRAY(sample_scratch, struct waiter_sample, 1);

/* Sample one in sixteen arrivals, at a different position within each sixteen: workers that take turns
 * would otherwise always be sampled at the same point of their round. */
static __always_inline int is_sampled(u64 arrival)
{
	return (arrival & (SAMPLE_EVERY - 1)) ==
	       ((arrival >> SAMPLE_SHIFT) * HASH_MULTIPLIER) >> (64 - SAMPLE_SHIFT);
}

static __always_inline void count_waiting(struct listener *listener, u32 worker, u64 number)
{
	struct waiting_count *count, none = {};
	struct waiting_key key = {.listener = listener->id, .worker = worker};

	count = waiting.lookup(&key);
	if (!count) {
		waiting.insert(&key, &none);
		count = waiting.lookup(&key);
		if (!count) {
			count_loss(LOSS_WAITING_FULL);
			return;
		}
	}
	if (count->last_sample == number) /* it waits twice, for example through two descriptors */
		return;
	count->last_sample = number;
	__sync_fetch_and_add(&count->samples, 1);
}

/* The worker of a task; 0: the task is not a worker, or the pointer leads to no task. */
static __always_inline struct worker *worker_of_task(struct task_struct *task)
{
	struct worker *worker;
	u32 tid = 0, pid = 0;
	u64 started = 0;

	READ_KERNEL(tid, task->pid);
	worker = find_worker(tid);
	if (!worker)
		return 0;
	READ_KERNEL(pid, task->tgid);
	READ_KERNEL(started, task->start_time);
	if (worker->pid != pid || worker->start_ns != started)
		worker = 0;
	/* the caller must test this very pointer: the verifier does not keep the result of the comparison */
	asm volatile("" : "+r"(worker));
	return worker;
}

static __always_inline u64 pointer_at(u64 address)
{
	u64 pointer = 0;

	bpf_probe_read_kernel(&pointer, sizeof(pointer), (void *)address);
	return pointer;
}

/* An entry of poll or select refers to its task through its table, one of io_uring through its request.
 * Each names the queue that it belongs to, which identifies its kind. */
static __always_inline struct task_struct *task_of_entry(u64 entry, u64 named, u64 queue, int *of_ring)
{
	if (POLL_ENTRY && pointer_at(entry - POLL_ENTRY + POLL_ENTRY_QUEUE) == queue)
		return (struct task_struct *)pointer_at(named + POLL_TASK);
	if (RING_ENTRY && pointer_at(entry - RING_ENTRY + RING_ENTRY_QUEUE) == queue) {
		*of_ring = 1;
		named = pointer_at((named & ~IO_POLL_FLAGS) + RING_TASK);
		return (struct task_struct *)(RING_TASK_BEYOND ? pointer_at(named + RING_TASK_BEYOND)
							       : named);
	}
	return 0;
}

static __always_inline void push_queue(struct waiter_sample *sample, u64 queue)
{
	u64 list = queue + QUEUE_LIST;

	if (pointer_at(list) == list) /* empty */
		return;
	if (sample->found - sample->begun >= MAX_QUEUES) {
		sample->unnamed = 1;
		return;
	}
	sample->queues[sample->found & (MAX_QUEUES - 1)] = queue;
	sample->found++;
}

/* An epoll instance: threads that sleep in it, and instances or threads that watch it. */
static __always_inline void push_epoll(struct waiter_sample *sample, u64 entry)
{
	u64 item, instance;

	if (!EPOLL_ENTRY || pointer_at(entry - EPOLL_ENTRY + EPOLL_ENTRY_QUEUE) != sample->queue) {
		sample->unnamed = 1;
		return;
	}
	item = pointer_at(entry - EPOLL_ENTRY + EPOLL_ENTRY_ITEM);
	instance = pointer_at(item + EPOLL_ITEM_INSTANCE);
	push_queue(sample, instance + EPOLL_SLEEPERS);
	push_queue(sample, instance + EPOLL_WATCHERS);
}

static __always_inline void visit_entry(struct waiter_sample *sample, struct listener *listener, u64 entry)
{
	struct worker *worker;
	int of_ring = 0;
	u64 named;
	u32 flags = 0;

	if (sample->queue == sample->own) {
		bpf_probe_read_kernel(&flags, sizeof(flags), (void *)entry + WAIT_ENTRY_FLAGS);
		sample->all++;
		sample->exclusive += flags & WQ_FLAG_EXCLUSIVE;
	}
	named = pointer_at(entry + WAIT_ENTRY_NAMED);
	if (!named) {
		push_epoll(sample, entry);
		return;
	}
	worker = worker_of_task((struct task_struct *)named);
	if (!worker) {
		worker = worker_of_task(task_of_entry(entry, named, sample->queue, &of_ring));
		/* a request of io_uring stays in the queue whatever its thread does */
		if (worker && of_ring && !(worker->flags & WORKER_IN_WAIT) && worker->last_wait == RING_WAIT)
			return;
		/* submitted by a kernel thread (IORING_SETUP_SQPOLL): the owner of the request is unknown */
		if (worker && of_ring && worker->last_wait != RING_WAIT)
			worker = 0;
	}
	if (worker)
		count_waiting(listener, worker->id, sample->number);
	else
		sample->unnamed = 1;
}

/* Visit one entry, or move on to the next queue. 0: done. */
static __always_inline int sample_step(struct waiter_sample *sample, struct listener *listener)
{
	u64 at = sample->at;

	if (at && at != sample->list) {
		sample->at = pointer_at(at);
		if (sample->at == at) { /* just removed: entries behind it are not seen */
			sample->at = sample->list;
			sample->unnamed = 1;
			return 1;
		}
		visit_entry(sample, listener, at - WAIT_ENTRY_LIST);
		return 1;
	}
	if (sample->begun == sample->found)
		return 0;
	sample->queue = sample->queues[sample->begun & (MAX_QUEUES - 1)];
	sample->list = sample->queue + QUEUE_LIST;
	sample->at = pointer_at(sample->list);
	sample->begun++;
	return 1;
}

static __always_inline void sample_waiters(struct sock *listening, struct listener *listener)
{
	u32 zero = 0;
	struct waiter_sample *sample = sample_scratch.lookup(&zero);
	u64 queue;
	int step;

	queue = pointer_at((u64)listening + SOCK_WAIT_QUEUE);
	if (!sample || !queue)
		return;
	sample->own = sample->queue = queue + WAIT_QUEUE;
	sample->list = sample->own + QUEUE_LIST;
	sample->at = pointer_at(sample->list);
	sample->number = __sync_fetch_and_add(&listener->samples, 1) + 1;
	sample->all = sample->exclusive = sample->unnamed = 0;
	sample->found = sample->begun = 0;
#pragma clang loop unroll(disable)
	for (step = 0; step < MAX_STEPS; step++)
		if (!sample_step(sample, listener))
			break;
	if (sample->unnamed || step == MAX_STEPS)
		count_waiting(listener, UNKNOWN_WORKER, sample->number);
	__sync_fetch_and_add(&listener->waiters, sample->all);
	__sync_fetch_and_add(&listener->exclusive, sample->exclusive);
	if (sample->all > 1)
		__sync_fetch_and_add(&listener->samples_several, 1);
	if (sample->number > 1 && (u32)sample->all != listener->waiting)
		__sync_fetch_and_add(&listener->samples_changed, 1);
	listener->waiting = sample->all;
}
