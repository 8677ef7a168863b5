// tree_scan: random things done to a tree, and what a full scan says of them: what collect() has to agree with.
#pragma once

#include <map>
#include <random>
#include <string>

#include "collect_scratch.h"

namespace casemate {

/// What a full scan of a tree sees, path by path: type, and mode and content where they count.
inline std::map<std::string, std::string> snapshot(const fs::path& root) {
  std::map<std::string, std::string> seen;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string path = fs::relative(entry.path(), root);
    if (entry.is_symlink()) {
      seen[path] = "symlink " + fs::read_symlink(entry.path()).string();
    } else if (entry.is_directory()) {
      seen[path] = "directory";
    } else {
      seen[path] = "file " + std::to_string(static_cast<int>(entry.status().permissions())) + " " + read(entry.path());
    }
  }
  return seen;
}

/// The changes between two scans, said as line() says them.
inline Lines difference(const std::map<std::string, std::string>& before, const std::map<std::string, std::string>& after) {
  const auto type = [](const std::string& what) { return what.substr(0, what.find(' ')); };
  std::map<std::string, std::string> all;
  for (const auto& [path, what] : after) {
    const auto old = before.find(path);
    if (old == before.end()) {
      all[path] = "created " + type(what) + " " + path;
    } else if (old->second != what) {
      all[path] = "modified " + type(what) + " " + path;
    }
  }
  for (const auto& [path, what] : before) {
    const std::string parent = fs::path(path).parent_path();
    const bool parent_stays = parent.empty() || (after.contains(parent) && after.at(parent) == "directory");
    if (!after.contains(path) && parent_stays) all[path] = "deleted " + type(what) + " " + path;
  }
  Lines lines;
  for (const auto& [path, said] : all) lines.push_back(said);
  return lines;
}

/// One random thing that a job may do below `root`; the paths are few, so that things happen to the same ones again and again.
inline void do_something(const fs::path& root, std::mt19937& random) {
  const auto pick = [&](unsigned bound) { return random() % bound; };
  const auto path = [&] {
    fs::path any = root;
    for (unsigned depth = 1 + pick(3); depth > 0; --depth) any /= std::string(1, static_cast<char>('a' + pick(4)));
    return any;
  };
  const fs::path one = path();
  const fs::path two = path();
  std::error_code ignored;
  switch (pick(8)) {
    case 0:
    case 1:
      if (!fs::is_symlink(fs::symlink_status(one, ignored))) write(one, std::string(pick(3), static_cast<char>('x' + pick(2))));
      break;
    case 2:
      fs::create_directories(one, ignored);
      break;
    case 3:
      fs::create_symlink(pick(2) ? "/nowhere" : "nowhere", one, ignored);
      break;
    case 4:
      fs::remove(one, ignored);
      break;
    case 5:
      fs::remove_all(one, ignored);
      break;
    case 6:
      fs::rename(one, two, ignored);
      break;
    case 7:
      if (fs::is_regular_file(fs::symlink_status(one, ignored)))
        fs::permissions(one, pick(2) ? fs::perms::owner_all : fs::perms::owner_read | fs::perms::owner_write);
      break;
  }
}

}  // namespace casemate
