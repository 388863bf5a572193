/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * The contract between the probes and user space: every struct that crosses the boundary, and
 * nothing else.  sockscope/records/layout.py is its twin in numpy; tests/unit/test_contract.py
 * compiles this file with the host's compiler and compares every offset and size.
 *
 * Times are nanoseconds of CLOCK_MONOTONIC (bpf_ktime_get_ns); 0 means "has not happened".
 * Addresses are 16 bytes in network order, IPv4 as an IPv4-mapped IPv6 address.
 */
#ifndef SOCKSCOPE_RECORDS_H
#define SOCKSCOPE_RECORDS_H

#define RECORDS_VERSION 2

/* Threads whose reads and writes fit in the connection record itself; more of them go to the
 * map io_overflow, keyed by struct io_key. */
#define INLINE_IO 2

/* A histogram of durations: four buckets an octave from 2^10 ns (1 us) to 2^36 ns (69 s), one
 * bucket below and one above.  Bucket 0 is [0, 2^10), bucket 105 is [2^36, oo). */
#define HISTOGRAM_FIRST_OCTAVE 10
#define HISTOGRAM_LAST_OCTAVE 36
#define HISTOGRAM_BUCKETS 106

/* connection.flags */
#define CONNECTION_OPEN_BEFORE 0x1	   /* existed when tracing began: no earlier times */
#define CONNECTION_LATE 0x2		   /* first seen at accept: its listener was added then */
#define CONNECTION_FAST_OPEN 0x4	   /* queued before the handshake was over */
#define CONNECTION_DATA_WITH_HANDSHAKE 0x8 /* the handshake's last packet carried data */
#define CONNECTION_PEER_CLOSED_FIRST 0x10
#define CONNECTION_WE_CLOSED_FIRST 0x20
#define CONNECTION_IO_LOST 0x40		   /* io_overflow was full: some reads or writes have no thread */
#define CONNECTION_CLOSED 0x80		   /* the final record */
#define CONNECTION_LISTENER_GUESSED 0x100  /* several listeners on that port: one of them was chosen */
#define CONNECTION_UNACCEPTED_BEFORE 0x200 /* waited in an accept queue when tracing began */
#define CONNECTION_RESET 0x400		   /* left ESTABLISHED straight to CLOSE: reset or aborted */
#define CONNECTION_ACCEPT_GUESSED 0x800	   /* accept not seen: first read or write */
#define CONNECTION_MPTCP 0x2000		   /* an MPTCP connection: one record whatever its subflows */
#define CONNECTION_BEST_EFFORT 0x1000	   /* an event was missed, or an attach method can err */

/* worker.flags */
#define WORKER_IN_WAIT 0x1	   /* between entry to and exit from epoll_wait, poll or select */
#define WORKER_WOKEN 0x2	   /* the last wait returned events */
#define WORKER_GOT_EAGAIN 0x4	   /* since then an accept or a read returned EAGAIN */
#define WORKER_DID_WORK 0x8	   /* since then an accept, a read or a write succeeded */
#define WORKER_READ_SINCE 0x10	   /* read since it last woke another thread of its process */
#define WORKER_SEEDED 0x20	   /* existed when tracing began */
#define WORKER_READ_THIS_TURN 0x80 /* read since its last wait */
#define WORKER_ENDED 0x40	   /* the final record */

/* I/O of one thread on one connection. */
struct connection_io {
	unsigned long long reads;
	unsigned long long bytes_read;
	unsigned long long writes;
	unsigned long long bytes_written;
	unsigned long long worker; /* worker.id; 0: free slot; 64 bits for compare-and-swap */
};

struct io_key {
	unsigned long long connection; /* connection.id */
	unsigned int worker;
	unsigned int unused;
};

/* One connection: the map's value while it is open, the ring's record when it is closed. */
struct connection {
	unsigned long long id;
	unsigned long long established_ns; /* in the accept queue from then on */
	unsigned long long accepted_ns;
	unsigned long long first_data_ns; /* the first bytes could be read */
	unsigned long long first_read_ns;
	unsigned long long first_write_ns;
	unsigned long long ending_ns; /* left ESTABLISHED: either side closed */
	unsigned long long closed_ns;
	unsigned long long touched_ns;	  /* the last change of this record */
	unsigned long long readable_ns;	  /* bytes wait unread since then */
	unsigned long long unanswered_ns; /* read, and nothing written since then */
	unsigned long long data_wait_max_ns;
	unsigned long long
	    close_wait_ns;	      /* from the peer's FIN to the server's close; 0: not over, or none */
	unsigned int listener;	      /* listener.id; 0: unknown */
	unsigned int acceptor;	      /* worker.id; 0: unknown */
	unsigned int unanswered_by;   /* worker.id of the reader */
	unsigned int unanswered_turn; /* turn of that reader */
	unsigned int unread_bytes;    /* received and never read when the connection ended */
	unsigned int closed_by; /* worker.id of the thread that closed or reset it; 0: the peer, or unknown */
	unsigned char local[16];
	unsigned char remote[16];
	unsigned short local_port;
	unsigned short remote_port;
	unsigned short flags;
	unsigned short established_cpu;
	unsigned short accepted_cpu;
	unsigned short first_read_cpu;
	unsigned char family; /* 4 or 6; an IPv4-mapped peer on an IPv6 socket counts as 4 */
	unsigned char ended;  /* enum connection_end */
	unsigned char unused[2];
	struct connection_io io[INLINE_IO];
};

