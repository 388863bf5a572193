"""Facts about sockets and processes without BPF: inet_diag and /proc."""
