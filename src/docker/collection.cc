#include "docker/collection.h"

#include <algorithm>

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <nlohmann/json.hpp>

#include "base/terminal.h"
#include "base/untrusted_json.h"
#include "engine/collect.h"
#include "sys/thread.h"

namespace casemate {
namespace {

constexpr std::uint64_t kLongestList = 64u << 20;
constexpr std::size_t kMostFetches = 20'000;

std::string archive_path(const std::string& container, const std::string& path) {
  return fmt::format("/containers/{}/archive?{}", container, docker_query({{"path", "/" + path}}));
}

}  // namespace

struct Collection::Place {
  CollectedPlace what;
  StagedTree upper;
  std::optional<StagedTree> image;  // what the image had, where that is `lower`
  std::string image_path;
  ChangeFetches plan;

  // A path of the container as the staged tree has it.
  [[nodiscard]] std::string inside(const std::string& path) const {
    return what.path.empty() ? path : path == what.path ? "" : path.substr(what.path.size() + 1);
  }
};

Collection::Collection(DockerApi& api, Reactor& reactor, Request request, Done done)
    : api_(api), reactor_(reactor), request_(std::move(request)), done_(std::move(done)) {}

Collection::~Collection() {
  if (start_) reactor_.cancel(*start_);
  if (call_) api_.forget(*call_);
  if (collected_) reactor_.unwatch(collected_.get());
  if (collector_.joinable()) {
    collector_.request_stop();
    collector_.join();
  }
  // Last: it turns the loop, in which nothing of ours may be left.
  if (!twin_.empty()) remove_container(api_, reactor_, twin_, std::chrono::seconds(5));
}

Result<std::unique_ptr<Collection>> Collection::begin(DockerApi& api, Reactor& reactor, Request request, Done done) {
  std::unique_ptr<Collection> made(new Collection(api, reactor, std::move(request), std::move(done)));
  TRY_ASSIGN(made->store_, Store::open());
  TRY_ASSIGN(made->temp_, made->store_->make_temp());
  const auto directory = [&](const std::string& name) -> Result<UniqueFd> {
    const std::string path = made->temp_->path() + "/" + name;
    if (::mkdir(path.c_str(), 0700) < 0) return fail_errno("make a temporary directory");
    return open_file(path, O_RDONLY | O_DIRECTORY);
  };
  for (const CollectedPlace& what : made->request_.places) {
    const std::string number = std::to_string(made->places_.size());
    TRY_ASSIGN(UniqueFd upper, directory("upper" + number));
    auto place = std::make_unique<Place>(Place{what, StagedTree(std::move(upper), CollectOptions{}), {}, "", {}});
    if (what.path.empty() && !what.bare) {
      TRY_ASSIGN(UniqueFd lower, directory("lower" + number));
      place->image.emplace(std::move(lower), CollectOptions{});
      place->image_path = made->temp_->path() + "/lower" + number;
    }
    made->places_.push_back(std::move(place));
  }
  // Not from here: `done` comes later.
  made->start_ = reactor.schedule(Reactor::Clock::now(), [collection = made.get()] {
    collection->start_.reset();
    collection->list();
  });
  return made;
}

void Collection::stop() {
  stopped_ = true;
  collector_.request_stop();
  tasks_.clear();
}

void Collection::problem(const std::string& line) {
  if (result_.collect_error.empty()) result_.collect_error = line;
}

void Collection::call(DockerRequest request, std::function<void(Result<DockerReply>)> then) {
  call_ = api_.call(std::move(request), [this, then = std::move(then)](Result<DockerReply> reply) {
    call_.reset();
    then(std::move(reply));
  });
}

void Collection::list() {
  if (request_.changes) return plan(*request_.changes);
  const bool wanted = std::any_of(places_.begin(), places_.end(), [](const auto& place) { return !place->what.whole; });
  if (!wanted) return plan({});
  call({.path = fmt::format("/containers/{}/changes", request_.container), .most_bytes = kLongestList}, [this](Result<DockerReply> reply) {
    if (!reply) {
      problem(reply.error().what);
    } else if (reply->status != 200) {
      problem(docker_failure(*reply, "list what the job changed").what);
    } else if (auto changes = parse_changes(reply->body); !changes) {
      problem(changes.error().what);
    } else {
      return plan(*changes);
    }
    result_.changes_truncated = true;
    finish();
  });
}

void Collection::plan(const LayerChanges& changes) {
  if (stopped_) return finish();
  changes_ = changes;
  bool twin = false;
  for (const auto& place : places_) {
    if (place->what.whole) {
      tasks_.push_back({place.get(), {ChangeFetch::How::get, place->what.path}});
      continue;
    }
    place->plan = plan_fetches(changes, place->what.path);
    for (const std::string& path : place->plan.directories) {
      if (place->image) place->image->put_directory(path);
    }
    for (const std::string& path : place->plan.deleted) place->upper.put_whiteout(place->inside(path));
    for (ChangeFetch& fetch : place->plan.fetches) {
      if (place->what.bare && fetch.how == ChangeFetch::How::outline) continue;
      if (tasks_.size() >= kMostFetches) {
        result_.changes_truncated = true;
        problem(fmt::format("more than {} places changed: what came after is left out", kMostFetches));
        break;
      }
      const bool of_image = fetch.how == ChangeFetch::How::outline;
      twin |= of_image || fetch.how == ChangeFetch::How::both;
      if (fetch.how == ChangeFetch::How::both) tasks_.push_back({place.get(), {ChangeFetch::How::look, fetch.path}, true});
      tasks_.push_back({place.get(), std::move(fetch), of_image});
    }
  }
  if (twin) return make_twin();
  next();
}

void Collection::make_twin() {
  nlohmann::ordered_json body = {{"Image", request_.image},
                                 {"Cmd", {"true"}},
                                 {"Labels", {{std::string(kDockerLabel), request_.label_value}}},
                                 {"HostConfig", {{"NetworkMode", "none"}}}};
  call(
      {.method = "POST", .path = "/containers/create", .body = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)},
      [this](Result<DockerReply> reply) {
        if (reply && reply->status == 201) {
          if (const auto json = untrusted_object(reply->body)) twin_ = text_at(*json, "Id", 64);
        }
        if (twin_.empty()) problem(reply ? docker_failure(*reply, "look at the image").what : reply.error().what);
        next();
      });
}

