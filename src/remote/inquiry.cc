#include "remote/inquiry.h"

#include <chrono>

#include <fmt/format.h>

#include "base/terminal.h"
#include "base/units.h"
#include "casemate/engine.h"
#include "witness/program.h"

namespace casemate {
namespace {

using State = HostFeature::State;

constexpr const char* kPlace = "/casemate-look";
constexpr auto kWait = std::chrono::minutes(2);  // for a worker to be free

HostFeature row(std::string name, State state, std::string meaning, std::string fix = "", bool required = false) {
  return {.name = std::move(name), .state = state, .meaning = std::move(meaning), .fix = std::move(fix), .required = required};
}

std::string word_of(const RemoteTimes& times) {
  std::string text = times.worker.empty() ? "" : fmt::format(" on worker {}", times.worker);
  if (times.queue)
    text += fmt::format(", waited {} ms for it", std::chrono::duration_cast<std::chrono::milliseconds>(*times.queue).count());
  return text;
}

}  // namespace

std::vector<HostFeature> offer_features(const RemoteOffer& offer) {
  std::vector<HostFeature> rows;
  rows.push_back(row("protocol", State::ok, fmt::format("REAPI {}, SHA-256", printable_line(offer.api))));
  rows.push_back(offer.executes ? row("execution", State::ok, "runs actions")
                                : row("execution", State::missing, "it is a cache and runs nothing", "name an engine that executes", true));
  rows.push_back(row("batches", State::ok, fmt::format("small files go together, {} a message", format_bytes(offer.most_batch))));
  rows.push_back(offer.zstd_streams || offer.zstd_batches
                     ? row("compression", State::ok, "zstd, where the way leaves this machine")
                     : row("compression", State::fallback, "none that we have in common (zstd): files are sent as they are"));
  rows.push_back(offer.caches_results
                     ? row("action cache", State::ok, offer.takes_results ? "gives results and takes them" : "gives results")
                     : row("action cache", State::fallback, "none: results of --cache are kept on this machine alone"));
  return rows;
}

std::vector<HostFeature> worker_features(const WorkerFacts& facts) {
  std::vector<HostFeature> rows;
  rows.push_back(
      row("worker", State::ok,
          fmt::format("Linux {} {}, {} CPUs, jobs are {}:{} there", facts.kernel, facts.machine, facts.cpus, facts.uid, facts.gid)));
  if (!facts.covered.empty()) {
    rows.push_back(row("root", State::fallback,
                       fmt::format("what is sent is the job's root, and the workers lay their own over it: {}", facts.covered),
                       "for images start them without binds over these (buildbox: without --runner-arg=--ro-bind-mount=...)"));
  } else {
    rows.push_back(facts.at_root ? row("root", State::ok, "what is sent is the job's root: images can be sent")
                                 : row("root", State::fallback, "what is sent lies in a directory of the worker's own root",
                                       "for images say --remote-image property, if the engine runs containers"));
  }
  if (facts.user_namespace_problem == 0) {
    rows.push_back(row("namespaces", State::ok,
                       facts.fresh_proc
                           ? "a test of a group gets user, mount, pid, ipc, uts and network namespaces"
                           : "a test of a group gets user, mount, pid, ipc, uts and network namespaces, and the worker's /proc"));
  } else {
    rows.push_back(row("namespaces", State::fallback, "a test of a group is a process, for user namespaces are refused there",
                       std::string(namespaces_hint(facts.uid == 0))));
  }
  rows.push_back(facts.own_processes
                     ? row("processes", State::ok, "an action sees its own alone")
                     : row("processes", State::fallback, "an action sees those of others; what it leaves is found by descent"));
  rows.push_back(facts.has_network ? row("network", State::fallback,
                                         "there is one: jobs with network none are kept out of it by a namespace, where that can be had")
                                   : row("network", State::ok, "none but loopback"));
  rows.push_back(facts.python.empty() ? row("python", State::fallback, "the worker has none", "send one: --image")
                                      : row("python", State::ok, facts.python + " of the worker's own, for image host"));
  return rows;
}

Result<std::vector<HostFeature>> inquire(RemoteOptions options) {
  TRY_ASSIGN(const auto engine, RemoteEngine::connect(options.endpoint, options.policy, {}));
  std::vector<HostFeature> rows = offer_features(engine->offer());
  if (!engine->offer().executes) return rows;
  if (options.witness.empty()) {
    TRY_ASSIGN(options.witness, witness_program());
  }
  options.deadline = options.deadline.value_or(kWait);
  Job job;
  job.mounts = {{.kind = Mount::Kind::bind, .source = options.witness, .target = fmt::format("{}/witness", kPlace)}};
  job.argv = {job.mounts[0].target, "look"};
  job.executor = "remote";
  job.network = Network::host;
  job.limits.wall = std::chrono::seconds(30);
  TRY_ASSIGN(const auto jobs, Engine::create({.slots = 1}));
  TRY(jobs->add_executor("remote", [&](Reactor& reactor) { return make_remote_executor(reactor, options); }));
  TRY_ASSIGN(const JobResult result, jobs->run(std::move(job)));
  if (!result.outcome.succeeded()) {
    std::string ended = words(result.outcome);
    if (ended.find(result.outcome.detail) == std::string::npos) ended += ": " + result.outcome.detail;
    rows.push_back(row("action", State::missing, ended, "see what the engine's workers need", true));
    return rows;
  }
  rows.push_back(row("action", State::ok, "ran one" + (result.remote ? word_of(*result.remote) : "")));
  TRY_ASSIGN(const WorkerFacts facts, read_facts(result.output.out));
  for (HostFeature& each : worker_features(facts)) rows.push_back(std::move(each));
  return rows;
}

}  // namespace casemate
