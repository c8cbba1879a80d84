/* For a user-mode Linux of before 6.12 on a processor whose register state is larger than it knows (Intel AMX: 11008
 * octets instead of 2696): the host refuses to set a part of the registers, and the first process dies. Loaded with
 * LD_PRELOAD, this fills the request up with the registers that the process has. No headers, so that any C compiler
 * will do. */

#define SYS_PTRACE 101L
#define GETREGSET 0x4204L
#define SETREGSET 0x4205L
#define XSTATE 0x202L

struct iovec {
  void *base;
  unsigned long length;
};

extern long syscall(long number, ...);

static char whole[1 << 16];
static unsigned long size;

static long set_registers(long pid, const struct iovec *given) {
  struct iovec all = {whole, sizeof whole};
  unsigned long octet;
  if (!size && syscall(SYS_PTRACE, GETREGSET, pid, XSTATE, &all) == 0) size = all.length;
  if (given->length >= size) return syscall(SYS_PTRACE, SETREGSET, pid, XSTATE, given);
  for (octet = 0; octet < given->length; octet++) whole[octet] = ((char *)given->base)[octet];
  all.length = size;
  return syscall(SYS_PTRACE, SETREGSET, pid, XSTATE, &all);
}

long ptrace(long request, long pid, void *address, void *data) {
  long word, result;
  if (request == SETREGSET && (long)address == XSTATE) return set_registers(pid, data);
  if (request < 1 || request > 3) return syscall(SYS_PTRACE, request, pid, address, data);
  result = syscall(SYS_PTRACE, request, pid, address, &word); /* PEEK: the C library returns what it read */
  return result < 0 ? result : word;
}
