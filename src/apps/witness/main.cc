// casemate-witness: the first process of the Docker executor's containers and of remote actions. Static and small, for it runs in any
// image and has to be copied into each.
#include <string>
#include <vector>

#include <string.h>
#include <sys/prctl.h>

#include "witness/witness.h"

int main(int argc, char** argv) {
  // Who runs beside this in the container may read its words (proc(5), cmdline), and one of them is the secret of its lines.
  ::prctl(PR_SET_DUMPABLE, 0);
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  if (argc > 2 && words[0] != "action") ::explicit_bzero(argv[2], ::strlen(argv[2]));
  return casemate::witness_main(words);
}
