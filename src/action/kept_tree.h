// kept_tree: the merged tree of a store's layers, which don't change: what a second run need not walk.
#pragma once

#include <span>
#include <string>

#include "action/input_directory.h"

namespace casemate {

/// The merged tree of layers of a store, topmost first, as keep_tree() kept it; of just these incarnations of the layers. nullptr: not
/// there, damaged, or not all of these are a store's.
InputDirectoryPtr kept_tree(const std::string& store, std::span<const std::string> layers);
/// Keeps it: a hint, in digest_files().
void keep_tree(const std::string& store, std::span<const std::string> layers, const InputDirectory& tree);

}  // namespace casemate