/* How a connection ended.  A reset counts as such while neither side has closed, or when the server answers
 * the peer's FIN with one; else the side that closed first counts. */
enum connection_end {
	END_OPEN,
	END_CLOSED_BY_PEER,
	END_CLOSED_BY_SERVER,
	END_RESET_BY_PEER,
	END_RESET_BY_SERVER,
	END_TIMED_OUT,			/* the peer did not acknowledge any more */
	END_UNACCEPTED_PEER_GAVE_UP,	/* closed or reset by the peer while it waited in the accept queue */
	END_UNACCEPTED_LISTENER_CLOSED, /* waited in the accept queue of a listener that was closed */
	END_UNACCEPTED_PROCESS_DIED,	/* the same, closed because the last process that held it exited */
};

/* One thread that listens, accepts, reads, writes, or belongs to a process that does. */
struct worker {
	unsigned long long start_ns; /* task_struct.start_time: with tid, its identity */
	unsigned long long first_seen_ns;
	unsigned long long ended_ns;
	unsigned long long touched_ns;
	unsigned long long cgroup;
	unsigned long long cpu_before_ns;      /* CPU time spent before it was first seen */
	unsigned long long cpu_wait_before_ns; /* ready to run without a CPU, before it was first seen */
	unsigned int id;		       /* unique in a run */
	unsigned int pid;
	unsigned int tid;
	unsigned int parent_pid;
	unsigned int flags;
	unsigned int last_wait; /* system call number of the last wait */
	char comm[16];
	unsigned long long accepts;
	unsigned long long accepts_eagain; /* EAGAIN */
	unsigned long long accepts_failed;
	unsigned long long reads;
	unsigned long long bytes_read;
	unsigned long long reads_eagain;
	unsigned long long eof_reads;
	unsigned long long writes;
	unsigned long long bytes_written;
	unsigned long long waits;
	unsigned long long wakeups; /* waits that returned events */
	unsigned long long wakeups_spurious;
	unsigned long long read_turns;	     /* turns in which it read at least once */
	unsigned long long deferred_replies; /* own reads answered in a later turn */
	unsigned long long wait_ns;
	unsigned long long busy_ns; /* from a wait's exit to the next wait's entry */
	unsigned long long stall_max_ns;
	unsigned long long stall_max_at_ns;
	unsigned long long wait_enter_ns;
	unsigned long long wait_exit_ns;
	unsigned int queue_wait[HISTOGRAM_BUCKETS]; /* as acceptor */
	unsigned int data_wait[HISTOGRAM_BUCKETS];  /* as reader */
	unsigned int answer[HISTOGRAM_BUCKETS];	    /* as writer: first read to first write after it */
	unsigned int stall[HISTOGRAM_BUCKETS];	    /* wait's exit to the next wait's entry */
};

/* One listening socket. */
struct listener {
	unsigned long long inode;	/* of the socket: what /proc/PID/fd shows */
	unsigned long long listened_ns; /* listen(); 0: before tracing began */
	unsigned long long closed_ns;
	unsigned long long established; /* connections that entered its accept queue */
	unsigned long long accepted;
	unsigned long long drops;   /* sk_drops: handshakes dropped for any reason, a full queue among them */
	unsigned long long samples; /* arrivals at which its wait queue was sampled: one in 16 */
	unsigned long long samples_several; /* samples with two or more entries */
	unsigned long long waiters;	    /* entries in its wait queue, summed over the samples */
	unsigned long long exclusive;	    /* exclusive ones of these: the kernel wakes one per connection */
	unsigned int id;
	unsigned int netns;	      /* inode of the network namespace */
	unsigned int listened_by;     /* worker.id; 0: before tracing began */
	unsigned int backlog;	      /* effective limit: the smaller of listen()'s and net.core.somaxconn */
	unsigned int queue;	      /* length of the accept queue at the last arrival */
	unsigned int queue_max;	      /* its maximum over all arrivals */
	unsigned int waiting;	      /* entries in its wait queue at the last sample */
	unsigned int samples_changed; /* samples with another number of entries than the previous one */
	unsigned char address[16];
	unsigned short port;
	unsigned char family;
	unsigned char reuseport;
	unsigned char v6only;
	unsigned char mptcp;	    /* opened with IPPROTO_MPTCP */
	unsigned char defer_accept; /* TCP_DEFER_ACCEPT: drops count deferred handshakes as well */
	unsigned char unused[1];
};

