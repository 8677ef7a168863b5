#include "image/layer_cache.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <unordered_set>

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/digest.h"
#include "image/unpack.h"
#include "sys/path.h"
#include "sys/privilege.h"
#include "sys/thread.h"

namespace casemate {
namespace {

constexpr std::size_t kThreads = 2;

// "layer 3 of 6 (sha256:0123456789ab)".
std::string layer_name(const std::vector<StoredLayer>& layers, std::size_t i) {
  return fmt::format("layer {} of {} ({})", i + 1, layers.size(), layers[i].digest.substr(0, 19));
}

// On the root of a layer's tree: nothing of the layers below is to be seen. A layer may have it among its own xattrs; it could as well have
// said so by its whiteout.
constexpr const char* kOpaqueRoot = "user.casemate.opaque";

Result<void> mark_opaque(int tree) {
  struct stat info{};
  if (::fstat(tree, &info) < 0) return fail_errno("look at a layer");
  const mode_t mode = info.st_mode & 07777;
  if (::fchmod(tree, mode | S_IWUSR) < 0 || ::fsetxattr(tree, kOpaqueRoot, "y", 1, 0) < 0 || ::fchmod(tree, mode) < 0)
    return fail_errno("mark a layer's root as opaque");
  return {};
}

// Takes the layers that are missing, one after the other, in as many threads as call run().
class Unpackers {
 public:
  Unpackers(Store& store, const std::vector<StoredLayer>& layers, LayerLeases& held, const OpenBlob& open, std::vector<std::string>& notes,
            const TellLayers& tell, const std::function<void()>& waiting)
      : store_(store),
        layers_(layers),
        held_(held),
        open_(open),
        notes_(notes),
        tell_(tell),
        waiting_(waiting),
        keep_owners_(keeps_owners()) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (!held.leases[i]) missing_.push_back(i);
    }
  }

  [[nodiscard]] std::size_t missing() const { return missing_.size(); }

  void run() {
    for (std::size_t next = next_++; next < missing_.size() && !failed_; next = next_++) {
      auto done = unpack(missing_[next]);
      const std::lock_guard guard(mutex_);
      if (!done) {
        if (!failed_) failure_ = std::move(done).error();
        failed_ = true;
      } else if (tell_) {
        tell_(layers_.size() - missing_.size() + ++done_);
      }
    }
  }

  Result<void> result() {
    if (failed_) return std::unexpected(*failure_);
    return {};
  }

 private:
  Result<void> unpack(std::size_t i) {
    const StoredLayer& layer = layers_[i];
    std::vector<std::string> notes;
    const auto fill = [&](const std::string& directory) -> Result<void> {
      TRY_ASSIGN(const UniqueFd archive, open_(layer));
      TRY_ASSIGN(const UniqueFd target, open_file(directory, O_RDONLY | O_DIRECTORY));
      UnpackOptions options;
      options.keep_owners = keep_owners_;
      options.expected_digest = layer.digest;
      options.expected_diff_id = layer.diff_id;
      TRY_ASSIGN(Unpacked unpacked, unpack_layer(archive.get(), target.get(), options));
      if (unpacked.hides_all_below) TRY(mark_opaque(target.get()));
      notes = std::move(unpacked.notes);
      return {};
    };
    const auto waiting = [&] {
      const std::lock_guard guard(mutex_);
      if (waiting_) waiting_();
    };
    auto lease = store_.make_layer(layer.key, std::string(kImageLayer) + layer.diff_id, fill, nullptr, waiting);
    if (!lease) {
      return fail(lease.error().code, fmt::format("{}: {}", layer_name(layers_, i), lease.error().what), lease.error().errno_value,
                  lease.error().where);
    }
    const std::lock_guard guard(mutex_);
    held_.leases[i] = std::move(*lease);
    for (const std::string& note : notes) notes_.push_back(fmt::format("{}: {}", layer_name(layers_, i), note));
    return {};
  }

  Store& store_;
  const std::vector<StoredLayer>& layers_;
  LayerLeases& held_;
  const OpenBlob& open_;
  std::vector<std::string>& notes_;
  const TellLayers& tell_;
  const std::function<void()>& waiting_;
  const bool keep_owners_;
  std::vector<std::size_t> missing_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;  // of all below, held_ and notes_
  std::size_t done_ = 0;
  std::optional<Error> failure_;
};

}  // namespace

bool keeps_owners() { return ::geteuid() == 0 && has_capability(effective_capabilities(), CAP_CHOWN) && may_shift_ids(); }

std::string image_layer_key(std::string_view diff_id, bool keep_owners) {
  return sha256_hex(fmt::format("image layer 1\n{}\nowners {}\n", diff_id, keep_owners ? "kept" : "flattened"));
}

bool LayerLeases::complete() const {
  return std::all_of(leases.begin(), leases.end(), [](const StoreLease& lease) { return static_cast<bool>(lease); });
}

Result<LayerLeases> lease_layers(Store& store, const std::vector<StoredLayer>& layers) {
  LayerLeases held;
  for (const StoredLayer& layer : layers) {
    TRY_ASSIGN(std::optional<StoreLease> lease, store.layer(layer.key));
    held.leases.push_back(lease ? std::move(*lease) : StoreLease());
  }
  return held;
}

Result<void> unpack_layers(Store& store, const std::vector<StoredLayer>& layers, LayerLeases& held, const OpenBlob& open,
                           std::vector<std::string>& notes, const TellLayers& tell, const std::function<void()>& waiting) {
  Unpackers unpackers(store, layers, held, open, notes, tell, waiting);
  if (tell) tell(layers.size() - unpackers.missing());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < std::min(kThreads, unpackers.missing()); ++i) {
      auto started = start_thread([&](const std::stop_token&) { unpackers.run(); });
      if (started) threads.push_back(std::move(*started));  // without it this thread does all
    }
    unpackers.run();
  }
  return unpackers.result();
}

Result<std::vector<StoreLease>> visible_layers(const std::vector<StoredLayer>& layers, LayerLeases held) {
  std::vector<StoreLease> visible;
  std::unordered_set<std::string_view> seen;
  for (std::size_t i = layers.size(); i-- > 0;) {
    // A layer that comes again further up hides all of itself here, and overlayfs refuses one directory twice.
    if (!seen.insert(layers[i].key).second) continue;
    visible.push_back(std::move(held.leases[i]));
    TRY_ASSIGN(const UniqueFd tree, open_file(visible.back().path(), O_RDONLY | O_DIRECTORY));
    if (extended_attribute(tree.get(), kOpaqueRoot) == "y") break;
  }
  std::reverse(visible.begin(), visible.end());
  return visible;
}

}  // namespace casemate
