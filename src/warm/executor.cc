#include "warm/executor.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <unordered_map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/terminal.h"
#include "cell/block.h"
#include "cell/cell.h"
#include "engine/cell_run.h"
#include "engine/reactor.h"
#include "warm/fork_cells.h"
#include "warm/fresh_interpreters.h"
#include "warm/kin.h"
#include "warm/parent.h"
#include "warm/payload.h"

namespace casemate {
namespace {

using Kind = Outcome::Kind;
using warm::Collecting;
using warm::Parent;
using warm::Test;

constexpr int kMessagesAtATime = 64;
constexpr auto kDyingTime = std::chrono::seconds(2);
constexpr int kCollectorsPipe = 1 << 20;                    // bytes
constexpr auto kCollectingTime = std::chrono::minutes(10);  // of one file
constexpr auto kReadingTime = std::chrono::seconds(60);
constexpr auto kSoon = std::chrono::milliseconds(5);
constexpr const char* kGuardedVariable = "CASEMATE_GUARDED";

Outcome parent_died(std::string detail) { return {Kind::lost, 0, "warm parent", std::move(detail)}; }

class Tree final : public WarmExecutor, private JobListener {
 public:
  Tree(Reactor& reactor, WarmRequest request, std::unique_ptr<CgroupFactory> cgroups)
      : reactor_(reactor),
        request_(std::move(request)),
        cgroups_(std::move(cgroups)),
        ground_(lay_ground(*cgroups_)),
        fresh_(reactor, ground_, python_, native_),
        cells_(ground_, request_.cells_ahead) {}

  ~Tree() override {
    ending_ = true;
    for (const auto& [file, parent] : parents_) {
      reactor_.unwatch(parent->control.fd());
      cancel_timer(parent->patience);
    }
    cancel_timer(base_patience_);
    if (base_control_) reactor_.unwatch(base_control_.fd());
    if (collecting_ && collecting_->stream) reactor_.unwatch(collecting_->stream.get());
    tests_.clear();
    fresh_.clear();
    base_.reset();
  }

  Result<void> begin() {
    Job parent = request_.parent;
    parent.capabilities = {"SYS_ADMIN", "SYS_CHROOT"};  // to enter cells: in the block's user namespace, and each fork drops them
    parent.argv = {request_.parent.argv[0], "-c", kWarmBoot};
    parent.argv.insert(parent.argv.end(), request_.parent.argv.begin() + 1, request_.parent.argv.end());
    parent.limits.wall.reset();
    if (request_.guarded) parent.env[kGuardedVariable] = request_.fork.env[kGuardedVariable] = "1";
    request_.fork.argv = {"fork"};
    resolve_sources(parent, ground_.host);
    resolve_sources(request_.fork, ground_.host);
    TRY_ASSIGN(plan_, compile_block(parent, request_.fork, ground_.host));
    request_.parent = std::move(parent);
    TRY_ASSIGN(python_, sealed_memory("casemate-warm", request_.text.empty() ? warm_python() : request_.text));
    TRY_ASSIGN(native_, sealed_memory("casemate-native", warm_native(), true));
    return {};
  }

  Result<void> start(Job job, JobListener& listener, std::function<void(JobResult)> done) override {
    if (job.argv.size() >= 4 && job.argv[0] == "cold") return start_cold(std::move(job), listener, std::move(done));
    if (job.argv.size() == 2 && job.argv[0] == "coverage") return start_coverage(std::move(job), listener, std::move(done));
    TRY(ensure_base());
    if (job.argv.size() == 1 && job.argv[0] == "collect") return collect(listener, std::move(done));
    if (job.argv.size() < 4 || job.argv[0] != "test")
      return fail(ErrorCode::internal, "a warm parent was given a job that is neither 'collect' nor 'test' nor 'cold'");
    return start_test(std::move(job), listener, std::move(done));
  }

  void signal_all(int /*number*/) override { cancel_all(); }  // a test that is stopped has nothing to put in order

  void cancel_all() override {
    for (const auto& [id, test] : tests_) test->run->cancel();
    fresh_.cancel_all();
    if (collecting_) end_collecting({Kind::cancelled});
  }

  void cancel(const JobListener& listener) override {
    for (const auto& [id, test] : tests_) {
      if (test->run->is_heard_by(listener)) test->run->cancel();
    }
    fresh_.cancel(listener);
    if (collecting_ && collecting_->listener == &listener) end_collecting({Kind::cancelled});
  }

