"""Generic BPF plumbing: BTF, bpf(2), compiler, loader, maps, rings; nothing here knows what is traced."""
