"""Facts about sockets and processes that the kernel tells without BPF: inet_diag and /proc."""