/* Wake-ups within a traced process: waker is a worker.id, wakee a tid. */
struct wake_key {
	unsigned int waker;
	unsigned int wakee;
};

struct wake_count {
	unsigned long long wakes;
	unsigned long long after_read; /* the waker had read since its previous wake-up */
};

/* A thread that waited for a listener: asleep in accept, or in epoll_wait, poll, select or io_uring_enter
 * for events that include those of the listener. */
struct waiting_key {
	unsigned int listener; /* listener.id */
	unsigned int worker;   /* worker.id; 0: threads that could not be named */
};

struct waiting_count {
	unsigned long long samples;	/* samples at which it waited */
	unsigned long long last_sample; /* number of the last of these */
};

/* What accept() on a listener returned to a thread when it failed. */
struct accept_error_key {
	unsigned int listener; /* listener.id; 0: a socket that is not traced */
	unsigned int worker;   /* worker.id */
	unsigned int error;    /* errno */
	unsigned int unused;
};

struct accept_error {
	unsigned long long count;
	unsigned long long first_ns;
	unsigned long long last_ns;
};

/* A socket and its owner, as printed by the task_file iterator. */
struct socket_owner {
	unsigned long long socket;
	unsigned long long inode;
	unsigned int pid;
	unsigned int fd;
	unsigned int netns;
	unsigned int listener; /* listener.id when it listens and is traced */
	unsigned char address[16];
	unsigned short port;
	unsigned char family;
	unsigned char state;
	unsigned int protocol; /* IPPROTO_TCP, IPPROTO_MPTCP, or one that cannot be followed */
};

enum phase {
	PHASE_TRACING,
	PHASE_INITIAL_SCAN, /* the initial scan is running */
	PHASE_ENDING,	    /* nothing is counted any more: the last batch is being read */
};

/* What to trace; one element, written by user space before anything is attached. */
struct target {
	unsigned long long cgroup; /* id of a cgroup v2 directory; 0: any */
	unsigned int cgroup_level; /* its depth below the root */
	unsigned int netns;	   /* 0: any */
	unsigned int by_port;	   /* only ports in target_ports */
	unsigned int by_pid;	   /* only processes in target_pids */
	unsigned int by_comm;
	unsigned int tracer; /* our own process, never traced */
	unsigned int phase;  /* enum phase */
	unsigned int unused;
	char comm[16];
};

/* One operation of a thread, sent only with --events. Times of one thread ascend; those of several threads
 * may be slightly out of order. */
struct event {
	unsigned long long time_ns;
	unsigned long long connection; /* connection.id; 0: none, or one that is not traced */
	unsigned int worker;	       /* worker.id */
	int result;		       /* result of the call: bytes, events, or -errno */
	unsigned int about;	       /* subject; enum event_kind defines it */
	unsigned short kind;	       /* enum event_kind */
	unsigned short cpu;
};

enum event_kind {
	EVENT_ACCEPT = 1, /* about: listener.id */
	EVENT_RECEIVE,	  /* about: 1 if it only peeked */
	EVENT_SEND,
	EVENT_WAIT,  /* a wait started; about: system call number */
	EVENT_WOKEN, /* a wait ended; about: system call number */
	EVENT_WAKE,  /* a thread of the process was woken; about: its tid */
};

/* Indexes into the map losses: what could not be recorded. */
enum loss {
	LOSS_CONNECTIONS_FULL, /* established, and the map connections was full */
	LOSS_CLOSED_RING_FULL, /* closed, and the ring was full */
	LOSS_WORKERS_FULL,     /* no slot for a thread: its operation has no thread */
	LOSS_EXITED_RING_FULL, /* a thread exited, and the ring was full */
	LOSS_IO_OVERFLOW_FULL, /* a read or write of a further thread on a connection */
	LOSS_LISTENERS_FULL,
	LOSS_WAKES_FULL,
	LOSS_ACCEPTS_UNKNOWN,	 /* accepted from a traced listener, and it has no record */
	LOSS_EVENTS_RING_FULL,	 /* the ring had no room for an event */
	LOSS_RETURNS_MISSED,	 /* a read or write began, and its return was not seen */
	LOSS_PROCESSES_FULL,	 /* no room for a process of the target, or of a server */
	LOSS_WAITING_FULL,	 /* no room for a further waiting thread and listener */
	LOSS_ACCEPT_ERRORS_FULL, /* no room for a further thread, listener and errno */
	LOSS_COUNT
};

#endif
