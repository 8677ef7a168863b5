// bounds: where a project begins and ends: the directory of the host that its tests see, and what of a container's root is not the project.
#pragma once

#include <string>
#include <vector>

namespace casemate {

/// pytest's own files of settings, and those that may hold some: a run in a container must see them, whatever patterns its layers have.
inline constexpr const char* kSettingsFiles[] = {"pytest.toml",    ".pytest.toml", "pytest.ini", ".pytest.ini",
                                                 "pyproject.toml", "tox.ini",      "setup.cfg"};

/// The directory that holds all that a pytest which is started in `directory` with these arguments would look at: its rootdir (found as
/// pytest finds it: the nearest settings of its own upwards, else the nearest setup.py), the repository around it, and files and
/// directories among the arguments, as far as they exist. Never "/" nor HOME nor what is above it, for the sake of a file that lies there:
/// then `directory`.
[[nodiscard]] std::string project_directory(const std::string& directory, const std::vector<std::string>& arguments);

/// pytest's rootdir alone.
[[nodiscard]] std::string pytest_root(const std::string& directory, const std::vector<std::string>& arguments);

/// The project of these files, directories and tests (absolute), for who was not started in one: their rootdir, else the directory that
/// holds them all. "": none of them exists, or nothing but "/" holds them.
[[nodiscard]] std::string project_of(const std::vector<std::string>& paths);

/// Whether pytest would take its settings from this directory. pyproject.toml, tox.ini and setup.cfg only count with a table of pytest's.
[[nodiscard]] bool has_pytest_settings(const std::string& directory);

/// Where a project's layers lie in the root itself, pytest started there would walk through the whole image. What it should leave out: the
/// paths of `below` (host directories that are laid over each other at the root) that are in none of `project` (the same), with what the
/// kernel shows, sorted. A directory in both is looked into.
[[nodiscard]] std::vector<std::string> outside_project(const std::vector<std::string>& below, const std::vector<std::string>& project);

}  // namespace casemate
