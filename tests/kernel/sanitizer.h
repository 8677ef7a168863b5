// sanitizer: what tests have to know about how they were built.
#pragma once

namespace casemate {

/// True in a build with AddressSanitizer (./dev asan).
#if defined(__has_feature)
inline constexpr bool kAddressSanitizer = __has_feature(address_sanitizer);
#else
inline constexpr bool kAddressSanitizer = false;
#endif

}  // namespace casemate
