// memory: the functions that the compiler itself calls, for there is no libc to have them.
#include <cstddef>

extern "C" __attribute__((visibility("hidden"))) void* memset(void* to, int value, std::size_t count) {
  auto* bytes = static_cast<volatile char*>(to);  // volatile: or this loop becomes a call of memset
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(value);
  return to;
}

extern "C" __attribute__((visibility("hidden"))) void* memcpy(void* to, const void* from, std::size_t count) {
  auto* bytes = static_cast<volatile char*>(to);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<const char*>(from)[i];
  return to;
}
