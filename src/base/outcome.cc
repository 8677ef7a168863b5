#include "casemate/outcome.h"

#include <csignal>
#include <cstring>

#include <fmt/format.h>

namespace casemate {
namespace {

struct Row {
  Outcome::Kind kind;
  std::string_view word;
};
constexpr Row kWords[] = {
    {Outcome::Kind::exited, "exited"},
    {Outcome::Kind::signaled, "signaled"},
    {Outcome::Kind::timed_out, "timed out"},
    {Outcome::Kind::out_of_memory, "out of memory"},
    {Outcome::Kind::too_many_processes, "too many processes"},
    {Outcome::Kind::output_limit, "output limit"},
    {Outcome::Kind::disk_limit, "disk limit"},
    {Outcome::Kind::setup_failed, "setup failed"},
    {Outcome::Kind::cancelled, "cancelled"},
    {Outcome::Kind::lost, "lost"},
};

std::string with_detail(std::string_view text, const std::string& detail) {
  return detail.empty() ? std::string(text) : fmt::format("{} ({})", text, detail);
}

}  // namespace

std::string_view word(Outcome::Kind kind) {
  for (const Row& row : kWords) {
    if (row.kind == kind) return row.word;
  }
  return "lost";
}

std::optional<Outcome::Kind> outcome_kind(std::string_view text) {
  for (const Row& row : kWords) {
    if (row.word == text) return row.kind;
  }
  return std::nullopt;
}

std::string_view word(Change::Kind kind) {
  switch (kind) {
    case Change::Kind::created:
      return "created";
    case Change::Kind::modified:
      return "modified";
    case Change::Kind::deleted:
      break;
  }
  return "deleted";
}

std::string_view word(Change::Type type) {
  switch (type) {
    case Change::Type::file:
      return "file";
    case Change::Type::directory:
      return "directory";
    case Change::Type::symlink:
      return "symlink";
    case Change::Type::skipped:
      break;
  }
  return "skipped";
}

std::string words(const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::Kind::exited:
      return fmt::format("exited {}", outcome.code);
    case Outcome::Kind::signaled: {
      const char* name = sigabbrev_np(outcome.code);
      return name ? fmt::format("signaled {} (SIG{})", outcome.code, name) : fmt::format("signaled {}", outcome.code);
    }
    case Outcome::Kind::setup_failed: {
      const char* name = strerrorname_np(outcome.code);
      // Not all that hinders is the kernel's.
      std::string why = outcome.code == 0 ? "" : name ? name : std::to_string(outcome.code);
      if (!outcome.detail.empty()) why += (why.empty() ? "" : "; ") + outcome.detail;
      return fmt::format("setup failed ({}{}{})", outcome.step, why.empty() ? "" : ": ", why);
    }
    default:
      return with_detail(word(outcome.kind), outcome.detail);
  }
}

}  // namespace casemate
