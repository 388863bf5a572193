"""Stub headers and struct declarations that let bcc compile without kernel headers.

bcc always includes a few kernel headers; a tree of small files satisfies it and compiles ten times
faster. Kernel structs are declared with only the fields that the probes read, at the offsets from the
BTF of the running kernel: headers of another version would also compile, with wrong offsets.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from sockscope.bpf.btf import Btf, BtfError

#: The fields that the probes read: struct → field → C type.  A dotted path is a nested struct.
FIELDS: dict[str, dict[str, str]] = {
    "sock_common": {
        "skc_daddr": "u32",
        "skc_rcv_saddr": "u32",
        "skc_dport": "u16",
        "skc_num": "u16",
        "skc_family": "u16",
        "skc_state": "u8",
        "skc_refcnt": "u32",
        "skc_net": "struct net *",
        "skc_v6_daddr": "sixteen",
        "skc_v6_rcv_saddr": "sixteen",
    },
    "sock": {
        "sk_protocol": "u16",
        "sk_socket": "struct socket_alloc *",
        "sk_ack_backlog": "u32",
        "sk_max_ack_backlog": "u32",
        "sk_drops": "u32",
    },
    "task_struct": {
        "tgid": "u32",
        "pid": "u32",
        "start_time": "u64",
        "__state": "u32",
        "flags": "u32",
        "comm": "sixteen",
        "real_parent": "struct task_struct *",
        "group_leader": "struct task_struct *",
        "files": "struct files_struct *",
        "stack": "void *",
        "se": "struct sched_entity",
    },
    "sched_entity": {"sum_exec_runtime": "u64"},
    "files_struct": {"fdt": "struct fdtable *"},
    "fdtable": {"max_fds": "u32", "fd": "struct file **"},
    "file": {"private_data": "struct socket *", "f_inode": "struct inode *"},
    "inode": {"i_mode": "u16", "i_ino": "u64"},
    "socket": {"sk": "struct sock *"},
    "socket_alloc": {"vfs_inode": "struct inode"},
    "net": {"ns": "struct ns_common"},
    "ns_common": {"inum": "u32"},
}

#: Structs embedded in others come first; pointers need no order.
_ORDER = (
    "sock_common",
    "sock",
    "sched_entity",
    "task_struct",
    "files_struct",
    "fdtable",
    "file",
    "inode",
    "socket",
)
_ORDER_EMBEDDING = ("socket_alloc", "ns_common", "net")

_SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "sixteen": 16}

# Where a system call's arguments outlive the call: arch/x86/include/asm/ptrace.h (rdi, rdx, r10),
# arch/arm64/include/asm/ptrace.h (orig_x0, x2, x3).
_ARGUMENTS = {"x86_64": ("di", "dx", "r10"), "aarch64": ("orig_x0", "regs", "regs")}
_CALL_NUMBER = {"x86_64": "orig_ax", "aarch64": "syscallno"}

#: Numbers of the calls in which a thread waits for events: name → number, by machine.
WAIT_CALLS = {
    "x86_64": {
        "epoll_wait": 232,
        "epoll_pwait": 281,
        "epoll_pwait2": 441,
        "poll": 7,
        "ppoll": 271,
        "select": 23,
        "pselect6": 270,
        "io_uring_enter": 426,
    },
    "aarch64": {"epoll_pwait": 22, "epoll_pwait2": 441, "ppoll": 73, "pselect6": 72, "io_uring_enter": 426},
}

_TYPES = """
#ifndef SOCKSCOPE_TYPES
#define SOCKSCOPE_TYPES
typedef unsigned char __u8; typedef unsigned short __u16; typedef unsigned int __u32;
typedef unsigned long long __u64; typedef signed char __s8; typedef short __s16; typedef int __s32;
typedef long long __s64; typedef __u8 u8; typedef __u16 u16; typedef __u32 u32; typedef __u64 u64;
typedef __s8 s8; typedef __s16 s16; typedef __s32 s32; typedef __s64 s64;
typedef __u16 __be16, __le16, __sum16; typedef __u32 __be32, __le32, __wsum;
typedef __u64 __be64, __le64; typedef __u64 __attribute__((aligned(8))) __aligned_u64;
typedef _Bool bool; typedef unsigned long size_t; typedef int pid_t; typedef unsigned long uintptr_t;
#define true 1
#define false 0
#define NULL ((void *)0)
#define __always_inline inline __attribute__((always_inline))
#define __force
#define __user
#define __attribute_const__
#endif
"""

# The instruction classes of linux/bpf_common.h: bcc's own copy of bpf.h asks for this header.
_BPF_COMMON = """
#ifndef SOCKSCOPE_BPF_COMMON
#define SOCKSCOPE_BPF_COMMON
#define BPF_CLASS(code) ((code) & 0x07)
#define BPF_LD 0x00
#define BPF_LDX 0x01
#define BPF_ST 0x02
#define BPF_STX 0x03
#define BPF_ALU 0x04
#define BPF_JMP 0x05
#define BPF_RET 0x06
#define BPF_MISC 0x07
#define BPF_SIZE(code) ((code) & 0x18)
#define BPF_W 0x00
#define BPF_H 0x08
#define BPF_B 0x10
#define BPF_MODE(code) ((code) & 0xe0)
#define BPF_IMM 0x00
#define BPF_ABS 0x20
#define BPF_IND 0x40
#define BPF_MEM 0x60
#define BPF_LEN 0x80
#define BPF_MSH 0xa0
#define BPF_OP(code) ((code) & 0xf0)
#define BPF_ADD 0x00
#define BPF_SUB 0x10
#define BPF_MUL 0x20
#define BPF_DIV 0x30
#define BPF_OR 0x40
#define BPF_AND 0x50
#define BPF_LSH 0x60
#define BPF_RSH 0x70
#define BPF_NEG 0x80
#define BPF_MOD 0x90
#define BPF_XOR 0xa0
#define BPF_JA 0x00
#define BPF_JEQ 0x10
#define BPF_JGT 0x20
#define BPF_JGE 0x30
#define BPF_JSET 0x40
#define BPF_SRC(code) ((code) & 0x08)
#define BPF_K 0x00
#define BPF_X 0x08
#define BPF_MAXINSNS 4096
#endif
"""

_EMPTY = (
    "linux/log2.h",
    "linux/compiler.h",
    "linux/bpf.h",
    "uapi/linux/bpf.h",
    "uapi/linux/if_packet.h",
    "uapi/linux/ptrace.h",
)


@dataclass(frozen=True)
class KernelStructs:
    """The C declarations of kernel structs, and constants for the compiler."""

    text: str
    defines: tuple[str, ...]


def write_stub_tree(root: Path) -> None:
    """Write the headers that bcc includes itself to ``root``; set BCC_KERNEL_SOURCE to it."""
    numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", platform.release())
    major, minor, patch = (int(n or 0) for n in numbers.groups()) if numbers else (6, 0, 0)
    include_types = "#include <linux/types.h>\n"
    files = {
        "linux/types.h": _TYPES,
        "linux/kconfig.h": "#define CONFIG_BPF_SYSCALL 1\n#define CONFIG_64BIT 1\n" + include_types,
        "linux/version.h": "#define KERNEL_VERSION(a,b,c) (((a)<<16)+((b)<<8)+((c)>255?255:(c)))\n"
        f"#define LINUX_VERSION_CODE KERNEL_VERSION({major},{minor},{patch})\n",
        "asm/page.h": f"#define PAGE_SIZE {os.sysconf('SC_PAGE_SIZE')}UL\n",
        "linux/bpf_common.h": _BPF_COMMON,
        **dict.fromkeys(_EMPTY, include_types),
    }
    for name, text in files.items():
        path = root / "include" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def kernel_structs(btf: Btf) -> KernelStructs:
    """Declare the structs of :data:`FIELDS` at the running kernel's offsets.

    :raises BtfError: when a struct or field is missing or has another size than the probes expect
    """
    numbers = btf.structs([*FIELDS, "pt_regs"])
    missing = [name for name in (*FIELDS, "pt_regs") if name not in numbers]
    if missing:
        raise BtfError(
            f"the kernel's BTF lacks struct {missing[0]}",
            hint="this kernel is not supported; please report it",
        )
    parts = ["typedef struct { u8 bytes[16]; } sixteen;\n"]
    parts += [f"struct {name};\n" for name in FIELDS]
    for name in (*_ORDER, *_ORDER_EMBEDDING):
        parts.append(_declare(btf, name, numbers[name]))
    return KernelStructs("".join(parts), _constants(btf, numbers))


def _declare(btf: Btf, name: str, number: int) -> str:
    found = btf.fields(number)
    lines, members = [], []
    for member, c_type in FIELDS[name].items():
        field = found.get(member)
        if field is None:
            raise BtfError(
                f"the kernel's struct {name} has no field {member}",
                hint="this kernel is not supported; please report it",
            )
        size = 8 if c_type.endswith("*") else _SIZES.get(c_type, 0)
        if size and field.size != size:
            raise BtfError(f"the kernel's {name}.{member} has {field.size} bytes, not {size}")
        members.append((field.offset, member, c_type))
    # a union of one padded struct a field: fields may overlap in the kernel (addresses do)
    for offset, member, c_type in members:
        pad = f"u8 before_{member}[{offset}]; " if offset else ""
        lines.append(f"\tstruct {{ {pad}{c_type} {member}; }} __attribute__((packed));\n")
    return f"struct {name} {{ union {{\n{''.join(lines)}}}; }};\n"


def _constants(btf: Btf, numbers: dict[str, int]) -> tuple[str, ...]:
    defines = []
    for constant, member in (("REUSEPORT", "skc_reuseport"), ("V6ONLY", "skc_ipv6only")):
        field = btf.field(numbers["sock_common"], member)
        if field is None:
            raise BtfError(f"the kernel's struct sock_common has no field {member}")
        defines.append(f"-D{constant}_BYTE={field.bit_offset // 8}")
        defines.append(f"-D{constant}_MASK={1 << field.bit_offset % 8}")
    defines.append(f"-DRUN_DELAY={_run_delay(btf, numbers['task_struct'])}")
    machine = platform.machine()
    if machine not in _ARGUMENTS:
        raise BtfError(f"unsupported architecture {machine}", hint="sockscope runs on x86_64 and aarch64")
    first, third, fourth = _ARGUMENTS[machine]
    strides = (0, 16, 24) if machine == "aarch64" else (0, 0, 0)
    for name, register, stride in zip(
        ("FIRST", "THIRD", "FOURTH"), (first, third, fourth), strides, strict=True
    ):
        field = btf.field(numbers["pt_regs"], register)
        if field is None:
            raise BtfError(f"the kernel's struct pt_regs has no field {register}")
        defines.append(f"-D{name}_ARGUMENT={field.offset + stride}")
    call = btf.field(numbers["pt_regs"], _CALL_NUMBER[machine])
    if call is None:
        raise BtfError(f"the kernel's struct pt_regs has no field {_CALL_NUMBER[machine]}")
    defines.append(f"-DCALL_NUMBER={call.offset}")
    defines.append("-DWAIT_CALLS=" + ",".join(str(number) for number in WAIT_CALLS[machine].values()))
    return tuple(defines)


def _run_delay(btf: Btf, task: int) -> int:
    """Return the offset of run_delay in task_struct; 0 if CONFIG_SCHED_INFO is off."""
    delay = btf.field(task, "sched_info.run_delay")
    return delay.offset if delay else 0
