// casemate-witness: the first process of the Docker executor's containers. Static and small, for it runs in any image and may have to be
// copied into each.
#include <string>
#include <vector>

#include "docker/witness.h"

int main(int argc, char** argv) {
  return casemate::witness_main(argc > 1 ? std::vector<std::string>(argv + 1, argv + argc) : std::vector<std::string>());
}
