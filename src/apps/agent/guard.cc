#include "apps/agent/guard.h"

#include <fmt/format.h>

#include "base/digest.h"
#include "image/environment_tree.h"
#include "sys/fd.h"
#include "sys/path.h"
#include "warm/payload.h"

namespace casemate {
namespace {

// A program under test is the same user's as the tests: it could write into their memory (/proc/PID/mem, ptrace(2)) how they are to end.
// Not into that of a process which is not dumpable (prctl(2), PR_SET_DUMPABLE); an exec ends that, so it is for the interpreter itself to
// say, and programs under test can be debugged all the same. What is no file Python runs in its own way.
constexpr const char* kGuard = R"(def _casemate():
    import os, sys
    del sys.argv[0]
    if not os.path.isfile(sys.argv[0]):
        os.execv(sys.executable, [sys.executable, *sys.argv])
    try:
        import ctypes
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    except Exception:
        pass
    sys.path[0] = os.path.dirname(os.path.realpath(sys.argv[0]))
    with open(sys.argv[0], 'rb') as file:
        globals().update(__file__=os.path.abspath(sys.argv[0]))
        del globals()['_casemate']
        return compile(file.read(), __file__, 'exec')
exec(_casemate())
)";

// site(7) runs a line that begins with "import". The module leaves no trace in sys.modules, and takes 0.2 ms where ctypes takes 10; but a
// build without a GIL can't load it.
constexpr const char* kPathFile = "casemate-guard.pth";
constexpr const char* kModule = "casemate-guard.so";
constexpr const char* kPathLine =
    "import _imp, sys, _frozen_importlib; exec(\"\"\"try:\\n"
    "    if 't' in getattr(sys, 'abiflags', ''): raise ImportError\\n"
    "    _imp.create_dynamic(_frozen_importlib.ModuleSpec('casemate_cells', None, origin={:?})).hide()\\n"
    "except Exception:\\n"
    "    import ctypes\\n"
    "    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\\n\"\"\")\n";

Result<void> write_file(int directory, const char* name, std::string_view bytes) {
  const auto file = make_file_beneath(directory, name, 0644);
  if (!file) return fail_errno(fmt::format("write {}", name), file.error());
  return write_all(file->get(), bytes);
}

}  // namespace

std::vector<std::string> guarded(std::vector<std::string> command, const std::string& python) {
  if (command.size() > 1 && command[0] == python && !command[1].starts_with('-')) command.insert(command.begin() + 1, {"-c", kGuard});
  return command;
}

Result<StoreLease> guarded_environment(const Environment& environment, const Interpreter& interpreter, Store& store) {
  const std::string key =
      sha256_hex(fmt::format("casemate guarded environment 1\n{}\n{}\n", environment.key, environment.bytecode ? "bytecode" : ""));
  const auto fill = [&](const std::string& directory) -> Result<void> {
    TRY(link_environment(environment.layer, directory));
    TRY_ASSIGN(const UniqueFd top, open_file(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    const auto site = open_beneath(top.get(), interpreter.site_packages, O_PATH | O_DIRECTORY);
    if (!site) return fail_errno("open an environment's packages", site.error());
    const std::string module = fmt::format("{}/{}/{}", environment.mount_point, interpreter.site_packages, kModule);
    TRY(write_file(site->get(), kPathFile, fmt::format(kPathLine, module)));
    return write_file(site->get(), kModule, warm_native());
  };
  return store.make_layer(key, fmt::format("environment of a grading agent's tests, for Python {}", interpreter.version), fill);
}

}  // namespace casemate