void Collection::next() {
  if (stopped_ || tasks_.empty()) return finish();
  const Task task = std::move(tasks_.front());
  tasks_.pop_front();
  if (task.of_image && twin_.empty()) return next();
  if (task.fetch.how == ChangeFetch::How::get) return get(task);
  look(task);
}

// What a path is; then, if it is no directory, the rest of it.
void Collection::look(const Task& task) {
  const std::string& container = task.of_image ? twin_ : request_.container;
  call({.method = "HEAD", .path = archive_path(container, task.fetch.path)}, [this, task](Result<DockerReply> reply) {
    if (!reply) {
      problem(reply.error().what);
      return finish();
    }
    auto entry = reply->status == 200 ? parse_path_stat(reply->path_stat) : Result<TarEntry>(fail(ErrorCode::not_found, ""));
    if (!entry) return next();
    if (task.of_image && (task.fetch.how == ChangeFetch::How::outline || entry->type == TarEntry::Type::directory)) {
      task.place->image->put_outline(task.place->inside(task.fetch.path), *entry);
      return next();
    }
    if (entry->type == TarEntry::Type::directory) return next();
    get(task);
  });
}

void Collection::get(const Task& task) {
  StagedTree& tree = task.of_image ? *task.place->image : task.place->upper;
  reader_.emplace(tree.reader(task.place->inside(task.fetch.path)));
  DockerRequest request{.path = archive_path(task.of_image ? twin_ : request_.container, task.fetch.path)};
  request.stream = [this](std::string_view bytes) -> Result<void> { return reader_->feed(bytes); };
  call(std::move(request), [this, task](const Result<DockerReply>& reply) { got(task, reply); });
}

