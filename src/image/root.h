// root: what a job sees at "/": the host's programs or an image's layers, with project layers over it, and what the image says of how to
// run.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "image/pull.h"
#include "image/reference.h"
#include "store/store.h"

namespace casemate {

/// A root ready for jobs; its layers are kept from eviction while it (or a copy) lives.
struct Root {
  std::string image = "host";       ///< canonical text of the reference
  std::string digest;               ///< of what a tag names: the index, or the manifest where there is none; "" for host and dir:
  std::string identity = "host";    ///< what it is made of, for keys: equal roots have equal identities. host: its platform is the caller's
  std::vector<std::string> layers;  ///< host directories, topmost first: project layers, then the image's
  ImageConfig config;               ///< empty for host and dir:
  bool cached = true;
  std::vector<std::string> notes;
  std::vector<std::shared_ptr<const StoreLease>> leases;

  [[nodiscard]] bool is_host() const { return image == "host"; }
};

/// Opens what `reference` names, pulling it if it must. root_directory: its directory as it is, absolute and without symlinks; not_found if
/// there is none. Else as pull_image().
Result<Root> open_root(Store& store, const ImageReference& reference, const PullOptions& options, const TellPull& tell = {});

/// Leaves an image's config and takes away its layers: an empty root.
Result<void> drop_layers(Root& root, Store& store);

/// Puts a layer over the root.
void add_layer(Root& root, StoreLease layer, std::string_view key);

/// What of an image's config a job takes over.
struct ConfigUse {
  bool env = true;
  bool working_directory = true;
  bool entrypoint = true;  ///< and cmd, where the job has no command of its own
  bool user = true;
  bool operator==(const ConfigUse&) const = default;
};

/// Makes the job run on this root. An image: Job::image and root. host with layers: an overlay mount for each top-level directory in them
/// (over the host's, read-only below, where the host shows one), a bind for each file; invalid_input where that can't be.
Result<void> put_root(Job& job, const Root& root);

/// The PATH of programs on a root that says none.
inline constexpr std::string_view kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment of the image's config; of a name that it has twice the first, as getenv(3) would find it. Empty for host and dir: as
/// such; layers of packages put themselves first in its PATH.
[[nodiscard]] std::map<std::string, std::string> image_environment(const Root& root);

/// Takes over what the image says, as docker does: the image's env below the job's own; the working directory if the job has none ("");
/// entrypoint before argv, cmd where argv is empty; the user, by name through the image's /etc/passwd and /etc/group. invalid_input: a user
/// that the image doesn't know; no command at all.
Result<void> take_config(Job& job, const Root& root, const ConfigUse& use);

/// A user as docker spells one ("name", "1000", "name:group", "1000:1000") in this root; host: numbers only.
Result<User> resolve_user(const Root& root, std::string_view text);

/// A regular file of the root's merged layers (not host), at most `limit` bytes: "etc/passwd". nullopt: none, or it is reached by a
/// symlink.
Result<std::optional<std::string>> read_root_file(const Root& root, std::string_view path, std::size_t limit);

}  // namespace casemate
