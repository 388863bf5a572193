/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Which records are of sockets that are no more, though no probe was told of their end?  BPF iterators
 * over the directory: each prints the ids of such connections.
 *
 * A socket's memory is not given back to the system while others of its kind may use it
 * (SLAB_TYPESAFE_BY_RCU), so it can be looked at: nobody refers to one that is gone, and whoever has its
 * address now has another peer, or none.  What raises tcp_destroy_sock still refers to it, so an end that
 * is being told at this moment is no unseen one.
 */

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	void *map;
	void *key;
	void *value;
};

static __always_inline void tell_if_gone(void *seq, u64 key, u32 place)
{
	struct sock_common *socket = (struct sock_common *)key;
	struct connection *connection;
	u32 references = 0;
	u16 port = 0;
	u64 id;

	/* a free key, one that is being set, or a thread's */
	if (key >> 63 == 0)
		return;
	connection = connections.lookup(&place);
	if (!connection)
		return;
	id = *(volatile u64 *)&connection->id;
	/* the key and the place were read a while ago: do they still belong together? */
	if (!id || place_of(key) != place)
		return;
	PEEK(references, socket->skc_refcnt);
	PEEK(port, socket->skc_dport);
	if (references && bpf_ntohs(port) == connection->remote_port)
		return;
	if (*(volatile u64 *)&connection->id == id)
		write_out(seq, &id, sizeof(id));
}

int bpf_iter__buckets(struct bpf_iter__bpf_map_elem *ctx)
{
	void *value = ctx->value;
	struct bucket bucket;
	int i;

	if (!value)
		return 0;
	bpf_probe_read_kernel(&bucket, sizeof(bucket), value);
#pragma unroll
	for (i = 0; i < BUCKET_KEYS; i++)
		tell_if_gone(ctx->meta->seq, bucket.keys[i], bucket.places[i]);
	return 0;
}

int bpf_iter__crowded(struct bpf_iter__bpf_map_elem *ctx)
{
	void *key = ctx->key, *value = ctx->value;
	u64 socket = 0;
	u32 place = NOWHERE;

	if (!key || !value)
		return 0;
	bpf_probe_read_kernel(&socket, sizeof(socket), key);
	bpf_probe_read_kernel(&place, sizeof(place), value);
	tell_if_gone(ctx->meta->seq, socket, place);
	return 0;
}
