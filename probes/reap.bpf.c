/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Find records of sockets that no longer exist although no probe reported their end.
 *
 * User space runs this program itself (BPF_PROG_TEST_RUN of a raw tracepoint program: 5.10, commit
 * 1b4d60ec162f "bpf: Enable BPF_PROG_TEST_RUN for raw_tracepoint"); nothing here is attached. An iterator
 * over the map elements would do, but some kernels refuse bpf_iter__bpf_map_elem and no other iterator.
 *
 * The memory of a socket may be reused for another socket but is not returned to the system
 * (SLAB_TYPESAFE_BY_RCU), so it can be read: a freed socket has no references, and a new socket at its
 * address has another peer, or none. The caller that raises tcp_destroy_sock still holds a reference, so
 * an end that is being reported is not taken for a missed one.
 */

#define BUCKETS_PER_RUN 4 /* the verifier follows each of them: 3 ms */

/* Ids found by the last run; user space removes them before the next one. */
BPF_QUEUE(reap_queue, u64, 32); /* more than BUCKETS_PER_RUN * BUCKET_KEYS */

static __always_inline u32 queue_if_gone(u64 key, u32 slot)
{
	struct sock_common *socket = (struct sock_common *)key;
	struct connection *connection;
	u32 references = 0;
	u16 port = 0;
	u64 id;

	/* a free key, a reserved one, or one of a thread */
	if (key >> 63 == 0)
		return 0;
	connection = connections.lookup(&slot);
	if (!connection)
		return 0;
	id = *(volatile u64 *)&connection->id;
	/* key and slot were read some time ago: do they still match? */
	if (!id || find_slot(key) != slot)
		return 0;
	READ_KERNEL(references, socket->skc_refcnt);
	READ_KERNEL(port, socket->skc_dport);
	if (references && bpf_ntohs(port) == connection->remote_port)
		return 0;
	if (*(volatile u64 *)&connection->id != id)
		return 0;
	reap_queue.push(&id, 0);
	return 1;
}

/* Arguments: a key and its slot, or 0 and the index of the first bucket. Returns the number of ids found. */
int run_reap(struct bpf_raw_tracepoint_args *ctx)
{
	u64 key = ctx->args[0];
	u32 from = ctx->args[1], number, found = 0, i;
	struct bucket *bucket;
	int k;

	if (key)
		return queue_if_gone(key, from);
	for (i = 0; i < BUCKETS_PER_RUN; i++) {
		number = from + i;
		bucket = buckets.lookup(&number);
		if (!bucket)
			break;
#pragma unroll
		for (k = 0; k < BUCKET_KEYS; k++)
			found += queue_if_gone(*(volatile u64 *)&bucket->keys[k], bucket->slots[k]);
	}
	return found;
}