  void expect(const Job& next) override {
    if (next.argv.size() < 4 || next.argv[0] != "test") return;
    if (base_ready_) cells_.fill(*block_);
    prepare(next.argv[1], next.argv[2]);
  }

  void prepare(const std::string& file, const std::string& hash) override {
    if (!base_ready_) return;
    (void)parent_for(file, hash);
  }

  [[nodiscard]] const std::string& python() const override { return said_.python; }
  [[nodiscard]] const std::string& pytest() const override { return said_.pytest; }
  [[nodiscard]] const std::vector<std::string>& notes() const override { return said_.notes; }

 private:
  // ---- The base

  Result<void> ensure_base() {
    if (base_) return {};
    TRY_ASSIGN(block_, CellBlock::create(ground_, plan_));
    TRY_ASSIGN(std::unique_ptr<Cell> cell, Cell::create_in(*block_, BlockPlan::parent, ground_));
    TRY_ASSIGN(auto control, ParentControl::create());
    base_control_ = std::move(control.first);
    TRY_ASSIGN(base_, CellRun::create(reactor_, ground_, request_.parent, cell->plan(), *this,
                                      [this](CellRun&, JobResult result) { base_ended(std::move(result)); }));
    base_ready_ = false;
    gave_up_.reset();
    TRY(reactor_.watch(base_control_.fd(), [this] { hear_base(); }));
    auto begun = base_->begin(std::move(cell), {control.second.get(), python_.get(), native_.get()});
    if (!begun) {
      reactor_.unwatch(base_control_.fd());
      base_.reset();
    }
    return begun;
  }

  // What is left the reactor calls again for: a parent may talk faster than we listen.
  void hear_base() {
    bool gone = false;
    bool collector_ended = false;
    for (int i = 0; i < kMessagesAtATime; ++i) {
      const auto said = base_control_.receive(gone);
      if (!said) break;
      if (const auto* ready = std::get_if<BaseReady>(&*said); ready && !base_ready_) {
        said_ = *ready;
        base_ready_ = true;
        send_collect();
        for (const auto& [id, test] : tests_) find_parent(*test);
      } else if (const auto* up = std::get_if<GaveUp>(&*said)) {
        gave_up_ = *up;
      } else if (const auto* end = std::get_if<ForkEnded>(&*said)) {
        collector_ended |= end->job == collections_;
      }
    }
    if (collector_ended && collecting_) hear_rest_of_collector();
    if (!gone) return;
    reactor_.unwatch(base_control_.fd());
    // It ends when its socket has, and how is more worth to be told. One that does not can make no parents any more.
    cancel_timer(base_patience_);
    base_patience_ = reactor_.schedule(Reactor::Clock::now() + kDyingTime, [this] {
      base_patience_.reset();
      if (base_) base_->give_up(parent_died("it has closed its socket to casemate, or said what makes no sense"));
    });
  }

  void cancel_timer(std::optional<Reactor::TimerId>& timer) {
    if (timer) reactor_.cancel(*timer);
    timer.reset();
  }

  void base_ended(JobResult result) {
    const std::unique_ptr<CellRun> ended = std::move(base_);
    hear_base();
    cancel_timer(base_patience_);
    reactor_.unwatch(base_control_.fd());
    base_control_ = ParentControl();
    base_ready_ = false;
    if (ending_) return;
    cells_.clear();
    while (!parents_.empty())
      drop_parent(*parents_.begin()->second, "the interpreter that collects and forks died: " + words(result.outcome));
    for (const auto& [id, test] : tests_) test->run->give_up(parent_died(gave_up_ ? gave_up_->what : words(result.outcome)));
    if (collecting_) end_collecting(result.outcome, std::move(result.output));
    block_.reset();  // and with it every cell
  }

  // ---- Collecting

  Result<void> collect(JobListener& listener, std::function<void(JobResult)> done) {
    if (collecting_) return fail(ErrorCode::internal, "two collections at a time");
    TRY_ASSIGN(Pipe pipe, make_pipe());
    ::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK);
    ::fcntl(pipe.read.get(), F_SETPIPE_SZ, kCollectorsPipe);
    TRY_ASSIGN(auto control, ParentControl::create());
    collecting_ = Collecting{
        &listener, std::move(done), std::move(pipe.read), std::move(pipe.write), std::move(control.first), std::move(control.second)};
    TRY(reactor_.watch(collecting_->stream.get(), [this] { hear_collector(); }));
    send_collect();
    return {};
  }

