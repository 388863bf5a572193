/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Who waits for a listener?  Nothing here is attached: lifecycle.bpf.c looks when a connection arrives.
 */

#define LOOK_EVERY 16
#define MOST_WAITERS 12
#define EXCLUSIVE_FLAG 1 /* WQ_FLAG_EXCLUSIVE */

/* Who waits for the listener now: epoll instances that watch it, threads blocked in accept or poll.
 * Sampled, since each entry costs two reads.  The list is not locked here: an entry that goes away
 * meanwhile may end the count early, so these are sums to take a mean of. */
static __always_inline void look_who_waits(struct sock *listening, struct listener *listener)
{
	u64 queue = 0, head, at = 0;
	u32 flags, all = 0, exclusive = 0;
	int i;

	bpf_probe_read_kernel(&queue, sizeof(queue), (void *)listening + SOCK_WAIT_QUEUE);
	if (!queue)
		return;
	head = queue + WAIT_QUEUE_HEAD;
	bpf_probe_read_kernel(&at, sizeof(at), (void *)head);
#pragma unroll
	for (i = 0; i < MOST_WAITERS; i++) {
		if (!at || at == head)
			break;
		flags = 0;
		bpf_probe_read_kernel(&flags, sizeof(flags), (void *)at - WAIT_ENTRY_LIST + WAIT_ENTRY_FLAGS);
		all++;
		exclusive += flags & EXCLUSIVE_FLAG;
		if (bpf_probe_read_kernel(&at, sizeof(at), (void *)at))
			break;
	}
	__sync_fetch_and_add(&listener->looks, 1);
	__sync_fetch_and_add(&listener->waiters, all);
	__sync_fetch_and_add(&listener->exclusive, exclusive);
	if (all > 1)
		__sync_fetch_and_add(&listener->looks_several, 1);
}
