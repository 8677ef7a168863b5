// fmt, compiled once: Debian ships its shared library only, and as headers alone it costs every file two seconds of compiling.
#include <fmt/format-inl.h>

// What fmt/format.h declares as made elsewhere.
namespace fmt::detail {
template auto thousands_sep_impl<char>(locale_ref) -> thousands_sep_result<char>;
template auto decimal_point_impl<char>(locale_ref) -> char;
}  // namespace fmt::detail
