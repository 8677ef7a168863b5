// file_layer: a list of files becomes one layer of the store, or two: all files as they were once, and over them the few that changed
// since.
#pragma once

#include <string>
#include <vector>

#include "casemate/result.h"
#include "image/file_list.h"
#include "image/merged_root.h"
#include "store/store.h"

namespace casemate {

/// A layer of the store with its key.
struct MadeLayer {
  StoreLease lease;
  std::string key;
  std::vector<std::string> notes = {};  ///< what making it left out; none where it was there
};

/// What a list of files is to become.
struct FileLayerRequest {
  std::string identity;     ///< of what the list was made from (spec and project): where digests of the last time are found
  std::string label;        ///< begins every message
  std::string description;  ///< for `casemate cache`
  bool on_host = false;     ///< the root is the host's, where nothing at the top can be hidden
};

/// Makes what is not in the store yet, lowest first; empty for an empty list. Only files whose stamps changed since the last time are read;
/// where few changed, only those are written, over the layer that was made in full before. The layers' keys say what is in them: a file
/// that changes while it is copied is in the layer as it was copied. Files that are gone when their turn comes are left out. `below` is the
/// root that the layers will lie over: a file that was taken away can be hidden only where that has none of its name.
Result<std::vector<MadeLayer>> make_file_layers(Store& store, std::vector<ListedFile> files, MergedRoot& below,
                                                const FileLayerRequest& request);

}  // namespace casemate