void Collection::got(const Task& task, const Result<DockerReply>& reply) {
  StagedTree& tree = task.of_image ? *task.place->image : task.place->upper;
  if (reply && reply->status == 200) {
    if (const auto whole = reader_->finish(); !whole) problem(whole.error().what);
  } else if (reply) {
    problem(docker_failure(*reply, fmt::format("read {} of the container", printable_name("/" + task.fetch.path))).what);
  } else if (tree.full()) {
    result_.changes_truncated = true;
  } else if (!tree.oversized().empty()) {
    // The rest of that directory in smaller parts.
    const std::string prefix = task.fetch.path + "/";
    for (auto each = changes_.lower_bound(prefix); each != changes_.end() && each->first.starts_with(prefix); ++each) {
      const bool direct = each->first.find('/', prefix.size()) == std::string::npos;
      if (direct && task.place->inside(each->first) != tree.oversized())
        tasks_.push_back({task.place, {ChangeFetch::How::get, each->first}});
    }
    if (task.place->what.whole) problem(reply.error().what + " is too large, and what comes after it is left out");
  } else {
    problem(reply.error().what);
    if (reply.error().where == "docker daemon") return finish();
  }
  next();
}

// All that could be had is here. What is left goes on beside the loop, for large trees take seconds.
void Collection::finish() {
  tasks_.clear();
  if (!twin_.empty()) {
    ++waiting_;
    call(container_removal(twin_), [this](const Result<DockerReply>&) {
      twin_.clear();
      conclude();
    });
  }
  collected_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const auto read = [this] {
    reactor_.unwatch(collected_.get());
    conclude();
  };
  if (collected_ && reactor_.watch(collected_.get(), read)) {
    auto collector = start_thread([this](const std::stop_token& stop) {
      try {
        collect_all(stop);
      } catch (const std::exception& problem) {  // no memory
        result_.collect_error = problem.what();
      }
      ::eventfd_write(collected_.get(), 1);
    });
    if (collector) {
      collector_ = std::move(*collector);
      if (stopped_) collector_.request_stop();
      return;
    }
    reactor_.unwatch(collected_.get());
  }
  collect_all({});
  start_ = reactor_.schedule(Reactor::Clock::now(), [this] {
    start_.reset();
    conclude();
  });
}

// Once the changes are collected and the twin is gone.
void Collection::conclude() {
  if (--waiting_ > 0) return;
  if (collector_.joinable()) collector_.join();
  const Done done = std::move(done_);  // it may destroy us
  done(std::move(result_));
}

void Collection::collect_all(const std::stop_token& stop) {
  for (const auto& place : places_) {
    for (const std::string& path : place->plan.added) {
      if (result_.collect_error.empty() && !place->upper.has(place->inside(path)) && path != place->what.path)
        place->upper.put_socket(place->inside(path));
    }
    // After a failure what is missing is not gone.
    if (!place->image && !place->what.bare && result_.collect_error.empty()) add_missing(place->upper, place->what.lower, "");
    place->upper.finish();
    if (place->image) place->image->finish();
    CollectOptions options;
    options.destination = request_.destination;
    options.destination_fd = place->what.destination_fd;
    options.lower = place->image ? std::vector<std::string>{place->image_path} : place->what.lower;
    options.stop = stop;
    auto collected = collect(place->upper.fd(), options);
    if (!collected) {
      problem(collected.error().what);
      continue;
    }
    result_.changes_truncated |= collected->truncated;
    if (!collected->problem.empty()) problem(collected->problem);
    if (!place->upper.problem().empty()) problem(place->upper.problem());
    for (Change& change : collected->changes) change.path.insert(0, place->what.prefix);
    std::move(collected->changes.begin(), collected->changes.end(), std::back_inserter(result_.changes));
  }
}

}  // namespace casemate
