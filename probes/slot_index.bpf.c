/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Slots of connection and thread records, and an index that finds the slot of a socket or thread in a few
 * nanoseconds.
 *
 * Records are kept in arrays that user space maps into its memory, so that a tick copies only what has
 * changed. The index of a record in its array is its slot; the slot index maps a key (a socket, a thread)
 * to it. It is an array of buckets of one cache line each. A miss reads one of them, which matters because
 * every hook fires for all sockets and threads of the host. (A hash map took 21 ns per lookup where this
 * takes 3; see docs/benchmarks/.) If the bucket of a key is full, the key goes to the neighbouring bucket,
 * and then to the hash map slot_overflow.
 *
 * Nothing here is attached. The sizes are placeholders: user space creates the maps with the sizes of
 * --map-size.
 */

#define PLACEHOLDER_ENTRIES 64
#define PLACEHOLDER_PAGES 1
#define BUCKET_KEYS 5
#define INVALID_SLOT 0xffffffffU
#define KEY_RESERVED 1		 /* not a key: sockets are aligned, threads start at THREAD_KEYS */
#define THREAD_KEYS (1ULL << 32) /* + tid */
#define HASH_MULTIPLIER 0xbf58476d1ce4e5b9ULL /* odd, with about as many ones as zeros */

struct bucket {
	u64 keys[BUCKET_KEYS];
	u32 slots[BUCKET_KEYS];
	u32 spilled; /* a key of this bucket was stored elsewhere; never reset */
};

BPF_F_TABLE("array", u32, struct connection, connections, PLACEHOLDER_ENTRIES, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct worker, workers, PLACEHOLDER_ENTRIES, BPF_F_MMAPABLE);
BPF_STACK(free_connections, u32, PLACEHOLDER_ENTRIES);
BPF_STACK(free_workers, u32, PLACEHOLDER_ENTRIES);
BPF_ARRAY(slots_used, u64, 2);	 /* slots ever used, by enum slot_kind */
BPF_ARRAY(bucket_count, u32, 1); /* number of buckets, even */
/* An mmapable map starts at a page, so that no bucket spans two cache lines; it is not mapped. */
BPF_F_TABLE("array", u32, struct bucket, buckets, PLACEHOLDER_ENTRIES, BPF_F_MMAPABLE);
BPF_TABLE("hash", u64, u32, slot_overflow, PLACEHOLDER_ENTRIES);

enum slot_kind { SLOT_CONNECTION, SLOT_WORKER };

/* The lower half of the product is mixed in: sockets lie at equal distances, and by the upper half alone
 * would gather in a few buckets. (A second multiplication takes up to 0.5 ns more.) */
static __always_inline u32 bucket_index(u64 key)
{
	u32 zero = 0, *count = bucket_count.lookup(&zero);
	u64 mixed = key * HASH_MULTIPLIER;

	mixed ^= mixed << 32;
	return count ? (mixed >> 32) * *count >> 32 : 0;
}

static __always_inline u32 bucket_find(struct bucket *bucket, u64 key)
{
	int i;

#pragma unroll
	for (i = 0; i < BUCKET_KEYS; i++)
		if (bucket->keys[i] == key)
			return bucket->slots[i];
	return INVALID_SLOT;
}

/* The slot of a key, or INVALID_SLOT. */
static __always_inline u32 find_slot(u64 key)
{
	u32 number = bucket_index(key), slot, *far;
	struct bucket *bucket = buckets.lookup(&number);

	if (!bucket)
		return INVALID_SLOT;
	slot = bucket_find(bucket, key);
	if (slot != INVALID_SLOT || !bucket->spilled)
		return slot;
	number ^= 1;
	bucket = buckets.lookup(&number);
	if (!bucket)
		return INVALID_SLOT;
	slot = bucket_find(bucket, key);
	if (slot != INVALID_SLOT || !bucket->spilled)
		return slot;
	far = slot_overflow.lookup(&key);
	return far ? *far : INVALID_SLOT;
}

