// collection: what a job changed, out of its container after it has ended, by the rules of engine/collect.h: archives of what changed are
// put into a directory as an overlay's upper layer would have them, what the image had there into another as its lower one, and collect()
// does the rest.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "casemate/outcome.h"
#include "docker/api.h"
#include "docker/archive.h"
#include "docker/changes.h"
#include "engine/reactor.h"
#include "store/store.h"

namespace casemate {

/// A place below which changes are wanted.
struct CollectedPlace {
  std::string path;                ///< without the leading "/"; "": the root
  std::vector<std::string> lower;  ///< what was there before the job: host directories, topmost first; not for the root
  bool whole = false;              ///< a volume: the daemon has no list of changes for it
  bool bare = false;               ///< the root, with nothing to compare it with: all that is fetched is created
  int destination_fd = -1;         ///< as CollectOptions; borrowed
  std::string prefix;              ///< before each path in the result: "app/"
};

/// One collection, in the reactor's thread but for the last part. `done` is called once, later.
class Collection {
 public:
  struct Request {
    std::string container;  ///< id; what runs in it should be at rest
    std::string image;      ///< id
    std::string label_value;
    std::vector<CollectedPlace> places;
    std::string destination;              ///< Job::collect_to, for messages
    std::optional<LayerChanges> changes;  ///< what to take, instead of all that the daemon lists
  };
  using Done = std::function<void(JobResult)>;  ///< changes, changes_truncated, collect_error

  static Result<std::unique_ptr<Collection>> begin(DockerApi& api, Reactor& reactor, Request request, Done done);
  ~Collection();
  Collection(const Collection&) = delete;
  Collection& operator=(const Collection&) = delete;
  /// What has not come yet does not come; done() says so, soon.
  void stop();

 private:
  struct Place;
  struct Task {
    Place* place;
    ChangeFetch fetch;
    bool of_image = false;  // from the twin
  };
  Collection(DockerApi& api, Reactor& reactor, Request request, Done done);
  void call(DockerRequest request, std::function<void(Result<DockerReply>)> then);
  void list();
  void plan(const LayerChanges& changes);
  void make_twin();
  void next();
  void look(const Task& task);
  void get(const Task& task);
  void got(const Task& task, const Result<DockerReply>& reply);
  void problem(const std::string& line);
  void finish();
  void conclude();
  void collect_all(const std::stop_token& stop);

  DockerApi& api_;
  Reactor& reactor_;
  Request request_;
  Done done_;
  std::optional<Store> store_;
  std::unique_ptr<StoreTemp> temp_;
  std::vector<std::unique_ptr<Place>> places_;
  LayerChanges changes_;
  std::deque<Task> tasks_;
  std::string twin_;  // a container of the same image that never runs
  std::optional<DockerCallId> call_;
  std::optional<Reactor::TimerId> start_;
  std::optional<TarReader> reader_;
  bool stopped_ = false;
  int waiting_ = 1;  // for, in conclude()
  JobResult result_;
  UniqueFd collected_;
  std::jthread collector_;  // last: it uses all of the above
};

}  // namespace casemate
