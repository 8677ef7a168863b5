#include "docker/build_context.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "base/terminal.h"
#include "docker/tar.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr std::size_t kPieceBytes = 64u << 10;
constexpr std::size_t kMostLevels = 200;  // each holds a descriptor
constexpr std::size_t kMostIgnore = 1u << 20;

}  // namespace

std::string BuildContext::shown(const std::string& path) const {
  return printable_line(path.empty() ? directory_ : directory_ + "/" + path);
}

Result<std::unique_ptr<BuildContext>> BuildContext::open(const std::string& directory, const std::string& dockerfile) {
  std::unique_ptr<BuildContext> made(new BuildContext(directory));
  UniqueFd top(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top)
    return fail(errno == ENOENT || errno == ENOTDIR ? ErrorCode::not_found : ErrorCode::system,
                fmt::format("can't build '{}': {}", made->shown(""), std::strerror(errno)), errno);
  const std::string clean = std::filesystem::path(dockerfile).lexically_normal();
  if (clean.empty() || clean.front() == '/' || clean == ".." || clean.starts_with("../"))
    return fail(ErrorCode::invalid_input,
                fmt::format("the Dockerfile '{}' lies outside '{}'", printable_line(dockerfile), made->shown("")));
  struct stat info{};
  if (::fstatat(top.get(), clean.c_str(), &info, 0) < 0 || !S_ISREG(info.st_mode))
    return fail(ErrorCode::not_found, fmt::format("there is no '{}' to build", made->shown(clean)), ENOENT);
  if (const auto file = open_beneath(top.get(), ".dockerignore", O_RDONLY); file) {
    TRY_ASSIGN(const std::string text, read_all(file->get(), kMostIgnore));
    TRY_ASSIGN(made->ignore_, ContextIgnore::parse(text));
  }
  made->ignore_.keep(clean);
  made->ignore_.keep(".dockerignore");
  TRY(made->enter("", std::move(top)));
  return made;
}

Result<void> BuildContext::enter(const std::string& path, UniqueFd fd) {
  if (levels_.size() >= kMostLevels)
    return fail(ErrorCode::invalid_input, fmt::format("'{}' lies more than {} directories deep", shown(path), kMostLevels));
  Level level{.path = path, .fd = std::move(fd)};
  DirectoryReader reader(level.fd.get());
  for (;;) {
    const auto next = reader.next();
    if (!next) return fail(ErrorCode::system, fmt::format("can't read '{}': {}", shown(path), std::strerror(next.error())), next.error());
    if (!*next) break;
    level.names.emplace_back((*next)->name);
  }
  std::sort(level.names.begin(), level.names.end());
  levels_.push_back(std::move(level));
  return {};
}

// "" for what is left out.
Result<std::string> BuildContext::entry(const Level& level, const std::string& name) {
  const std::string path = level.path.empty() ? name : level.path + "/" + name;
  const int directory = level.fd.get();
  const auto failed = [&](int error) {
    return fail(ErrorCode::system, fmt::format("can't read '{}': {}", shown(path), std::strerror(error)), error);
  };
  const auto info = stat_beneath(directory, name);
  if (!info && info.error() == ENOENT) return "";
  if (!info) return failed(info.error());
  const bool ignored = ignore_.ignores(path);
  if (ignored && !(S_ISDIR(info->st_mode) && ignore_.may_keep_below())) return "";
  TarEntry head{.path = path, .mode = info->st_mode & 07777, .modified = {info->st_mtim.tv_sec, 0}};
  if (S_ISDIR(info->st_mode)) {
    auto fd = open_beneath(directory, name, O_RDONLY | O_DIRECTORY);
    if (!fd) return failed(fd.error());
    TRY(enter(path, std::move(*fd)));  // `level` may be elsewhere now
    head.type = TarEntry::Type::directory;
    head.path += '/';
  } else if (S_ISLNK(info->st_mode)) {
    auto target = read_link_beneath(directory, name);
    if (!target) return failed(target.error());
    head.type = TarEntry::Type::symlink;
    head.link_target = std::move(*target);
  } else if (S_ISREG(info->st_mode)) {
    auto fd = open_beneath(directory, name, O_RDONLY);
    if (!fd) return failed(fd.error());
    file_ = std::move(*fd);
    file_path_ = path;
    head.size = size_ = left_ = static_cast<std::uint64_t>(info->st_size);
  } else {
    return "";
  }
  return ignored ? std::string() : tar_head(head);
}

Result<std::string> BuildContext::contents() {
  std::string piece(static_cast<std::size_t>(std::min<std::uint64_t>(left_, kPieceBytes)), '\0');
  const ssize_t got = piece.empty() ? 0 : ::read(file_.get(), piece.data(), piece.size());
  if (got < 0 && errno != EINTR)
    return fail(ErrorCode::system, fmt::format("can't read '{}': {}", shown(file_path_), std::strerror(errno)), errno);
  if (got > 0) piece.resize(static_cast<std::size_t>(got));
  if (got < 0) piece.clear();
  left_ -= piece.size();
  if (left_ == 0) {
    piece += tar_padding(size_);
    file_.reset();
  }
  return piece;
}

Result<std::string> BuildContext::next() {
  std::string bytes;
  while (bytes.size() < kPieceBytes) {
    if (file_) {
      TRY_ASSIGN(const std::string piece, contents());
      bytes += piece;
    } else if (levels_.empty()) {
      if (!std::exchange(ended_, true)) bytes += tar_end();
      break;
    } else if (levels_.back().at == levels_.back().names.size()) {
      levels_.pop_back();
    } else {
      Level& level = levels_.back();
      const std::string name = level.names[level.at++];
      TRY_ASSIGN(const std::string head, entry(level, name));
      bytes += head;
    }
  }
  return bytes;
}

}  // namespace casemate
