/* A 32-bit server without any library: one thread accepts, reads a byte and replies with its process id.  It serves
 * a listening socket that it inherits as descriptor 3.  Arguments: "socketcall" or "accept4". */

static long call(long number, long a, long b, long c, long d)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	return result;
}

static int serve(int by_socketcall)
{
	char byte, text[12];
	unsigned long arguments[3] = {3, 0, 0};
	int at, fd;
	long pid = call(20, 0, 0, 0, 0), rest;

	for (;;) {
		fd = by_socketcall ? call(102, 5, (long)arguments, 0, 0) : call(364, 3, 0, 0, 0);
		if (fd < 0)
			return 1;
		if (call(3, fd, (long)&byte, 1, 0) == 1) {
			at = sizeof(text);
			for (rest = pid; rest; rest /= 10)
				text[--at] = '0' + rest % 10;
			call(4, fd, (long)text + at, sizeof(text) - at, 0);
		}
		call(6, fd, 0, 0, 0);
	}
}

__attribute__((used)) static void start(long *stack)
{
	char **words = (char **)(stack + 1);

	call(1, serve(words[1][0] == 's'), 0, 0, 0);
}

__asm__(".globl _start\n_start:\n\tpushl %esp\n\tcall start\n");
