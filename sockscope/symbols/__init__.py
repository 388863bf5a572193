"""Names for addresses: the kernel's, ELF files', JIT compilers' and CPython's.

Everything here reads what other processes control: files are opened only when regular, reads are
bounded, and what does not parse has no names.
"""
