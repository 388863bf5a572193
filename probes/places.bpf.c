/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Where the record of a connection or of a thread lies, and how a probe finds it in a few
 * nanoseconds.
 *
 * Records lie in arrays that user space maps into its memory, so that a tick copies only what has
 * changed.  A record's index in its array is its place; the directory leads from a key (a socket, a
 * thread) to the place.  It is an array of buckets, one cache line each, and costs a miss one of
 * them: every hook fires for everybody's sockets and threads.  (A hash map's look-up took 21 ns
 * where this takes 3; docs/benchmarks/ has the figures.)  A key whose bucket is full goes to the
 * one beside it, and from there to the hash map crowded.
 *
 * Nothing here is attached.  The sizes given are placeholders: the maps are created with room as
 * the user's limits say.
 */

#define SIZED_LATER 64
#define PAGES_LATER 1
#define BUCKET_KEYS 5
#define NOWHERE 0xffffffffU
#define BEING_SET 1		  /* no key: sockets are aligned, threads begin at THREAD_KEYS */
#define THREAD_KEYS (1ULL << 32)  /* + tid */
#define MIX 0xbf58476d1ce4e5b9ULL /* odd, about as many ones as zeros */

struct bucket {
	u64 keys[BUCKET_KEYS];
	u32 places[BUCKET_KEYS];
	u32 spilled; /* a key that belongs here had to go on; never taken back */
};

BPF_F_TABLE("array", u32, struct connection, connections, SIZED_LATER, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct worker, workers, SIZED_LATER, BPF_F_MMAPABLE);
BPF_STACK(free_connections, u32, SIZED_LATER);
BPF_STACK(free_workers, u32, SIZED_LATER);
BPF_ARRAY(fresh_places, u64, 2); /* how many were ever used, by enum kept */
BPF_ARRAY(bucket_count, u32, 1); /* how many buckets the directory has: an even number */
/* A map that can be mapped begins at a page, so that no bucket lies across two cache lines; nobody
 * maps it. */
BPF_F_TABLE("array", u32, struct bucket, buckets, SIZED_LATER, BPF_F_MMAPABLE);
BPF_TABLE("hash", u64, u32, crowded, SIZED_LATER);

enum kept { KEPT_CONNECTIONS, KEPT_WORKERS };

/* By the upper half of the product alone sockets, which lie at equal distances, would gather in a few
 * buckets; so the lower half is mixed in.  (A second multiplication takes up to 0.5 ns more.) */
static __always_inline u32 bucket_number(u64 key)
{
	u32 zero = 0, *count = bucket_count.lookup(&zero);
	u64 mixed = key * MIX;

	mixed ^= mixed << 32;
	return count ? (mixed >> 32) * *count >> 32 : 0;
}

static __always_inline u32 place_in(struct bucket *bucket, u64 key)
{
	int i;

#pragma unroll
	for (i = 0; i < BUCKET_KEYS; i++)
		if (bucket->keys[i] == key)
			return bucket->places[i];
	return NOWHERE;
}

/* The place of a key's record, or NOWHERE. */
static __always_inline u32 place_of(u64 key)
{
	u32 number = bucket_number(key), place, *far;
	struct bucket *bucket = buckets.lookup(&number);

	if (!bucket)
		return NOWHERE;
	place = place_in(bucket, key);
	if (place != NOWHERE || !bucket->spilled)
		return place;
	number ^= 1;
	bucket = buckets.lookup(&number);
	if (!bucket)
		return NOWHERE;
	place = place_in(bucket, key);
	if (place != NOWHERE || !bucket->spilled)
		return place;
	far = crowded.lookup(&key);
	return far ? *far : NOWHERE;
}

/* The place is written before the key can be found. */
static __always_inline int put_in(struct bucket *bucket, u64 key, u32 place)
{
	int i;

#pragma unroll
	for (i = 0; i < BUCKET_KEYS; i++) {
		if (bucket->keys[i] || __sync_val_compare_and_swap(&bucket->keys[i], 0, BEING_SET) != 0)
			continue;
		bucket->places[i] = place;
		__sync_lock_test_and_set(&bucket->keys[i], key);
		return 1;
	}
	bucket->spilled = 1;
	return 0;
}

static __always_inline int put_in_bucket(u64 key, u32 place)
{
	u32 number = bucket_number(key);
	struct bucket *bucket = buckets.lookup(&number);

	if (!bucket)
		return 0;
	if (put_in(bucket, key, place))
		return 1;
	number ^= 1;
	bucket = buckets.lookup(&number);
	return bucket && put_in(bucket, key, place);
}

/* Enter a key that others may be entering as well: the place of whoever was first, or NOWHERE when
 * there is no room.  crowded decides, since its insertion is atomic: who holds the key there and
 * still finds it in no bucket is the first. */
static __always_inline u32 settle_first(u64 key, u32 place)
{
	u32 already, *far;

	if (crowded.insert(&key, &place)) {
		far = crowded.lookup(&key);
		return far ? *far : place_of(key);
	}
	already = place_of(key);
	if (already != NOWHERE && already != place) {
		crowded.delete(&key);
		return already;
	}
	if (put_in_bucket(key, place))
		crowded.delete(&key);
	return place;
}

static __always_inline int take_out(u64 key, u32 number)
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

static __always_inline void unsettle(u64 key)
{
	u32 number = bucket_number(key);

	if (!take_out(key, number) && !take_out(key, number ^ 1))
		crowded.delete(&key);
}

static __always_inline struct connection *connection_of(u64 key)
{
	u32 place = place_of(key);

	return place == NOWHERE ? 0 : connections.lookup(&place);
}

static __always_inline struct worker *worker_of(u32 tid)
{
	u32 place = place_of(THREAD_KEYS + tid);

	return place == NOWHERE ? 0 : workers.lookup(&place);
}

/* A place for a new connection, 0 when there is no room.  What stood there before still stands
 * there, less its id: to user space a record without an id is none. */
static __always_inline struct connection *connection_taken(u32 *place)
{
	u32 kind = KEPT_CONNECTIONS;
	u64 *used = fresh_places.lookup(&kind);

	if (!used)
		return 0;
	if (free_connections.pop(place)) {
		*place = *used;
		if (!connections.lookup(place))
			return 0;
		*place = __sync_fetch_and_add(used, 1);
	}
	return connections.lookup(place);
}

static __always_inline void connection_given_back(struct connection *connection, u32 place)
{
	connection->id = 0;
	free_connections.push(&place, 0);
}

static __always_inline struct worker *worker_taken(u32 *place)
{
	u32 kind = KEPT_WORKERS;
	u64 *used = fresh_places.lookup(&kind);

	if (!used)
		return 0;
	if (free_workers.pop(place)) {
		*place = *used;
		if (!workers.lookup(place))
			return 0;
		*place = __sync_fetch_and_add(used, 1);
	}
	return workers.lookup(place);
}

static __always_inline void worker_given_back(struct worker *worker, u32 place)
{
	worker->id = 0;
	free_workers.push(&place, 0);
}
