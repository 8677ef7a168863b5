// executors: executors by the name that --executor gives, also those that are in another of our programs.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "action/sending_progress.h"
#include "casemate/engine.h"
#include "casemate/result.h"
#include "command/remote_options.h"
#include "engine/executor.h"
#include "image/root.h"
#include "sys/probe.h"

namespace casemate {

/// What the user said of the executor on the command line.
struct ExecutorChoice {
  std::string name = "native";                          ///< native, docker, remote
  std::string pull = "missing";                         ///< docker: when the daemon asks a registry
  std::function<void(std::string_view line)> progress;  ///< of an image's pull; may be empty
  /// remote: while the engine does not answer (RemoteOptions::outage); may be empty.
  std::function<void(std::string_view line, bool stays)> outage;
  TellSending sending;  ///< remote: how far inputs are on their way; may be empty
  /// docker: what jobs take over of their image's config, which only the daemon knows; nullopt: nothing.
  std::optional<ConfigUse> config;
  std::string user;                    ///< docker, with `config`: as typed, in the words of the image; "": the job's
  std::optional<RemoteChoice> remote;  ///< remote: needed
};

using MakeExecutor = std::function<Result<std::unique_ptr<Executor>>(Reactor&, const ExecutorChoice&)>;

/// This program has an executor of that name. For main().
void know_executor(std::string name, MakeExecutor make);
/// The arguments this program was started with, for who has to become another. For main().
void know_arguments(int argc, char** argv);

/// To be called as soon as it is known what was asked for, before anything was done: "native" is in every program; one that is in
/// casemate-NAME, beside this program, makes this process that program with the same arguments (execve(2)). invalid_input: nobody has it
/// (the names there are); not_supported: the program is not there.
Result<void> need_executor(const std::string& name);

/// That executor, which is not "native", for who adds it to the engine as a part of another. need_executor() comes before.
Result<std::unique_ptr<Executor>> make_executor(Reactor& reactor, const ExecutorChoice& choice);

/// What an engine offers and its workers give, as rows for people (remote/inquiry.h).
using AskEngine = std::function<Result<std::vector<HostFeature>>(const RemoteChoice&)>;
/// This program can ask. For main().
void know_engine_inquiry(AskEngine ask);
/// Asks. need_executor("remote") comes before.
Result<std::vector<HostFeature>> ask_engine(const RemoteChoice& choice);

/// Adds it to the engine under its name (Job::executor). Nothing to do for "native".
/// `added`, if given, is it then, until the engine ends.
Result<void> add_executor(Engine& engine, const ExecutorChoice& choice, Executor** added = nullptr);

}  // namespace casemate
