// interpreter_root: where a script's Python comes from: this host or an image.
#pragma once

#include <string>
#include <vector>

#include "apps/script/arguments.h"
#include "casemate/result.h"
#include "image/installer.h"
#include "image/interpreter.h"
#include "image/root.h"
#include "store/store.h"

namespace casemate {

/// A Python and the root that it runs on, whose layers stay in the store while this lives.
struct InterpreterRoot {
  Root root;
  Interpreter interpreter;
  std::vector<std::string> notes;  ///< what was chosen instead of what, for people
};

/// The image for a version that this host lacks: "docker://docker.io/library/python:3.10-slim" for "3.10"; "" for what is no version from
/// 3.7 on, which no image has.
[[nodiscard]] std::string image_for_version(std::string_view version);

/// Finds the Python of `request`: in the image it names; else on the host; else, where a version is wanted that the host has not and no
/// image was named, in image_for_version(). Errors are one line each; if that image can't be had either, it names both reasons.
Result<InterpreterRoot> find_interpreter_root(const ScriptRequest& request, Store& store, const RunJob& run, const TellPull& tell);

}  // namespace casemate
