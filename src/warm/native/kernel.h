// kernel: system calls without a libc, for the native half of a warm parent: it is loaded into interpreters of any libc (glibc, musl), so
// it may need none. Every call returns what the kernel returned: a value, or -errno.
#pragma once

#include <cstddef>
#include <cstdint>

#include <sys/syscall.h>

namespace casemate::native {

#if defined(__x86_64__)
inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long result = 0;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#else
#error "warm parents know the system calls of x86_64 and aarch64"
#endif

/// The address of `pointer` as a system call takes it.
inline long at(const void* pointer) { return reinterpret_cast<long>(pointer); }

/// close(2); what is no descriptor is left alone.
inline void close_fd(int fd) {
  if (fd >= 0) call(SYS_close, fd);
}

}  // namespace casemate::native
