#include "command/mounts.h"

#include <algorithm>
#include <charconv>
#include <climits>
#include <iterator>

#include <fmt/format.h>
#include <unistd.h>

#include "base/units.h"

namespace casemate {
namespace {

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

Result<std::uint32_t> parse_mode(std::string_view text) {
  std::uint32_t mode = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (problem != std::errc{} || end != text.data() + text.size() || mode > 07777)
    return invalid(fmt::format("'{}' is not an octal mode", text));
  return mode;
}

Result<void> tmpfs_option(Mount& mount, std::string_view key, std::string_view value) {
  if (key == "size" || key == "tmpfs-size") {
    TRY_ASSIGN(mount.bytes, parse_bytes(value));
  } else if (key == "mode" || key == "tmpfs-mode") {
    TRY_ASSIGN(mount.mode, parse_mode(value));
  } else if (key == "exec") {
    mount.executable = true;
  } else if (key == "noexec") {
    mount.executable = false;
  } else if (key != "rw" && key != "nosuid" && key != "nodev") {
    return invalid(fmt::format("tmpfs has no option '{}' (size, mode, exec, noexec)", key));
  }
  return {};
}

// The rest of a --mount, by its type; `source` as it was typed.
Result<void> set_type(Mount& mount, std::string_view type, std::string_view source, std::string_view text) {
  using Kind = Mount::Kind;
  struct Own {
    std::string_view type;
    Kind kind;
    std::string_view target;
  };
  constexpr Own kOwn[] = {{"proc", Kind::proc, "/proc"},
                          {"sysfs", Kind::sysfs, "/sys"},
                          {"mqueue", Kind::mqueue, "/dev/mqueue"},
                          {"devpts", Kind::devpts, "/dev/pts"}};
  if (type == "bind" || type == "overlay") {
    if (type == "bind" && source.empty()) return invalid(fmt::format("--mount '{}' has no source=", text));
    mount.kind = type == "bind" ? Kind::bind : Kind::overlay;
    if (mount.kind == Kind::bind) mount.source = absolute_host_path(source);
    if (mount.kind == Kind::overlay && !source.empty()) mount.lower = {absolute_host_path(source)};
    mount.owned = mount.writable;
    return {};
  }
  if (type == "device") {
    if (source.starts_with("/dev/")) source.remove_prefix(5);
    if (source.empty()) return invalid(fmt::format("--mount '{}' has no source=, the name of a device: null, zero, fuse", text));
    mount.kind = Kind::device;
    mount.source = source;
    if (mount.target.empty()) mount.target = fmt::format("/dev/{}", source);
    mount.writable = false;
    return {};
  }
  const bool known = type == "tmpfs" || std::any_of(std::begin(kOwn), std::end(kOwn), [&](const Own& own) { return own.type == type; });
  if (!known)
    return invalid(fmt::format("--mount type '{}': choose bind, overlay, tmpfs, proc, sysfs, mqueue, devpts or device{}", type,
                               type == "volume" ? "; what outlives the cell is a directory of the host (bind)" : ""));
  if (!source.empty()) return invalid(fmt::format("--mount '{}': a {} has no source", text, type));
  if (type == "tmpfs") {
    mount.kind = Kind::tmpfs;
    mount.owned = mount.writable;
    return {};
  }
  for (const Own& own : kOwn) {
    if (type != own.type) continue;
    mount.kind = own.kind;
    if (mount.target.empty()) mount.target = own.target;
    mount.writable = false;
    break;
  }
  return {};
}

}  // namespace

std::string absolute_host_path(std::string_view path) {
  if (!path.empty() && path[0] == '/') return std::string(path);
  char here[PATH_MAX];
  if (!::getcwd(here, sizeof here)) return std::string(path);
  return fmt::format("{}/{}", here, path);
}

Result<Mount> parse_volume(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return invalid(fmt::format("'{}': write SRC:DST or SRC:DST:ro", text));
  std::string_view rest = text.substr(colon + 1);
  const auto second = rest.find(':');
  Mount mount{.kind = Mount::Kind::bind,
              .source = absolute_host_path(text.substr(0, colon)),
              .target = std::string(rest.substr(0, second)),
              .writable = true,
              .owned = true};
  if (second != std::string_view::npos) {
    const std::string_view option = rest.substr(second + 1);
    if (option == "ro") {
      mount.writable = false;
    } else if (option != "rw") {
      return invalid(fmt::format("'{}': after the second colon comes ro or rw", text));
    }
  }
  mount.owned = mount.writable;
  return mount;
}

Result<Mount> parse_tmpfs(std::string_view text) {
  const auto colon = text.find(':');
  Mount mount{.kind = Mount::Kind::tmpfs, .target = std::string(text.substr(0, colon)), .mode = 01777};
  std::string_view rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const std::string_view option = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    const auto equals = option.find('=');
    TRY(tmpfs_option(mount, option.substr(0, equals), equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1)));
  }
  return mount;
}

Result<Mount> parse_mount(std::string_view text) {
  if (text.find('=') == std::string_view::npos) return parse_volume(text);
  Mount mount{.writable = true};
  std::string type = "bind";
  std::string source;
  for (std::string_view rest = text; !rest.empty();) {
    const auto comma = rest.find(',');
    const std::string_view option = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    const auto equals = option.find('=');
    const std::string_view key = option.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1);
    if (key == "type") {
      type = value;
    } else if (key == "source" || key == "src") {
      source = value;
    } else if (key == "target" || key == "destination" || key == "dst") {
      mount.target = value;
    } else if (key == "readonly" || key == "ro") {
      mount.writable = value == "false" || value == "0";
    } else if (auto taken = tmpfs_option(mount, key, value); !taken) {
      const bool known = key == "size" || key == "mode" || key.starts_with("tmpfs-");  // then it is the value that is wrong
      if (known) return std::unexpected(std::move(taken.error()));
      return invalid(fmt::format("--mount has no option '{}' (type, source, target, readonly; of a tmpfs size, mode, exec, noexec)", key));
    }
  }
  TRY(set_type(mount, type, source, text));
  if (!mount.writable && (mount.kind == Mount::Kind::tmpfs || mount.kind == Mount::Kind::overlay))
    return invalid(fmt::format("--mount '{}': readonly is for binds; a {} is the cell's own and can always be written", text, type));
  if (mount.target.empty()) return invalid(fmt::format("--mount '{}' has no target=", text));
  return mount;
}

}  // namespace casemate