  void send_collect() {
    if (!base_ready_ || !collecting_ || !collecting_->collectors) return;
    const nlohmann::json words = {{"job", ++collections_}};
    if (base_control_.send("C" + words.dump(), {collecting_->collectors.get(), collecting_->collectors_end.get()}) !=
        ParentControl::Sent::yes)
      base_->give_up(parent_died("it does not listen"));
    collecting_->collectors.reset();
    collecting_->collectors_end.reset();
  }

  void hear_collector() {
    static thread_local char buffer[256 << 10];
    const ssize_t got = ::read(collecting_->stream.get(), buffer, sizeof buffer);
    if (got > 0) return collecting_->listener->report({buffer, static_cast<std::size_t>(got)});
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (collecting_->collectors) return;  // not sent yet
    hear_base();                          // its last word comes before the end of what it held
    if (!collecting_) return;
    hear_whether_it_stays();
    end_collecting({Kind::exited, 0});
  }

  // A process that a module has started may hold its stream for as long as it likes: all that the collector has written is there.
  void hear_rest_of_collector() {
    static thread_local char buffer[kCollectorsPipe];
    std::size_t heard = 0;
    while (collecting_ && heard < kCollectorsPipe) {
      const ssize_t got = ::read(collecting_->stream.get(), buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      heard += static_cast<std::size_t>(got);
      collecting_->listener->report({buffer, static_cast<std::size_t>(got)});
    }
    if (collecting_) end_collecting({Kind::exited, 0});
  }

  // The collector of a single file has what its tests need: it is their parent from now on.
  void hear_whether_it_stays() {
    bool gone = false;
    const auto said = collecting_->control.receive(gone);
    const auto* stays = said ? std::get_if<CollectorStays>(&*said) : nullptr;
    if (!stays || stays->file == kWhole || is_part(stays->file) || parents_.contains(stays->file)) return;
    (void)add_parent(stays->file, std::move(collecting_->control));
  }

  void end_collecting(Outcome outcome, Output output = {}) {
    Collecting ended = std::move(*collecting_);
    collecting_.reset();
    reactor_.unwatch(ended.stream.get());
    JobResult result{.outcome = std::move(outcome), .output = std::move(output)};
    if (gave_up_) {
      result.outcome = {Kind::exited, gave_up_->status};
      result.output.err = gave_up_->text.empty() ? gave_up_->what + "\n" : gave_up_->text;
    }
    ended.done(std::move(result));
  }

  // ---- Tests

  Result<void> start_test(Job job, JobListener& listener, std::function<void(JobResult)> done) {
    auto test = std::make_unique<Test>();
    test->id = ++last_id_;
    test->file = job.argv[1];
    test->hash = job.argv[2];
    for (std::size_t i = 3; i < job.argv.size(); ++i) test->ids += job.argv[i] + '\0';
    if (test->ids.size() > kMostIds) return fail(ErrorCode::invalid_input, "the names of tests of one cell are longer than 128 KiB");
    std::vector<Mount> alone = resolved(std::exchange(job.mounts, {}));
    Job own = own_job(std::move(job));
    own.argv = {test->file};
    own.mounts.insert(own.mounts.end(), alone.begin(), alone.end());  // disks are watched
    auto taken = cells_.take(*block_);
    if (!taken && block_died(taken.error())) {
      // We hear of it here before the reactor tells: all queued tests would come by, one after the other, and be lost.
      base_ended({.outcome = parent_died("the first process of its cells died")});
      TRY(ensure_base());
      taken = cells_.take(*block_);
    }
    TRY_ASSIGN(std::unique_ptr<Cell> cell, std::move(taken));
    const auto ended = [this, id = test->id, done = std::move(done)](CellRun&, JobResult result) {
      const std::unique_ptr<Test> owner = std::move(tests_.extract(id).mapped());
      if (owner->parent) owner->parent->tests.erase(owner.get());
      done(std::move(result));
    };
    TRY_ASSIGN(test->run, CellRun::create(reactor_, ground_, std::move(own), cell->plan(), listener, ended));
    Test* raw = test.get();
    test->run->at_the_end([this](std::unique_ptr<Cell> cell, const CellReport& report, const CgroupUsage& used) {
      cells_.keep(std::move(cell), report, used);
    });
    if (!alone.empty())
      test->run->attach_first([this, alone = std::move(alone)](Cell& own_cell) { return own_cell.attach(*block_, ground_, alone); });
    TRY(test->run->await(std::move(cell), [this, raw](CellRun&) {
      raw->cell_ready = true;
      fork_into(*raw);
    }));
    tests_[raw->id] = std::move(test);
    find_parent(*raw);
    return {};
  }

  // Real paths, as a plan's.
  std::vector<Mount> resolved(std::vector<Mount> mounts) {
    Job job;
    job.mounts = std::move(mounts);
    resolve_sources(job, ground_.host);
    return std::move(job.mounts);
  }

  // What of a job counts, on what the request says of all.
  Job own_job(Job job) const {
    Job own = request_.fork;
    own.name = std::move(job.name);
    own.capture_bytes = job.capture_bytes;
    own.limits.wall = job.limits.wall;
    own.limits.output_bytes = job.limits.output_bytes;
    return own;
  }

  // As own_job(), for a cell and an interpreter of its own.
  Job fresh_job(Job job) {
    const std::vector<Mount> alone = resolved(std::exchange(job.mounts, {}));
    Job own = own_job(std::move(job));
    own.mounts.insert(own.mounts.end(), alone.begin(), alone.end());
    own.argv = request_.parent.argv;
    return own;
  }

  Result<void> start_cold(Job job, JobListener& listener, std::function<void(JobResult)> done) {
    const std::vector<std::string> words = std::move(job.argv);
    return fresh_.start_cold(fresh_job(std::move(job)), words[1], {words.begin() + 3, words.end()}, listener, std::move(done));
  }

  Result<void> start_coverage(Job job, JobListener& listener, std::function<void(JobResult)> done) {
    const unsigned long failed = std::strtoul(job.argv[1].c_str(), nullptr, 10);
    const int data = job.stdin_fd;
    return fresh_.start_coverage(fresh_job(std::move(job)), failed, data, listener, std::move(done));
  }

  [[nodiscard]] bool block_died(const Error& error) const {
    return base_ && (error.errno_value == EPIPE || error.errno_value == ECONNRESET);
  }

  void find_parent(Test& test) {
    if (!base_ready_ || test.parent) return;
    Parent* parent = parent_for(test.file, test.hash);
    if (!parent) return test.run->give_up(parent_died("no parent could be made"));
    if (!parent->thread.empty()) return test.run->give_up({Kind::lost, 0, "threads", parent->thread});
    // Until a part's parent has let go of the rest, its file's can fork, which takes longer, but not as long.
    if (is_part(parent->file) && !parent->ready) {
      const auto main = parents_.find(file_of(parent->file));
      if (main != parents_.end() && main->second->ready) parent = main->second.get();
    }
    give_to(*parent, test);
  }

  void give_to(Parent& parent, Test& test) {
    test.parent = &parent;
    parent.tests.insert(&test);
    fork_into(test);
  }

  // Message T, once there is a cell and a parent.
  void fork_into(Test& test) {
    if (!test.cell_ready || !test.parent || !test.parent->ready || test.forked) return;
    TestHeader header{};
    header.letter = 'T';
    header.job = test.id;
    std::vector<int> fds;
    const auto attach = [&](std::uint32_t bit, int fd) {
      if (fd < 0) return;
      header.fds |= bit;
      fds.push_back(fd);
    };
    Cell& cell = test.run->cell();
    const Cell::ForkEntry& entry = cell.fork_entry();
    for (int i = 0; i < kNamespaces; ++i) attach(TestHeader::mount_namespace << i, entry.namespaces[i].get());
    attach(TestHeader::out, entry.out.get());
    attach(TestHeader::err, entry.err.get());
    attach(TestHeader::report, entry.report.get());
    std::uint32_t bit = TestHeader::cgroup_1;
    for (const int fd : cell.cgroup_entries()) {
      attach(bit, fd);
      bit <<= 1;
    }
    std::string message(reinterpret_cast<const char*>(&header), sizeof header);
    message += test.ids;
    const ParentControl::Sent sent = test.parent->control.send(message, fds);
    if (sent == ParentControl::Sent::later) return try_again(*test.parent);
    test.forked = true;
    test.parent->stalled.reset();
    test.parent->last_used = ++clock_;
    test.run->forked();
    if (sent == ParentControl::Sent::no) test.run->give_up(parent_died("it does not listen"));
  }

  // A parent that forks more slowly than tests become ready has a full socket for a moment; one that does not read at all is of no use.
  void try_again(Parent& parent) {
    const auto now = Reactor::Clock::now();
    if (!parent.stalled) parent.stalled = now;
    if (parent.patience) return;
    parent.patience = reactor_.schedule(now + kSoon, [this, &parent] {
      parent.patience.reset();
      if (parent.stalled && Reactor::Clock::now() - *parent.stalled > kReadingTime)
        return drop_parent(parent, fmt::format("{}: it does not listen", printable_name(parent.file)));
      const std::set<Test*> tests = parent.tests;
      for (Test* test : tests) fork_into(*test);
    });
  }

  // ---- Module parents

  Parent* parent_for(const std::string& file, const std::string& hash) {
    const std::string& key = whole_.contains(file_of(file)) ? kWhole : file;
    const auto found = parents_.find(key);
    if (found != parents_.end()) return found->second.get();
    drop_idle_parents();
    if (is_part(key)) return part_for(key, hash);
    auto control = ParentControl::create();
    if (!control) return nullptr;
    nlohmann::json words = {{"file", nullptr}, {"job", 0}};
    if (!key.empty()) words["file"] = key;
    const std::string message = "M" + words.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    if (base_control_.send(message, {control->second.get()}) != ParentControl::Sent::yes) return nullptr;
    Parent* parent = add_parent(key, std::move(control->first));
    if (parent && !key.empty()) parent->hash = hash;
    return parent;
  }

  Parent* add_parent(const std::string& key, ParentControl control) {
    auto parent = std::make_unique<Parent>();
    parent->file = key;
    parent->control = std::move(control);
    parent->last_used = ++clock_;
    Parent* raw = parent.get();
    if (!reactor_.watch(raw->control.fd(), [this, raw] { hear_parent(*raw); })) return nullptr;
    raw->patience = reactor_.schedule(Reactor::Clock::now() + kCollectingTime, [this, raw] {
      raw->patience.reset();
      drop_parent(*raw, fmt::format("{}: it was not collected within 10 minutes", printable_name(raw->file)));
    });
    parents_[key] = std::move(parent);
    return raw;
  }

  static bool is_part(const std::string& key) { return key.find('\0') != std::string::npos; }
  static std::string file_of(const std::string& key) { return key.substr(0, key.find('\0')); }

  // The parent of a part of a file's tests is a fork of the file's, which then runs no test itself.
  Parent* part_for(const std::string& key, const std::string& hash) {
    Parent* main = parent_for(file_of(key), hash);
    auto control = ParentControl::create();
    if (!main || !control) return nullptr;
    Parent* part = add_parent(key, std::move(control->first));
    if (!part) return nullptr;
    part->theirs = std::move(control->second);
    if (main->collected) send_part(*main, *part);
    return part;
  }

  void send_part(Parent& main, Parent& part) {
    const std::size_t number = std::strtoul(part.file.c_str() + part.file.find('\0') + 1, nullptr, 10);
    const nlohmann::json words = {{"first", number * kMostItems}, {"count", kMostItems}, {"job", 0}};
    const bool sent = main.control.send("M" + words.dump(), {part.theirs.get()}) == ParentControl::Sent::yes;
    part.theirs.reset();
    part.thread = main.thread;
    if (!sent)
      reactor_.schedule(Reactor::Clock::now(), [this, file = part.file] {
        if (const auto found = parents_.find(file); found != parents_.end())
          drop_parent(*found->second, "its file's parent does not listen");
      });
  }

  // Of a file's parent: the parents of its parts that still wait for it, or all.
  std::vector<Parent*> parts_of(const std::string& file, bool waiting) {
    std::vector<Parent*> parts;
    for (auto at = parents_.upper_bound(file); at != parents_.end() && at->first.starts_with(file + '\0'); ++at) {
      if (!waiting || at->second->theirs) parts.push_back(at->second.get());
    }
    return parts;
  }

  void drop_idle_parents() {
    while (parents_.size() >= request_.most_parents) {
      Parent* oldest = nullptr;
      for (const auto& [file, parent] : parents_) {
        if (parent->tests.empty() && parts_of(file, false).empty() && (!oldest || parent->last_used < oldest->last_used))
          oldest = parent.get();
      }
      if (!oldest) return;
      drop_parent(*oldest, "");
    }
  }

  void drop_parent(Parent& parent, const std::string& why) {
    reactor_.unwatch(parent.control.fd());
    cancel_timer(parent.patience);
    const auto owner = std::move(parents_.at(parent.file));
    parents_.erase(owner->file);
    for (Parent* part : parts_of(owner->file, true)) drop_parent(*part, why);
    for (Test* test : owner->tests) {
      test->parent = nullptr;
      test->run->give_up(parent_died(why));
    }
  }

  void hear_parent(Parent& parent) {
    bool gone = false;
    for (int i = 0; i < kMessagesAtATime; ++i) {
      const auto said = parent.control.receive(gone);
      if (!said) break;
      if (const auto* ready = std::get_if<ParentReady>(&*said)) {
        if (!parent.collected && !parent_ready(parent, *ready)) return;
      } else if (const auto* end = std::get_if<ForkEnded>(&*said)) {
        if (Test* test = fork_of(parent, end->job)) test->run->fork_ended(end->wait_status, end->end);
      } else if (const auto* failed = std::get_if<ForkFailed>(&*said)) {
        if (Test* test = fork_of(parent, failed->job)) test->run->give_up({Kind::setup_failed, failed->problem, failed->step});
      } else if (const auto* up = std::get_if<GaveUp>(&*said)) {
        return drop_parent(parent, fmt::format("{}: {}", printable_name(parent.file), printable_name(up->what)));
      }
    }
    if (gone) drop_parent(parent, fmt::format("{}: it has gone", printable_name(parent.file)));
  }

  // Its own, not another's that it names.
  Test* fork_of(const Parent& parent, std::uint64_t job) const {
    const auto found = tests_.find(job);
    const bool own = found != tests_.end() && found->second->parent == &parent && found->second->forked;
    return own ? found->second.get() : nullptr;
  }

  // False if it was dropped.
  bool parent_ready(Parent& parent, const ParentReady& ready) {
    parent.collected = true;
    cancel_timer(parent.patience);
    if (!parent.hash.empty() && parent.hash != ready.hash) {
      // Alone the file is collected otherwise: its tests need a parent that has collected everything.
      whole_.insert(parent.file);
      std::set<Test*> tests = std::exchange(parent.tests, {});
      for (Parent* part : parts_of(parent.file, true)) tests.merge(part->tests);
      drop_parent(parent, "");
      for (Test* test : tests) {
        test->parent = nullptr;
        find_parent(*test);
      }
      return false;
    }
    if (!ready.threads.empty()) {
      parent.thread = printable_name(ready.threads.front());
      if (parent.thread.empty()) parent.thread = "a thread without a name";
      std::set<Test*> tests = parent.tests;
      for (Parent* part : parts_of(parent.file, true)) {
        part->thread = parent.thread;
        tests.insert(part->tests.begin(), part->tests.end());
      }
      for (Test* test : tests) test->run->give_up({Kind::lost, 0, "threads", parent.thread});
      return true;
    }
    parent.ready = true;
    for (Parent* part : parts_of(parent.file, true)) {
      send_part(parent, *part);
      for (Test* test : std::exchange(part->tests, {})) give_to(parent, *test);
    }
    const std::set<Test*> tests = parent.tests;
    for (Test* test : tests) fork_into(*test);
    return true;
  }

  inline static const std::string kWhole;

  Reactor& reactor_;
  WarmRequest request_;
  std::unique_ptr<CgroupFactory> cgroups_;
  CellGround ground_;
  BlockPlan plan_;
  UniqueFd python_, native_;  // what an interpreter is told to run; all of them share it
  FreshInterpreters fresh_;
  std::unique_ptr<CellBlock> block_;
  ParentControl base_control_;
  std::unique_ptr<CellRun> base_;
  bool base_ready_ = false;
  bool ending_ = false;
  BaseReady said_;
  std::optional<GaveUp> gave_up_;
  std::optional<Reactor::TimerId> base_patience_;
  std::optional<Collecting> collecting_;
  std::uint64_t collections_ = 0;  // the job of the last one; those of parents are 0
  ForkCells cells_;
  std::map<std::string, std::unique_ptr<Parent>> parents_;  // by file
  std::set<std::string> whole_;                             // files that need a parent that has collected everything
  std::unordered_map<std::uint64_t, std::unique_ptr<Test>> tests_;
  std::uint64_t last_id_ = 0;
  std::uint64_t clock_ = 0;
};

}  // namespace

Result<std::unique_ptr<WarmExecutor>> make_warm_executor(Reactor& reactor, WarmRequest request) {
  if (request.parent.argv.empty()) return fail(ErrorCode::invalid_input, "no interpreter");
  auto tree = std::make_unique<Tree>(reactor, std::move(request), open_cgroups());
  TRY(tree->begin());
  return tree;
}

}  // namespace casemate
