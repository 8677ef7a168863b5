#include "image/image_lock.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string_view>

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/terminal.h"
#include "image/toml.h"
#include "sys/fd.h"

namespace casemate {
namespace {

using Kind = ImageReference::Kind;
using Tags = std::map<std::string, std::map<std::string, std::string>>;

constexpr std::size_t kLimit = 4u << 20;
constexpr std::int64_t kVersion = 1;
constexpr std::string_view kHeading =
    "# Which digest each tag of an image stood for when it was first used. Written by casemate; keep it under version control.\n";

// "FILE:LINE: WHAT".
std::unexpected<Error> wrong(const std::string& path, const toml::source_region& where, const std::string& what) {
  return fail(ErrorCode::invalid_input, fmt::format("{}:{}: {}", path, where.begin.line, printable_line(what)));
}

// A repository as people spell it, with all that they leave out.
Result<std::string> full_name(std::string_view spelled) {
  TRY_ASSIGN(ImageReference reference, parse_image_reference(fmt::format("docker://{}", spelled)));
  if (reference.tag != "latest" || spelled.ends_with(":latest") || is_pinned(reference))
    return fail(ErrorCode::invalid_input, fmt::format("{} is no repository: tags are the keys below it", in_quotes(spelled)));
  return reference.name;
}

Result<toml::table> parse(const std::string& text, const std::string& path) {
  auto parsed = parse_toml(text);
  if (!parsed) return fail(ErrorCode::invalid_input, fmt::format("{}:{}: {}", path, parsed.error().line, parsed.error().what));
  toml::table table = std::move(*parsed);
  if (table.empty()) return table;
  const toml::node* version = table.get("version");
  if (!version)
    return fail(ErrorCode::invalid_input, fmt::format("{}: it has no version: write `version = {}` at its top", path, kVersion));
  if (!version->is_integer() || version->as_integer()->get() != kVersion)
    return wrong(path, version->source(), fmt::format("its version is not {}, the one that this casemate reads", kVersion));
  return table;
}

Result<Tags> tags_of(const toml::table& table, const std::string& path) {
  Tags tags;
  for (const auto& [key, value] : table) {
    const toml::table* repository = value.as_table();
    if (!repository) continue;  // not ours
    auto name = full_name(key.str());
    if (!name) return wrong(path, value.source(), name.error().what);
    for (const auto& [tag, pinned] : *repository) {
      const auto digest = pinned.value<std::string>();
      if (!pinned.is_string() || !digest)
        return wrong(path, pinned.source(), fmt::format("the digest of tag {} must be a text", in_quotes(tag.str())));
      if (const auto checked = check_digest(*digest); !checked) return wrong(path, pinned.source(), checked.error().what);
      const auto [there, fresh] = tags[*name].emplace(std::string(tag.str()), *digest);
      if (!fresh && there->second != *digest)
        return wrong(path, pinned.source(), fmt::format("tag {} of {} has two digests", in_quotes(tag.str()), *name));
    }
  }
  return tags;
}

Result<toml::table> read_table(const std::string& path) {
  auto text = read_file(path, kLimit);
  if (!text && text.error().code == ErrorCode::not_found) return toml::table();
  TRY(text);
  return parse(*text, path);
}

// The table of a repository under whatever name it has; made if there is none.
toml::table& table_of(toml::table& table, const std::string& repository, const std::string& tag) {
  toml::table* found = nullptr;
  for (auto&& [key, value] : table) {
    const auto name = value.is_table() ? full_name(key.str()) : Result<std::string>("");
    if (!name || *name != repository) continue;
    if (!found || value.as_table()->contains(tag)) found = value.as_table();
  }
  if (!found) found = table.insert_or_assign(repository, toml::table()).first->second.as_table();
  return *found;
}

std::string text_of(const toml::table& table) {
  std::ostringstream text;
  text << kHeading;
  text << toml::toml_formatter(table, toml::toml_formatter::default_flags & ~toml::format_flags::allow_literal_strings) << '\n';
  return text.str();
}

// Where the file really lies: a link to it stays one.
std::string real_path(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), &std::free);
  return real ? real.get() : path;
}

Result<void> replace_file(const std::string& path, const std::string& text) {
  const auto failed = [&](int error) {
    const bool full = error == ENOSPC || error == EDQUOT;
    return fail(full ? ErrorCode::exhausted : ErrorCode::refused, fmt::format("can't write {}: {}", path, std::strerror(error)), error);
  };
  struct stat info{};
  const mode_t mode = ::stat(path.c_str(), &info) == 0 ? info.st_mode & 0777 : 0;
  const std::string fresh = fmt::format("{}.{}", path, ::getpid());
  UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!file) return failed(errno);
  const auto written = write_all(file.get(), text);
  int error = written ? 0 : written.error().errno_value;
  if (error == 0 && mode != 0 && ::fchmod(file.get(), mode) < 0) error = errno;
  if (error == 0 && ::fsync(file.get()) < 0) error = errno;
  if (error == 0 && ::rename(fresh.c_str(), path.c_str()) < 0) error = errno;
  if (error == 0) return {};
  ::unlink(fresh.c_str());
  return failed(error);
}

}  // namespace

Result<ImageLock> ImageLock::read(const std::string& path) {
  ImageLock lock;
  lock.path_ = path;
  TRY_ASSIGN(const toml::table table, read_table(path));
  TRY_ASSIGN(lock.tags_, tags_of(table, path));
  return lock;
}

std::optional<std::string> ImageLock::digest(const ImageReference& reference) const {
  if (reference.kind != Kind::registry || reference.tag.empty()) return std::nullopt;
  const auto repository = tags_.find(reference.name);
  if (repository == tags_.end()) return std::nullopt;
  const auto tag = repository->second.find(reference.tag);
  return tag == repository->second.end() ? std::nullopt : std::optional(tag->second);
}

ImageReference ImageLock::pinned(const ImageReference& reference) const {
  const auto found = digest(reference);
  return found ? with_digest(reference, *found) : reference;
}

bool ImageLock::pin(const ImageReference& reference, const std::string& digest) {
  if (reference.kind != Kind::registry || reference.tag.empty() || this->digest(reference) == digest) return false;
  tags_[reference.name][reference.tag] = digest;
  changed_[reference.name][reference.tag] = digest;
  return true;
}

Result<void> ImageLock::save() {
  if (changed_.empty()) return {};
  const std::string path = real_path(path_);
  const std::size_t slash = path.rfind('/');
  // Two that save at a time do so one after the other. Where directories can't be locked (NFS), the last one counts.
  const UniqueFd directory(
      ::open(slash == std::string::npos ? "." : path.substr(0, slash + 1).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) ::flock(directory.get(), LOCK_EX);
  TRY_ASSIGN(toml::table table, read_table(path));
  TRY(tags_of(table, path));
  table.insert("version", kVersion);
  for (const auto& [repository, tags] : changed_) {
    for (const auto& [tag, digest] : tags) table_of(table, repository, tag).insert_or_assign(tag, digest);
  }
  TRY(replace_file(path, text_of(table)));
  TRY_ASSIGN(tags_, tags_of(table, path));
  changed_.clear();
  return {};
}

}  // namespace casemate