/* The slot is written before the key becomes visible. */
static __always_inline int bucket_insert(struct bucket *bucket, u64 key, u32 slot)
{
	int i;

#pragma unroll
	for (i = 0; i < BUCKET_KEYS; i++) {
		if (bucket->keys[i] || __sync_val_compare_and_swap(&bucket->keys[i], 0, KEY_RESERVED) != 0)
			continue;
		bucket->slots[i] = slot;
		__sync_lock_test_and_set(&bucket->keys[i], key);
		return 1;
	}
	bucket->spilled = 1;
	return 0;
}

static __always_inline int slot_insert(u64 key, u32 slot)
{
	u32 number = bucket_index(key);
	struct bucket *bucket = buckets.lookup(&number);

	if (!bucket)
		return 0;
	if (bucket_insert(bucket, key, slot))
		return 1;
	number ^= 1;
	bucket = buckets.lookup(&number);
	return bucket && bucket_insert(bucket, key, slot);
}

/* Insert a key that other CPUs may be inserting at the same time. Return the slot that was inserted first,
 * or INVALID_SLOT when the index is full. The insertion into slot_overflow is atomic and decides: the CPU
 * that inserted the key there, and finds it in no bucket, is the first. */
static __always_inline u32 slot_insert_unique(u64 key, u32 slot)
{
	u32 already, *far;

	if (slot_overflow.insert(&key, &slot)) {
		far = slot_overflow.lookup(&key);
		return far ? *far : find_slot(key);
	}
	already = find_slot(key);
	if (already != INVALID_SLOT && already != slot) {
		slot_overflow.delete(&key);
		return already;
	}
	if (slot_insert(key, slot))
		slot_overflow.delete(&key);
	return slot;
}

static __always_inline int bucket_remove(u64 key, u32 number)
{
	struct bucket *bucket = buckets.lookup(&number);
	int i;

	if (!bucket)
		return 0;
#pragma unroll
	for (i = 0; i < BUCKET_KEYS; i++) {
		if (bucket->keys[i] == key) {
			bucket->keys[i] = 0;
			return 1;
		}
	}
	return 0;
}

static __always_inline void slot_remove(u64 key)
{
	u32 number = bucket_index(key);

	if (!bucket_remove(key, number) && !bucket_remove(key, number ^ 1))
		slot_overflow.delete(&key);
}

static __always_inline struct connection *find_connection(u64 key)
{
	u32 slot = find_slot(key);

	return slot == INVALID_SLOT ? 0 : connections.lookup(&slot);
}

static __always_inline struct worker *find_worker(u32 tid)
{
	u32 slot = find_slot(THREAD_KEYS + tid);

	return slot == INVALID_SLOT ? 0 : workers.lookup(&slot);
}

/* A slot for a new connection; 0 when none is left. Its previous content stays, without the id: user space
 * ignores a record without an id. */
static __always_inline struct connection *alloc_connection(u32 *slot)
{
	u32 kind = SLOT_CONNECTION;
	u64 *used = slots_used.lookup(&kind);

	if (!used)
		return 0;
	if (free_connections.pop(slot)) {
		*slot = *used;
		if (!connections.lookup(slot))
			return 0;
		*slot = __sync_fetch_and_add(used, 1);
	}
	return connections.lookup(slot);
}

static __always_inline void free_connection(struct connection *connection, u32 slot)
{
	connection->id = 0;
	free_connections.push(&slot, 0);
}

static __always_inline struct worker *alloc_worker(u32 *slot)
{
	u32 kind = SLOT_WORKER;
	u64 *used = slots_used.lookup(&kind);

	if (!used)
		return 0;
	if (free_workers.pop(slot)) {
		*slot = *used;
		if (!workers.lookup(slot))
			return 0;
		*slot = __sync_fetch_and_add(used, 1);
	}
	return workers.lookup(slot);
}

static __always_inline void free_worker(struct worker *worker, u32 slot)
{
	worker->id = 0;
	free_workers.push(&slot, 0);
}
